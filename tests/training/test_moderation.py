"""The moderation corpus and what is measured on it."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from areas import auprc, bootstrap
from calibrate_moderation import ANY_LIMIT, HARD_LIMIT, LOWEST, choose, thresholds_of
from moderation_metrics import harm_sides, label_sides
from moderation_report import moderation_lines
from moderation_texts import LABELS, ModerationText, load_moderation_texts, targets_of

DATA = Path(__file__).resolve().parents[2] / "training" / "data"
ROWS = [
    json.loads(line)
    for path in sorted((DATA / "moderation").glob("*.jsonl"))
    for line in path.read_text(encoding="utf-8").splitlines()
]


def text(words: str, *labels: str, source: str = "own") -> ModerationText:
    return ModerationText(words, targets_of(labels), source, "x", "heldout")


def test_the_authored_texts_are_well_formed() -> None:
    assert len({row["text"] for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert set(row) == {"text", "labels", "kind", "split"}
        assert row["text"].strip() == row["text"] != ""
        assert set(row["labels"]) <= set(LABELS)
        assert row["split"] in ("train", "heldout")


def test_nothing_is_written_for_sexual_minors() -> None:
    assert not [row for row in ROWS if "sexual/minors" in row["labels"]]


def test_both_parts_have_harmless_texts_and_every_other_label() -> None:
    found = Counter((row["split"], label) for row in ROWS for label in row["labels"] or ["harmless"])
    for split in ("train", "heldout"):
        for label in {*LABELS, "harmless"} - {"sexual/minors"}:
            assert found[split, label] >= 15, (split, label)


def shared_folder(folder: Path, moderation: list[dict[str, object]]) -> Path:
    for name, rows in (("moderation/train", moderation), ("guard/authored", [])):
        path = folder / f"{name}.jsonl.gz"
        path.parent.mkdir(parents=True)
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return folder


def test_public_labels_leave_open_what_their_source_did_not_ask(tmp_path: Path) -> None:
    rows = [
        {"text": "zq one", "labels": {"hate": 1}, "source": "davidson"},
        {"text": "zq two", "labels": {"harassment": 1, "offensive": 1}, "source": "davidson"},
        {"text": "zq three", "labels": {"sexual/minors": 1}, "source": "sap"},
        {"text": "zq four", "labels": {}, "source": "surge"},
    ]
    texts = {one.text: one for one in load_moderation_texts(DATA, shared_folder(tmp_path, rows))}
    given = {name: dict(zip(LABELS, texts[f"zq {name}"].targets, strict=True)) for name in ("one", "two", "three")}
    assert (given["one"]["hate"], given["one"]["harassment"], given["one"]["illicit"]) == (1, None, 0)
    assert (given["two"]["harassment"], given["two"]["hate"]) == (None, 0)
    assert not texts["zq two"].harmful
    assert not texts["zq two"].harmless
    assert (given["three"]["sexual/minors"], given["three"]["sexual"]) == (1, 1)
    assert texts["zq four"].harmless
    assert texts["zq four"].part == "heldout"


def test_a_text_that_is_held_out_is_not_trained_on_under_another_source(tmp_path: Path) -> None:
    rows = [
        {"text": "You absolute turnip!", "labels": {"harassment": 1}, "source": source}
        for source in ("diasafety", "surge")
    ]
    texts = load_moderation_texts(DATA, shared_folder(tmp_path, rows))
    assert [(one.source, one.part) for one in texts if "turnip" in one.text] == [("surge", "heldout")]


def test_average_precision_is_the_mean_precision_at_each_harmful_text() -> None:
    assert auprc(np.array([0.9, 0.8]), np.array([0.1])) == 1.0
    assert auprc(np.array([0.9, 0.2]), np.array([0.5])) == pytest.approx((1 + 2 / 3) / 2)
    assert auprc(np.array([0.5]), np.array([0.5])) == 0.5


def test_sides_leave_out_texts_of_which_the_label_is_unknown() -> None:
    texts = [text("a", "hate"), text("b"), ModerationText("c", (None,) * len(LABELS), "own", "x", "heldout")]
    scores = np.tile(np.array([[0.9], [0.2], [0.5]]), (1, len(LABELS)))
    positive, negative = label_sides(texts, scores, LABELS.index("hate"))
    assert (positive.tolist(), negative.tolist()) == ([0.9], [0.2])
    harmful, harmless = harm_sides(texts, scores, np.full(len(LABELS), 0.9))
    assert harmful == pytest.approx([1.0])
    assert harmless < 0.1


def test_the_interval_holds_the_value() -> None:
    rng = np.random.default_rng(1)
    positive, negative = rng.normal(1.0, 1.0, 200), rng.normal(0.0, 1.0, 200)
    low, high = bootstrap(auprc, positive, negative)
    assert low < auprc(positive, negative) < high


def test_a_threshold_is_above_all_but_the_allowed_false_alarms() -> None:
    scores = np.linspace(0.0, 0.95, 2000)
    chosen = choose(scores, np.zeros(100), 0.002)
    assert (scores >= chosen).mean() <= 0.002
    assert (scores >= chosen - 0.02).mean() > 0.002
    hard = choose(np.zeros(100), scores, 0.002)
    assert (scores >= hard).mean() <= HARD_LIMIT
    assert hard < chosen
    assert choose(np.zeros(100), np.zeros(100), 0.002) == LOWEST


def test_all_labels_together_keep_the_limit_on_ordinary_texts() -> None:
    texts = [text(f"o{number}", source="requests") for number in range(5000)] + [
        text(f"h{number}") for number in range(9)
    ]
    scores = np.random.default_rng(0).random((len(texts), len(LABELS))) ** 8 * 0.9
    chosen = thresholds_of(texts, scores)
    assert 0.0 < (scores[:5000] >= chosen).any(axis=1).mean() <= ANY_LIMIT


def test_the_report_has_a_line_for_each_label_that_a_source_can_judge() -> None:
    texts = [text(f"h{number}", "hate") for number in range(30)] + [text(f"n{number}") for number in range(30)]
    scores = np.zeros((60, len(LABELS)))
    scores[:30, 0] = 0.9
    lines = {line.measure: line for line in moderation_lines(texts, scores, np.full(len(LABELS), 0.5))}
    assert lines["hate, own texts: AUROC"].value == 1.0
    assert lines["hate, own texts: recall"].count == 30
    assert lines["false alarms, own hard negatives"].value == 0.0
    assert not [name for name in lines if name.startswith("illicit")]

"""What is measured on decisions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from areas import auroc
from calibrate import fit
from decisions import Row, calibration_error, interval, measure, read_threshold
from roster_examples import Example, question
from serving import JAILBREAK, ORCHESTRATOR


def row(text: str, needed: tuple[int, ...], *, ordered: bool = False, kind: str = "single") -> Row:
    asked = question([("user", text)])
    return Row("r", Example(kind, asked, needed, ordered), np.zeros((2, 1), np.float32), np.eye(2, dtype=np.float32))


def scores(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_a_decision_is_exact_when_the_needed_agents_and_no_others_reach_the_threshold() -> None:
    rows = [row("a", (0,)), row("b", (0,)), row("c", ()), row("d", ())]
    table = measure(rows, [scores(0.9, 0.1), scores(0.9, 0.6), scores(0.1, 0.1), scores(0.1, 0.7)], 0.5)
    assert table["exact"] == 0.5
    assert table["one_agent_top1"] == 1.0
    assert table["one_agent_exact"] == 0.5
    assert table["nobody"] == 0.5


def test_the_order_counts_where_it_matters() -> None:
    first, second = "Check the stock of pens, then quote a price", "Quote a price, but only after checking the stock"
    rows = [row(first, (0, 1), ordered=True, kind="multi"), row(second, (0, 1), ordered=True, kind="multi")]
    table = measure(rows, [scores(0.9, 0.9), scores(0.9, 0.9)], 0.5)
    assert table["exact"] == 1.0
    assert table["order"] == table["exact_ordered"] == 0.5


def test_calibration_error_is_the_gap_between_said_and_seen() -> None:
    rows = [row("a", (0,)), row("b", ())]
    assert calibration_error(rows, [scores(0.75, 0.0), scores(0.75, 0.0)]) == pytest.approx(0.125)


def test_the_interval_holds_the_mean_and_is_wider_when_rosters_differ() -> None:
    rosters = [f"r{number % 7}" for number in range(70)]
    alike = interval(rosters, [number // 7 < 7 for number in range(70)])
    different = interval(rosters, [number % 7 < 5 for number in range(70)])
    assert alike[0] <= 0.7 <= alike[1]
    assert different[0] < alike[0] <= alike[1] < different[1]


def test_attacks_above_every_harmless_text_have_an_area_of_one() -> None:
    assert auroc(np.array([0.9, 0.8]), np.array([0.1, 0.7])) == 1.0
    assert auroc(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0.5
    assert auroc(np.array([0.1]), np.array([0.2, 0.3])) == 0.0


@pytest.mark.parametrize("folder", [ORCHESTRATOR, JAILBREAK])
def test_the_threshold_is_read_from_the_configuration(folder: Path) -> None:
    assert 0.0 < read_threshold(folder) < 1.0


def test_calibration_finds_the_slope_that_made_the_outcomes() -> None:
    logits = np.linspace(-4, 4, 4000, dtype=np.float32)
    needed = np.random.default_rng(0).random(4000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))
    asked = question([("user", "x")])
    rows = [
        Row("r", Example("single", asked, (0,) if hit else (), ordered=False), np.array([logit]), np.eye(1))
        for logit, hit in zip(logits, needed, strict=True)
    ]
    slope, offset = fit(rows)
    assert slope == pytest.approx(0.5, abs=0.1)
    assert offset == pytest.approx(-1, abs=0.15)

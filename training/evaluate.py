"""Measure the served models on held-out rosters and texts; prints one table and writes ``benchmarks/quality.md``.

Needs neither PyTorch nor data from elsewhere; with ``--shared``, held-out texts of the shared sets are measured too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from areas import auroc
from clinc_report import clinc_lines, joined_line
from curves import draw
from decisions import (
    Row,
    calibration_error,
    compute_rows,
    hits,
    interval,
    probabilities,
    read_threshold,
    read_thresholds,
    reliability,
)
from dialogue_report import dialogue_lines
from embed import ServedGuard, ServedModeration, ServedOrchestrator
from evaluate_functions import functions_section
from evaluate_signals import signals_section
from guard_metrics import groups
from guard_texts import GuardText, load_guard_texts
from moderation_metrics import label_sides
from moderation_report import moderation_lines
from moderation_texts import LABELS, load_moderation_texts
from pii_report import pii_section
from quality_table import Line, section
from roster_examples import load_authored
from serving import JAILBREAK, MODERATION, ORCHESTRATOR

HERE = Path(__file__).resolve().parent
REPORT = HERE.parent / "benchmarks" / "quality.md"
REQUESTS = 1000
PROFANE = 500


@dataclass(frozen=True)
class Measured:
    """The section of a model, and a picture that stands beside the report."""

    model: str
    text: str
    picture: str | None = None

    @property
    def file_name(self) -> str:
        return f"quality-{self.model}.svg"


# What is measured, its name in ``decisions.hits``, and its goal.
DECISIONS = (
    ("exact set", "exact", "0.75"),
    ("exact set, and in order where order matters", "exact_ordered", "0.72"),
    ("one-agent requests, top-1", "one_agent_top1", "0.88"),
    ("one-agent requests, exact", "one_agent_exact", ""),
    ("nobody needed, nobody chosen", "nobody", "0.92"),
    ("one plain request, exact", "exact_single", ""),
    ("several agents, exact", "exact_multi", ""),
    ("newest turn needs its context, exact", "exact_multi_turn", ""),
    ("near misses, exact", "exact_near_miss", ""),
    ("small talk and other businesses, exact", "exact_none", ""),
    ("long messages, exact", "exact_long", ""),
    ("other languages, exact", "exact_other_language", "0.50"),
    ("running order, given the agents", "order", ""),
)
GUARD = (
    ("direct attacks found", "recall_jailbreak", "0.85"),
    ("injections in documents found", "recall_injection", ""),
    ("false alarms, ordinary requests", "alarms_requests", "under 0.01"),
    ("false alarms, trigger words and talk of attacks", "alarms_trigger", "under 0.05"),
    ("false alarms, role play and code", "alarms_role_play_and_code", "under 0.02"),
    ("false alarms, documents", "alarms_documents", ""),
)


def orchestrator_lines(rows: Sequence[Row], threshold: float, slope: float, offset: float) -> list[Line]:
    scores = probabilities(rows, slope, offset)
    found = hits(rows, scores, threshold)
    lines = []
    for text, name, goal in DECISIONS:
        chosen, outcome = zip(*found[name], strict=True)
        lines.append(Line(text, len(outcome), float(np.mean(outcome)), *interval(chosen, outcome), goal))
    return [*lines, Line("expected calibration error", len(rows), calibration_error(rows, scores), None, None, "0.05")]


def guard_lines(texts: Sequence[GuardText], scores: Sequence[float], threshold: float) -> list[Line]:
    given, label = np.asarray(scores), np.array([one.label for one in texts])
    rng = np.random.default_rng(0)
    lines = []
    for text, name, goal in GUARD:
        caught = given[groups(texts)[name]] >= threshold
        if len(caught):
            means = rng.choice(caught, (1000, len(caught))).mean(1)
            low, high = np.percentile(means, [2.5, 97.5])
            lines.append(Line(text, len(caught), float(caught.mean()), float(low), float(high), goal))
    for text, value, goal in (("AUROC, direct attacks", 1, "0.98"), ("AUROC, injections in documents", 2, "0.90")):
        area = auroc(given[label == value], given[label == 0])
        lines.append(Line(text, int((label == value).sum()), area, None, None, goal))
    return lines


def held_out_texts(shared: Path | None) -> list[GuardText]:
    """Held-out texts; of the ordinary requests, the first :data:`REQUESTS`."""
    texts = [one for one in load_guard_texts(HERE / "data", shared) if one.part == "heldout"]
    requests = [one for one in texts if one.source == "requests"]
    return [one for one in texts if one.source != "requests"] + requests[:REQUESTS]


def orchestrator_section(options: argparse.Namespace) -> Measured:
    threshold = options.threshold or read_threshold(ORCHESTRATOR)
    rosters = load_authored(HERE / "data" / "routing", options.shared and options.shared / "routing")["heldout"]
    rows = compute_rows(rosters, ServedOrchestrator(options.orchestrator))
    fitted = json.loads((options.orchestrator / "calibration.json").read_text(encoding="utf-8"))
    about = (
        f"{len(rosters)} rosters with {len(rows)} conversations that took no part in training or in the choice of "
        f"the threshold ({threshold}). Intervals are drawn by roster."
    )
    lines = orchestrator_lines(rows, threshold, fitted["slope"], fitted["offset"])
    if options.shared:
        routing, model = options.shared / "routing", ServedOrchestrator(options.orchestrator)
        lines += clinc_lines(routing, model)
        lines.append(joined_line(routing, model, threshold, fitted["slope"], fitted["offset"]))
        lines += dialogue_lines(routing, model)
    found = reliability(rows, probabilities(rows, fitted["slope"], fitted["offset"]))
    curve = {"agents": [(said, seen) for said, seen, _ in found]}
    picture = draw("Orchestrator: reliability", "probability said", "agent needed", curve, diagonal=True)
    return Measured("orchestrator", section("Orchestrator", about, lines), picture)


def jailbreak_section(options: argparse.Namespace) -> Measured:
    threshold = options.guard_threshold or read_threshold(JAILBREAK)
    texts, model = held_out_texts(options.shared), ServedGuard(options.jailbreak)
    scores = [model(one.text) for one in texts]
    about = f"{len(texts)} texts that took no part in training; a text is refused at {threshold}."
    lines = guard_lines(texts, scores, threshold)
    masks = groups(texts)
    curves = {
        "direct attacks": masks["recall_jailbreak"],
        "injections": masks["recall_injection"],
        "false alarms": masks["alarms"],
    }
    picture = draw_rates("Jailbreak classifier", {name: np.asarray(scores)[mask] for name, mask in curves.items()})
    return Measured("jailbreak", section("Jailbreak classifier", about, lines), picture)


def moderation_section(options: argparse.Namespace) -> Measured:
    found = load_moderation_texts(HERE / "data", options.shared)
    texts = [one for one in found if one.part == "heldout" and not one.calibrates]
    profane = [one for one in texts if one.kind == "offensive"]
    texts = [one for one in texts if one.kind != "offensive"] + profane[:PROFANE]
    model = ServedModeration(options.moderation)
    scores = np.array([model(one.text) for one in texts])
    thresholds = np.array(read_thresholds(MODERATION))
    listed = ", ".join(f"{name} {value:.2f}" for name, value in zip(LABELS, thresholds, strict=True))
    about = (
        f"{len(texts)} texts that took no part in training or in the choice of the thresholds ({listed}). The score of "
        "any harm is the highest odds of a label over the odds of its threshold."
    )
    own = [row for row, one in enumerate(texts) if one.source == "own"]
    sides = {name: label_sides([texts[row] for row in own], scores[own], place) for place, name in enumerate(LABELS)}
    curves = {name: positive for name, (positive, _) in sides.items() if len(positive)}
    picture = draw_rates("Moderation classifier, own texts", curves)
    return Measured(
        "moderation", section("Moderation classifier", about, moderation_lines(texts, scores, thresholds)), picture
    )


def draw_rates(title: str, scores: Mapping[str, np.ndarray]) -> str:
    """For each group of texts, the share that is flagged at each threshold."""
    levels = np.linspace(0.0, 1.0, 101)
    curves = {
        name: [(float(level), float((given >= level).mean())) for level in levels] for name, given in scores.items()
    }
    return draw(f"{title}: flagged by threshold", "threshold", "share flagged", curves)


def personal_data_section(options: argparse.Namespace) -> Measured:
    return Measured("personal-data", pii_section())


def parameters_section(options: argparse.Namespace) -> Measured:
    return Measured("parameters", functions_section())


def conversation_signals_section(options: argparse.Namespace) -> Measured:
    return Measured("signals", signals_section())


SECTIONS = {
    "orchestrator": orchestrator_section,
    "jailbreak": jailbreak_section,
    "moderation": moderation_section,
    "personal-data": personal_data_section,
    "parameters": parameters_section,
    "signals": conversation_signals_section,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orchestrator", type=Path, default=ORCHESTRATOR)
    parser.add_argument("--jailbreak", type=Path, default=JAILBREAK)
    parser.add_argument("--moderation", type=Path, default=MODERATION)
    parser.add_argument("--threshold", type=float, help="of the orchestrator; the default is the model's own")
    parser.add_argument("--guard-threshold", type=float)
    parser.add_argument("--shared", type=Path, help="folder of the shared sets; without it, this repository's only")
    parser.add_argument("--only", choices=list(SECTIONS))
    parser.add_argument("--out", type=Path, default=REPORT)
    options = parser.parse_args()
    measured = []
    for name, measure in SECTIONS.items():
        if options.only in (None, name):
            measured.append(measure(options))
            print(measured[-1].text, flush=True)
    if options.only is None:
        source = "of this repository and of the shared sets" if options.shared else "of this repository"
        parts = [f"# Quality of the embedded models\nWritten by `make eval`, on held-out data {source}.\n"]
        for one in measured:
            parts.append(f"{one.text}\n")
            if one.picture is not None:
                parts.append(f"![{one.model}]({one.file_name})\n")
                options.out.with_name(one.file_name).write_text(one.picture, encoding="utf-8")
        options.out.write_text("\n".join(parts), encoding="utf-8")
        print(f"written: {options.out}")


if __name__ == "__main__":
    main()

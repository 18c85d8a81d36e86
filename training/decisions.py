"""Decisions of the served orchestrator on rosters, and what is measured on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from embed import ServedOrchestrator
from numpy.typing import NDArray
from roster_examples import Example, RosterExamples
from serving import matching, read_parameter, roster_features

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """The logits of one conversation, before they are calibrated, and what each clause says."""

    roster: str
    example: Example
    logits: Vectors
    clause: Vectors


def compute_rows(rosters: Iterable[RosterExamples], model: ServedOrchestrator) -> list[Row]:
    rows = []
    for roster in rosters:
        described = [roster_features.describe(*pair) for pair in roster.agents]
        agents = [matching.agent_of(texts, model.encode(texts.texts)) for texts in described]
        for example in roster.examples:
            encoded = model.encode(example.question.texts)
            logits, clause = model.matching.logits(example.question, encoded, agents)
            rows.append(Row(roster.id, example, logits, clause))
        model.forget()
    return rows


def probabilities(rows: Iterable[Row], slope: float, offset: float) -> list[Vectors]:
    return [1.0 / (1.0 + np.exp(-(slope * row.logits + offset))) for row in rows]


def hits(rows: Sequence[Row], scores: Sequence[Vectors], threshold: float) -> dict[str, list[tuple[str, bool]]]:
    """For each measure of the model card, the roster and the outcome of every decision that it is taken over."""
    found: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for row, score in zip(rows, scores, strict=True):
        needed = set(row.example.needed)
        exact = set(np.flatnonzero(score >= threshold).tolist()) == needed
        ordered = exact and (not row.example.ordered or _in_order(row, score))
        outcomes = {"exact": exact, "exact_ordered": ordered, f"exact_{row.example.kind}": exact}
        if len(needed) == 1:
            outcomes |= {"one_agent_top1": int(score.argmax()) in needed, "one_agent_exact": exact}
        if not needed:
            outcomes["nobody"] = exact
        if row.example.ordered:
            outcomes["order"] = _in_order(row, score)
        for name, outcome in outcomes.items():
            found[name].append((row.roster, outcome))
    return found


def measure(rows: Sequence[Row], scores: Sequence[Vectors], threshold: float) -> dict[str, float]:
    """The rates of :func:`hits`, the expected calibration error and the number of conversations."""
    found = hits(rows, scores, threshold)
    table = {name: float(np.mean([hit for _, hit in outcomes])) for name, outcomes in sorted(found.items())}
    return {"conversations": len(rows), **table, "ece": calibration_error(rows, scores)}


def _in_order(row: Row, score: Vectors) -> bool:
    order = roster_features.running_order(row.example.question, row.clause, score)
    return sorted(row.example.needed, key=lambda agent: order[agent]) == list(row.example.needed)


def calibration_error(rows: Sequence[Row], scores: Sequence[Vectors], bins: int = 10) -> float:
    """Expected calibration error of the agents' probabilities."""
    return sum(share * abs(said - seen) for said, seen, share in reliability(rows, scores, bins))


def reliability(rows: Sequence[Row], scores: Sequence[Vectors], bins: int = 10) -> list[tuple[float, float, float]]:
    """For each bin of probabilities that is not empty: its mean, how often the agent was needed, its share of all."""
    wanted = np.concatenate([_wanted(row) for row in rows])
    given = np.concatenate(list(scores))
    place = np.minimum((given * bins).astype(int), bins - 1)
    inside = [place == number for number in range(bins)]
    return [(float(given[one].mean()), float(wanted[one].mean()), float(one.mean())) for one in inside if one.any()]


def _wanted(row: Row) -> Vectors:
    wanted = np.zeros(len(row.logits), dtype=np.float32)
    wanted[list(row.example.needed)] = 1.0
    return wanted


def interval(
    rosters: Sequence[str], outcomes: Sequence[bool], *, seed: int = 0, draws: int = 1000
) -> tuple[float, float]:
    """95 % bootstrap interval of a rate, drawn by roster: conversations of one roster are alike."""
    by_roster: dict[str, list[bool]] = defaultdict(list)
    for roster, outcome in zip(rosters, outcomes, strict=True):
        by_roster[roster].append(outcome)
    groups = list(by_roster.values())
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(draws):
        drawn = [groups[index] for index in rng.integers(0, len(groups), len(groups))]
        means.append(sum(map(sum, drawn)) / sum(map(len, drawn)))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def read_threshold(version: Path) -> float:
    """The threshold that ``config.pbtxt`` gives the model of this version folder."""
    return float(read_parameter(version, "threshold"))


def read_thresholds(version: Path) -> tuple[float, ...]:
    """The threshold of each label, as ``config.pbtxt`` gives them to the classifier of this version folder."""
    return tuple(float(part) for part in read_parameter(version, "thresholds").split(","))

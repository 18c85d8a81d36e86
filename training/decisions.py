"""Decisions of the served orchestrator on rosters, and what is measured on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from roster_examples import Example, RosterExamples
from serving import roster_features

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """The features of one conversation, before the head has seen them."""

    roster: str
    example: Example
    features: Vectors
    clause: Vectors


def compute_rows(rosters: Iterable[RosterExamples], encode: Callable[[Sequence[str]], Vectors]) -> list[Row]:
    rows = []
    for roster in rosters:
        agents = [_vectors(roster_features.describe(*pair), encode) for pair in roster.agents]
        for example in roster.examples:
            features, clause = roster_features.agent_features(example.question, encode(example.question.texts), agents)
            rows.append(Row(roster.id, example, features, clause))
    return rows


def _vectors(agent: Any, encode: Callable[[Sequence[str]], Vectors]) -> Any:
    whole = encode([agent.whole])[0]
    phrases = np.stack([whole, *encode(list(agent.phrases))])
    return roster_features.AgentVectors(whole, phrases, encode(list(agent.exclusions)))


def measure(rows: Sequence[Row], scores: Sequence[Vectors], threshold: float) -> dict[str, float]:
    """The table of the model card; every value is a rate, except ``ece`` and ``conversations``."""
    found: dict[str, list[float]] = defaultdict(list)
    for row, score in zip(rows, scores, strict=True):
        needed = set(row.example.needed)
        exact = set(np.flatnonzero(score >= threshold).tolist()) == needed
        ordered = exact and (not row.example.ordered or _in_order(row, score))
        for name, value in (("exact", exact), ("exact_ordered", ordered), (f"exact_{row.example.kind}", exact)):
            found[name].append(value)
        if len(needed) == 1:
            found["one_agent_top1"].append(int(score.argmax()) in needed)
            found["one_agent_exact"].append(exact)
        if not needed:
            found["nobody"].append(exact)
        if row.example.ordered:
            found["order"].append(_in_order(row, score))
    table = {name: float(np.mean(values)) for name, values in sorted(found.items())}
    return {"conversations": len(rows), **table, "ece": calibration_error(rows, scores)}


def _in_order(row: Row, score: Vectors) -> bool:
    order = roster_features.running_order(row.example.question, row.clause, score)
    return sorted(row.example.needed, key=lambda agent: order[agent]) == list(row.example.needed)


def calibration_error(rows: Sequence[Row], scores: Sequence[Vectors], bins: int = 10) -> float:
    """Expected calibration error of the agents' probabilities."""
    wanted = np.concatenate([_wanted(row) for row in rows])
    given = np.concatenate(list(scores))
    place = np.minimum((given * bins).astype(int), bins - 1)
    total = 0.0
    for number in range(bins):
        inside = place == number
        if inside.any():
            total += inside.mean() * abs(given[inside].mean() - wanted[inside].mean())
    return float(total)


def _wanted(row: Row) -> Vectors:
    wanted = np.zeros(len(row.features), dtype=np.float32)
    wanted[list(row.example.needed)] = 1.0
    return wanted


def interval(rows: Sequence[Row], hits: Sequence[bool], *, seed: int = 0, draws: int = 1000) -> tuple[float, float]:
    """95 % bootstrap interval of a rate, drawn by roster: conversations of one roster are alike."""
    by_roster: dict[str, list[bool]] = defaultdict(list)
    for row, hit in zip(rows, hits, strict=True):
        by_roster[row.roster].append(hit)
    groups = list(by_roster.values())
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(draws):
        drawn = [groups[index] for index in rng.integers(0, len(groups), len(groups))]
        means.append(sum(map(sum, drawn)) / sum(map(len, drawn)))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)

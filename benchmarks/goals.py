"""The goals: what should hold, what each round says about it, and whether the rounds agree (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from benchmarks.measurement import Measurement, Summary, memory_mb, summary

Verdict = Literal["ok", "missed", "unclear"]

_STREAMS = ("stream-c16", "stream-c64")
_ALL = ("json-c16", "json-c64", *_STREAMS)
# Target, what it is called, the least share of the floor's requests per second, and where that has to hold.
_SPEEDS = (
    ("single", "one agent", 0.7, _ALL),
    ("models", "model listener", 0.8, _ALL),
    ("models-messages", "Anthropic client to OpenAI provider", 0.4, _STREAMS),
)


@dataclass(frozen=True, slots=True)
class Goal:
    """Something that should hold: one value per round, each from measurements that were made one after the other."""

    text: str
    unit: Literal["x", "ms", "MB"]
    rounds: tuple[float, ...]
    limit: float
    at_least: bool = False

    @property
    def measured(self) -> float:
        return median(self.rounds)

    @property
    def verdict(self) -> Verdict:
        """``unclear`` when the rounds disagree, or when a cost comes out negative: then the machine was too busy."""
        reached = {value >= self.limit if self.at_least else value <= self.limit for value in self.rounds}
        if len(reached) > 1 or min(self.rounds) < 0:
            return "unclear"
        return "ok" if reached == {True} else "missed"


def goals(measurements: Iterable[Measurement]) -> list[Goal]:
    """The goals whose targets were measured in every round."""
    measurements = list(measurements)
    numbers = sorted({measurement.round for measurement in measurements})
    rounds = [summary(found for found in measurements if found.round == number) for number in numbers]
    return [goal for goal in _goals(rounds) if goal.rounds and len(goal.rounds) == len(rounds)]


def _goals(rounds: Sequence[Summary]) -> Iterator[Goal]:
    for target, title, limit, scenarios in _SPEEDS:
        for scenario in scenarios:
            text = f"{title} / floor, requests/s, {scenario}"
            ratios = _compare(rounds, target, "floor", scenario, "requests_per_s", lambda ours, floor: ours / floor)
            yield Goal(text, "x", ratios, limit, at_least=True)
    first = _compare(rounds, "models", "floor", "stream-c1", "first_token_p50_ms", lambda ours, base: ours - base)
    yield Goal("model listener - floor, first token p50 of one stream at a time", "ms", first, 0.5)
    added = _compare(rounds, "single", "direct", "json-c1", "p50_ms", lambda ours, base: ours - base)
    yield Goal("one agent - agent directly, p50 of one request at a time", "ms", added, 1.0)
    own = _compare(rounds, "orchestrated", "triton", "json-c1", "p50_ms", lambda ours, base: ours - base)
    yield Goal("guard and orchestrator - the models alone, p50 of one request at a time", "ms", own, 1.5)
    memory = tuple(max(map(memory_mb, found["orchestrated"].values())) for found in rounds if "orchestrated" in found)
    yield Goal("gateway and Triton, resident memory", "MB", memory, 900)


def _compare(
    rounds: Sequence[Summary],
    ours: str,
    base: str,
    scenario: str,
    number: str,
    difference: Callable[[float, float], float],
) -> tuple[float, ...]:
    """One value for each round that measured both."""
    pairs = ((found.get(ours, {}).get(scenario), found.get(base, {}).get(scenario)) for found in rounds)
    return tuple(difference(one[number], other[number]) for one, other in pairs if one and other and other[number])

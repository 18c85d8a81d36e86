"""One measurement, and the medians of several (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

Summary = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """How a target is asked: whole answers or streams, by how many connections at once."""

    kind: Literal["json", "stream"]
    concurrency: int

    @property
    def name(self) -> str:
        return f"{self.kind}-c{self.concurrency}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run of a generator found out, and what it cost the target's processes."""

    target: str
    scenario: Scenario
    round: int
    result: Mapping[str, Any]
    """The fields of `benchmarks.load.Result`."""
    cpu_ms: Mapping[str, float] = field(default_factory=dict)
    """CPU milliseconds per request, by part of the target."""
    rss_mb: Mapping[str, float] = field(default_factory=dict)
    agent_calls: float | None = None
    """Calls of the agent per request."""

    def numbers(self) -> dict[str, float]:
        """Everything that has a median."""
        flat: dict[str, float] = {
            name: value
            for name, value in self.result.items()
            if name != "first_error" and isinstance(value, int | float)
        }
        flat |= {f"cpu_{part}_ms": value for part, value in self.cpu_ms.items()}
        flat |= {f"rss_{part}_mb": value for part, value in self.rss_mb.items()}
        if self.agent_calls is not None:
            flat["agent_calls"] = self.agent_calls
        return flat


def summary(measurements: Iterable[Measurement]) -> Summary:
    """Medians over the rounds: target -> scenario -> number; for memory the highest."""
    found: defaultdict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for measurement in measurements:
        found[measurement.target, measurement.scenario.name].append(measurement.numbers())
    result: Summary = {}
    for (target, scenario), rounds in found.items():
        names = [name for name in rounds[0] if all(name in numbers for numbers in rounds)]
        result.setdefault(target, {})[scenario] = {
            name: _combine(name, [numbers[name] for numbers in rounds]) for name in names
        }
    return result


def memory_mb(numbers: Mapping[str, float]) -> float:
    """Resident memory of all parts of a target together."""
    return sum(value for name, value in numbers.items() if name.startswith("rss_"))


def _combine(name: str, values: Sequence[float]) -> float:
    return max(values) if name.startswith("rss_") else round(median(values), 4)

"""Two states of all metrics, and what happened between them: rates, percentiles, rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from router.dialects.canonical import JsonObject
from router.observer.metrics import Family, HistogramValue
from router.telemetry.instruments import Definition

Labels: TypeAlias = Mapping[str, str]
Value: TypeAlias = float | HistogramValue


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All metrics at one time, on a clock that does not jump."""

    at_s: float
    families: Mapping[str, Family]

    @classmethod
    def of(cls, families: Iterable[Family], at_s: float) -> Snapshot:
        """From ``MergedMetrics.families``."""
        return cls(at_s, {family.definition.name: family for family in families})

    def series(self, definition: Definition) -> Iterator[tuple[Labels, Value]]:
        """The series of one metric, each with its labels by name."""
        family = self.families.get(definition.name)
        for values, value in family.series if family is not None else ():
            yield dict(zip(definition.labels, values, strict=True)), value


@dataclass(slots=True)
class Row:
    """What is known of one listener, agent or model; ``None`` where nothing is counted for it."""

    total: float = 0.0
    recent: float = 0.0
    errors: float = 0.0
    in_flight: float | None = None
    durations: list[HistogramValue] = field(default_factory=list)
    recent_durations: list[HistogramValue] = field(default_factory=list)
    first_tokens: list[HistogramValue] = field(default_factory=list)
    recent_first_tokens: list[HistogramValue] = field(default_factory=list)
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    cost_usd: float = 0.0

    def fields(self, name: str, window_s: float, durations: Definition, first_tokens: Definition) -> JsonObject:
        """The row in JSON; the metrics are those that its histograms are from."""
        p50_s, p95_s = (
            percentile(self.recent_durations, self.durations, durations.bounds, share) for share in (0.5, 0.95)
        )
        return {
            "name": name,
            "total": int(self.total),
            "per_s": rate(self.recent, window_s),
            "errors": int(self.errors),
            "in_flight": None if self.in_flight is None else int(self.in_flight),
            "p50_s": p50_s,
            "p95_s": p95_s,
            "first_token_p50_s": percentile(self.recent_first_tokens, self.first_tokens, first_tokens.bounds, 0.5),
            "input_tokens": int(self.input_tokens),
            "output_tokens": int(self.output_tokens),
            "cost_usd": round(self.cost_usd, 6),
        }


def percentile(
    recent: Sequence[HistogramValue], all_time: Sequence[HistogramValue], bounds: Sequence[float], share: float
) -> float | None:
    """The value below which ``share`` of what was recorded lies, evenly within its bucket; ``None`` without any."""
    for values in (recent, all_time):
        counts: list[int] = [sum(bucket) for bucket in zip(*(value.counts for value in values), strict=True)]
        wanted = sum(counts) * share
        if not wanted:
            continue
        below = 0
        for index, count in enumerate(counts):
            if count and below + count >= wanted:
                if index >= len(bounds):
                    return bounds[-1]
                lower = bounds[index - 1] if index else 0.0
                within: float = (wanted - below) / count
                return round(lower + (bounds[index] - lower) * within, 6)
            below += count
    return None


def counted(now: Snapshot, before: Snapshot, definition: Definition) -> Iterator[tuple[Labels, float, float]]:
    """Each series of a counter with what it has now, and what of that came since ``before``."""
    earlier = {tuple(labels.values()): number(value) for labels, value in before.series(definition)}
    for labels, value in now.series(definition):
        total = number(value)
        yield labels, total, max(0.0, total - earlier.get(tuple(labels.values()), 0.0))


def recorded(
    now: Snapshot, before: Snapshot, definition: Definition
) -> Iterator[tuple[Labels, HistogramValue, HistogramValue]]:
    """The same for the series of a histogram."""
    earlier = {tuple(labels.values()): value for labels, value in before.series(definition)}
    for labels, value in now.series(definition):
        if not isinstance(value, HistogramValue):
            continue
        past = earlier.get(tuple(labels.values()))
        if not isinstance(past, HistogramValue):
            yield labels, value, value
            continue
        counts = tuple(max(0, new - old) for new, old in zip(value.counts, past.counts, strict=True))
        yield labels, value, HistogramValue(counts, max(0.0, value.sum - past.sum))


def rate(count: float, window_s: float) -> float:
    """Per second; 0 where no time has passed."""
    return round(count / window_s, 2) if window_s > 0 else 0.0


def number(value: Value) -> float:
    """A value as a number: of a histogram, the sum."""
    return value.sum if isinstance(value, HistogramValue) else value

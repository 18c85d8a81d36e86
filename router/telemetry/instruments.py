"""Counters, gauges and histograms of one process, cheap enough for every request.

An SDK's instruments hash attribute mappings and take locks; on the path of a relayed request that costs more than the
relaying. Here a series is one entry of a dictionary under the values of its labels, only touched from the event loop.
Another process (``router.observer``) gets snapshots, adds those of all workers, and exports the sums.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["counter", "up_down_counter", "gauge", "histogram"]

# The value of every label of the series that takes what would be one series too many.
OVERFLOW = "other"
MAX_SERIES = 2000


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric: its name, what it is, its UCUM unit, and the names of its labels in order.

    ``bounds`` are the upper ends of a histogram's buckets, without the last one, which is infinite.
    """

    name: str
    kind: Kind
    description: str
    unit: str = "1"
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


class Sum:
    """A counter, or what goes up and down."""

    __slots__ = ("_width", "series")

    def __init__(self, definition: Definition) -> None:
        self.series: dict[tuple[str, ...], float] = {}
        self._width = len(definition.labels)

    def add(self, amount: float, *values: str) -> None:
        """Add to the series with these label values, in the order of the definition."""
        series = self.series
        if values in series:
            series[values] += amount
        else:
            key = _admitted(values, len(series), self._width)
            series[key] = series.get(key, 0) + amount


class Gauge:
    """What has a value now. ``observe`` functions are asked whenever a snapshot is taken."""

    __slots__ = ("_observed", "_own", "_width")

    def __init__(self, definition: Definition) -> None:
        self._own: dict[tuple[str, ...], float] = {}
        self._observed: list[Callable[[], Mapping[tuple[str, ...], float]]] = []
        self._width = len(definition.labels)

    @property
    def series(self) -> dict[tuple[str, ...], float]:
        """The values now."""
        series = dict(self._own)
        for observed in self._observed:
            series.update(observed())
        return series

    def set(self, value: float, *values: str) -> None:
        """Replace the value of the series with these label values."""
        self._own[_admitted(values, len(self._own), self._width) if values not in self._own else values] = value

    def observe(self, function: Callable[[], Mapping[tuple[str, ...], float]]) -> None:
        """Ask ``function`` for values by label values at every snapshot."""
        self._observed.append(function)


class Histogram:
    """Values by bucket: each series is the counts of the buckets, the last one infinite, and then the sum."""

    __slots__ = ("_bounds", "_width", "series")

    def __init__(self, definition: Definition) -> None:
        self.series: dict[tuple[str, ...], list[float]] = {}
        self._bounds = definition.bounds
        self._width = len(definition.labels)

    def record(self, value: float, *values: str) -> None:
        """Count ``value`` in the series with these label values, in the order of the definition."""
        entry = self.series.get(values)
        if entry is None:
            key = _admitted(values, len(self.series), self._width)
            entry = self.series.setdefault(key, [0] * (len(self._bounds) + 1) + [0.0])
        entry[bisect_left(self._bounds, value)] += 1
        entry[-1] += value


Snapshot: TypeAlias = dict[str, list[tuple[list[str], Any]]]


class Registry:
    """All instruments of one process, made from definitions; asking twice for one gives the same."""

    def __init__(self) -> None:
        self._sums: dict[str, Sum] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}

    def sum(self, definition: Definition) -> Sum:
        """The counter, or up-down counter, of this definition."""
        return self._sums.setdefault(definition.name, Sum(definition))

    def gauge(self, definition: Definition) -> Gauge:
        """The gauge of this definition."""
        return self._gauges.setdefault(definition.name, Gauge(definition))

    def histogram(self, definition: Definition) -> Histogram:
        """The histogram of this definition."""
        return self._histograms.setdefault(definition.name, Histogram(definition))

    def snapshot(self) -> Snapshot:
        """Everything so far, as JSON has room for: by metric a list of label values and their value.

        That of a histogram is the list of its buckets' counts, not cumulative, and then the sum of what was recorded.
        """
        taken: Snapshot = {}
        families: Iterable[tuple[str, Sum | Gauge | Histogram]] = (
            *self._sums.items(),
            *self._gauges.items(),
            *self._histograms.items(),
        )
        for name, family in families:
            if series := family.series:
                taken[name] = [(list(values), value) for values, value in series.items()]
        return taken


def _admitted(values: tuple[str, ...], known: int, width: int) -> tuple[str, ...]:
    """The series that new label values are counted in. Raises ``ValueError`` for too few or too many of them."""
    if len(values) != width:
        raise ValueError(f"{len(values)} label values for {width} labels")
    return values if known < MAX_SERIES else (OVERFLOW,) * width

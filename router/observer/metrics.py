"""The metrics of all workers as one: sums over those that run and those that are gone, so that nothing goes down."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from router.telemetry.catalogue import METRICS, TRITON_COMPUTE_TIME, TRITON_QUEUE_TIME, TRITON_REQUESTS, WORKERS
from router.telemetry.instruments import Definition, Registry, Snapshot

# A worker's number is a label of nothing, but what is kept for each has to have an end.
MAX_SOURCES = 1024

_Labels: TypeAlias = tuple[str, ...]
_Values: TypeAlias = dict[str, dict[_Labels, Any]]
_KEPT = ("counter", "histogram")
# Triton counts these itself, and is read from its beginning by whoever asks for the first time.
_COUNTED_ELSEWHERE = frozenset({TRITON_REQUESTS.name, TRITON_QUEUE_TIME.name, TRITON_COMPUTE_TIME.name})


@dataclass(frozen=True, slots=True)
class HistogramValue:
    """What a histogram has recorded: ``counts`` by bucket, not cumulative, the last one infinite."""

    counts: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with its series: label values, in the order of the definition's labels, and their value."""

    definition: Definition
    series: list[tuple[tuple[str, ...], float | HistogramValue]]


@dataclass(slots=True)
class _Source:
    """What one worker process has said last."""

    pid: int
    connections: int = 0
    is_new: bool = True
    values: _Values = field(default_factory=dict)


class MergedMetrics:
    """Adds the snapshots of all workers and of the observer's own registry, metric by metric.

    Counters and histograms of processes that are gone stay in the sums; gauges and what goes up and down are those of
    the processes that run. Gauges of several processes are not added: the highest is the value.
    ``started_ns`` (since the epoch) is when counting began.
    """

    def __init__(self, own: Registry, definitions: Mapping[str, Definition] = METRICS) -> None:
        self.started_ns = time.time_ns()
        self._own = own
        self._definitions = definitions
        self._sources: dict[int, _Source] = {}
        self._retired: _Values = {}
        own.gauge(WORKERS).observe(lambda: {(): float(self.workers)})

    @property
    def workers(self) -> int:
        """How many worker processes report."""
        return sum(1 for source in self._sources.values() if source.connections)

    def connected(self, worker: int, pid: int) -> None:
        """A process that is this worker reports from now on. Raises ``ValueError`` for one worker too many."""
        source = self._sources.get(worker)
        if source is None:
            if len(self._sources) >= MAX_SOURCES:
                raise ValueError(f"more than {MAX_SOURCES} workers")
            source = self._sources[worker] = _Source(pid)
        elif source.pid != pid:
            self._retire(source)
            source = self._sources[worker] = _Source(pid)
        source.connections += 1
        source.is_new = True

    def disconnected(self, worker: int, pid: int) -> None:
        """That process does not report any more; it may come back with what it had counted."""
        source = self._sources.get(worker)
        if source is not None and source.pid == pid and source.connections:
            source.connections -= 1

    def replace(self, worker: int, pid: int, snapshot: object) -> None:
        """The newest snapshot of a connected process. What is not understood of it is left out."""
        source = self._sources.get(worker)
        if source is None or source.pid != pid:
            return
        values = dict(self._read(snapshot))
        if source.is_new:
            source.is_new = False
            if self._has_gone_down(source.values, values):  # another process under the same id
                self._retire(source)
        source.values = values

    def families(self) -> list[Family]:
        """Everything there is now, in the order of the catalogue; metrics without series are left out."""
        sources = [(source.values, bool(source.connections)) for source in self._sources.values()]
        sources.append((dict(self._read(self._own.snapshot())), True))
        sources.append((self._retired, False))
        families = []
        for name, definition in self._definitions.items():
            merged: dict[_Labels, Any] = {}
            for values, is_live in sources:
                if name in values and (is_live or definition.kind in _KEPT):
                    _merge(merged, values[name], definition)
            if merged:
                families.append(Family(definition, [_public(definition, *entry) for entry in sorted(merged.items())]))
        return families

    def saved(self) -> dict[str, Any]:
        """What ``restore`` needs to go on from here, as JSON has room for."""
        return {
            "started_ns": self.started_ns,
            "sources": [[worker, source.pid, _snapshot(source.values)] for worker, source in self._sources.items()],
            "retired": [_snapshot(self._retired), _snapshot(self._own_sums())],
        }

    def restore(self, saved: object) -> None:
        """Go on from what another process has ``saved``, before anybody is connected; other things are ignored."""
        if not isinstance(saved, dict):
            return
        if isinstance(started_ns := saved.get("started_ns"), int):
            self.started_ns = started_ns
        for entry in _list(saved.get("sources"))[:MAX_SOURCES]:
            match entry:
                case [int(worker), int(pid), dict(snapshot)]:
                    self._sources[worker] = _Source(pid, values=dict(self._read(snapshot)))
        for snapshot in _list(saved.get("retired")):
            self._retire(_Source(0, values=dict(self._read(snapshot))))

    def _own_sums(self) -> _Values:
        return {
            name: series
            for name, series in self._read(self._own.snapshot())
            if self._definitions[name].kind in _KEPT and name not in _COUNTED_ELSEWHERE
        }

    def _has_gone_down(self, before: _Values, after: _Values) -> bool:
        return any(
            after.get(name, {}).get(labels, 0) < value
            for name, series in before.items()
            if self._definitions[name].kind == "counter"
            for labels, value in series.items()
        )

    def _retire(self, source: _Source) -> None:
        for name, series in source.values.items():
            definition = self._definitions[name]
            if definition.kind in _KEPT:
                _merge(self._retired.setdefault(name, {}), series, definition)
        source.values = {}

    def _read(self, snapshot: object) -> Iterator[tuple[str, dict[_Labels, Any]]]:
        for name, series in snapshot.items() if isinstance(snapshot, dict) else ():
            definition = self._definitions.get(name)
            if definition is not None and isinstance(series, list):
                yield name, dict(_read_series(definition, series))


def _snapshot(values: _Values) -> Snapshot:
    return {name: [(list(labels), value) for labels, value in series.items()] for name, series in values.items()}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _read_series(definition: Definition, series: list[Any]) -> Iterator[tuple[_Labels, Any]]:
    for entry in series:
        if not isinstance(entry, list | tuple) or len(entry) != 2 or not isinstance(entry[0], list):
            continue
        labels, value = entry
        if len(labels) != len(definition.labels) or not all(isinstance(label, str) for label in labels):
            continue
        if definition.kind != "histogram":
            if _is_number(value):
                yield tuple(labels), value
        elif isinstance(value, list) and len(value) == len(definition.bounds) + 2 and all(map(_is_number, value)):
            yield tuple(labels), value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _merge(into: dict[_Labels, Any], series: Mapping[_Labels, Any], definition: Definition) -> None:
    for labels, value in series.items():
        before = into.get(labels)
        if before is None:
            into[labels] = value
        elif definition.kind == "histogram":
            into[labels] = [one + other for one, other in zip(before, value, strict=True)]
        elif definition.kind == "gauge":
            into[labels] = max(before, value)
        else:
            into[labels] = before + value


def _public(definition: Definition, labels: _Labels, value: Any) -> tuple[_Labels, float | HistogramValue]:
    if definition.kind == "histogram":
        return labels, HistogramValue(tuple(map(int, value[:-1])), float(value[-1]))
    return labels, float(value)

"""Sums over workers: nothing goes down when a worker does, and nothing of a dead one is shown as if it lived."""

from __future__ import annotations

from typing import Any

import pytest

from router.observer.metrics import MAX_SOURCES, HistogramValue, MergedMetrics
from router.telemetry import semconv
from router.telemetry.instruments import Definition, Registry

COUNTED = Definition("test.counted", "counter", "Things.", "{thing}", ("kind",))
ACTIVE = Definition("test.active", "up_down_counter", "Things now.", "{thing}")
LEVEL = Definition("test.level", "gauge", "A level.", "1", ("where",))
TOOK = Definition("test.took", "histogram", "Times.", "s", (), (1.0, 2.0))
DEFINITIONS = {each.name: each for each in (COUNTED, ACTIVE, LEVEL, TOOK)}


@pytest.fixture
def merged() -> MergedMetrics:
    return MergedMetrics(Registry(), DEFINITIONS)


def counted(value: float, kind: str = "a") -> dict[str, Any]:
    return {COUNTED.name: [[[kind], value]]}


def values(merged: MergedMetrics) -> dict[str, dict[tuple[str, ...], float | HistogramValue]]:
    return {family.definition.name: dict(family.series) for family in merged.families()}


def test_counters_of_all_workers_are_added_up(merged: MergedMetrics) -> None:
    for worker in (0, 1):
        merged.connected(worker, 100 + worker)
        merged.replace(worker, 100 + worker, counted(3 + worker))
    assert values(merged) == {COUNTED.name: {("a",): 7}}


def test_a_newer_snapshot_replaces_the_one_before(merged: MergedMetrics) -> None:
    merged.connected(0, 1)
    merged.replace(0, 1, counted(3))
    merged.replace(0, 1, counted(5))
    assert values(merged) == {COUNTED.name: {("a",): 5}}


def test_what_a_worker_that_was_restarted_had_counted_stays(merged: MergedMetrics) -> None:
    merged.connected(0, 1)
    merged.replace(0, 1, counted(3) | {TOOK.name: [[[], [1, 0, 1, 5.5]]]})
    merged.disconnected(0, 1)
    assert values(merged)[COUNTED.name] == {("a",): 3}
    merged.connected(0, 2)
    assert values(merged)[COUNTED.name] == {("a",): 3}
    merged.replace(0, 2, counted(1) | {TOOK.name: [[[], [0, 2, 0, 3.0]]]})
    assert values(merged) == {COUNTED.name: {("a",): 4}, TOOK.name: {(): HistogramValue((1, 2, 1), 8.5)}}


def test_a_worker_that_comes_back_is_not_counted_twice(merged: MergedMetrics) -> None:
    merged.connected(0, 1)
    merged.replace(0, 1, counted(3))
    merged.disconnected(0, 1)
    merged.connected(0, 1)
    merged.replace(0, 1, counted(4))
    assert values(merged) == {COUNTED.name: {("a",): 4}}


def test_a_new_process_under_the_same_process_id_is_noticed_by_its_lower_counts(merged: MergedMetrics) -> None:
    merged.connected(0, 1)
    merged.replace(0, 1, counted(3))
    merged.disconnected(0, 1)
    merged.connected(0, 1)
    merged.replace(0, 1, counted(1))
    assert values(merged) == {COUNTED.name: {("a",): 4}}


def test_a_connection_that_overlaps_with_its_successor_takes_nothing_away(merged: MergedMetrics) -> None:
    merged.connected(0, 1)
    merged.connected(0, 2)
    merged.replace(0, 2, counted(1))
    merged.disconnected(0, 1)
    merged.replace(0, 1, counted(100))
    assert merged.workers == 1
    assert values(merged) == {COUNTED.name: {("a",): 1}}


def test_gauges_and_what_goes_up_and_down_are_those_of_workers_that_run(merged: MergedMetrics) -> None:
    for worker, level in ((0, 5), (1, 3)):
        merged.connected(worker, worker)
        merged.replace(worker, worker, {ACTIVE.name: [[[], 2]], LEVEL.name: [[["x"], level]]})
    assert values(merged) == {ACTIVE.name: {(): 4}, LEVEL.name: {("x",): 5}}
    merged.disconnected(0, 0)
    assert values(merged) == {ACTIVE.name: {(): 2}, LEVEL.name: {("x",): 3}}


def test_the_observers_own_numbers_are_among_them() -> None:
    own = Registry()
    merged = MergedMetrics(own, DEFINITIONS)
    own.sum(COUNTED).add(2, "a")
    merged.connected(0, 1)
    merged.replace(0, 1, counted(3))
    assert values(merged) == {COUNTED.name: {("a",): 5}}


def test_workers_that_report_are_counted() -> None:
    merged = MergedMetrics(Registry())
    merged.connected(0, 1)
    merged.connected(1, 2)
    merged.disconnected(1, 2)
    assert values(merged)[semconv.WORKERS] == {(): 1}


@pytest.mark.parametrize(
    "snapshot",
    [
        None,
        [],
        {"nobody.knows.this": [[["a"], 1]]},
        {COUNTED.name: 5},
        {COUNTED.name: [5, [["a"]], [["a", "b"], 1], [[1], 1], [["a"], "1"], [["a"], True], [["a"], [1]]]},
        {TOOK.name: [[[], 5], [[], [1, 2]], [[], [1, 2, 3, "4"]]]},
    ],
)
def test_what_is_no_snapshot_counts_nothing(merged: MergedMetrics, snapshot: object) -> None:
    merged.connected(0, 1)
    merged.replace(0, 1, snapshot)
    assert merged.families() == []


def test_what_is_kept_of_workers_has_an_end(merged: MergedMetrics) -> None:
    for worker in range(MAX_SOURCES):
        merged.connected(worker, 1)
    with pytest.raises(ValueError, match="more than"):
        merged.connected(MAX_SOURCES, 1)

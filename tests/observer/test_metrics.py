"""Sums over workers: nothing goes down when a worker does, and nothing of a dead one is shown as if it lived."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from router.observer.metrics import MAX_SOURCES, HistogramValue, MergedMetrics
from router.observer.metrics_file import FILE_NAME, MetricsFile
from router.telemetry import catalogue, semconv
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


def _again(merged: MergedMetrics) -> MergedMetrics:
    """What another process makes of what is saved."""
    other = MergedMetrics(Registry(), DEFINITIONS)
    other.restore(orjson.loads(orjson.dumps(merged.saved())))
    return other


def test_what_is_saved_goes_on_where_it_was(merged: MergedMetrics) -> None:
    for pid, value in ((1, 3.0), (2, 4.0), (3, 5.0)):  # killed twice
        merged.connected(0, pid)
        merged.replace(0, pid, counted(value) | {TOOK.name: [[[], [1, 0, 1, 5.5]]], ACTIVE.name: [[[], 1]]})
    other = _again(merged)
    assert other.started_ns == merged.started_ns
    assert values(other) == {COUNTED.name: {("a",): 12}, TOOK.name: {(): HistogramValue((3, 0, 3), 16.5)}}
    other.connected(0, 3)
    other.replace(0, 3, counted(6) | {ACTIVE.name: [[[], 2]]})
    assert values(other) == {
        COUNTED.name: {("a",): 13},
        ACTIVE.name: {(): 2},
        TOOK.name: {(): HistogramValue((2, 0, 2), 11.0)},
    }


def test_a_worker_that_died_together_with_the_telemetry_process_is_not_forgotten(merged: MergedMetrics) -> None:
    merged.connected(0, 1)
    merged.replace(0, 1, counted(3))
    other = _again(merged)
    other.connected(0, 2)
    other.replace(0, 2, counted(1))
    assert values(other)[COUNTED.name] == {("a",): 4}
    assert values(_again(_again(other)))[COUNTED.name] == {("a",): 4}


def test_what_the_process_counted_itself_goes_on_and_what_triton_counts_does_not() -> None:
    own = Registry()
    own.sum(catalogue.SIGNALS).add(2, "looping")
    own.sum(catalogue.TRITON_REQUESTS).add(7, "jailbreak", "1", "ok")
    own.gauge(catalogue.CONFIG_INFO).set(1, "abc")
    after = Registry()
    other = MergedMetrics(after)
    other.restore(orjson.loads(orjson.dumps(MergedMetrics(own).saved())))
    after.sum(catalogue.SIGNALS).add(1, "looping")
    shown = values(other)
    assert shown[semconv.SIGNALS] == {("looping",): 3}
    assert not {semconv.TRITON_REQUESTS, semconv.CONFIG_INFO} & shown.keys()


@pytest.mark.parametrize(
    "saved",
    [
        None,
        [],
        {"sources": 1, "retired": {}, "started_ns": "x"},
        {"sources": [1, [], [0, 1], ["a", 1, {}], [0, 1, {"test.counted": 5}]], "retired": [3, {"nope": []}]},
        {"retired": [{"test.counted": [[["a"], "3"], [["a", "b"], 3], 7]}]},
    ],
)
def test_what_was_not_saved_is_not_restored(merged: MergedMetrics, saved: object) -> None:
    merged.restore(saved)
    assert values(merged) == {}


async def test_a_file_is_for_one_run_only(tmp_path: Path, merged: MergedMetrics) -> None:
    merged.connected(0, 1)
    merged.replace(0, 1, counted(3))
    await MetricsFile(tmp_path, "one", merged).save()
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    for run, shown in (("one", {COUNTED.name: {("a",): 3}}), ("two", {})):
        other = MergedMetrics(Registry(), DEFINITIONS)
        MetricsFile(tmp_path, run, other).load()
        assert values(other) == shown


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"run": "one"}', b'{"run": "one", "metrics": [1]}'])
async def test_a_file_that_is_none_is_no_loss(tmp_path: Path, merged: MergedMetrics, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / FILE_NAME).write_bytes(content)
    MetricsFile(tmp_path, "one", merged).load()
    assert values(merged) == {}


async def test_where_nothing_can_be_written_it_is_said_once(
    tmp_path: Path, merged: MergedMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    file = MetricsFile(tmp_path / "nowhere", "one", merged)
    for value in (1, 2):
        merged.connected(0, 1)
        merged.replace(0, 1, counted(value))
        await file.save()
    assert [record.message for record in caplog.records] == ["sums cannot be saved"]

from __future__ import annotations

import orjson
import pytest

from router.telemetry import catalogue
from router.telemetry.instruments import MAX_SERIES, OVERFLOW, Definition, Registry

REQUESTS = Definition("requests", "counter", "Requests.", labels=("listener", "status"))
TIMES = Definition("times", "histogram", "Times.", "s", ("listener",), bounds=(1.0, 2.0))
STATES = Definition("states", "gauge", "States.", labels=("name",))


def test_counters_add_up_by_the_values_of_their_labels() -> None:
    registry = Registry()
    requests = registry.sum(REQUESTS)
    requests.add(1, "front", "2xx")
    requests.add(2, "front", "2xx")
    requests.add(1, "back", "5xx")
    assert registry.snapshot() == {"requests": [(["front", "2xx"], 3), (["back", "5xx"], 1)]}


def test_asking_twice_for_an_instrument_gives_the_same() -> None:
    registry = Registry()
    assert registry.sum(REQUESTS) is registry.sum(REQUESTS)
    assert registry.histogram(TIMES) is registry.histogram(TIMES)
    assert registry.gauge(STATES) is registry.gauge(STATES)


@pytest.mark.parametrize(("value", "bucket"), [(0.5, 0), (1.0, 0), (1.5, 1), (2.0, 1), (2.1, 2)])
def test_a_value_is_counted_in_the_bucket_whose_upper_end_it_does_not_exceed(value: float, bucket: int) -> None:
    registry = Registry()
    registry.histogram(TIMES).record(value, "front")
    [(labels, series)] = registry.snapshot()["times"]
    expected: list[float] = [0, 0, 0, value]
    expected[bucket] = 1
    assert (labels, series) == (["front"], expected)


def test_what_clients_make_up_does_not_make_series_without_end() -> None:
    registry = Registry()
    requests, times = registry.sum(REQUESTS), registry.histogram(TIMES)
    for number in range(MAX_SERIES + 500):
        requests.add(1, str(number), "2xx")
        times.record(1.0, str(number))
    counted = {tuple(labels): value for labels, value in registry.snapshot()["requests"]}
    assert len(counted) == MAX_SERIES + 1
    assert counted[OVERFLOW, OVERFLOW] == 500
    assert len(registry.snapshot()["times"]) == MAX_SERIES + 1


def test_too_few_label_values_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="1 label values for 2 labels"):
        Registry().sum(REQUESTS).add(1, "front")


def test_gauges_have_their_own_values_and_those_of_whoever_is_asked() -> None:
    registry = Registry()
    states = registry.gauge(STATES)
    states.set(1, "own")
    states.set(2, "own")
    now = {("asked",): 5.0}
    states.observe(lambda: now)
    assert registry.snapshot()["states"] == [(["own"], 2), (["asked"], 5.0)]
    now[("asked",)] = 6.0
    assert registry.snapshot()["states"][1] == (["asked"], 6.0)


def test_snapshots_are_json() -> None:
    registry = Registry()
    registry.histogram(TIMES).record(1.5, "front")
    registry.sum(REQUESTS).add(1, "front", "2xx")
    assert orjson.loads(orjson.dumps(registry.snapshot()))["times"] == [[["front"], [0, 1, 0, 1.5]]]


def test_every_metric_of_the_catalogue_is_complete() -> None:
    for name, definition in catalogue.METRICS.items():
        assert definition.name == name
        assert definition.description.endswith(".")
        assert len(set(definition.labels)) == len(definition.labels)
        assert bool(definition.bounds) == (definition.kind == "histogram")
        assert list(definition.bounds) == sorted(set(definition.bounds))

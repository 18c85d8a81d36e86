"""What Prometheus is told, read by its own parsers."""

from __future__ import annotations

import math
import shutil
import subprocess
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from router.observer import prometheus
from router.observer.metrics import Family, HistogramValue
from router.telemetry.catalogue import METRICS
from router.telemetry.instruments import Definition

NASTY = 'back\\slash "quoted"\nnext line, {braces} ünïcödé'
FAMILIES = [
    Family(Definition("a.requests", "counter", 'Says "this"\nand \\that.', "{request}", ("a.kind",)), [((NASTY,), 3)]),
    Family(Definition("a.wait.time", "counter", "Waiting.", "s"), [((), 0.1)]),
    Family(Definition("a.cost", "counter", "Money.", "USD"), [((), 12.5)]),
    Family(Definition("a.level", "gauge", "A level."), [((), -7.5)]),
    Family(Definition("a.active", "up_down_counter", "Now.", "{request}"), [((), 2)]),
    Family(
        Definition("a.duration", "histogram", "Times.", "s", ("a.kind",), (0.5, 10)),
        [(("x",), HistogramValue((1, 2, 3), 40.25)), (("y",), HistogramValue((0, 0, 0), 0.0))],
    ),
]


def samples(families: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for one in families for each in one.samples}


@pytest.mark.parametrize(
    ("read", "media_type"), [(read_text, prometheus.TEXT_TYPE), (read_openmetrics, prometheus.OPENMETRICS_TYPE)]
)
def test_parsers_read_what_was_meant(read: Any, media_type: str) -> None:
    found = list(read(prometheus.encode(FAMILIES, media_type).decode()))
    assert [(one.name, one.type) for one in found] == [
        ("a_requests", "counter"),
        ("a_wait_time_seconds", "counter"),
        ("a_cost_USD", "counter"),
        ("a_level", "gauge"),
        ("a_active", "gauge"),
        ("a_duration_seconds", "histogram"),
    ]
    assert found[0].documentation == 'Says "this"\nand \\that.'
    assert samples(found) == {
        ("a_requests_total", (("a_kind", NASTY),)): 3,
        ("a_wait_time_seconds_total", ()): 0.1,
        ("a_cost_USD_total", ()): 12.5,
        ("a_level", ()): -7.5,
        ("a_active", ()): 2,
        ("a_duration_seconds_bucket", (("a_kind", "x"), ("le", "0.5"))): 1,
        ("a_duration_seconds_bucket", (("a_kind", "x"), ("le", "10.0"))): 3,
        ("a_duration_seconds_bucket", (("a_kind", "x"), ("le", "+Inf"))): 6,
        ("a_duration_seconds_sum", (("a_kind", "x"),)): 40.25,
        ("a_duration_seconds_count", (("a_kind", "x"),)): 6,
        ("a_duration_seconds_bucket", (("a_kind", "y"), ("le", "0.5"))): 0,
        ("a_duration_seconds_bucket", (("a_kind", "y"), ("le", "10.0"))): 0,
        ("a_duration_seconds_bucket", (("a_kind", "y"), ("le", "+Inf"))): 0,
        ("a_duration_seconds_sum", (("a_kind", "y"),)): 0,
        ("a_duration_seconds_count", (("a_kind", "y"),)): 0,
    }


def test_openmetrics_says_the_unit_and_where_it_ends() -> None:
    text = prometheus.encode(FAMILIES, prometheus.OPENMETRICS_TYPE).decode()
    assert {one.name: one.unit for one in read_openmetrics(text) if one.unit} == {
        "a_wait_time_seconds": "seconds",
        "a_cost_USD": "USD",
        "a_duration_seconds": "seconds",
    }
    assert text.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("accept", "is_openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
        ("application/openmetrics-text;q=0.2,text/plain;version=0.0.4;q=0.5", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=nonsense", True),
    ],
)
def test_clients_get_openmetrics_where_they_prefer_it(accept: str, is_openmetrics: bool) -> None:
    wanted = prometheus.OPENMETRICS_TYPE if is_openmetrics else prometheus.TEXT_TYPE
    assert prometheus.content_type(accept) == wanted


def every_metric() -> list[Family]:
    def value(definition: Definition) -> float | HistogramValue:
        if definition.kind == "histogram":
            return HistogramValue((1,) * (len(definition.bounds) + 1), 3.5)
        return 1.0

    return [Family(each, [(tuple("x" for _ in each.labels), value(each))]) for each in METRICS.values()]


def test_no_two_metrics_have_one_name() -> None:
    names = [name for each in METRICS.values() for name in prometheus.sample_names(each)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("media_type", [prometheus.TEXT_TYPE, prometheus.OPENMETRICS_TYPE])
def test_every_metric_of_the_catalogue_can_be_read(media_type: str) -> None:
    read = read_openmetrics if media_type == prometheus.OPENMETRICS_TYPE else read_text
    found = samples(read(prometheus.encode(every_metric(), media_type).decode()))
    assert {name for name, _ in found} == {name for each in METRICS.values() for name in prometheus.sample_names(each)}
    assert all(math.isfinite(value) for value in found.values())


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_own_linter_has_nothing_to_say() -> None:
    text = prometheus.encode(every_metric(), prometheus.TEXT_TYPE)
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")

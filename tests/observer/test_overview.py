"""What `trident top` shows, computed from metrics."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest

from router.aio import timeout
from router.observer.metrics import HistogramValue, MergedMetrics
from router.observer.overview import OverviewQuery, overview
from router.observer.queries import Queries
from router.observer.snapshots import Snapshot, percentile
from router.observer.trace_store import TraceStore
from router.telemetry import catalogue
from router.telemetry.metrics import Metrics
from tests.observer.spans import span


def counted() -> tuple[Metrics, MergedMetrics]:
    metrics = Metrics(models=["openai/gpt-4o", "gpt-4o"])
    return metrics, MergedMetrics(metrics.registry)


def snapshot(merged: MergedMetrics, at_s: float) -> Snapshot:
    return Snapshot.of(merged.families(), at_s)


def request(metrics: Metrics, status: int = 200, duration_s: float = 0.02, listener: str = "models") -> None:
    metrics.request_started(listener)
    metrics.request_finished(listener, status, "/v1/chat/completions", duration_s)


def call(metrics: Metrics, error: str = "", duration_s: float = 0.3) -> None:
    metrics.operation_finished(
        "chat", "east", provider="openai", model="gpt-4o", error=error, duration_s=duration_s, first_byte_s=0.05
    )


def row(fields: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in fields[kind] if each["name"] == name]
    return dict(found)


def test_nothing_is_going_on_at_first() -> None:
    _, merged = counted()
    fields = overview(snapshot(merged, 5), snapshot(merged, 5))
    assert fields["requests"] == {
        "total": 0,
        "per_s": 0.0,
        "in_flight": None,
        "errors": 0,
        "p50_s": None,
        "p95_s": None,
    }
    assert [fields[key] for key in ("listeners", "agents", "models", "guards", "signals")] == [[]] * 5


def test_rates_are_those_of_the_window_and_totals_those_of_all_time() -> None:
    metrics, merged = counted()
    for _ in range(10):
        request(metrics)
    before = snapshot(merged, 100)
    for status in (200, 200, 429, 503):
        request(metrics, status)
    metrics.request_started("models")
    fields = overview(snapshot(merged, 102), before)
    assert (fields["requests"]["per_s"], fields["requests"]["total"], fields["requests"]["errors"]) == (2.0, 14, 2)
    models = row(fields, "listeners", "models")
    assert (models["per_s"], models["total"], models["errors"], models["in_flight"]) == (2.0, 14, 2, 1)


def test_percentiles_are_those_of_the_window_and_of_all_time_when_it_is_empty() -> None:
    metrics, merged = counted()
    for _ in range(100):
        request(metrics, duration_s=3.0)
    slow = snapshot(merged, 100)
    for _ in range(100):
        request(metrics, duration_s=0.02)
    fast = snapshot(merged, 110)
    assert overview(fast, slow)["requests"]["p95_s"] < 0.026
    assert overview(fast, fast)["requests"]["p95_s"] > 2.5


@pytest.mark.parametrize(
    ("counts", "share", "value"),
    [
        ((10, 0, 0), 0.5, 0.05),
        ((0, 10, 0), 0.5, 0.55),
        ((5, 5, 0), 0.95, 0.91),
        ((0, 0, 3), 0.5, 1.0),
        ((0, 0, 0), 0.5, None),
    ],
)
def test_percentiles_lie_evenly_within_their_bucket(counts: tuple[int, ...], share: float, value: float | None) -> None:
    assert percentile([HistogramValue(counts, 1.0)], [], (0.1, 1.0), share) == value


def test_models_have_their_tokens_and_cost_under_one_name() -> None:
    metrics, merged = counted()
    call(metrics)
    call(metrics, error="timeout")
    metrics.tokens_counted(
        "chat", "openai/gpt-4o", provider="openai", model="gpt-4o", tokens={"input": 100, "output": 20}
    )
    metrics.used("models", "", "openai/gpt-4o", {"input": 100, "output": 20}, 0.25)
    fields = overview(snapshot(merged, 10), snapshot(merged, 10))
    model = row(fields, "models", "openai/gpt-4o")
    assert (model["total"], model["errors"], model["input_tokens"], model["output_tokens"]) == (2, 1, 100, 20)
    assert (model["cost_usd"], fields["cost_usd"], fields["tokens"]) == (0.25, 0.25, {"input": 100, "output": 20})
    assert 0.16 < model["p50_s"] <= 0.32
    assert 0.04 < model["first_token_p50_s"] <= 0.06


def test_agents_stand_apart_from_models() -> None:
    metrics, merged = counted()
    metrics.operation_finished(
        "invoke_agent", "weather", provider="", model="", error="", duration_s=0.2, first_byte_s=None
    )
    fields = overview(snapshot(merged, 10), snapshot(merged, 10))
    assert (row(fields, "agents", "weather")["total"], fields["models"]) == (1, [])


def test_guards_routes_signals_and_what_is_wrong_are_told() -> None:
    metrics, merged = counted()
    metrics.guard_judged("jailbreak", "pass")
    metrics.guard_judged("jailbreak", "block")
    metrics.guard_judged("jailbreak", "pass")
    metrics.route_selected("travel", "weather", 0.9)
    metrics.route_selected("travel", "weather", 0.3)
    metrics.degraded("orchestrator")
    metrics.breaker_changed("east", "open")
    metrics.breaker_changed("west", "open")
    metrics.breaker_changed("west", "closed")
    metrics.registry.sum(catalogue.SIGNALS).add(2, "loop")
    metrics.registry.sum(catalogue.TELEMETRY_DROPPED).add(7, "spans")
    fields = overview(snapshot(merged, 10), snapshot(merged, 10))
    assert fields["guards"] == [{"name": "jailbreak", "outcomes": {"pass": 2, "block": 1}}]
    assert fields["routes"] == [{"name": "weather", "total": 2}]
    assert fields["degraded"] == [{"name": "orchestrator", "total": 1}]
    assert fields["breakers"] == [{"name": "east", "state": "open", "workers": 1}]
    assert (fields["signals"], fields["dropped"]) == ([{"name": "loop", "total": 2}], [{"name": "spans", "total": 7}])


async def test_the_query_goes_on_for_as_long_as_somebody_listens() -> None:
    metrics, merged = counted()
    store = TraceStore()
    queries = Queries()
    OverviewQuery(merged, store).register(queries)
    async with timeout(10), aclosing(queries.answer({"what": "overview", "interval_s": 0.2})) as frames:
        first = (await anext(frames))["overview"]
        request(metrics)
        store.take([span()])
        second = (await anext(frames))["overview"]
    assert (first["window_s"], first["recent"], first["requests"]["total"]) == (0.0, [], 0)
    assert (second["requests"]["total"], second["recent"][0]["name"]) == (1, "POST /v1/chat/completions")
    assert second["requests"]["per_s"] > 0
    assert second["uptime_s"] >= 0


@pytest.mark.parametrize("interval", [0, 0.1, 61, "2", None])
async def test_an_interval_has_to_be_one(interval: object) -> None:
    _, merged = counted()
    queries = Queries()
    OverviewQuery(merged, TraceStore()).register(queries)
    found = [frame async for frame in queries.answer({"what": "overview", "interval_s": interval})]
    assert [frame["error"] for frame in found] == ["`interval_s` is a number of seconds from 0.2 to 60."]

from __future__ import annotations

import logging

import pytest

from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable
from router.routing.router import AgentRouter
from router.telemetry import semconv
from tests.fakes.counters import RecordedMetrics
from tests.fakes.models import ScriptedOrchestrator

ROUTES = [RouteDescription(name, f"does {name}") for name in ("a", "b", "c")]
HELLO = [Turn("user", "hello")]


def _router(
    orchestrator: ScriptedOrchestrator,
    routes: list[RouteDescription] | None = None,
    recorded: RecordedMetrics | None = None,
    threshold: float | None = 0.5,
) -> AgentRouter:
    return AgentRouter(
        "front",
        ROUTES if routes is None else routes,
        default="b",
        orchestrator=orchestrator,
        threshold=threshold,
        timeout_s=1,
        metrics=(recorded or RecordedMetrics()).metrics,
    )


async def test_routes_over_the_threshold_run_in_the_order_of_the_model() -> None:
    orchestrator = ScriptedOrchestrator({"a": 0.9, "b": 0.49, "c": 0.5}, order=["c", "b", "a"])
    decision = await _router(orchestrator).decide(HELLO, timeout_s=1)
    assert decision.stages == (("c",), ("a",))
    assert decision.routes == ("c", "a")
    assert decision.reason == "orchestrator"
    assert decision.scores == {"a": 0.9, "b": 0.49, "c": 0.5}
    assert (decision.model, decision.model_version) == ("orchestrator", "1")


async def test_the_threshold_is_the_models_where_the_configuration_has_none() -> None:
    orchestrator = ScriptedOrchestrator({"a": 0.9, "c": 0.7}, order=["a", "c"], threshold=0.8)
    router = _router(orchestrator, threshold=None)
    assert (await router.decide(HELLO, timeout_s=1)).routes == ("a",)


async def test_routes_at_one_position_form_a_stage() -> None:
    orchestrator = ScriptedOrchestrator({"a": 0.9, "c": 0.8}, order=["c", "a"], ties=True)
    assert (await _router(orchestrator).decide(HELLO, timeout_s=1)).stages == (("a", "c"),)


async def test_no_match_goes_to_the_default() -> None:
    recorded = RecordedMetrics()
    decision = await _router(ScriptedOrchestrator({"a": 0.4}), recorded=recorded).decide(HELLO, timeout_s=1)
    assert (decision.routes, decision.reason) == (("b",), "no_match")
    assert recorded.count(semconv.ROUTE_DECISIONS, "front", "no_match") == 1


async def test_one_route_needs_no_orchestrator() -> None:
    orchestrator = ScriptedOrchestrator()
    decision = await _router(orchestrator, [ROUTES[1]]).decide(HELLO, timeout_s=1)
    assert (decision.routes, decision.reason, orchestrator.asked) == (("b",), "only_route", [])


async def test_nothing_to_read_goes_to_the_default_without_asking() -> None:
    orchestrator = ScriptedOrchestrator()
    assert (await _router(orchestrator).decide([], timeout_s=1)).reason == "no_match"
    assert orchestrator.asked == []


async def test_without_an_orchestrator_the_default_answers_and_it_shows(caplog: pytest.LogCaptureFixture) -> None:
    recorded = RecordedMetrics()
    router = _router(ScriptedOrchestrator(error=ModelUnavailable("gone")), recorded=recorded)
    with caplog.at_level(logging.WARNING):
        decision = await router.decide(HELLO, timeout_s=1)
    assert (decision.routes, decision.reason) == (("b",), "degraded")
    assert recorded.count(semconv.DEGRADED, "orchestrator") == 1
    assert "orchestrator unavailable" in caplog.text

from __future__ import annotations

from collections.abc import Sequence

import pytest

from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable
from router.routing.cascade import CascadeOrchestrator, certainty
from router.routing.router import AgentRouter
from router.telemetry import semconv
from router.telemetry.tracing import Sampler
from router.triton.models import RouteScores
from tests.fakes.counters import RecordedMetrics
from tests.fakes.models import ScriptedOrchestrator

ROUTES = [RouteDescription(name, f"does {name}") for name in ("a", "b", "c")]
HELLO = [Turn("user", "hello")]
SURE = {"a": 0.99, "b": 0.01, "c": 0.02}
UNSURE = {"a": 0.6, "b": 0.4, "c": 0.02}


class Decided:
    """What an ``AgentRouter`` decided with a cascade, and what was recorded of it."""

    def __init__(self, recorded: RecordedMetrics, attributes: dict[str, object], routes: tuple[str, ...], reason: str):
        self.recorded, self.attributes, self.routes, self.reason = recorded, attributes, routes, reason

    def counted(self, outcome: str) -> int:
        return self.recorded.count(semconv.CASCADE_DECISIONS, outcome)


async def decide(first: object, second: object, *, confidence: float = 0.8) -> Decided:
    recorded = RecordedMetrics()
    cascade = CascadeOrchestrator(first, second, confidence=confidence, threshold=None, metrics=recorded.metrics)
    router = AgentRouter(
        "front", ROUTES, default="c", orchestrator=cascade, threshold=None, timeout_s=5, metrics=recorded.metrics
    )
    with Sampler(1.0).begin("POST /", {}) as root:
        decision = await router.decide(HELLO, timeout_s=5, span=root)
    (span,) = [span for span in root.trace.spans if span.name == semconv.ROUTE_SPAN]
    return Decided(recorded, span.attributes, decision.routes, decision.reason)


def scripted(scores: dict[str, float]) -> ScriptedOrchestrator:
    return ScriptedOrchestrator(scores)


def gone() -> ScriptedOrchestrator:
    return ScriptedOrchestrator(error=ModelUnavailable("The model cannot be reached."))


async def test_the_first_decides_where_it_is_sure_and_the_second_is_not_asked() -> None:
    second = scripted({"b": 1.0})
    decided = await decide(scripted(SURE), second)
    assert decided.routes == ("a",)
    assert second.asked == []
    assert decided.counted("first") == 1
    assert decided.attributes[semconv.CASCADE_OUTCOME] == "first"
    assert decided.attributes[semconv.CASCADE_CONFIDENCE] == pytest.approx(0.99 * 0.99 * 0.98)
    assert decided.attributes[semconv.CASCADE_FIRST_ROUTES] == ["a"]
    assert semconv.CASCADE_SECOND_ROUTES not in decided.attributes


async def test_the_second_decides_where_the_first_is_not_sure_and_both_are_recorded() -> None:
    decided = await decide(scripted(UNSURE), scripted({"b": 1.0}))
    assert decided.routes == ("b",)
    assert decided.counted("second_differed") == 1
    assert decided.attributes[semconv.CASCADE_OUTCOME] == "second_differed"
    assert decided.attributes[semconv.CASCADE_FIRST_ROUTES] == ["a"]
    assert decided.attributes[semconv.CASCADE_SECOND_ROUTES] == ["b"]


async def test_that_the_two_agree_is_counted() -> None:
    decided = await decide(scripted(UNSURE), scripted({"a": 1.0}))
    assert (decided.routes, decided.counted("second_agreed")) == (("a",), 1)


async def test_the_first_ones_answer_stands_when_the_second_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    decided = await decide(scripted(UNSURE), gone())
    assert (decided.routes, decided.reason) == (("a",), "orchestrator")
    assert decided.counted("second_unavailable") == 1
    assert decided.recorded.count(semconv.DEGRADED, "orchestrator") == 1
    assert decided.attributes[semconv.CASCADE_OUTCOME] == "second_unavailable"
    assert [(record.message, record.stage) for record in caplog.records] == [
        ("orchestrator of a cascade unavailable", "second")
    ]


async def test_the_second_decides_when_the_first_is_gone() -> None:
    decided = await decide(gone(), scripted({"b": 1.0}))
    assert (decided.routes, decided.counted("first_unavailable")) == (("b",), 1)
    assert decided.recorded.count(semconv.DEGRADED, "orchestrator") == 1
    assert semconv.CASCADE_CONFIDENCE not in decided.attributes


async def test_the_default_route_answers_when_both_are_gone() -> None:
    decided = await decide(gone(), gone())
    assert (decided.routes, decided.reason) == (("c",), "degraded")


async def test_the_second_gets_the_time_that_the_first_left() -> None:
    left: list[float] = []

    class Clocked(ScriptedOrchestrator):
        async def score(
            self, conversation: Sequence[Turn], routes: Sequence[RouteDescription], *, timeout_s: float
        ) -> RouteScores:
            left.append(timeout_s)
            return await super().score(conversation, routes, timeout_s=timeout_s)

    await decide(Clocked(UNSURE), Clocked({"b": 1.0}))
    assert left[0] == 5
    assert 0 < left[1] < 5


@pytest.mark.parametrize(
    ("scores", "threshold", "expected"),
    [((1.0, 0.0), None, 1.0), ((0.5, 0.0), None, 0.5), ((0.4, 0.3), None, 0.6 * 0.7), ((0.4, 0.3), 0.35, 0.4 * 0.7)],
)
def test_certainty_is_the_probability_that_every_route_is_decided_right(scores, threshold, expected) -> None:
    assert certainty(RouteScores(scores, (0, 1), "m", "1", 0.5), threshold) == pytest.approx(expected)

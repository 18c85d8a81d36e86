from __future__ import annotations

from typing import Any

import pytest

from router.context import RouteDescription
from router.errors import ModelUnavailable
from router.functions.selection import TargetSelection, UnfinishedFirst
from router.functions.targets import Target
from router.routing import prompt
from router.telemetry import semconv
from tests.fakes.counters import RecordedMetrics
from tests.fakes.models import ScriptedOrchestrator
from tests.functions.apis import turns

TARGETS = [Target("weather", "Weather."), Target("stocks", "Stocks."), Target("rest", "The rest.", default=True)]


def _selection(
    scorer: ScriptedOrchestrator, recorded: RecordedMetrics, threshold: float | None = None
) -> TargetSelection:
    return TargetSelection(
        "front",
        TARGETS,
        scorer=scorer,
        fit=prompt.fit,
        threshold=threshold,
        timeout_s=1,
        metrics=recorded.metrics,
    )


@pytest.mark.parametrize(
    ("scores", "threshold", "chosen"),
    [
        ({"weather": 0.9, "stocks": 0.2}, None, ("weather",)),
        ({"weather": 0.9, "stocks": 0.6}, None, ("stocks", "weather")),
        ({"weather": 0.9, "stocks": 0.6}, 0.8, ("weather",)),
        ({"weather": 0.4}, 0.3, ("weather",)),
        ({"weather": 0.4}, None, ()),
    ],
)
async def test_targets_over_the_threshold_are_chosen_in_running_order(
    scores: dict[str, float], threshold: float | None, chosen: tuple[str, ...]
) -> None:
    scorer = ScriptedOrchestrator(scores, order=("stocks", "weather"))
    selection = _selection(scorer, RecordedMetrics(), threshold)
    decision = await selection.select(turns("Rain, and my shares"), timeout_s=1)
    assert decision.routes == chosen
    assert decision.reason == ("orchestrator" if chosen else "no_match")
    assert set(decision.scores) == {"weather", "stocks"}


async def test_without_an_orchestrator_nothing_is_chosen_and_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    recorded = RecordedMetrics()
    selection = _selection(ScriptedOrchestrator(error=ModelUnavailable("gone")), recorded)
    decision = await selection.select(turns("Rain?"), timeout_s=1)
    assert (decision.routes, decision.reason) == ((), "degraded")
    assert recorded.count(semconv.DEGRADED, "orchestrator") == 1
    assert "orchestrator unavailable" in caplog.text


async def _scores(chosen: dict[str, float], pending: str | None, threshold: float | None = None) -> Any:
    routes = [RouteDescription("flights", "F"), RouteDescription("weather", "W")]
    scorer = UnfinishedFirst(ScriptedOrchestrator(chosen), lambda conversation: pending, threshold=threshold)
    return (await scorer.score(turns("Hi", "Where?", "Oslo"), routes, timeout_s=1)).scores


async def test_an_answer_goes_to_whoever_asked_unless_it_is_about_something_else() -> None:
    assert await _scores({"flights": 0.1}, "weather") == (0.1, 1.0)
    assert await _scores({"flights": 0.7}, "weather") == (0.7, 0.0)
    assert await _scores({"flights": 0.7}, "weather", threshold=0.8) == (0.7, 1.0)
    assert await _scores({"flights": 0.1}, None) == (0.1, 0.0)

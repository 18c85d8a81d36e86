"""Who answers: asks the orchestrator about the routes of one listener and turns scores into a decision."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from router.context import RouteDecision, RouteDescription, Turn
from router.errors import GatewayError
from router.routing import prompt
from router.telemetry import semconv
from router.telemetry.metrics import Metrics
from router.telemetry.tracing import NOT_TRACED, AttributeValue, Span
from router.triton.models import RouteScores

logger = logging.getLogger(__name__)


class ScoredDecision(Protocol):
    """What a decision of an orchestrator says about itself."""

    @property
    def reason(self) -> str: ...

    @property
    def scores(self) -> Mapping[str, float]: ...

    @property
    def model(self) -> str | None: ...

    @property
    def model_version(self) -> str | None: ...


def decision_attributes(decision: ScoredDecision, routes: Sequence[str]) -> dict[str, AttributeValue]:
    """A decision, as attributes of its span. Scores are a list of ``route=0.1234``, the best first."""
    attributes: dict[str, AttributeValue] = {semconv.ROUTE_REASON: decision.reason, semconv.ROUTES: list(routes)}
    if decision.scores:
        ranked = sorted(decision.scores.items(), key=lambda scored: -scored[1])
        attributes[semconv.SCORES] = [f"{name}={score:.4f}" for name, score in ranked]
    if decision.model is not None:
        attributes[semconv.MODEL] = decision.model
    if decision.model_version is not None:
        attributes[semconv.MODEL_VERSION] = decision.model_version
    return attributes


class Orchestrator(Protocol):
    """A model that scores routes against a conversation."""

    async def score(
        self, conversation: Sequence[Turn], routes: Sequence[RouteDescription], *, timeout_s: float
    ) -> RouteScores:
        """For each route the probability that the newest user turn needs it, and its position in the running order."""


class AgentRouter:
    """Decides for one listener. Never fails: without a usable answer it chooses the default route and says so.

    A route is needed from ``threshold`` on; ``None`` leaves it to the model.
    """

    def __init__(
        self,
        listener: str,
        routes: Sequence[RouteDescription],
        *,
        default: str,
        orchestrator: Orchestrator,
        threshold: float | None,
        timeout_s: float,
        metrics: Metrics,
    ) -> None:
        self._listener = listener
        self._routes = tuple(routes)
        self._default = default
        self._orchestrator = orchestrator
        self._threshold = threshold
        self._timeout_s = timeout_s
        self._metrics = metrics

    async def decide(self, conversation: Sequence[Turn], *, timeout_s: float, span: Span = NOT_TRACED) -> RouteDecision:
        """The routes for the newest turn of ``conversation``, within ``timeout_s``; part of the work of ``span``."""
        if len(self._routes) == 1:
            decision = await self._decide(conversation, timeout_s)
        else:
            with span.child(semconv.ROUTE_SPAN) as deciding:
                decision = await self._decide(conversation, timeout_s)
                if deciding.recording:
                    deciding.attributes.update(decision_attributes(decision, decision.routes))
        self._metrics.route_decided(self._listener, decision.reason)
        for route in decision.routes:
            self._metrics.route_selected(self._listener, route, decision.scores.get(route))
        return decision

    async def _decide(self, conversation: Sequence[Turn], timeout_s: float) -> RouteDecision:
        default = ((self._default,),)
        if len(self._routes) == 1:
            return RouteDecision(default, "only_route")
        seen = prompt.fit(conversation, self._routes)
        if not seen:
            return RouteDecision(default, "no_match")
        started = time.perf_counter()
        try:
            scores = await self._orchestrator.score(seen, self._routes, timeout_s=min(timeout_s, self._timeout_s))
        except GatewayError as exc:
            self._metrics.degraded("orchestrator")
            logger.warning(
                "orchestrator unavailable, using the default route",
                extra={"listener": self._listener, "route": self._default, "cause": repr(exc.__cause__ or exc)},
            )
            return RouteDecision(default, "degraded", latency_s=time.perf_counter() - started)
        needed = stages(self._routes, scores, self._threshold)
        return RouteDecision(
            needed or default,
            "orchestrator" if needed else "no_match",
            scores={route.name: score for route, score in zip(self._routes, scores.scores, strict=True)},
            model=scores.model,
            model_version=scores.version,
            latency_s=time.perf_counter() - started,
        )


def stages(
    routes: Sequence[RouteDescription], scores: RouteScores, threshold: float | None
) -> tuple[tuple[str, ...], ...]:
    """The routes over the threshold by position; those at the same position form one stage.

    ``None`` leaves the threshold to the model.
    """
    needed = scores.threshold if threshold is None else threshold
    by_position: dict[int, list[str]] = {}
    for route, score, position in zip(routes, scores.scores, scores.order, strict=True):
        if score >= needed:
            by_position.setdefault(position, []).append(route.name)
    return tuple(tuple(by_position[position]) for position in sorted(by_position))

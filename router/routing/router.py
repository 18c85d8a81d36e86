"""Who answers: asks the orchestrator about the routes of one listener and turns scores into a decision."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Protocol

from router.context import RouteDecision, RouteDescription, Turn
from router.errors import GatewayError
from router.routing import prompt
from router.telemetry.metrics import Metrics
from router.triton.models import RouteScores

logger = logging.getLogger(__name__)


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

    async def decide(self, conversation: Sequence[Turn], *, timeout_s: float) -> RouteDecision:
        """The routes for the newest turn of ``conversation``, within ``timeout_s``."""
        decision = await self._decide(conversation, timeout_s)
        self._metrics.route_decided(self._listener, decision.reason)
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
        stages = self._stages(scores)
        return RouteDecision(
            stages or default,
            "orchestrator" if stages else "no_match",
            scores={route.name: score for route, score in zip(self._routes, scores.scores, strict=True)},
            model=scores.model,
            model_version=scores.version,
            latency_s=time.perf_counter() - started,
        )

    def _stages(self, scores: RouteScores) -> tuple[tuple[str, ...], ...]:
        """The routes over the threshold by position; those at the same position form one stage."""
        threshold = scores.threshold if self._threshold is None else self._threshold
        by_position: dict[int, list[str]] = {}
        for route, score, position in zip(self._routes, scores.scores, scores.order, strict=True):
            if score >= threshold:
                by_position.setdefault(position, []).append(route.name)
        return tuple(tuple(by_position[position]) for position in sorted(by_position))

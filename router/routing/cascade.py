"""Two orchestrators in a row: the first decides where it is sure, the second is asked for the rest."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence

from router.context import RouteDescription, Turn
from router.errors import GatewayError
from router.routing.router import Orchestrator, stages
from router.telemetry import semconv
from router.telemetry.metrics import CascadeOutcome, Metrics
from router.telemetry.tracing import current_span
from router.triton.models import RouteScores

logger = logging.getLogger(__name__)


class CascadeOrchestrator:
    """``first`` decides where it is probably right, by ``confidence``; ``second`` the rest.

    When one of them is gone the other's answer stands, which is logged and counted; when both are, asking fails as the
    second did. What each of them chose is recorded on the span of the decision. ``threshold`` is what ``AgentRouter``
    has, ``None`` for the models' own.
    """

    def __init__(
        self,
        first: Orchestrator,
        second: Orchestrator,
        *,
        confidence: float,
        threshold: float | None,
        metrics: Metrics,
    ) -> None:
        self._first = first
        self._second = second
        self._confidence = confidence
        self._threshold = threshold
        self._metrics = metrics

    async def score(
        self, conversation: Sequence[Turn], routes: Sequence[RouteDescription], *, timeout_s: float
    ) -> RouteScores:
        """What is known about ``routes`` (at least one) for the newest turn. Raises ``GatewayError``."""
        deadline = time.monotonic() + timeout_s
        answer: RouteScores | None = None
        try:
            answer = await self._first.score(conversation, routes, timeout_s=timeout_s)
        except GatewayError as exc:
            self._degraded("first", exc)
        if answer is not None:
            sureness = certainty(answer, self._threshold)
            current_span().set(semconv.CASCADE_CONFIDENCE, sureness)
            if sureness >= self._confidence:
                self._record(routes, answer, None, "first")
                return answer
        try:
            second = await self._second.score(conversation, routes, timeout_s=deadline - time.monotonic())
        except GatewayError as exc:
            if answer is None:
                raise
            self._degraded("second", exc)
            self._record(routes, answer, None, "second_unavailable")
            return answer
        self._record(routes, answer, second, "first_unavailable")
        return second

    def _degraded(self, stage: str, exc: GatewayError) -> None:
        self._metrics.degraded("orchestrator")
        logger.warning(
            "orchestrator of a cascade unavailable", extra={"stage": stage, "cause": repr(exc.__cause__ or exc)}
        )

    def _record(
        self,
        routes: Sequence[RouteDescription],
        first: RouteScores | None,
        second: RouteScores | None,
        outcome: CascadeOutcome,
    ) -> None:
        """Note what each of them chose; where both did, that is the outcome."""
        span = current_span()
        chosen = {}
        for name, scores in ((semconv.CASCADE_FIRST_ROUTES, first), (semconv.CASCADE_SECOND_ROUTES, second)):
            if scores is not None:
                stage = stages(routes, scores, self._threshold)
                chosen[name] = [route for together in stage for route in together]
                span.set(name, chosen[name])
        if len(chosen) == 2:
            one, other = map(set, chosen.values())
            outcome = "second_agreed" if one == other else "second_differed"
        span.set(semconv.CASCADE_OUTCOME, outcome)
        self._metrics.cascade_decided(outcome)


def certainty(scores: RouteScores, threshold: float | None) -> float:
    """How probably all of a decision is right, if its routes are independent and the scores are calibrated."""
    needed = scores.threshold if threshold is None else threshold
    return math.prod(score if score >= needed else 1 - score for score in scores.scores)

"""Which targets the newest turn asks for: the orchestrator's scores of their descriptions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeAlias

from router.context import RouteDecision, RouteDescription, Turn
from router.errors import GatewayError
from router.functions.targets import Target
from router.telemetry import semconv
from router.telemetry.metrics import Metrics
from router.telemetry.tracing import NOT_TRACED, Span
from router.triton.models import RouteScores

logger = logging.getLogger(__name__)

# Cuts a conversation to what the orchestrator may see beside the descriptions (``routing.prompt.fit``).
Fit: TypeAlias = Callable[[Sequence[Turn], Sequence[RouteDescription]], Sequence[Turn]]


class Scorer(Protocol):
    """A model that scores descriptions against a conversation, by the orchestrator's contract."""

    async def score(
        self, conversation: Sequence[Turn], routes: Sequence[RouteDescription], *, timeout_s: float
    ) -> RouteScores:
        """For each route the probability that the newest turn needs it, and its position in the running order."""


class TargetSelection:
    """Chooses among the targets of one listener. Never fails: without a usable answer it chooses none, and says so.

    A target is chosen from ``threshold`` on; ``None`` leaves it to the model. The default target is never chosen here:
    it is for what nothing else fits.
    """

    def __init__(
        self,
        listener: str,
        targets: Sequence[Target],
        *,
        scorer: Scorer,
        fit: Fit,
        threshold: float | None,
        timeout_s: float,
        metrics: Metrics,
    ) -> None:
        self._listener = listener
        self._routes = tuple(
            RouteDescription(each.name, each.description.strip()) for each in targets if not each.default
        )
        self._scorer = scorer
        self._fit = fit
        self._threshold = threshold
        self._timeout_s = timeout_s
        self._metrics = metrics

    async def select(self, conversation: Sequence[Turn], *, timeout_s: float, span: Span = NOT_TRACED) -> RouteDecision:
        """The targets that the newest turn of ``conversation`` asks for; no stages where it asks for none."""
        with span.child(semconv.ROUTE_SPAN) as deciding:
            decision = await self._select(conversation, timeout_s)
            deciding.set(semconv.ROUTE_REASON, decision.reason)
            deciding.set(semconv.ROUTES, list(decision.routes))
        self._metrics.route_decided(self._listener, decision.reason)
        for route in decision.routes:
            self._metrics.route_selected(self._listener, route, decision.scores.get(route))
        return decision

    async def _select(self, conversation: Sequence[Turn], timeout_s: float) -> RouteDecision:
        seen = self._fit(conversation, self._routes) if self._routes else ()
        if not seen:
            return RouteDecision((), "no_match")
        started = time.perf_counter()
        try:
            scores = await self._scorer.score(seen, self._routes, timeout_s=min(timeout_s, self._timeout_s))
        except GatewayError as exc:
            self._metrics.degraded("orchestrator")
            logger.warning(
                "orchestrator unavailable, choosing no prompt target",
                extra={"listener": self._listener, "cause": repr(exc.__cause__ or exc)},
            )
            return RouteDecision((), "degraded", latency_s=time.perf_counter() - started)
        threshold = scores.threshold if self._threshold is None else self._threshold
        chosen = [
            (position, index)
            for index, (score, position) in enumerate(zip(scores.scores, scores.order, strict=True))
            if score >= threshold
        ]
        return RouteDecision(
            tuple((self._routes[index].name,) for _, index in sorted(chosen)),
            "orchestrator" if chosen else "no_match",
            scores={route.name: score for route, score in zip(self._routes, scores.scores, strict=True)},
            model=scores.model,
            model_version=scores.version,
            latency_s=time.perf_counter() - started,
        )


class UnfinishedFirst:
    """Scores of ``scorer``, in which a target that waits for an answer is needed where nothing else is.

    So an answer such as "Oslo", which says nothing of its own, goes to whoever asked for it. ``pending`` names that
    target; ``threshold`` is the one by which the scores are judged, ``None`` for the model's own.
    """

    def __init__(
        self, scorer: Scorer, pending: Callable[[Sequence[Turn]], str | None], *, threshold: float | None
    ) -> None:
        self._scorer = scorer
        self._pending = pending
        self._threshold = threshold

    async def score(
        self, conversation: Sequence[Turn], routes: Sequence[RouteDescription], *, timeout_s: float
    ) -> RouteScores:
        """See ``Scorer``."""
        scores = await self._scorer.score(conversation, routes, timeout_s=timeout_s)
        threshold = scores.threshold if self._threshold is None else self._threshold
        if any(score >= threshold for score in scores.scores):
            return scores
        name = self._pending(conversation)
        if name is None:
            return scores
        raised = tuple(1.0 if route.name == name else score for route, score in zip(routes, scores.scores, strict=True))
        return replace(scores, scores=raised)

"""``RouterService``: decisions of agent listeners, and about routes that a request brings along."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from router.access.control import AccessControl
from router.context import RequestContext, RouteDecision, RouteDescription, RouteReason, Turn
from router.errors import GatewayError, InvalidRequest, NotFound
from router.protos.v1 import router_pb2 as wire
from router.routing import prompt
from router.routing.router import AgentRouter, Orchestrator, stages
from router.services.batches import answered
from router.services.calls import LISTENER, finish
from router.services.statuses import code_of, reason_of
from router.telemetry.metrics import Metrics
from router.triton.models import RouteScores

logger = logging.getLogger(__name__)

NAME = wire.DESCRIPTOR.services_by_name["RouterService"].full_name

_MAX_ROUTES = 256
_MAX_NAME_CHARS = 128
_MAX_DESCRIPTION_CHARS = 8_192
_PARALLEL = 32  # requests of one stream that are decided at the same time

_REASONS: Mapping[RouteReason, wire.RouteReason.ValueType] = {
    "only_route": wire.ROUTE_REASON_ONLY_ROUTE,
    "orchestrator": wire.ROUTE_REASON_ORCHESTRATOR,
    "no_match": wire.ROUTE_REASON_NO_MATCH,
    "degraded": wire.ROUTE_REASON_DEGRADED,
}


@dataclass(frozen=True, slots=True)
class RouteScorer:
    """An orchestrator with its settings; ``None`` leaves the threshold to the model."""

    orchestrator: Orchestrator
    threshold: float | None
    timeout_s: float


class RouterService:
    """``routers`` by listener, ``scorers`` by the name of the orchestrator; ``default_scorer`` decides without one."""

    def __init__(
        self,
        routers: Mapping[str, AgentRouter],
        scorers: Mapping[str, RouteScorer],
        default_scorer: RouteScorer,
        access: AccessControl,
        metrics: Metrics,
    ) -> None:
        self._routers = routers
        self._scorers = scorers
        self._default_scorer = default_scorer
        self._access = access
        self._metrics = metrics

    async def route(self, request: wire.RouteRequest, context: RequestContext) -> wire.RouteResponse:
        """One decision. Raises ``GatewayError``."""
        await self._access.admit(context, None, 0)  # a request that costs no provider's tokens
        return await self._decide(request, context)

    def route_stream(
        self, requests: AsyncIterator[wire.RouteStreamRequest], context: RequestContext
    ) -> AsyncGenerator[wire.RouteStreamResponse, None]:
        """Decisions as they are ready; each request counts by itself, and fails by itself."""

        async def answer(request: wire.RouteStreamRequest) -> wire.RouteStreamResponse:
            single = replace(context, response_headers={}, degraded=[], on_finished=[])
            try:
                return wire.RouteStreamResponse(id=request.id, response=await self.route(request.request, single))
            except GatewayError as exc:
                return wire.RouteStreamResponse(id=request.id, error=_error(exc))
            except Exception:
                logger.exception("request of a stream failed", extra={"request_id": context.request_id})
                failure = GatewayError("Something went wrong in the gateway; its log has the details.")
                return wire.RouteStreamResponse(id=request.id, error=_error(failure))
            finally:
                finish(single)

        return answered(requests, answer, parallel=_PARALLEL)

    async def _decide(self, request: wire.RouteRequest, context: RequestContext) -> wire.RouteResponse:
        if not request.conversation:
            raise InvalidRequest("There is no conversation to route.", param="conversation")
        conversation = prompt.turns([{"role": each.role, "content": each.content} for each in request.conversation])
        kind = request.WhichOneof("choices")
        if kind == "listener":
            return await self._of_listener(request, conversation, context)
        if kind == "routes":
            return await self._of_request(request, conversation, context)
        raise InvalidRequest("There is nothing to choose from: give `listener` or `routes`.", param="choices")

    async def _of_listener(
        self, request: wire.RouteRequest, conversation: Sequence[Turn], context: RequestContext
    ) -> wire.RouteResponse:
        router = self._routers.get(request.listener)
        if router is None:
            raise NotFound("No agent listener has this name.", param="listener")
        if request.HasField("options"):
            raise InvalidRequest("A listener has its own options; leave them out.", param="options")
        decision = await router.decide(conversation, timeout_s=context.remaining_s())
        _note(decision, context)
        answer = _response(decision)
        for name, score in decision.scores.items():
            answer.scores.add(route=name, score=score)
        return answer

    async def _of_request(
        self, request: wire.RouteRequest, conversation: Sequence[Turn], context: RequestContext
    ) -> wire.RouteResponse:
        routes = _routes(request.routes)
        default = _default(request.options, routes)
        scorer = self._scorer(request.options)
        decision, scores = await _decided(scorer, conversation, routes, default, timeout_s=context.remaining_s())
        if decision.reason == "degraded":
            self._metrics.degraded("orchestrator")
        self._metrics.route_decided(LISTENER, decision.reason)
        _note(decision, context)
        answer = _response(decision)
        if scores is not None:
            answer.model_threshold = scores.threshold
            for route, score, position in zip(routes, scores.scores, scores.order, strict=True):
                answer.scores.add(route=route.name, score=score, position=position)
        return answer

    def _scorer(self, options: wire.RouteOptions) -> RouteScorer:
        scorer = self._default_scorer
        if options.HasField("orchestrator"):
            known = self._scorers.get(options.orchestrator)
            if known is None:
                raise NotFound("No orchestrator has this name.", param="options.orchestrator")
            scorer = known
        if options.HasField("threshold"):
            return replace(scorer, threshold=_probability(options.threshold, "options.threshold"))
        return scorer


async def _decided(
    scorer: RouteScorer,
    conversation: Sequence[Turn],
    routes: Sequence[RouteDescription],
    default: str | None,
    *,
    timeout_s: float,
) -> tuple[RouteDecision, RouteScores | None]:
    """As ``AgentRouter`` decides; without a default the only route may be unneeded, and failures are failures."""
    otherwise = () if default is None else ((default,),)
    if len(routes) == 1 and default is not None:
        return RouteDecision(otherwise, "only_route"), None
    seen = prompt.fit(conversation, routes)
    if not seen:
        return RouteDecision(otherwise, "no_match"), None
    started = time.perf_counter()
    try:
        scores = await scorer.orchestrator.score(seen, routes, timeout_s=min(timeout_s, scorer.timeout_s))
    except GatewayError as exc:
        if default is None:
            raise
        cause = repr(exc.__cause__ or exc)
        logger.warning("orchestrator unavailable, using the default route", extra={"cause": cause})
        return RouteDecision(otherwise, "degraded", latency_s=time.perf_counter() - started), None
    needed = stages(routes, scores, scorer.threshold)
    decision = RouteDecision(
        needed or otherwise,
        "orchestrator" if needed else "no_match",
        model=scores.model,
        model_version=scores.version,
        latency_s=time.perf_counter() - started,
    )
    return decision, scores


def _note(decision: RouteDecision, context: RequestContext) -> None:
    context.decision = decision
    if decision.reason == "degraded":
        context.degraded.append("orchestrator")


def _response(decision: RouteDecision) -> wire.RouteResponse:
    answer = wire.RouteResponse(
        reason=_REASONS[decision.reason], model=decision.model or "", model_version=decision.model_version or ""
    )
    for stage in decision.stages:
        answer.stages.add(routes=stage)
    answer.latency.FromNanoseconds(round(decision.latency_s * 1e9))
    return answer


def _routes(given: wire.RouteDefinitions) -> list[RouteDescription]:
    if not 1 <= len(given.routes) <= _MAX_ROUTES:
        raise InvalidRequest(f"There have to be 1 to {_MAX_ROUTES} routes.", param="routes.routes")
    names: set[str] = set()
    for place, route in enumerate(given.routes):
        field = f"routes.routes[{place}]"
        if not route.name.strip() or len(route.name) > _MAX_NAME_CHARS:
            raise InvalidRequest(f"A name has 1 to {_MAX_NAME_CHARS} characters.", param=f"{field}.name")
        if route.name in names:
            raise InvalidRequest("Another route has this name.", param=f"{field}.name")
        if not route.description.strip() or len(route.description) > _MAX_DESCRIPTION_CHARS:
            message = f"A description has 1 to {_MAX_DESCRIPTION_CHARS} characters: the orchestrator decides by it."
            raise InvalidRequest(message, param=f"{field}.description")
        names.add(route.name)
    return [RouteDescription(route.name, route.description.strip()) for route in given.routes]


def _default(options: wire.RouteOptions, routes: Sequence[RouteDescription]) -> str | None:
    if not options.HasField("default_route"):
        return None
    if options.default_route not in {route.name for route in routes}:
        raise InvalidRequest("No route has this name.", param="options.default_route")
    return options.default_route


def _probability(value: float, field: str) -> float:
    if math.isnan(value) or not 0 <= value <= 1:
        raise InvalidRequest("This is no number from 0 to 1.", param=field)
    return value


def _error(error: GatewayError) -> wire.RouteError:
    number: int = code_of(error).value[0]
    return wire.RouteError(code=number, message=error.message, reason=reason_of(error), field=error.param or "")

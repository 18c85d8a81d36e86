"""Prompt listeners: guard the conversation, choose the targets, extract, call, and let a model word the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from router.access.control import AccessControl, estimated_tokens
from router.context import LocalReply, RequestContext, RouteDecision
from router.dialects.canonical import ChatRequest
from router.dialects.registry import CLIENT_DIALECTS
from router.functions.engine import FunctionEngine
from router.functions.planning import Plan
from router.handlers.admission import Admission, refusal_reply
from router.handlers.answering_model import AnsweringModel
from router.handlers.function_answers import FunctionAnswer
from router.handlers.reply import EVENT_STREAM, JSON, ByteStream, Reply
from router.routing import prompt
from router.routing.models import ModelChoice

ROUTE_HEADER = "x-trident-route"
UNCERTAIN_HEADER = "x-trident-uncertain"


class FunctionsHandler:
    """Conversations on one prompt listener, in any dialect. ``model`` is ``None`` where none is configured."""

    def __init__(
        self, engine: FunctionEngine, model: AnsweringModel | None, admission: Admission, access: AccessControl
    ) -> None:
        self._engine = engine
        self._model = model
        self._admission = admission
        self._access = access

    async def complete(self, context: RequestContext, body: bytes) -> Reply:
        """``POST`` to the path of a client dialect."""
        client = CLIENT_DIALECTS[context.dialect]
        decoded = client.decode_request(body)
        choices = await self._admit(decoded, context, estimated_tokens(len(body)))
        request = await self._admission.filtered(decoded, context)
        if isinstance(request, Reply):
            return request

        async def decide(asked: ChatRequest, target: str | None) -> RouteDecision:
            if target is not None:
                return RouteDecision(((target,),), "guard")
            turns = prompt.turns(asked.messages)
            return await self._engine.select(turns, timeout_s=context.remaining_s(), span=context.span)

        admitted = await self._admission.admit_while(request, context, decide)
        if isinstance(admitted, LocalReply):
            return refusal_reply(request, admitted)
        request, decision = admitted.request, admitted.decision
        if decision.reason == "degraded":
            context.degraded.append("orchestrator")
        turns = prompt.turns(request.messages)
        plan = await self._engine.plan(decision.routes, request, turns, timeout_s=context.remaining_s())
        headers = note(plan, decision, context)
        outcome = await self._engine.carry_out(plan, request, context, has_model=bool(choices))
        answer = FunctionAnswer(outcome, request, context, self._model, choices)
        if request.stream:
            stream = await ByteStream.start(answer.stream())
            return Reply(200, EVENT_STREAM, stream, headers, client.encode_stream_error)
        return Reply(200, JSON, await answer.whole(), headers)

    async def _admit(self, request: ChatRequest, context: RequestContext, input_tokens: int) -> Sequence[ModelChoice]:
        """Count the request: as one for a model where one may be asked."""
        choices = self._model.choices(request, context) if self._model is not None else ()
        if self._model is not None and choices:
            await self._model.admit(context, choices, input_tokens)
        else:
            await self._access.admit(context, None, input_tokens)
        return choices


def note(plan: Plan, decision: RouteDecision, context: RequestContext) -> dict[str, str]:
    """Keep what was decided in ``context``; the headers that say so."""
    called = tuple(dict.fromkeys(call.target.name for call in plan.calls))
    routes = called or decision.routes
    context.decision = replace(decision, stages=tuple((name,) for name in routes))
    if plan.uncertain:
        context.response_headers[UNCERTAIN_HEADER] = ", ".join(plan.uncertain)
    return {ROUTE_HEADER: ", ".join(routes)} if routes else {}

"""Model listeners: guard the conversation, plan which models serve it, relay the first answer that begins."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from router.access.control import estimated_tokens
from router.context import LocalReply, RequestContext
from router.dialects.canonical import ChatRequest
from router.dialects.registry import CLIENT_DIALECTS
from router.errors import ContentBlocked
from router.handlers.admission import Admission, refusal_reply
from router.handlers.reply import EVENT_STREAM, JSON, ByteStream, Reply
from router.handlers.serving import ModelServing
from router.routing import context_size
from router.routing.model_decision import ModelDecider, ModelDecision
from router.routing.models import ModelChoice

ROUTE_HEADER = "x-trident-route"

_MOSTLY_TEXT_BYTES = 64 * 1024


class CompletionsHandler:
    """Conversations with the models of one listener, in any dialect."""

    def __init__(self, decider: ModelDecider, serving: ModelServing, admission: Admission) -> None:
        self._decider = decider
        self._serving = serving
        self._admission = admission

    async def complete(self, context: RequestContext, body: bytes) -> Reply:
        """``POST`` to the path of a client dialect."""
        client = CLIENT_DIALECTS[context.dialect]
        decoded = client.decode_request(body)
        context.conversation = decoded.messages
        await self._serving.check_left(context, _input_tokens(decoded, body))
        request = await self._admission.filtered(decoded, context)
        if isinstance(request, Reply):
            return request

        async def decide(asked: ChatRequest, target: str | None) -> ModelDecision:
            return await self._decider.decide(asked, context, only=target)

        admitted = await self._admission.admit_while(request, context, decide)
        if isinstance(admitted, LocalReply):
            return refusal_reply(request, admitted)
        decision = admitted.decision
        request = decision.request
        choices = self._serving.permitted(decision.choices, context.identity)
        await self._serving.admit(context, choices, _input_tokens(request, body))
        upstream = self._serving.upstream(choices)
        headers = {} if decision.route is None else {ROUTE_HEADER: decision.route}
        if request.stream:
            stream = await ByteStream.start(upstream.stream(request, context))
            return Reply(200, EVENT_STREAM, stream, headers, client.encode_stream_error)
        return Reply(200, JSON, await upstream.complete(request, context), headers)

    async def decide(self, context: RequestContext, body: bytes) -> Reply:
        """``POST /routing/v1/...``: only says which models would serve the request, best first.

        Who decides may be a provider's model, so filters and guards look first. What they refuse is served by none:
        ``ContentBlocked``.
        """
        decoded = CLIENT_DIALECTS[context.dialect].decode_request(body)
        await self._serving.check_left(context, 0)
        request = await self._admission.filtered(decoded, context)
        if isinstance(request, Reply):
            raise ContentBlocked("A filter would answer this request itself.")

        async def decide(asked: ChatRequest, target: str | None) -> ModelDecision:
            return await self._decider.decide(asked, context, only=target)

        admitted = await self._admission.admit_while(request, context, decide)
        if isinstance(admitted, LocalReply):
            raise ContentBlocked(f"{admitted.message} (Blocked by the guard '{admitted.guard}'.)")
        decision = admitted.decision
        choices = self._serving.permitted(decision.choices, context.identity)
        await self._serving.admit(context, choices, 0)
        return Reply(200, JSON, orjson.dumps(_summary(decision, choices, context)))


def _input_tokens(request: ChatRequest, body: bytes) -> int:
    """What the input is taken to have until somebody counts: base64 of images and files is no text."""
    tokens = estimated_tokens(len(body))
    return tokens if len(body) <= _MOSTLY_TEXT_BYTES else min(tokens, context_size.estimated_tokens(request.payload))


def _summary(decision: ModelDecision, choices: Sequence[ModelChoice], context: RequestContext) -> dict[str, object]:
    session = decision.session
    summary: dict[str, object] = {
        "models": list(dict.fromkeys(choice.full_name for choice in choices)),
        "route": decision.route,
        "trace_id": _trace_id(context),
    }
    if session is not None:
        summary["session_id"] = session.session_id
    summary["pinned"] = session is not None and session.pinned
    summary["switched"] = session is not None and session.switched
    return summary


def _trace_id(context: RequestContext) -> str:
    """The trace of the request, where there is one, else its id."""
    return context.span.trace_id if context.span.traceparent is not None else context.request_id

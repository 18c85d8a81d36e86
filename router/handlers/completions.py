"""Model listeners: find the provider of the requested model and relay its answer."""

from __future__ import annotations

from collections.abc import Mapping

from router.context import RequestContext
from router.dialects.registry import CLIENT_DIALECTS
from router.handlers.admission import Admission, refusal_reply
from router.handlers.reply import EVENT_STREAM, JSON, ByteStream, Reply
from router.routing.models import ModelRouter
from router.upstream.chat import ChatUpstream


class CompletionsHandler:
    """Chat completions of one model listener; ``providers`` maps an entry's id to where it is served."""

    def __init__(self, router: ModelRouter, providers: Mapping[str, ChatUpstream], admission: Admission) -> None:
        self._router = router
        self._providers = providers
        self._admission = admission

    async def complete(self, context: RequestContext, body: bytes) -> Reply:
        """``POST`` to the path of a client dialect."""
        client = CLIENT_DIALECTS[context.dialect]
        request = client.decode_request(body)
        choice = self._router.choose(request.model)
        refusal = await self._admission.admit(request, context)
        if refusal is not None:
            return refusal_reply(request, refusal)
        upstream = self._providers[choice.entry.id]
        if request.model != choice.model:
            request = request.replace(model=choice.model)
        headers = {"x-trident-upstream": choice.entry.id}
        if request.stream:
            stream = await ByteStream.start(upstream.stream(request, context))
            return Reply(200, EVENT_STREAM, stream, headers, client.encode_stream_error)
        return Reply(200, JSON, await upstream.complete(request, context), headers)

"""The language model that words answers: the one that the client names, where it is known, else the default."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from router.context import RequestContext
from router.dialects import openai_chat
from router.dialects.canonical import ChatRequest, JsonObject, completion_text
from router.errors import ModelNotFound, PermissionDenied, ProviderUnavailable
from router.handlers.serving import ModelServing
from router.routing.models import HINT_HEADER, ModelChoice, ModelRouter

_SOURCE = "the model"


class AnsweringModel:
    """The models of ``router``, asked with fail-over through ``serving``.

    Usage and tries are noted in the context of the request, whichever way a model is asked.
    """

    def __init__(self, router: ModelRouter, serving: ModelServing, *, max_event_bytes: int) -> None:
        self._router = router
        self._serving = serving
        self._max_event_bytes = max_event_bytes

    def choices(self, request: ChatRequest, context: RequestContext) -> Sequence[ModelChoice]:
        """Who may be asked, best first; empty where nobody can be, or where the key is for no such model.

        A model that the client names and may not use raises ``PermissionDenied``.
        """
        named = context.headers.get(HINT_HEADER) or request.model
        known = named is not None and self._router.knows(named)
        try:
            return self._serving.permitted(self._router.choices(named if known else None), context.identity)
        except (ModelNotFound, ProviderUnavailable):
            return ()
        except PermissionDenied:
            if known:
                raise
            return ()

    async def admit(
        self, context: RequestContext, choices: Sequence[ModelChoice], input_tokens: int, *, counted: bool = False
    ) -> None:
        """See ``ModelServing.admit``."""
        await self._serving.admit(context, choices, input_tokens, counted=counted)

    async def complete(self, request: ChatRequest, context: RequestContext, choices: Sequence[ModelChoice]) -> bytes:
        """A whole answer in the client's dialect, looked at by whatever looks at answers. Raises ``UpstreamError``."""
        return await self._serving.upstream(choices).complete(request, context)

    def stream(
        self, request: ChatRequest, context: RequestContext, choices: Sequence[ModelChoice]
    ) -> AsyncGenerator[bytes, None]:
        """The same as events."""
        return self._serving.upstream(choices).stream(request, context)

    async def text(self, request: ChatRequest, context: RequestContext, choices: Sequence[ModelChoice]) -> str:
        """The text of the answer, looked at by nobody."""
        asked = _canonical(request.replace(stream=False, drop=("stream_options",)))
        own = replace(context, dialect=openai_chat.NAME, answer_transform=None)
        body = await self._serving.upstream(choices).complete(asked, own)
        context.usage = own.usage
        return completion_text(openai_chat.decode_completion(body, _SOURCE))

    async def chunks(
        self, request: ChatRequest, context: RequestContext, choices: Sequence[ModelChoice]
    ) -> AsyncGenerator[list[JsonObject], None]:
        """The answer as batches of canonical chunks, looked at by nobody."""
        asked = _canonical(request.replace(stream=True))
        own = replace(context, dialect=openai_chat.NAME, answer_transform=None)
        decoder = openai_chat.stream_decoder(_SOURCE, self._max_event_bytes)
        async with aclosing(self._serving.upstream(choices).stream(asked, own)) as events:
            async for data in events:
                if batch := decoder.feed(data):
                    yield batch
        context.usage = own.usage
        if batch := decoder.finish():
            yield batch


def _canonical(request: ChatRequest) -> ChatRequest:
    """``request`` as one whose answer is wanted in the canonical dialect."""
    return ChatRequest(
        dict(request.payload), untranslated=request.untranslated, refused=request.refused, extras=request.extras
    )

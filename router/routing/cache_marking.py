"""An upstream whose requests get cache markers where its model needs them and the client has set none."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from router.context import RequestContext
from router.dialects.canonical import ChatRequest
from router.routing import prompt_caching
from router.upstream.chat import Upstream


class CacheMarking:
    """Marks requests for ``provider``'s models that cache only what is marked, then hands them on."""

    def __init__(self, upstream: Upstream, provider: str, *, min_prefix_tokens: int) -> None:
        self._upstream = upstream
        self._provider = provider
        self._min_prefix_tokens = min_prefix_tokens

    async def complete(self, request: ChatRequest, context: RequestContext) -> bytes:
        """See ``Upstream``."""
        return await self._upstream.complete(self._marked(request, context), context)

    def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
        """See ``Upstream``."""
        return self._upstream.stream(self._marked(request, context), context)

    def _marked(self, request: ChatRequest, context: RequestContext) -> ChatRequest:
        model = f"{self._provider}/{request.model}"
        if not prompt_caching.needs_markers(model) or not prompt_caching.is_wanted(context.headers):
            return request
        native = request.native
        if request.dialect == "anthropic_messages" and native is not None:
            native = prompt_caching.mark_anthropic(native, min_prefix_tokens=self._min_prefix_tokens)
        return ChatRequest(
            prompt_caching.mark_canonical(request.payload, min_prefix_tokens=self._min_prefix_tokens),
            dialect=request.dialect,
            native=None if native is None else dict(native),
            untranslated=request.untranslated,
            refused=request.refused,
            extras=request.extras,
        )

"""An upstream that counts the tokens of every stream, also where the client has not asked for that.

Servers of the OpenAI dialect count the tokens of a stream when ``stream_options.include_usage`` says so; those of the
other dialects always do.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from router.context import RequestContext
from router.dialects.canonical import ChatRequest
from router.upstream.chat import Upstream


class UsageCounting:
    """Asks for the tokens of streams where ``context.counts_usage`` wants them, and keeps them from the client."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def complete(self, request: ChatRequest, context: RequestContext) -> bytes:
        """See ``Upstream``: whole answers are counted anyway."""
        return await self._upstream.complete(request, context)

    def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
        """See ``Upstream``."""
        options = request.payload.get("stream_options") or {}
        counted = not context.counts_usage or request.dialect != "openai_chat" or request.wants_usage
        context.hides_usage = not counted and isinstance(options, dict)
        if context.hides_usage:  # what is malformed is the provider's to complain about
            request = request.replace(stream_options={**options, "include_usage": True})
        return self._upstream.stream(request, context)

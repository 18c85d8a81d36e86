"""An agent behind filters of its own: what it gets to see, and what is heard of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from router.context import AnswerTransform, RequestContext
from router.dialects.canonical import ChatRequest, CompletionAssembler, JsonObject, chunks_of, completion_text
from router.dialects.registry import CLIENT_DIALECTS
from router.filters.base import LocalAnswer
from router.filters.chain import FilterChain


class Agent(Protocol):
    """Whoever answers under an agent's name; ``ChatUpstream`` says more about each of these."""

    @property
    def name(self) -> str: ...

    async def complete(self, request: ChatRequest, context: RequestContext) -> bytes: ...

    async def ask(self, request: ChatRequest, context: RequestContext) -> str: ...

    def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]: ...

    def chunks(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[list[JsonObject], None]: ...


class FilteredAgent:
    """``agent`` behind ``filters``. What looks at the whole answer of the listener comes after them.

    Every method raises ``FilterRejected`` and ``FilterUnavailable`` besides what the agent raises.
    """

    def __init__(self, agent: Agent, filters: FilterChain) -> None:
        self._agent = agent
        self._filters = filters

    @property
    def name(self) -> str:
        return self._agent.name

    async def complete(self, request: ChatRequest, context: RequestContext) -> bytes:
        """A whole answer in the client's dialect."""
        asked = await self._filters.apply_request(request, context)
        if isinstance(asked, ChatRequest) and self._filters.transform(asked, context) is None:
            return await self._agent.complete(asked, context)
        whole = await assembled(through(self._answer(request, asked, context), context.answer_transform))
        return CLIENT_DIALECTS[request.dialect].encode_completion(whole, request)

    async def ask(self, request: ChatRequest, context: RequestContext) -> str:
        """The text of the answer, asked for without streaming."""
        whole = request.replace(stream=False, drop=("stream_options",)) if request.stream else request
        asked = await self._filters.apply_request(whole, context)
        return completion_text(await assembled(self._answer(whole, asked, context)))

    async def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
        """The answer as events in the client's dialect."""
        asked = await self._filters.apply_request(request, context)
        if isinstance(asked, ChatRequest) and self._filters.transform(asked, context) is None:
            async with aclosing(self._agent.stream(asked, context)) as events:
                async for data in events:
                    yield data
            return
        encoder = CLIENT_DIALECTS[request.dialect].stream_encoder(request)
        async with aclosing(through(self._answer(request, asked, context), context.answer_transform)) as batches:
            async for batch in batches:
                if data := b"".join([encoder.feed(chunk) for chunk in batch]):
                    yield data
        yield encoder.finish()

    async def chunks(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[list[JsonObject], None]:
        """The answer as batches of canonical chunks."""
        asked = await self._filters.apply_request(request, context)
        async with aclosing(self._answer(request, asked, context)) as batches:
            async for batch in batches:
                yield batch

    def _answer(
        self, request: ChatRequest, asked: ChatRequest | LocalAnswer, context: RequestContext
    ) -> AsyncGenerator[list[JsonObject], None]:
        if isinstance(asked, LocalAnswer):
            return through(one_batch(chunks_of(asked.completion)), self._filters.transform(request, context))
        return through(self._agent.chunks(asked, context), self._filters.transform(asked, context))


def through(
    batches: AsyncGenerator[list[JsonObject], None], transform: AnswerTransform | None
) -> AsyncGenerator[list[JsonObject], None]:
    """``batches``, as ``transform`` lets them through."""
    return batches if transform is None else transform(batches)


async def one_batch(chunks: list[JsonObject]) -> AsyncGenerator[list[JsonObject], None]:
    """An answer that is there already."""
    yield chunks


async def assembled(batches: AsyncGenerator[list[JsonObject], None]) -> JsonObject:
    """The whole completion that the chunks amount to."""
    assembler = CompletionAssembler()
    async with aclosing(batches):
        async for batch in batches:
            for chunk in batch:
                assembler.add(chunk)
    return assembler.completion()

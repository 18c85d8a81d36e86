"""Several agents, one answer: what each of them gets to see, and what the client gets of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TypeAlias

from router.context import RequestContext
from router.dialects.canonical import ChatRequest, CompletionAssembler, JsonObject, chunk, chunk_base
from router.dialects.registry import CLIENT_DIALECTS
from router.errors import GatewayError
from router.handlers.filtered_agent import Agent

_PART_GAP = "\n\n"
_QUEUED_PIECES = 64  # how far an agent that runs in parallel may be ahead of what the client has read

# A piece of one agent's text, the failure that ended it, or None at its end.
_Piece: TypeAlias = str | GatewayError | None


class LastAnswer:
    """The last agent's answer; those before it have their text put before the newest user message as its context.

    ``names`` run one after the other.
    """

    def __init__(self, agents: Mapping[str, Agent], names: Sequence[str], context: RequestContext) -> None:
        *self._earlier, self._last = [agents[name] for name in names]
        self._context = context

    async def whole(self, request: ChatRequest) -> bytes:
        """One encoded completion. Raises ``UpstreamError``, whichever agent fails."""
        return await self._last.complete(await self._with_context(request), self._context)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[bytes, None]:
        """The last agent's events, untouched. Raises ``UpstreamError``, whichever agent fails."""
        request = await self._with_context(request)
        async with aclosing(self._last.stream(request, self._context)) as events:
            async for data in events:
                yield data

    async def _with_context(self, request: ChatRequest) -> ChatRequest:
        for agent in self._earlier:
            request = with_answers(request, {agent.name: await agent.ask(request, self._context)})
        return request


class CombinedAnswer:
    """Every agent's part, one after the other, each chunk marked ``"trident": {"agent": name}``.

    Stages run in order and see what the stages before them said. With ``parallel`` the agents of one stage run at the
    same time; their parts still arrive in order. Only text is combined.
    """

    def __init__(
        self,
        agents: Mapping[str, Agent],
        stages: Sequence[Sequence[str]],
        context: RequestContext,
        *,
        parallel: bool,
    ) -> None:
        self._stages = stages if parallel else [[name] for stage in stages for name in stage]
        self._agents = agents
        self._context = context

    async def whole(self, request: ChatRequest) -> bytes:
        """One encoded completion whose message is all parts; ``trident.parts`` says who said what."""
        assembler = CompletionAssembler()
        parts: dict[str, list[str]] = {}
        async with aclosing(self._checked(request)) as batches:
            async for batch in batches:
                for each in batch:
                    text = assembler.add(each)
                    if (mark := each.get("trident")) is not None:
                        parts.setdefault(mark["agent"], []).append(text)
        whole = assembler.completion()
        whole["trident"] = {"parts": [{"agent": name, "content": "".join(said)} for name, said in parts.items()]}
        return CLIENT_DIALECTS[request.dialect].encode_completion(whole, request)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[bytes, None]:
        """The parts as one stream in the client's dialect."""
        encoder = CLIENT_DIALECTS[request.dialect].stream_encoder(request)
        async with aclosing(self._checked(request)) as batches:
            async for batch in batches:
                if events := b"".join([encoder.feed(each) for each in batch]):
                    yield events
        yield encoder.finish()

    def _checked(self, request: ChatRequest) -> AsyncGenerator[list[JsonObject], None]:
        """The chunks of the answer, as whatever looks at answers on their way lets them through."""
        transform = self._context.answer_transform
        return self._chunks(request) if transform is None else transform(self._chunks(request))

    async def _chunks(self, request: ChatRequest) -> AsyncGenerator[list[JsonObject], None]:
        base = chunk_base(request.model or "")
        speaker: str | None = None
        async with aclosing(self._pieces(request)) as pieces:
            async for name, piece in pieces:
                marked = {**base, "trident": {"agent": name}}
                batch = []
                if speaker is None:
                    batch.append(chunk({"role": "assistant", "content": ""}, base=base))
                elif speaker != name:
                    batch.append(chunk({"content": _PART_GAP}, base=base))
                speaker = name
                yield [*batch, chunk({"content": piece}, base=marked)]
        yield [chunk({}, base=base, finish_reason="stop")]

    async def _pieces(self, request: ChatRequest) -> AsyncGenerator[tuple[str, str], None]:
        """Text by agent, in the order of the answer."""
        asked = request.replace(stream=True, drop=("stream_options",))
        for stage in self._stages:
            said = dict.fromkeys(stage, "")
            queues: dict[str, asyncio.Queue[_Piece]] = {name: asyncio.Queue(_QUEUED_PIECES) for name in stage}
            # Plain tasks: a TaskGroup would cancel whoever reads this generator when one of them fails.
            tasks = [asyncio.create_task(self._fill(queue, name, asked)) for name, queue in queues.items()]
            try:
                for name, queue in queues.items():
                    while (piece := await queue.get()) is not None:
                        if isinstance(piece, GatewayError):
                            raise piece
                        said[name] += piece
                        yield name, piece
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            asked = with_answers(asked, said)

    async def _fill(self, queue: asyncio.Queue[_Piece], name: str, request: ChatRequest) -> None:
        assembler = CompletionAssembler()
        try:
            async with aclosing(self._agents[name].chunks(request, self._context)) as batches:
                async for batch in batches:
                    if piece := "".join([assembler.add(each) for each in batch]):
                        await queue.put(piece)
        except GatewayError as exc:
            await queue.put(exc)
        else:
            await queue.put(None)


def with_answers(request: ChatRequest, answers: Mapping[str, str]) -> ChatRequest:
    """``request`` with agents' answers (empty ones left out) as assistant messages before the newest user message."""
    said = [{"role": "assistant", "name": name, "content": text} for name, text in answers.items() if text]
    messages = request.messages
    newest = next((i for i in range(len(messages) - 1, -1, -1) if messages[i]["role"] == "user"), len(messages))
    return request.replace(messages=[*messages[:newest], *said, *messages[newest:]])

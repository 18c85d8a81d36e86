"""One answer under ``CheckStream``: deltas in; released, held and blocked windows out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing

from router.context import RequestContext
from router.dialects.canonical import ChatRequest, JsonObject, chunk, chunk_base
from router.errors import ContentBlocked, InvalidRequest
from router.guardrails import OutputGuards
from router.protos.v1 import guardrail_pb2 as wire
from router.services.verdicts import NamedGuard, encode_verdict

MAX_DELTA_CHARS = 16_384
_MAX_EVENTS = 64  # that the client has not taken; beyond, nothing more is judged


class CheckedStream:
    """Feeds the guards of answers with text instead of a provider's chunks. Iterate over ``events`` once."""

    def __init__(
        self,
        guards: OutputGuards,
        named: Mapping[str, NamedGuard],
        context: RequestContext,
        *,
        report_held: bool,
    ) -> None:
        self._guards = guards
        self._named = named
        self._context = context
        self._report_held = report_held
        self._waiting: deque[int] = deque()
        self._events: asyncio.Queue[wire.CheckStreamResponse | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(_MAX_EVENTS)

    async def events(
        self, requests: AsyncIterator[wire.CheckStreamRequest]
    ) -> AsyncGenerator[wire.CheckStreamResponse, None]:
        """What becomes of the deltas in ``requests``. Raises ``GatewayError``, with nothing unjudged before it."""
        releasing = asyncio.create_task(self._release(requests), name="release windows")
        releasing.add_done_callback(lambda _: self._events.put_nowait(None))
        try:
            while (event := await self._events.get()) is not None:
                self._room.release()
                yield event
            if releasing.result():
                yield self._blocked()
        finally:
            releasing.cancel()
            await asyncio.gather(releasing, return_exceptions=True)
        finished = [encode_verdict(verdict, self._named[verdict.guard]) for verdict in self._context.verdicts]
        yield wire.CheckStreamResponse(finished=wire.Finished(verdicts=finished))

    async def _release(self, requests: AsyncIterator[wire.CheckStreamRequest]) -> bool:
        """Put what may go out into ``_events``; whether the rest is blocked."""
        transform = self._guards.transform(ChatRequest({"model": "", "messages": [], "stream": True}), self._context)
        if transform is None:
            raise ValueError("there are no guards")
        try:
            async with aclosing(transform(self._chunks(requests))) as batches:
                async for batch in batches:
                    if _is_refusal(batch):
                        return True
                    await self._put_released(batch)
        except ContentBlocked:
            return True
        return False

    async def _chunks(self, requests: AsyncIterator[wire.CheckStreamRequest]) -> AsyncGenerator[list[JsonObject], None]:
        base = chunk_base("")
        async for request in requests:
            if request.WhichOneof("part") != "delta":
                raise InvalidRequest("Only the first message opens the stream.", param="part")
            if len(request.delta) > MAX_DELTA_CHARS:
                raise InvalidRequest(f"A delta has at most {MAX_DELTA_CHARS} characters.", param="delta")
            if request.delta:
                self._waiting.append(len(request.delta))
                await self._put_held()
                yield [chunk({"content": request.delta}, base=base)]
        yield [chunk({}, base=base, finish_reason="stop")]

    async def _put_released(self, batch: Sequence[JsonObject]) -> None:
        texts = [choice["delta"]["content"] for each in batch for choice in each["choices"] if choice["delta"]]
        for _ in texts:
            self._waiting.popleft()
        if text := "".join(texts):
            await self._put(wire.CheckStreamResponse(released=wire.Released(text=text)))
            if self._waiting:
                await self._put_held()

    async def _put_held(self) -> None:
        if self._report_held:
            await self._put(wire.CheckStreamResponse(held=wire.Held(chars=sum(self._waiting))))

    async def _put(self, event: wire.CheckStreamResponse) -> None:
        await self._room.acquire()
        self._events.put_nowait(event)

    def _blocked(self) -> wire.CheckStreamResponse:
        guard = next(verdict.guard for verdict in self._context.verdicts if verdict.outcome == "block")
        message = self._named[guard].guard.policy.message
        return wire.CheckStreamResponse(blocked=wire.Blocked(guard=guard, message=message))


def _is_refusal(batch: Sequence[JsonObject]) -> bool:
    return any(choice["finish_reason"] == "content_filter" for each in batch for choice in each["choices"])

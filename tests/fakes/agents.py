"""Scriptable agents: real servers on port 0 that speak the OpenAI chat completion format, well or badly on purpose.

    async with FakeAgent(reply="Sunny.") as agent:             # JSON or SSE, as the request asks
        ...                                                    # agent.url, agent.requests[0].headers
    async with FakeAgent(behaviour=hang_midstream(chunks=2)) as agent:
        await agent.wait_disconnect()                          # the client gave up on an unfinished answer

A behaviour is one coroutine function, ``async (Exchange) -> None``; `in_turn` gives each request its own. It may be
replaced while the server runs (``agent.behaviour = ...``). When the client goes away it is cancelled.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from router.aio import timeout
from tests.fakes.http_exchange import Connection, Exchange, RecordedRequest, head

Behaviour = Callable[[Exchange], Awaitable[None]]
Reply = str | Callable[[RecordedRequest], str]

DEFAULT_TEXT = "Grüße aus Zürich: 21 °C, überwiegend sonnig ☀️ and calm."


def answer(reply: Reply = DEFAULT_TEXT) -> Behaviour:
    """A good agent: JSON, or SSE word by word when the request asks for a stream."""

    async def behave(exchange: Exchange) -> None:
        if exchange.request.wants_stream:
            await stream(reply)(exchange)
        else:
            await exchange.send_json(completion(_text(reply, exchange.request)))

    return behave


def answer_json(reply: Reply = DEFAULT_TEXT) -> Behaviour:
    """JSON whatever was asked."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send_json(completion(_text(reply, exchange.request)))

    return behave


def echo() -> Behaviour:
    """Answers with the JSON of the messages it was sent."""
    return answer(lambda request: json.dumps(request.messages, ensure_ascii=False))


def stream(reply: Reply = DEFAULT_TEXT, *, gap_s: float = 0.0, torn: bool = False) -> Behaviour:
    """SSE whatever was asked, an event per word, ``gap_s`` apart; ``torn``: every byte in its own HTTP chunk."""

    async def behave(exchange: Exchange) -> None:
        await exchange.begin_stream()
        for event in sse_events(_text(reply, exchange.request), usage=exchange.request.wants_usage):
            for part in [event[i : i + 1] for i in range(len(event))] if torn else [event]:
                await exchange.send_part(part)
                await asyncio.sleep(0)
            if gap_s:
                await asyncio.sleep(gap_s)
        await exchange.end_stream()

    return behave


def fail(
    status: int, message: str = "The agent is broken.", *, code: str = "agent_error", retry_after: str | None = None
) -> Behaviour:
    """An error status with an OpenAI error body."""

    async def behave(exchange: Exchange) -> None:
        error = {"message": message, "type": "agent_failure", "param": None, "code": code}
        headers = {"retry-after": retry_after} if retry_after else None
        await exchange.send_json({"error": error}, status=status, headers=headers)

    return behave


def fail_in_stream(message: str = "The agent broke.", *, chunks: int = 2) -> Behaviour:
    """SSE whose last event is an OpenAI error, and a clean end."""

    async def behave(exchange: Exchange) -> None:
        await _begin_partial(exchange, chunks)
        error = {"error": {"message": message, "type": "agent_failure", "param": None, "code": "agent_error"}}
        await exchange.send_part(_event(error))
        await exchange.end_stream()

    return behave


def hang() -> Behaviour:
    """Takes the request and says nothing, not even a status line."""

    async def behave(exchange: Exchange) -> None:
        await exchange.wait_closed()

    return behave


def hang_midstream(*, chunks: int = 2) -> Behaviour:
    """SSE that stops after some events and keeps the connection open."""

    async def behave(exchange: Exchange) -> None:
        await _begin_partial(exchange, chunks)
        await exchange.wait_closed()

    return behave


def die(*, reset: bool = True) -> Behaviour:
    """Closes the connection before any answer: RST, or a clean FIN."""

    async def behave(exchange: Exchange) -> None:
        exchange.reset() if reset else exchange.finish()

    return behave


def die_midstream(*, chunks: int = 2, reset: bool = True) -> Behaviour:
    """SSE cut off after some events: RST, or a FIN that leaves the chunked body unfinished."""

    async def behave(exchange: Exchange) -> None:
        await _begin_partial(exchange, chunks)
        exchange.reset() if reset else exchange.finish()

    return behave


def end_early(*, chunks: int = 2) -> Behaviour:
    """SSE that is whole as HTTP but lacks its finish_reason and ``[DONE]``."""

    async def behave(exchange: Exchange) -> None:
        await _begin_partial(exchange, chunks)
        await exchange.end_stream()

    return behave


def garbage(data: bytes = b"\x00\xff this is not HTTP \r\n\r\n") -> Behaviour:
    """Bytes that are no HTTP answer, then FIN."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(data)
        exchange.finish()

    return behave


def garbage_body(body: bytes = b"<html>no JSON here</html>", *, content_type: str = "application/json") -> Behaviour:
    """A good HTTP answer around a body that is not what its content type says."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(head(200, {"content-type": content_type, "content-length": str(len(body))}) + body)

    return behave


def endless(*, gap_s: float = 0.0) -> Behaviour:
    """An SSE stream that never ends; it goes on as fast as the client reads when there is no gap."""

    async def behave(exchange: Exchange) -> None:
        await exchange.begin_stream()
        for number in itertools.count():
            await exchange.send_part(_event(_chunk({"content": f"word{number} "})))
            await asyncio.sleep(gap_s)

    return behave


def huge(size: int = 32 * 1024 * 1024) -> Behaviour:
    """An answer of at least ``size`` characters, JSON or SSE as asked."""

    async def behave(exchange: Exchange) -> None:
        piece = "lorem ipsum dolor sit amet " * 2048
        if not exchange.request.wants_stream:
            await exchange.send_json(completion(piece * (size // len(piece) + 1)))
            return
        await exchange.begin_stream()
        for _ in range(size // len(piece) + 1):
            await exchange.send_part(_event(_chunk({"content": piece})))
        await exchange.send_part(_event(_chunk({}, finish_reason="stop")) + b"data: [DONE]\n\n")
        await exchange.end_stream()

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """The first request gets the first behaviour, and so on; the last one stays."""
    remaining = list(behaviours)

    async def behave(exchange: Exchange) -> None:
        await (remaining.pop(0) if len(remaining) > 1 else remaining[0])(exchange)

    return behave


def completion(text: str) -> dict[str, Any]:
    """A chat completion that says ``text``."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "fake-agent",
        "choices": [choice],
        "usage": _usage(text),
    }


def sse_events(text: str, *, usage: bool = False) -> list[bytes]:
    """The SSE events of an answer that says ``text`` word by word, ``[DONE]`` included."""
    chunks = [_chunk({"role": "assistant", "content": ""})]
    chunks += [_chunk({"content": word}) for word in re.findall(r"\s*\S+\s*?|\s+", text)]
    chunks.append(_chunk({}, finish_reason="stop"))
    if usage:
        chunks.append({**_chunk({}), "choices": [], "usage": _usage(text)})
    return [*map(_event, chunks), b"data: [DONE]\n\n"]


@dataclass
class FakeAgent:
    """A running fake; ``url`` is known inside ``async with``. Leaving it closes every connection."""

    reply: Reply = DEFAULT_TEXT
    behaviour: Behaviour | None = None
    requests: list[RecordedRequest] = field(default_factory=list)
    abandoned: int = 0
    """How many answers the client did not wait for."""
    connections_made: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        self._connections: set[Connection] = set()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None

    @property
    def connections_open(self) -> int:
        return len(self._connections)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    async def __aenter__(self) -> FakeAgent:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop listening and drop every connection with RST, as a killed agent does; safe to call twice."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close(reset=True)
        await self._until(lambda: not self._connections, timeout_s=5)

    async def wait_requests(self, count: int = 1, *, timeout_s: float = 5) -> None:
        """Wait until ``count`` requests have arrived since the start."""
        await self._until(lambda: len(self.requests) >= count, timeout_s)

    async def wait_disconnect(self, count: int = 1, *, timeout_s: float = 5) -> None:
        """Wait until clients have given up on ``count`` unfinished answers since the start."""
        await self._until(lambda: self.abandoned >= count, timeout_s)

    async def wait_connections(self, count: int, *, timeout_s: float = 5) -> None:
        """Wait until exactly ``count`` connections are open."""
        await self._until(lambda: self.connections_open == count, timeout_s)

    async def _until(self, fact: Callable[[], bool], timeout_s: float) -> None:
        async with timeout(timeout_s):
            while not fact():
                self._changed.clear()
                await self._changed.wait()

    async def serve(self, exchange: Exchange) -> None:
        self.requests.append(exchange.request)
        self._changed.set()
        await (self.behaviour or answer(self.reply))(exchange)

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        self.connections_made += 1
        self._changed.set()

    def closed(self, connection: Connection, *, abandoned: bool) -> None:
        self._connections.discard(connection)
        self.abandoned += abandoned
        self._changed.set()


async def _begin_partial(exchange: Exchange, chunks: int) -> None:
    await exchange.begin_stream()
    for number in range(chunks):
        await exchange.send_part(_event(_chunk({"content": f"word{number} "})))


def _text(reply: Reply, request: RecordedRequest) -> str:
    return reply if isinstance(reply, str) else reply(request)


def _event(payload: object) -> bytes:
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"


def _chunk(delta: Mapping[str, str], *, finish_reason: str | None = None) -> dict[str, Any]:
    choices: Sequence[object] = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "fake-agent",
        "choices": choices,
    }


def _usage(text: str) -> dict[str, int]:
    words = len(text.split())
    return {"prompt_tokens": 7, "completion_tokens": words, "total_tokens": 7 + words}

"""What the two benchmarks of guards share: the gateway, the agent that speaks at a pace, and a client with a clock.

Agent and client run in one process, so that when a word was said and when it was heard are on one clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from benchmarks.mock_agent import MockAgent, Tally
from benchmarks.prompts import prompt
from benchmarks.targets import FOLDER, STATE, Target, TargetError, running

AGENT_PORT = 9107
_LISTENERS = ("plain", "jailbreak", "moderation", "routing", "together", "answer", "answer-twice")
PORTS = {name: 9108 + place for place, name in enumerate(_LISTENERS)}
GATEWAY = Target(
    "guards",
    "Trident, guards",
    PORTS["plain"],
    (sys.executable, "-m", "router", "up", str(FOLDER / "config" / "guards.yaml"), "--state-dir", str(STATE)),
)
ANSWER_WITHIN_S = 60.0
_END = b"0\r\n\r\n"


def words_of(number: int, count: int) -> list[str]:
    """The words that the agent says to request ``number``: sentences, different ones to every request."""
    words: list[str] = []
    while len(words) < count:
        words += prompt(number * 997 + len(words)).split()
    return [word if place == 0 else f" {word}" for place, word in enumerate(words[:count])]


@dataclass
class Said:
    """When the agent said each word, by the number of the request (``mock-NUMBER``)."""

    words: int
    interval_s: float
    times: dict[int, list[float]] = field(default_factory=dict)


class PacedAgent(MockAgent):
    """Streams one word each ``interval_s``, on a schedule: a late one makes none after it late."""

    def __init__(self, said: Said) -> None:
        super().__init__(Tally())
        self._said = said

    def _answer(self, request: bytes) -> None:
        if b'"stream":true' not in request.replace(b" ", b""):
            super()._answer(request)
            return
        number = int(request.partition(b'"mock-')[2].partition(b'"')[0])
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        self._transport.write(head)
        self._said.times[number] = []
        self._say(number, words_of(number, self._said.words), time.perf_counter() + self._said.interval_s)

    def _say(self, number: int, words: Sequence[str], due: float) -> None:
        if self._transport.is_closing():
            return
        times = self._said.times[number]
        times.append(time.perf_counter())
        self._transport.write(_event({"delta": {"content": words[len(times) - 1]}, "index": 0, "finish_reason": None}))
        if len(times) == len(words):
            end = _event({"delta": {}, "index": 0, "finish_reason": "stop"})
            self._transport.write(end + _part(b"data: [DONE]\n\n") + _END)
            return
        delay = max(0.0, due - time.perf_counter())
        asyncio.get_running_loop().call_later(delay, self._say, number, words, due + self._said.interval_s)


class Exchange(asyncio.Protocol):
    """One request and its answer, with the time at which each piece of it came."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.sent = 0.0
        self.pieces: list[tuple[float, bytes]] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.pieces.append((time.perf_counter(), data))
        if not self.done.done() and _complete(b"".join([piece for _, piece in self.pieces])):
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(TargetError(f"connection lost: {exc or 'closed'}"))

    def close(self) -> None:
        self._transport.abort()

    @property
    def answer(self) -> bytes:
        return b"".join([piece for _, piece in self.pieces])

    def heard(self, words: Sequence[str]) -> list[float]:
        """When each of ``words`` was there. Raises ``TargetError`` where the answer says anything else."""
        times: list[float] = []
        so_far = b""
        for arrived, piece in self.pieces:
            so_far += piece
            text = _text(so_far)
            while len(times) < len(words) and len(text) >= len("".join(words[: len(times) + 1])):
                times.append(arrived)
        if _text(so_far) != "".join(words):
            raise TargetError(f"a wrong answer: {so_far[:300]!r}")
        return times


async def ask(listener: str, number: int, *, stream: bool) -> Exchange:
    """Ask question ``number``, whose answer is complete then. Raises ``TargetError``."""
    message = {"role": "user", "content": prompt(number)}
    body = json.dumps(
        {"model": f"mock-{number if stream else 16}", "messages": [message], "stream": stream}, separators=(",", ":")
    ).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    request = b"%bcontent-length: %d\r\n\r\n%b" % (head.encode(), len(body), body)
    loop = asyncio.get_running_loop()
    _, exchange = await loop.create_connection(lambda: Exchange(request), "127.0.0.1", PORTS[listener])
    try:
        await asyncio.wait_for(exchange.done, ANSWER_WITHIN_S)
    except asyncio.TimeoutError as exc:
        raise TargetError(f"no answer from {listener} within {ANSWER_WITHIN_S} s") from exc
    finally:
        exchange.close()
    if not exchange.answer.startswith(b"HTTP/1.1 200"):
        raise TargetError(f"{listener}: {exchange.answer[:300]!r}")
    return exchange


@asynccontextmanager
async def agent_and_gateway(said: Said) -> AsyncIterator[None]:
    """Both running; the gateway as users start it, on every core that there is."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: PacedAgent(said), "127.0.0.1", AGENT_PORT)
    stack = contextlib.ExitStack()
    async with server:
        await asyncio.to_thread(stack.enter_context, running(GATEWAY, None))
        try:
            yield
        finally:
            await asyncio.to_thread(stack.close)


def numbers(first: int = 1) -> Callable[[], int]:
    """Numbers of requests that were not used yet: what was judged once is remembered."""
    taken = iter(range(first, 10_000_000))
    return lambda: next(taken)


def _complete(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0].strip()
    return len(body) >= int(length) if length else body.endswith(_END)


def _text(answer: bytes) -> str:
    """The text in the whole events of a chunked answer."""
    rest, events = answer.partition(b"\r\n\r\n")[2], b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if not size:
            break
        length = int(size.split(b";")[0], 16)
        events, rest = events + rest[:length], rest[length + 2 :]
    texts = []
    for event in events.split(b"\n\n")[:-1]:
        data = event.partition(b"data: ")[2]
        if data and data != b"[DONE]":
            texts += [choice["delta"].get("content") or "" for choice in json.loads(data)["choices"]]
    return "".join(texts)


def _event(choice: object) -> bytes:
    chunk = {
        "id": "chatcmpl-mock",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "mock",
        "choices": [choice],
    }
    return _part(b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n")


def _part(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)

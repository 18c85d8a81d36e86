"""Time that passes when told, and upstreams that answer by script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import orjson
import pytest

from router.context import RequestContext
from router.dialects import openai_chat
from router.dialects.canonical import ChatRequest
from router.errors import UpstreamStatus, UpstreamUnreachable
from router.upstream.chat import Upstream
from router.upstream.cluster import Member
from router.upstream.fallback import Fallback, FallbackPolicy
from tests.fakes.counters import RecordedMetrics

DOWN = UpstreamUnreachable("'x' cannot be reached.")

# What one try does: say something, fail, or whatever a coroutine function does before it says something.
Step = bytes | BaseException | Callable[[], Awaitable[bytes]]


@dataclass
class Clock:
    """A monotonic clock and a ``sleep`` that moves it; every pause is noted."""

    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class ScriptedUpstream:
    """Takes one step per try, the last one again and again; a stream says the step's bytes, then ``rest``."""

    def __init__(self, *steps: Step, rest: tuple[Step, ...] = (b"rest",)) -> None:
        self._steps = list(steps)
        self._rest = rest
        self.asked: list[ChatRequest] = []
        self.running = 0
        self.changed = asyncio.Event()

    async def complete(self, request: ChatRequest, context: RequestContext) -> bytes:
        self._begin(request)
        try:
            return await _take(self._next())
        finally:
            self._end()

    async def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
        self._begin(request)
        try:
            yield await _take(self._next())
            for step in self._rest:
                yield await _take(step)
        finally:
            self._end()

    def _next(self) -> Step:
        return self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]

    def _begin(self, request: ChatRequest) -> None:
        self.asked.append(request)
        self.running += 1
        self.changed.set()

    def _end(self) -> None:
        self.running -= 1
        self.changed.set()


async def _take(step: Step) -> bytes:
    if isinstance(step, BaseException):
        raise step
    return step if isinstance(step, bytes) else await step()


async def hang() -> bytes:
    """Never says anything."""
    await asyncio.Event().wait()
    raise AssertionError


@dataclass
class Gateway:
    """A ``Fallback`` on a clock of its own, with what it counted; ``dice`` are all the same."""

    policy: FallbackPolicy = field(default_factory=FallbackPolicy)
    dice: float = 0.5

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.recorded = RecordedMetrics()
        self.fallback = Fallback(
            self.policy,
            self.recorded.metrics,
            clock=self.clock,
            random=lambda: self.dice,
            sleep=self.clock.sleep,
        )

    def member(
        self, name: str, *steps: Step, context_window: int | None = None, own_credentials: bool = True
    ) -> Member:
        return self.fallback.member(
            name, ScriptedUpstream(*steps), context_window=context_window, own_credentials=own_credentials
        )

    def context(self, *, timeout_s: float = 60) -> RequestContext:
        return RequestContext("req-1", "front", "/v1/chat/completions", {}, self.clock.now + timeout_s)


def scripted(member: Member) -> ScriptedUpstream:
    """The script behind a member."""
    assert isinstance(member.upstream, ScriptedUpstream)
    return member.upstream


def request(model: str = "m", *, stream: bool = False) -> ChatRequest:
    payload = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    return openai_chat.decode_request(orjson.dumps(payload))


def status(code: int, *, retry_after_s: float | None = None, message: str = "no", reason: str = "x") -> UpstreamStatus:
    """The error of a provider that answered with status ``code``."""
    return UpstreamStatus(message, status=code, code=reason, type_="t", retry_after_s=retry_after_s)


async def streamed(upstream: Upstream, context: RequestContext) -> bytes:
    """The pieces of a streamed answer, with bars between them."""
    async with aclosing(upstream.stream(request(stream=True), context)) as events:
        return b"|".join([piece async for piece in events])


async def whole(upstream: Upstream, context: RequestContext) -> bytes:
    """A whole answer, which looks like the stream of a ``ScriptedUpstream``."""
    return await upstream.complete(request(), context) + b"|rest"


Ask = Callable[[Upstream, RequestContext], Awaitable[bytes]]
both_ways = pytest.mark.parametrize("ask", [whole, streamed])


def tried(context: RequestContext) -> list[tuple[str, str, str | None]]:
    """Upstream, model and outcome of each try."""
    return [(attempt.upstream, attempt.model, attempt.outcome) for attempt in context.attempts]

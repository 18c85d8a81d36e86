"""Once an answer has begun, and when nobody waits for it any longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from router.context import RequestContext
from router.dialects.canonical import ChatRequest, Usage
from router.errors import (
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from router.telemetry import semconv
from router.upstream.cluster import Candidate
from router.upstream.fallback import FallbackPolicy
from tests.upstream.scripted import (
    DOWN,
    Ask,
    Gateway,
    ScriptedUpstream,
    both_ways,
    hang,
    request,
    scripted,
    status,
    streamed,
    tried,
)


@pytest.mark.parametrize("error", [DOWN, UpstreamTimeout("x"), status(500), status(429, retry_after_s=1)])
async def test_there_is_no_other_try_once_the_answer_has_begun(error: UpstreamError) -> None:
    gateway = Gateway()
    east = gateway.fallback.member("east", ScriptedUpstream(b"hello", rest=(b"more", error)))
    west = gateway.member("west", b"no")
    context = gateway.context()
    events = gateway.fallback.to([Candidate((east, west), "m")]).stream(request(), context)
    assert [await anext(events), await anext(events)] == [b"hello", b"more"]
    with pytest.raises(UpstreamError) as caught:
        await anext(events)
    assert caught.value is error
    assert tried(context) == [("east", "m", error.code)]
    assert (east.outstanding, scripted(east).running) == (0, 0)


async def test_streams_that_keep_breaking_open_the_breaker() -> None:
    gateway = Gateway()
    east = gateway.fallback.member("east", ScriptedUpstream(b"hello", rest=(DOWN,)))
    for _ in range(gateway.policy.breaker.min_requests):
        if east.breaker.state == "closed":
            with pytest.raises(UpstreamUnreachable):
                await streamed(gateway.fallback.to([Candidate((east,), "m")]), gateway.context())
    assert east.breaker.state == "open"


@both_ways
async def test_a_client_that_goes_away_before_the_answer_releases_everything(ask: Ask) -> None:
    gateway = Gateway()
    east, west = gateway.member("east", hang), gateway.member("west", b"no")
    context = gateway.context()
    task = asyncio.ensure_future(ask(gateway.fallback.to([Candidate((east, west), "m")]), context))
    while not scripted(east).running:
        await scripted(east).changed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tried(context) == [("east", "m", "cancelled")]
    assert (east.outstanding, scripted(east).running, scripted(west).asked) == (0, 0, [])
    assert gateway.recorded.count(semconv.UPSTREAM_ATTEMPTS, "east", "cancelled") == 1


async def test_a_client_that_goes_away_in_mid_stream_releases_everything() -> None:
    gateway = Gateway()
    east = gateway.fallback.member("east", ScriptedUpstream(b"hello", rest=(hang,)))
    context = gateway.context()
    events = gateway.fallback.to([Candidate((east,), "m")]).stream(request(), context)
    assert await anext(events) == b"hello"
    assert east.outstanding == 1
    await events.aclose()
    assert tried(context) == [("east", "m", "cancelled")]
    assert context.attempts[0].first_byte_s is not None
    assert (east.outstanding, scripted(east).running) == (0, 0)


async def test_a_client_that_goes_away_during_a_pause_is_not_served() -> None:
    gateway = Gateway()
    pausing = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pausing.set()
        await asyncio.Event().wait()

    gateway.fallback.sleep = sleep
    east = gateway.member("east", DOWN)
    task = asyncio.ensure_future(gateway.fallback.to([Candidate((east,), "m")]).complete(request(), gateway.context()))
    await pausing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(scripted(east).asked) == 1


async def test_a_probe_that_nobody_waited_for_frees_its_place() -> None:
    gateway = Gateway()
    east = gateway.member("east", *[DOWN] * 5, hang)
    upstream = gateway.fallback.to([Candidate((east,), "m")], max_retries=4)
    with pytest.raises(UpstreamUnreachable):
        await upstream.complete(request(), gateway.context())
    gateway.clock.now += 10
    for _ in range(5):
        task = asyncio.ensure_future(upstream.complete(request(), gateway.context()))
        while not scripted(east).running:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (east.breaker.state, east.breaker.admits(gateway.clock.now)) == ("half_open", True)


async def test_a_member_that_kept_a_request_waiting_to_its_end_has_failed() -> None:
    gateway = Gateway()
    east = gateway.member("east", hang)
    for _ in range(gateway.policy.breaker.consecutive_failures):
        context = gateway.context(timeout_s=5)
        task = asyncio.ensure_future(gateway.fallback.to([Candidate((east,), "m")]).complete(request(), context))
        while not scripted(east).running:
            await asyncio.sleep(0)
        gateway.clock.now += 5
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert tried(context) == [("east", "m", "upstream_timeout")]
    assert east.breaker.state == "open"


async def test_a_defect_is_no_reason_to_try_again() -> None:
    gateway = Gateway()
    east, west = gateway.member("east", KeyError("choices")), gateway.member("west", b"no")
    context = gateway.context()
    with pytest.raises(KeyError):
        await gateway.fallback.to([Candidate((east, west), "m")]).complete(request(), context)
    assert tried(context) == [("east", "m", "internal_error")]
    assert east.outstanding == 0


async def test_a_stream_that_does_not_begin_in_time_is_tried_elsewhere() -> None:
    gateway = Gateway(FallbackPolicy(first_byte_timeout_s=0.05))
    east, west = gateway.member("east", hang), gateway.member("west", b"hello")
    context = gateway.context()
    assert await streamed(gateway.fallback.to([Candidate((east, west), "m")]), context) == b"hello|rest"
    assert tried(context) == [("east", "m", "upstream_timeout"), ("west", "m", "ok")]
    assert scripted(east).running == 0


async def test_the_deadline_of_the_first_byte_is_not_one_of_the_rest() -> None:
    gateway = Gateway(FallbackPolicy(first_byte_timeout_s=0.05))

    async def slow() -> bytes:
        await asyncio.sleep(0.15)
        return b"late"

    east = gateway.fallback.member("east", ScriptedUpstream(b"hello", rest=(slow,)))
    assert await streamed(gateway.fallback.to([Candidate((east,), "m")]), gateway.context()) == b"hello|late"


async def test_latency_is_measured_where_it_says_something() -> None:
    gateway = Gateway()

    async def answer() -> bytes:
        gateway.clock.now += 0.5
        return b"hello"

    async def finish() -> bytes:
        gateway.clock.now += 2
        return b"end"

    class Counting(ScriptedUpstream):
        async def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
            async with aclosing(super().stream(request, context)) as events:
                async for piece in events:
                    yield piece
            context.usage = Usage(10, 100)

    east = gateway.fallback.member("east", Counting(answer, rest=(finish,)))
    upstream = gateway.fallback.to([Candidate((east,), "m")])
    for _ in range(5):
        await streamed(upstream, gateway.context())
    assert east.latency.measured_latency("m") == 0.5
    assert east.latency.seconds_per_token("m") == pytest.approx(0.02)

"""Streams that are slow to begin, and the company that they get."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import pytest

from router.context import RequestContext
from router.dialects.canonical import ChatRequest, Usage
from router.upstream.cluster import Candidate, Member
from router.upstream.fallback import FallbackPolicy
from tests.upstream.scripted import DOWN, Gateway, ScriptedUpstream, Step, hang, request, scripted, status, streamed


def hedging(*, max_retries: int = 2, ratio: float = 0.2) -> Gateway:
    return Gateway(
        FallbackPolicy(max_retries=max_retries, retry_budget_ratio=ratio, hedge_after_at_least_s=0.01),
    )


def known(gateway: Gateway, name: str, *steps: Step, rest: tuple[Step, ...] = (b"rest",)) -> Member:
    """A member whose streams began within a millisecond so far."""
    member = gateway.fallback.member(name, ScriptedUpstream(*steps, rest=rest))
    for _ in range(20):
        member.latency.stream_began("m", 0.001, gateway.clock.now)
    return member


async def unanswered(answer: Awaitable[bytes]) -> bool:
    """Whether there is still no answer after several times the delay of a hedge."""
    task = asyncio.ensure_future(answer)
    done, _ = await asyncio.wait([task], timeout=0.05)
    task.cancel()
    await asyncio.wait([task])
    return not done


def outcomes(context: RequestContext) -> list[tuple[str, str | None]]:
    return [(attempt.upstream, attempt.outcome) for attempt in context.attempts]


async def test_a_slow_stream_is_overtaken() -> None:
    gateway = hedging()
    east, west = known(gateway, "east", hang), known(gateway, "west", b"hello")
    context = gateway.context()
    assert await streamed(gateway.fallback.to([Candidate((east, west), "m")]), context) == b"hello|rest"
    assert outcomes(context) == [("east", "cancelled"), ("west", "ok")]
    assert (east.outstanding, west.outstanding, scripted(east).running) == (0, 0, 0)
    assert east.breaker.state == "closed"


async def test_how_long_an_overtaken_stream_took_is_not_forgotten() -> None:
    gateway = hedging()

    async def answer() -> bytes:
        gateway.clock.now += 3
        return b"hello"

    east, west = known(gateway, "east", hang), known(gateway, "west", answer)
    for _ in range(2):
        east.credit = 10  # its turn
        await streamed(gateway.fallback.to([Candidate((east, west), "m")]), gateway.context())
    assert east.latency.first_byte_p95("m") == 3


async def test_a_probe_has_no_company() -> None:
    gateway = hedging()
    east, west = known(gateway, "east", hang), known(gateway, "west", b"hello")
    while east.breaker.state == "closed":
        east.breaker.failed(east.breaker.enter(gateway.clock.now), gateway.clock.now)
    gateway.clock.now += 100
    assert await unanswered(streamed(gateway.fallback.to([Candidate((east, west), "m")]), gateway.context()))
    assert scripted(west).asked == []


async def test_the_stream_that_is_heard_is_the_newest_attempt() -> None:
    gateway = hedging()
    asked = asyncio.Event()

    async def wait() -> bytes:
        await asked.wait()
        return b"hello"

    async def never() -> bytes:
        asked.set()
        return await hang()

    east, west = known(gateway, "east", wait), known(gateway, "west", never)
    context = gateway.context()
    assert await streamed(gateway.fallback.to([Candidate((east, west), "m")]), context) == b"hello|rest"
    assert outcomes(context) == [("west", "cancelled"), ("east", "ok")]


async def test_a_whole_answer_is_not_hedged() -> None:
    gateway = hedging()
    east, west = known(gateway, "east", hang), known(gateway, "west", b"hello")
    upstream = gateway.fallback.to([Candidate((east, west), "m")])
    assert await unanswered(upstream.complete(request(), gateway.context()))
    assert scripted(west).asked == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: (hedging(max_retries=0), known),
        lambda: (hedging(), lambda gateway, name, *steps: gateway.member(name, *steps)),  # nothing is known of it
        lambda: (Gateway(), known),  # hedging is off
    ],
)
async def test_there_is_no_company_where_it_is_not_allowed(
    make: Callable[[], tuple[Gateway, Callable[..., Member]]],
) -> None:
    gateway, member = make()
    east, west = member(gateway, "east", hang), member(gateway, "west", b"hello")
    assert await unanswered(streamed(gateway.fallback.to([Candidate((east, west), "m")]), gateway.context()))
    assert scripted(west).asked == []


async def test_company_is_for_the_same_model() -> None:
    gateway = hedging()
    east, west = known(gateway, "east", hang), known(gateway, "west", b"hello")
    upstream = gateway.fallback.to([Candidate((east,), "m"), Candidate((west,), "other")])
    assert await unanswered(streamed(upstream, gateway.context()))
    assert scripted(west).asked == []


async def test_company_is_within_the_budget() -> None:
    gateway = hedging(ratio=0.0)
    east, west = known(gateway, "east", hang), known(gateway, "west", b"hello")
    upstream = gateway.fallback.to([Candidate((east, west), "m")])
    while gateway.fallback.budget.withdraw(gateway.clock.now):
        pass
    assert await unanswered(streamed(upstream, gateway.context()))
    assert scripted(west).asked == []


async def test_when_both_fail_the_search_goes_on() -> None:
    gateway = hedging()
    asked = asyncio.Event()

    async def wait() -> bytes:
        await asked.wait()
        raise DOWN

    async def fail() -> bytes:
        asked.set()
        raise status(500)

    east, west = known(gateway, "east", wait), known(gateway, "west", fail)
    south = known(gateway, "south", b"hello")
    context = gateway.context()
    upstream = gateway.fallback.to([Candidate((east, west), "m"), Candidate((south,), "m")])
    assert await streamed(upstream, context) == b"hello|rest"
    assert sorted(outcomes(context)) == [("east", DOWN.code), ("south", "ok"), ("west", "x")]


async def test_a_client_that_goes_away_ends_both() -> None:
    gateway = hedging()
    east, west = known(gateway, "east", hang), known(gateway, "west", hang)
    context = gateway.context()
    task = asyncio.ensure_future(streamed(gateway.fallback.to([Candidate((east, west), "m")]), context))
    while not scripted(west).running:
        await scripted(west).changed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcomes(context) == [("east", "cancelled"), ("west", "cancelled")]
    assert (east.outstanding, west.outstanding, scripted(east).running, scripted(west).running) == (0, 0, 0, 0)


async def test_usage_is_that_of_the_stream_that_is_heard() -> None:
    class Counting(ScriptedUpstream):
        def __init__(self, step: Callable[[], Awaitable[bytes]], usage: Usage) -> None:
            super().__init__(step)
            self._usage = usage

        async def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
            context.usage = self._usage
            async with aclosing(super().stream(request, context)) as events:
                async for piece in events:
                    yield piece

    async def answer() -> bytes:
        return b"hello"

    gateway = hedging()
    east = gateway.fallback.member("east", Counting(hang, Usage(1, 1)))
    west = gateway.fallback.member("west", Counting(answer, Usage(2, 2)))
    for _ in range(20):
        east.latency.stream_began("m", 0.001, gateway.clock.now)
    context = gateway.context()
    await streamed(gateway.fallback.to([Candidate((east, west), "m")]), context)
    assert context.usage == Usage(2, 2)

"""What holds whatever providers do."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from hypothesis import given, settings
from hypothesis import strategies as st

from router.context import RequestContext
from router.errors import (
    GatewayError,
    InvalidRequest,
    UpstreamTimeout,
)
from router.upstream.chat import Upstream
from router.upstream.cluster import Candidate, Member
from router.upstream.fallback import FallbackPolicy
from tests.upstream.scripted import (
    DOWN,
    Gateway,
    ScriptedUpstream,
    hang,
    request,
    scripted,
    status,
)

_ERRORS: dict[str, GatewayError] = {
    "down": DOWN,
    "500": status(500),
    "429": status(429),
    "limited": status(429, retry_after_s=2),
    "401": status(401),
    "400": status(400),
    "long": status(400, reason="context_length_exceeded"),
    "words": InvalidRequest("no"),
}


@given(
    script=st.lists(st.lists(st.sampled_from(["ok", *_ERRORS]), min_size=1, max_size=4), min_size=1, max_size=5),
    split=st.integers(1, 5),
    max_retries=st.integers(0, 5),
    streams=st.booleans(),
    breaks=st.booleans(),
)
def test_tries_are_bounded_complete_and_end_with_the_first_byte(
    script: list[list[str]], split: int, max_retries: int, streams: bool, breaks: bool
) -> None:
    gateway = Gateway(FallbackPolicy(max_retries=max_retries))
    rest: tuple[bytes | BaseException, ...] = (b"rest", UpstreamTimeout("late")) if breaks else (b"rest",)
    members: list[Member] = []
    for number, steps in enumerate(script):
        upstream = ScriptedUpstream(*[_ERRORS.get(step, b"hello") for step in steps], rest=rest)
        members.append(gateway.fallback.member(f"m{number}", upstream, context_window=1000 * number or None))
    candidates = [Candidate(tuple(members[:split]), "a")]
    if members[split:]:
        candidates.append(Candidate(tuple(members[split:]), "b"))

    async def take(upstream: Upstream, context: RequestContext, got: list[bytes]) -> None:
        if not streams:
            got.append(await upstream.complete(request("a"), context))
            return
        events = upstream.stream(request("a"), context)
        got.append(await anext(events))
        got.extend([piece async for piece in events])

    async def ask() -> None:
        for _ in range(6):
            context = gateway.context(timeout_s=30)
            upstream = gateway.fallback.to(candidates)
            before = sum(len(scripted(member).asked) for member in members)
            got: list[bytes] = []
            error: GatewayError | None = None
            try:
                await take(upstream, context, got)
            except GatewayError as exc:
                error = exc
            attempts = context.attempts
            assert len(attempts) == sum(len(scripted(member).asked) for member in members) - before
            assert len(attempts) <= 1 + max_retries
            assert all(attempt.outcome and attempt.duration_s is not None for attempt in attempts)
            begun = [attempt for attempt in attempts if attempt.outcome == "ok" or attempt.first_byte_s is not None]
            assert begun == (attempts[-1:] if got else [])
            assert bool(error) == (not got or (streams and breaks))
            assert all(member.outstanding == 0 and scripted(member).running == 0 for member in members)

    asyncio.run(ask())


@settings(max_examples=60)
@given(
    scripts=st.lists(
        st.lists(st.sampled_from(["ok", "hang", *_ERRORS]), min_size=1, max_size=6), min_size=2, max_size=4
    ),
    patience=st.lists(st.integers(0, 12), min_size=1, max_size=12),
    rest_hangs=st.booleans(),
)
def test_nothing_is_left_when_clients_go_away_at_any_moment(
    scripts: list[list[str]], patience: list[int], rest_hangs: bool
) -> None:
    gateway = Gateway(FallbackPolicy(hedge_after_at_least_s=0.0001))
    members = []
    for number, steps in enumerate(scripts):
        script = [hang if step == "hang" else _ERRORS.get(step, b"hello") for step in steps]
        upstream = ScriptedUpstream(*script, rest=(hang,) if rest_hangs else (b"rest",))
        members.append(gateway.fallback.member(f"m{number}", upstream))
        for _ in range(20):
            members[-1].latency.stream_began("m", 0.00001, gateway.clock.now)

    async def ask(context: RequestContext) -> None:
        events = gateway.fallback.to([Candidate(tuple(members), "m")]).stream(request(), context)
        async with aclosing(events):
            async for _ in events:
                pass

    async def scenario() -> None:
        contexts = [gateway.context() for _ in patience]
        tasks = [asyncio.ensure_future(ask(context)) for context in contexts]
        for tick in range(max(patience) + 1):
            for task, ticks in zip(tasks, patience, strict=True):
                if ticks == tick:
                    task.cancel()
            await asyncio.sleep(0.0002 if tick % 3 == 0 else 0)
        done, running = await asyncio.wait(tasks, timeout=5)
        assert not running
        for task in done:
            assert task.cancelled() or isinstance(task.exception(), (GatewayError, type(None)))
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert [member.outstanding for member in members] == [0] * len(members)
        assert [scripted(member).running for member in members] == [0] * len(members)
        assert all(attempt.outcome for context in contexts for attempt in context.attempts)
        gateway.clock.now += 1000
        assert all(member.admits("m", gateway.clock.now) for member in members)

    asyncio.run(scenario())

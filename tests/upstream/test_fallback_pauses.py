"""When others are not there: pauses, rate limits, the retry budget, circuit breakers."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from router.errors import (
    GatewayError,
    InvalidRequest,
    ProviderUnavailable,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from router.telemetry import semconv
from router.upstream.cluster import Candidate
from router.upstream.fallback import FallbackPolicy
from router.upstream.retry import Backoff
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


@both_ways
async def test_the_only_one_is_tried_again_after_growing_pauses(ask: Ask) -> None:
    gateway = Gateway(FallbackPolicy(max_retries=3, backoff=Backoff(0.1, 5)), dice=1.0)
    east = gateway.member("east", DOWN, status(500), UpstreamTimeout("x"), b"hello")
    context = gateway.context()
    assert await ask(gateway.fallback.to([Candidate((east,), "m")]), context) == b"hello|rest"
    assert gateway.clock.pauses == pytest.approx([0.1, 0.2, 0.4])
    assert len(context.attempts) == 4


async def test_a_new_round_begins_with_the_first_choice() -> None:
    gateway = Gateway()
    east, west = gateway.member("east", DOWN, b"hello"), gateway.member("west", DOWN)
    context = gateway.context()
    await gateway.fallback.to([Candidate((east,), "big"), Candidate((west,), "small")]).complete(request(), context)
    assert [name for name, _, _ in tried(context)] == ["east", "west", "east"]
    assert len(gateway.clock.pauses) == 1


@pytest.mark.parametrize(("retries", "policy"), [(0, 5), (1, 5), (3, 0), (None, 2)])
async def test_the_number_of_tries_is_bounded(retries: int | None, policy: int) -> None:
    gateway = Gateway(FallbackPolicy(max_retries=policy))
    east = gateway.member("east", DOWN)
    context = gateway.context()
    with pytest.raises(UpstreamUnreachable):
        await gateway.fallback.to([Candidate((east,), "m")], max_retries=retries).complete(request(), context)
    assert len(context.attempts) == 1 + (policy if retries is None else retries)


async def test_nothing_is_tried_when_the_time_is_up() -> None:
    gateway = Gateway(FallbackPolicy(backoff=Backoff(1.0, 1.0)), dice=1.0)

    async def slow() -> bytes:
        gateway.clock.now += 9.5
        raise DOWN

    east, west = gateway.member("east", slow), gateway.member("west", slow)
    context = gateway.context(timeout_s=10)
    with pytest.raises(UpstreamUnreachable):
        await gateway.fallback.to([Candidate((east,), "m")]).complete(request(), context)
    assert (len(context.attempts), gateway.clock.pauses) == (1, [])
    for timeout_s, tries in ((10, 2), (9.5, 1)):
        context = gateway.context(timeout_s=timeout_s)
        with pytest.raises(UpstreamUnreachable):
            await gateway.fallback.to([Candidate((east, west), "m")]).complete(request(), context)
        assert len(context.attempts) == tries


async def test_further_tries_stay_within_the_budget() -> None:
    gateway = Gateway(FallbackPolicy(retry_budget_ratio=0.0))
    answers = [gateway.member(f"m{number}", status(403)) for number in range(3)]
    tries = 0
    for _ in range(20):
        context = gateway.context()
        with pytest.raises(UpstreamStatus):
            await gateway.fallback.to([Candidate(tuple(answers), "m")]).complete(request(), context)
        tries += len(context.attempts)
    assert tries == 20 + 20


async def test_a_rate_limit_that_ends_soon_is_waited_for() -> None:
    gateway = Gateway(FallbackPolicy(backoff=Backoff(0.1, 5)), dice=0.5)
    east = gateway.member("east", status(429, retry_after_s=2), b"hello")
    assert await gateway.fallback.to([Candidate((east,), "m")]).complete(request(), gateway.context()) == b"hello"
    assert gateway.clock.pauses == pytest.approx([2.05])
    assert east.breaker.state == "closed"


@pytest.mark.parametrize(("retry_after_s", "timeout_s"), [(6, 60), (3, 2)])
async def test_one_that_ends_late_is_handed_on(retry_after_s: float, timeout_s: float) -> None:
    gateway = Gateway(FallbackPolicy(backoff=Backoff(0.1, 5)))
    east = gateway.member("east", status(429, retry_after_s=retry_after_s))
    context = gateway.context(timeout_s=timeout_s)
    with pytest.raises(UpstreamStatus) as caught:
        await gateway.fallback.to([Candidate((east,), "m")]).complete(request(), context)
    assert (caught.value.status, caught.value.retry_after_s) == (429, retry_after_s)
    assert len(context.attempts) == 1


async def test_whoever_asked_to_be_left_alone_is_left_alone_by_all_requests() -> None:
    gateway = Gateway()
    east, west = gateway.member("east", status(429, retry_after_s=30), b"again"), gateway.member("west", b"hello")
    upstream = gateway.fallback.to([Candidate((east, west), "m")])
    for _ in range(4):
        assert await upstream.complete(request(), gateway.context()) == b"hello"
    assert len(scripted(east).asked) == 1
    gateway.clock.now += 30
    assert {await upstream.complete(request(), gateway.context()) for _ in range(2)} == {b"again", b"hello"}


async def test_when_all_are_rate_limited_it_says_when_the_first_limit_ends() -> None:
    gateway = Gateway()
    east = gateway.member("east", status(429, retry_after_s=20))
    west = gateway.member("west", status(429, retry_after_s=50))
    upstream = gateway.fallback.to([Candidate((east, west), "m")])
    with pytest.raises(UpstreamStatus) as caught:
        await upstream.complete(request(), gateway.context())
    assert (caught.value.status, caught.value.retry_after_s) == (429, 20)
    gateway.clock.now += 5
    context = gateway.context()
    with pytest.raises(UpstreamStatus) as refused:
        await upstream.complete(request(), context)
    assert (refused.value.status, refused.value.code, refused.value.retry_after_s) == (429, "rate_limit_exceeded", 15)
    assert context.attempts == []


async def test_a_rate_limit_beside_an_outage_does_not_say_when() -> None:
    gateway = Gateway()
    east, west = gateway.member("east", status(429, retry_after_s=20)), gateway.member("west", status(500))
    with pytest.raises(UpstreamStatus) as caught:
        await gateway.fallback.to([Candidate((east, west), "m")], max_retries=1).complete(request(), gateway.context())
    assert (caught.value.status, caught.value.retry_after_s) == (500, None)


async def test_an_overloaded_provider_is_not_asked_before_its_time_either() -> None:
    gateway = Gateway(dice=0.0)
    east = gateway.member("east", status(503, retry_after_s=3), b"hello")
    assert await gateway.fallback.to([Candidate((east,), "m")]).complete(request(), gateway.context()) == b"hello"
    assert gateway.clock.pauses == [3]


async def test_whoever_keeps_failing_is_not_asked_any_more() -> None:
    gateway = Gateway()
    east, west = gateway.member("east", DOWN), gateway.member("west", b"hello")
    upstream = gateway.fallback.to([Candidate((east, west), "m")])
    for _ in range(50):
        assert await upstream.complete(request(), gateway.context()) == b"hello"
    assert len(scripted(east).asked) == gateway.policy.breaker.consecutive_failures
    assert gateway.recorded.count(semconv.BREAKER_CHANGES, "east", "open") == 1


async def test_while_all_are_open_requests_fail_at_once_and_then_probe() -> None:
    gateway = Gateway(dice=0.5)
    east = gateway.member("east", *[DOWN] * 5, b"hello")
    upstream = gateway.fallback.to([Candidate((east,), "m")], max_retries=0)
    for _ in range(5):
        with pytest.raises(UpstreamUnreachable):
            await upstream.complete(request(), gateway.context())
    context = gateway.context()
    with pytest.raises(ProviderUnavailable) as caught:
        await upstream.complete(request(), context)
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (503, "provider_unavailable", 5)
    assert context.attempts == []
    gateway.clock.now += 5
    for _ in range(3):
        assert await upstream.complete(request(), gateway.context()) == b"hello"
    assert east.breaker.state == "closed"


async def test_an_open_breaker_is_not_waited_for() -> None:
    gateway = Gateway(FallbackPolicy(max_retries=10))
    east = gateway.member("east", DOWN)
    context = gateway.context()
    with pytest.raises(UpstreamUnreachable):
        await gateway.fallback.to([Candidate((east,), "m")]).complete(request(), context)
    assert len(context.attempts) == gateway.policy.breaker.consecutive_failures
    assert len(gateway.clock.pauses) == len(context.attempts) - 1


@pytest.mark.parametrize(
    ("error", "state"),
    [(status(400), "closed"), (status(429, retry_after_s=1), "closed"), (InvalidRequest("no"), "half_open")],
)
async def test_a_probe_that_is_answered_proves_that_a_member_works_and_one_that_was_not_sent_does_not(
    error: GatewayError, state: str
) -> None:
    gateway = Gateway()
    east = gateway.member("east", *[DOWN] * 5, error)
    upstream = gateway.fallback.to([Candidate((east,), "m")], max_retries=0)
    for _ in range(5):
        with pytest.raises(UpstreamUnreachable):
            await upstream.complete(request(), gateway.context())
    gateway.clock.now += 10
    for _ in range(3):
        with pytest.raises(type(error)):
            await upstream.complete(request(), gateway.context())
        gateway.clock.now += 1
    assert east.breaker.state == state


async def test_the_first_event_of_a_probe_proves_that_a_member_works() -> None:
    gateway = Gateway()
    east = gateway.fallback.member("east", ScriptedUpstream(*[DOWN] * 5, b"hello", rest=(hang,)))
    upstream = gateway.fallback.to([Candidate((east,), "m")], max_retries=4)
    with pytest.raises(UpstreamUnreachable):
        await streamed(upstream, gateway.context())
    gateway.clock.now += 10
    first, second = (upstream.stream(request(), gateway.context()) for _ in range(2))
    async with aclosing(first), aclosing(second):
        assert [await anext(first), await anext(second)] == [b"hello", b"hello"]
        assert east.breaker.state == "closed"


async def test_wrong_requests_do_not_open_a_breaker() -> None:
    gateway = Gateway()
    east = gateway.member("east", status(400))
    upstream = gateway.fallback.to([Candidate((east,), "m")])
    for _ in range(50):
        with pytest.raises(UpstreamStatus):
            await upstream.complete(request(), gateway.context())
    assert east.breaker.state == "closed"

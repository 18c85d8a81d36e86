"""Fail-over by script: who is tried, in which order, and what the client is told."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from router.context import RequestContext
from router.dialects.canonical import ChatRequest, Usage
from router.errors import (
    GatewayError,
    InvalidRequest,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamStatus,
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
    request,
    scripted,
    status,
    streamed,
    tried,
)


@both_ways
async def test_the_first_one_answers(ask: Ask) -> None:
    gateway = Gateway()
    east, west = gateway.member("east", b"hello"), gateway.member("west", b"no")
    context = gateway.context()
    upstream = gateway.fallback.to([Candidate((east, west), "m")])
    assert await ask(upstream, context) == b"hello|rest"
    assert tried(context) == [("east", "m", "ok")]
    assert context.attempts[0].status == 200
    assert (east.outstanding, west.outstanding) == (0, 0)
    assert scripted(west).asked == []
    assert gateway.recorded.count(semconv.UPSTREAM_ATTEMPTS, "east", "ok") == 1


async def test_a_request_for_the_same_model_goes_out_as_it_is() -> None:
    gateway = Gateway()
    east = gateway.member("east", b"hello")
    sent = request("m")
    await gateway.fallback.to([Candidate((east,), "m")]).complete(sent, gateway.context())
    assert scripted(east).asked == [sent]


async def test_times_are_counted_from_the_start_of_each_try() -> None:
    gateway = Gateway()

    async def fail() -> bytes:
        gateway.clock.now += 2
        raise DOWN

    async def answer() -> bytes:
        gateway.clock.now += 0.5
        return b"hello"

    async def finish() -> bytes:
        gateway.clock.now += 3
        return b"end"

    east = gateway.member("east", fail)
    west = gateway.fallback.member("west", ScriptedUpstream(answer, rest=(finish,)))
    context = gateway.context()
    await streamed(gateway.fallback.to([Candidate((east, west), "m")]), context)
    first, second = context.attempts
    assert (first.started, first.first_byte_s, first.duration_s) == (1000, None, 2)
    assert (second.started, second.first_byte_s, second.duration_s) == (1002, 0.5, 3.5)


async def test_nobody_to_ask_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="somebody"):
        Gateway().fallback.to([])


@both_ways
@pytest.mark.parametrize(
    "error",
    [DOWN, UpstreamTimeout("x"), UpstreamProtocolError("x"), *map(status, (401, 402, 403, 408, 429, 500, 503, 529))],
)
async def test_what_may_work_elsewhere_is_tried_there_at_once(ask: Ask, error: UpstreamError) -> None:
    gateway = Gateway()
    east, west = gateway.member("east", error), gateway.member("west", b"hello")
    context = gateway.context()
    assert await ask(gateway.fallback.to([Candidate((east, west), "m")]), context) == b"hello|rest"
    assert tried(context) == [("east", "m", error.code), ("west", "m", "ok")]
    assert context.attempts[0].status == (error.status if isinstance(error, UpstreamStatus) else None)
    assert gateway.clock.pauses == []
    assert (east.outstanding, west.outstanding) == (0, 0)


@both_ways
@pytest.mark.parametrize("error", [*map(status, (400, 404, 405, 409, 413, 422))])
async def test_a_wrong_request_is_wrong_everywhere(ask: Ask, error: UpstreamError) -> None:
    gateway = Gateway()
    east, west = gateway.member("east", error), gateway.member("west", b"hello")
    context = gateway.context()
    with pytest.raises(UpstreamStatus) as caught:
        await ask(gateway.fallback.to([Candidate((east, west), "m")]), context)
    assert caught.value is error
    assert tried(context) == [("east", "m", "x")]
    assert gateway.recorded.count(semconv.UPSTREAM_ATTEMPTS, "east", "client_error") == 1


async def test_the_same_model_elsewhere_comes_before_the_next_model() -> None:
    gateway = Gateway()
    east, west = gateway.member("east", DOWN), gateway.member("west", DOWN)
    south = gateway.member("south", b"hello")
    context = gateway.context()
    upstream = gateway.fallback.to([Candidate((east, west), "big"), Candidate((south,), "small")])
    assert await upstream.complete(request("big"), context) == b"hello"
    assert [(upstream, model) for upstream, model, _ in tried(context)] == [
        ("east", "big"),
        ("west", "big"),
        ("south", "small"),
    ]
    assert [sent.model for sent in scripted(south).asked] == ["small"]


async def test_one_member_may_be_asked_for_several_models() -> None:
    gateway = Gateway()
    east = gateway.member("east", DOWN, b"hello")
    context = gateway.context()
    await gateway.fallback.to([Candidate((east,), "big"), Candidate((east,), "small")]).complete(request(), context)
    assert tried(context) == [("east", "big", DOWN.code), ("east", "small", "ok")]
    assert gateway.clock.pauses == []


async def test_a_refused_key_is_not_tried_twice() -> None:
    gateway = Gateway(FallbackPolicy(max_retries=10))
    east, west = gateway.member("east", status(401)), gateway.member("west", DOWN)
    context = gateway.context()
    with pytest.raises(UpstreamUnreachable):
        await gateway.fallback.to([Candidate((east, west), "m")]).complete(request(), context)
    assert [name for name, _, _ in tried(context)].count("east") == 1
    assert [name for name, _, _ in tried(context)].count("west") == gateway.policy.breaker.consecutive_failures


async def test_what_a_provider_says_about_a_key_of_ours_is_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway()
    refusal = UpstreamStatus("Wrong key: sk-ours.", status=401, code="invalid_api_key", type_="authentication_error")
    for own, told in ((True, "'east' refuses the credentials of the gateway."), (False, "Wrong key: sk-ours.")):
        east = gateway.member("east", refusal, own_credentials=own)
        with pytest.raises(UpstreamStatus) as caught:
            await gateway.fallback.to([Candidate((east,), "m")]).complete(request(), gateway.context())
        assert (caught.value.status, caught.value.message) == (401, told)
    assert [record.message for record in caplog.records].count("provider refuses the credentials of the gateway") == 1


async def test_refused_credentials_of_the_client_are_final() -> None:
    gateway = Gateway()
    east, west = gateway.member("east", status(401), own_credentials=False), gateway.member("west", b"hello")
    with pytest.raises(UpstreamStatus) as caught:
        await gateway.fallback.to([Candidate((east, west), "m")]).complete(request(), gateway.context())
    assert caught.value.status == 401
    assert scripted(west).asked == []


async def test_credentials_of_the_client_go_to_one_provider_only() -> None:
    gateway = Gateway(FallbackPolicy(max_retries=5))
    east = gateway.member("east", DOWN, own_credentials=False)
    west = gateway.member("west", b"no", own_credentials=False)
    south = gateway.member("south", DOWN, DOWN, b"hello")
    context = gateway.context()
    candidates = [Candidate((east, west), "m"), Candidate((south,), "n")]
    assert await gateway.fallback.to(candidates).complete(request(), context) == b"hello"
    assert [name for name, _, _ in tried(context)] == ["east", "south", "east", "south", "east", "south"]


async def test_what_one_provider_has_no_words_for_another_may_have() -> None:
    gateway = Gateway()
    east = gateway.member("east", InvalidRequest("no", param="logit_bias"))
    west = gateway.member("west", b"hello")
    context = gateway.context()
    candidates = [Candidate((east,), "big"), Candidate((west,), "small")]
    assert await gateway.fallback.to(candidates).complete(request(), context) == b"hello"
    assert gateway.recorded.count(semconv.UPSTREAM_ATTEMPTS, "east", "not_sent") == 1
    with pytest.raises(InvalidRequest):
        await gateway.fallback.to(candidates[:1]).complete(request(), context)
    assert east.breaker.state == "closed"


async def test_an_empty_stream_is_no_answer() -> None:
    class Empty:
        async def complete(self, request: ChatRequest, context: RequestContext) -> bytes:
            return b""

        async def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
            return
            yield b""

    gateway = Gateway()
    east, west = gateway.fallback.member("east", Empty()), gateway.member("west", b"hello")
    context = gateway.context()
    assert await streamed(gateway.fallback.to([Candidate((east, west), "m")]), context) == b"hello|rest"
    assert context.attempts[0].outcome == "upstream_protocol_error"


async def test_usage_is_that_of_the_answer() -> None:
    class Counting:
        async def complete(self, request: ChatRequest, context: RequestContext) -> bytes:
            context.usage = Usage(1, 1)
            raise DOWN

        async def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
            yield await self.complete(request, context)

    gateway = Gateway()
    east, west = gateway.fallback.member("east", Counting()), gateway.member("west", b"hello")
    context = gateway.context()
    await streamed(gateway.fallback.to([Candidate((east, west), "m")]), context)
    assert context.usage is None


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ((DOWN, status(500)), 500),
        ((status(500), DOWN), 502),
        ((status(401), status(503)), 503),
        ((status(503), status(401)), 503),
        ((status(401), status(403)), 403),
        ((status(503), InvalidRequest("no")), 503),
        ((status(503), status(400)), 400),
        ((status(400, reason="context_length_exceeded"), b""), 400),
    ],
)
async def test_the_most_telling_error_is_told(errors: tuple[GatewayError | bytes, ...], told: int) -> None:
    gateway = Gateway(FallbackPolicy(max_retries=1))
    members = tuple(gateway.member(f"m{number}", error) for number, error in enumerate(errors))
    with pytest.raises(GatewayError) as caught:
        await gateway.fallback.to([Candidate(members, "m")]).complete(request(), gateway.context())
    assert caught.value.status == told


async def test_what_is_too_long_goes_to_a_larger_window() -> None:
    gateway = Gateway()
    overflow = status(400, reason="context_length_exceeded")
    small = gateway.member("small", overflow, context_window=8_000)
    same = gateway.member("same", b"no", context_window=8_000)
    unknown = gateway.member("unknown", b"no")
    large = gateway.member("large", b"hello", context_window=200_000)
    context = gateway.context()
    candidates = [Candidate((small, same), "s"), Candidate((unknown,), "u"), Candidate((large,), "l")]
    assert await gateway.fallback.to(candidates).complete(request("s"), context) == b"hello"
    assert tried(context) == [("small", "s", "context_length_exceeded"), ("large", "l", "ok")]
    assert small.breaker.state == "closed"


async def test_any_known_window_is_larger_than_an_unknown_one() -> None:
    gateway = Gateway()
    unknown = gateway.member("unknown", status(400, message="prompt is too long"))
    large = gateway.member("large", b"hello", context_window=200_000)
    upstream = gateway.fallback.to([Candidate((unknown,), "u"), Candidate((large,), "l")])
    assert await upstream.complete(request(), gateway.context()) == b"hello"


async def test_without_a_larger_window_the_client_is_told_at_once() -> None:
    gateway = Gateway()
    small = gateway.member("small", status(400, reason="context_length_exceeded"), context_window=8_000)
    context = gateway.context()
    with pytest.raises(UpstreamStatus) as caught:
        await gateway.fallback.to([Candidate((small,), "s")]).complete(request(), context)
    assert (caught.value.status, len(context.attempts), gateway.clock.pauses) == (400, 1, [])


async def test_long_conversations_are_no_extra_load() -> None:
    gateway = Gateway(FallbackPolicy(retry_budget_ratio=0.0))
    small = gateway.member("small", status(400, reason="context_length_exceeded"), context_window=8_000)
    large = gateway.member("large", b"hello", context_window=200_000)
    upstream = gateway.fallback.to([Candidate((small,), "s"), Candidate((large,), "l")])
    for _ in range(100):
        assert await upstream.complete(request(), gateway.context()) == b"hello"

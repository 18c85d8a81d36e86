"""Fail-over from real servers that misbehave: an answer from elsewhere, or the right error, and nothing stays open."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import orjson
import pytest

from router.context import RequestContext
from router.dialects import openai_chat
from router.dialects.canonical import ChatRequest, completion_text
from router.dialects.openai_chat_stream import Decoder
from router.errors import GatewayError
from router.upstream.chat import ChatUpstream, Upstream
from router.upstream.cluster import Candidate
from router.upstream.fallback import Fallback, FallbackPolicy
from router.upstream.http import Endpoint, HttpClient
from router.upstream.retry import Backoff
from router.upstream.service import FixedService, agent_url
from tests.fakes import agents
from tests.fakes.agents import DEFAULT_TEXT, Behaviour, FakeAgent
from tests.fakes.counters import RecordedMetrics
from tests.fakes.http_exchange import Exchange, head

POLICY = FallbackPolicy(max_retries=1, first_byte_timeout_s=0.3, backoff=Backoff(0.001, 0.001))


async def stall_after_the_head(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.wait_closed()


async def dribble(exchange: Exchange) -> None:
    await exchange.begin_stream()
    while True:
        await exchange.send_part(b":")
        await asyncio.sleep(0.02)


async def endless_headers(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await exchange.send(b"x-more: and more\r\n" * 100)
        await asyncio.sleep(0)


async def error_event(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.send_part(b'data: {"error": {"message": "Overloaded.", "type": "overloaded", "code": 503}}\n\n')
    await exchange.wait_closed()


async def garbage_events(exchange: Exchange) -> None:
    await agents.garbage_body(b"data: <html>\n\n", content_type="text/event-stream")(exchange)


async def truncated_gzip(exchange: Exchange) -> None:
    body = gzip.compress(orjson.dumps(agents.completion("x" * 5000)))[:-12]
    fields = {"content-type": "application/json", "content-encoding": "gzip", "content-length": str(len(body))}
    await exchange.send(head(200, fields) + body)


def error_with_status_200(code: int) -> Behaviour:
    body = orjson.dumps({"error": {"message": "Broken.", "type": "server_error", "code": code}})
    return agents.garbage_body(body)


CUT, KEPT = False, True

# Each with the status that the client gets where there is nobody else, and whether the connection stays usable.
BEFORE_ANY_ANSWER = [
    pytest.param(agents.die(), 502, CUT, id="resets"),
    pytest.param(agents.die(reset=False), 502, CUT, id="closes"),
    pytest.param(agents.hang(), 504, CUT, id="stalls before its head"),
    pytest.param(agents.garbage(), 502, CUT, id="sends no HTTP"),
    pytest.param(endless_headers, 502, CUT, id="sends headers without end"),
    pytest.param(agents.garbage_body(content_type="text/html"), 502, KEPT, id="has the wrong content type"),
    pytest.param(agents.garbage_body(), 502, KEPT, id="sends no JSON"),
    pytest.param(error_with_status_200(500), 500, KEPT, id="says 200 to an error"),
    pytest.param(truncated_gzip, 502, KEPT, id="breaks off its gzip"),
    pytest.param(agents.fail(503), 503, KEPT, id="is overloaded"),
    pytest.param(agents.fail(429, retry_after="30"), 429, KEPT, id="limits its rate"),
]
BEFORE_THE_FIRST_EVENT = [
    pytest.param(stall_after_the_head, 504, CUT, id="stalls after its head"),
    pytest.param(dribble, 504, CUT, id="dribbles"),
    pytest.param(error_event, 503, CUT, id="streams an error"),
]
IN_A_WHOLE_ANSWER = [
    pytest.param(agents.die_midstream(), 502, CUT, id="resets in its answer"),
    pytest.param(agents.die_midstream(reset=False), 502, CUT, id="closes in its answer"),
    pytest.param(agents.hang_midstream(), 504, CUT, id="stalls in its answer"),
    pytest.param(agents.end_early(), 502, KEPT, id="ends early"),
    pytest.param(garbage_events, 502, KEPT, id="sends garbage for events"),
]


def context() -> RequestContext:
    return RequestContext("req-1", "front", "/v1/chat/completions", {}, time.monotonic() + 10)


def request(*, stream: bool) -> ChatRequest:
    payload = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    return openai_chat.decode_request(orjson.dumps(payload))


async def whole(upstream: Upstream, asked: RequestContext) -> str:
    return completion_text(orjson.loads(await upstream.complete(request(stream=False), asked)))


async def streamed(upstream: Upstream, asked: RequestContext) -> str:
    decoder = Decoder("fake", 1_000_000)
    text = ""
    async with aclosing(upstream.stream(request(stream=True), asked)) as events:
        async for piece in events:
            for chunk in decoder.feed(piece):
                text += "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])
    return text


async def exhaust(events: AsyncGenerator[bytes, None]) -> None:
    async for _ in events:
        pass


Ask = Callable[[Upstream, RequestContext], Awaitable[str]]
EVERYTHING = [
    *(
        pytest.param(ask, *case.values, id=f"{ask.__name__}-{case.id}")
        for case in BEFORE_ANY_ANSWER
        for ask in (whole, streamed)
    ),
    *(pytest.param(streamed, *case.values, id=f"streamed-{case.id}") for case in BEFORE_THE_FIRST_EVENT),
    *(pytest.param(whole, *case.values, id=f"whole-{case.id}") for case in IN_A_WHOLE_ANSWER),
]


@asynccontextmanager
async def cluster(*servers: FakeAgent, policy: FallbackPolicy = POLICY) -> AsyncIterator[Upstream]:
    client = HttpClient(connect_timeout_s=2)
    fallback = Fallback(policy, RecordedMetrics().metrics)
    members = []
    for number, server in enumerate(servers):
        endpoint = Endpoint(f"m{number}", agent_url(server.url), 0.3)
        upstream = ChatUpstream(FixedService(endpoint), client, max_response_bytes=100_000)
        members.append(fallback.member(endpoint.name, upstream))
    try:
        yield fallback.to([Candidate(tuple(members), "m")])
        assert [member.outstanding for member in members] == [0] * len(members)
    finally:
        await client.close()


@pytest.mark.parametrize(("ask", "behaviour", "status", "kept"), EVERYTHING)
async def test_the_answer_comes_from_elsewhere(ask: Ask, behaviour: Behaviour, status: int, kept: bool) -> None:
    async with FakeAgent(behaviour=behaviour) as bad, FakeAgent() as good, cluster(bad, good) as upstream:
        asked = context()
        assert await ask(upstream, asked) == DEFAULT_TEXT
        assert [attempt.upstream for attempt in asked.attempts] == ["m0", "m1"]
        assert [attempt.outcome == "ok" for attempt in asked.attempts] == [False, True]
        await bad.wait_connections(int(kept))


@pytest.mark.parametrize(("ask", "behaviour", "status", "kept"), EVERYTHING)
async def test_without_another_one_the_error_says_what_happened(
    ask: Ask, behaviour: Behaviour, status: int, kept: bool
) -> None:
    async with FakeAgent(behaviour=behaviour) as bad, cluster(bad) as upstream:
        asked = context()
        with pytest.raises(GatewayError) as caught:
            await ask(upstream, asked)
        assert caught.value.status == status
        assert bad.url not in str(caught.value)
        assert len(asked.attempts) == (1 if status == 429 else 2)
        assert caught.value.retry_after_s == (pytest.approx(30, abs=1) if status == 429 else None)
        await bad.wait_connections(int(kept))
        assert bad.connections_made == (1 if kept else 2)


@pytest.mark.parametrize("ask", [whole, streamed])
async def test_a_server_that_refuses_is_passed_over(ask: Ask) -> None:
    async with FakeAgent() as bad, FakeAgent() as good, cluster(bad, good) as upstream:
        await bad.stop()
        asked = context()
        assert await ask(upstream, asked) == DEFAULT_TEXT
        assert [attempt.outcome for attempt in asked.attempts] == ["upstream_unreachable", "ok"]


@pytest.mark.parametrize(
    "behaviour",
    [agents.die_midstream(), agents.die_midstream(reset=False), agents.hang_midstream(), agents.end_early()],
)
async def test_a_stream_that_breaks_after_it_began_is_not_begun_anew(behaviour: Behaviour) -> None:
    async with FakeAgent(behaviour=behaviour) as bad, FakeAgent() as good, cluster(bad, good) as upstream:
        asked = context()
        events = upstream.stream(request(stream=True), asked)
        assert await anext(events)
        with pytest.raises(GatewayError):
            await exhaust(events)
        assert [attempt.upstream for attempt in asked.attempts] == ["m0"]
        assert good.requests == []
        assert asked.attempts[0].first_byte_s is not None


@pytest.mark.parametrize(
    ("ask", "behaviour"),
    [
        (whole, agents.hang()),
        (whole, dribble),
        (streamed, agents.hang()),
        (streamed, stall_after_the_head),
        (streamed, agents.endless(gap_s=0.01)),
    ],
)
async def test_a_client_that_goes_away_takes_the_connection_with_it(ask: Ask, behaviour: Behaviour) -> None:
    async with FakeAgent(behaviour=behaviour) as server, cluster(server, policy=FallbackPolicy()) as upstream:
        task = asyncio.ensure_future(ask(upstream, context()))
        await server.wait_requests()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.wait_connections(0)


async def test_the_stream_that_was_overtaken_is_let_go() -> None:
    policy = FallbackPolicy(hedge_after_at_least_s=0.05)
    async with FakeAgent() as east, FakeAgent() as west, cluster(east, west, policy=policy) as upstream:
        for _ in range(40):
            assert await streamed(upstream, context()) == DEFAULT_TEXT
        east.behaviour = agents.hang()
        for _ in range(4):
            asked = context()
            assert await streamed(upstream, asked) == DEFAULT_TEXT
            assert asked.attempts[-1].outcome == "ok"
            assert all(attempt.outcome == "cancelled" for attempt in asked.attempts[:-1])
        assert east.abandoned >= 1
        await east.wait_connections(0)

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import orjson
import pytest
from yarl import URL

from router.context import RequestContext
from router.dialects import openai_chat
from router.dialects.canonical import ChatRequest, JsonObject, completion_text
from router.errors import (
    GatewayError,
    InvalidRequest,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from router.telemetry.tracing import Unrecorded
from router.upstream.chat import ChatUpstream
from router.upstream.http import Endpoint, HttpClient
from router.upstream.service import FixedService, agent_url
from tests.fakes import agents
from tests.fakes.agents import DEFAULT_TEXT, FakeAgent
from tests.fakes.http_exchange import Exchange, head
from tests.fakes.streams import text_of

LIMIT = 100_000


def _context(headers: Mapping[str, str] | None = None, *, timeout_s: float = 5) -> RequestContext:
    context = RequestContext("req-1", "front", "/v1/chat/completions", headers or {}, time.monotonic() + timeout_s)
    context.span = Unrecorded((headers or {}).get("traceparent"))
    return context


def _request(*, stream: bool = False) -> ChatRequest:
    payload = {"model": "any", "messages": [{"role": "user", "content": "Hi"}], "stream": stream, "seed": 7}
    return openai_chat.decode_request(orjson.dumps(payload))


@asynccontextmanager
async def _upstream(
    agent: FakeAgent, *, timeout_s: float = 5, headers: Mapping[str, str] | None = None
) -> AsyncIterator[ChatUpstream]:
    client = HttpClient(connect_timeout_s=2)
    endpoint = Endpoint("weather", agent_url(agent.url), timeout_s, headers or {})
    try:
        yield ChatUpstream(FixedService(endpoint), client, max_response_bytes=LIMIT)
    finally:
        await client.close()


async def _stream_text(upstream: ChatUpstream, context: RequestContext | None = None) -> str:
    async with aclosing(upstream.stream(_request(stream=True), context or _context())) as events:
        return "".join([text_of(data) async for data in events])


@pytest.mark.parametrize(
    ("url", "called"),
    [
        ("http://h:1", "http://h:1/v1/chat/completions"),
        ("http://h:1/", "http://h:1/v1/chat/completions"),
        ("http://h:1/x", "http://h:1/x/v1/chat/completions"),
        ("http://h:1/x/v1", "http://h:1/x/v1/chat/completions"),
        ("http://h:1/x/v1/chat/completions", "http://h:1/x/v1/chat/completions"),
        ("http://h:1/api/chat/completions/", "http://h:1/api/chat/completions"),
    ],
)
def test_the_path_of_an_agent_is_honoured(url: str, called: str) -> None:
    assert agent_url(url) == URL(called)


async def test_bytes_are_relayed_untouched_both_ways() -> None:
    async with FakeAgent() as agent, _upstream(agent) as upstream:
        request = _request()
        body = await upstream.complete(request, _context())
        assert agent.requests[0].body == request.native_body()
        assert completion_text(orjson.loads(body)) == DEFAULT_TEXT


async def test_neither_credentials_nor_cookies_reach_an_upstream() -> None:
    sent = {
        "authorization": "Bearer secret",
        "x-api-key": "secret",
        "cookie": "secret",
        "traceparent": "00-1-2-01",
        "host": "secret",
    }
    async with FakeAgent() as agent, _upstream(agent, headers={"x-team": "blue"}) as upstream:
        await upstream.complete(_request(), _context(sent))
        got = agent.requests[0].headers
    assert "secret" not in " ".join(got.values())
    assert (got["traceparent"], got["x-request-id"], got["x-team"]) == ("00-1-2-01", "req-1", "blue")


async def test_connections_are_reused() -> None:
    async with FakeAgent() as agent, _upstream(agent) as upstream:
        for _ in range(3):
            await upstream.complete(_request(), _context())
            await _stream_text(upstream)
        assert agent.connections_made == 1


@pytest.mark.parametrize("torn", [False, True])
async def test_a_stream_arrives_in_whole_events(torn: bool) -> None:
    async with (
        FakeAgent(behaviour=agents.stream(torn=torn)) as agent,
        _upstream(agent) as upstream,
        aclosing(upstream.stream(_request(stream=True), _context())) as events,
    ):
        pieces = [data async for data in events]
    assert all(piece.endswith(b"\n\n") for piece in pieces)
    assert "".join(map(text_of, pieces)) == DEFAULT_TEXT


async def test_an_upstream_that_cannot_stream_is_streamed() -> None:
    async with FakeAgent(behaviour=agents.answer_json()) as agent, _upstream(agent) as upstream:
        assert await _stream_text(upstream) == DEFAULT_TEXT


async def test_an_upstream_that_always_streams_is_put_together() -> None:
    async with FakeAgent(behaviour=agents.stream()) as agent, _upstream(agent) as upstream:
        whole = orjson.loads(await upstream.complete(_request(), _context()))
        assert whole["object"] == "chat.completion"
        assert completion_text(whole) == DEFAULT_TEXT


async def test_asking_never_streams() -> None:
    async with FakeAgent() as agent, _upstream(agent) as upstream:
        assert await upstream.ask(_request(stream=True), _context()) == DEFAULT_TEXT
        assert agent.requests[0].wants_stream is False


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_an_error_status_is_passed_on_with_its_body(status: int) -> None:
    behaviour = agents.fail(status, "No such city.", code="city", retry_after="7")
    async with FakeAgent(behaviour=behaviour) as agent, _upstream(agent) as upstream:
        with pytest.raises(UpstreamStatus, match="No such city") as caught:
            await upstream.complete(_request(), _context())
        with pytest.raises(UpstreamStatus):
            await _stream_text(upstream)
    error = caught.value
    assert (error.status, error.code, error.type, error.retry_after_s) == (status, "city", "agent_failure", 7.0)
    assert error.retryable == (status in {429, 500, 503})


async def test_an_error_status_survives_a_body_that_cannot_be_read() -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.send(head(503, {"content-type": "text/html", "content-length": "9000000"}) + b"x" * 200_000)
        exchange.reset()

    async with FakeAgent(behaviour=behave) as agent, _upstream(agent) as upstream:
        with pytest.raises(UpstreamStatus, match="'weather' answered with status 503") as caught:
            await upstream.complete(_request(), _context())
    assert caught.value.status == 503


BROKEN = [
    (agents.die(), UpstreamUnreachable),
    (agents.die(reset=False), UpstreamUnreachable),
    (agents.garbage(), UpstreamProtocolError),
    (agents.garbage_body(), UpstreamProtocolError),
    (agents.garbage_body(content_type="text/html"), UpstreamProtocolError),
    (agents.garbage_body(b'{"error": "x"}'), UpstreamProtocolError),
    (agents.die_midstream(), UpstreamUnreachable),
    (agents.die_midstream(reset=False), UpstreamUnreachable),
    (agents.end_early(), UpstreamProtocolError),
    (agents.hang(), UpstreamTimeout),
    (agents.hang_midstream(), UpstreamTimeout),
]


@pytest.mark.parametrize(("behaviour", "error"), BROKEN)
async def test_whatever_an_upstream_does_wrong_has_its_error(
    behaviour: agents.Behaviour, error: type[GatewayError]
) -> None:
    async with FakeAgent(behaviour=behaviour) as agent:
        async with _upstream(agent, timeout_s=0.3) as upstream:
            with pytest.raises(error, match="weather") as caught:
                await _stream_text(upstream)
            assert agent.url not in str(caught.value)
        await agent.wait_connections(0)


@pytest.mark.parametrize("behaviour", [agents.endless(), agents.huge(LIMIT * 3)])
async def test_an_answer_without_bound_is_cut_off_where_it_has_to_be_held(behaviour: agents.Behaviour) -> None:
    async with FakeAgent(behaviour=behaviour) as agent, _upstream(agent) as upstream:
        with pytest.raises(UpstreamProtocolError, match="more than"):
            await upstream.complete(_request(), _context())
        await agent.wait_connections(0)


async def test_nobody_listening_is_unreachable() -> None:
    async with FakeAgent() as agent:
        await agent.stop()
        async with _upstream(agent) as upstream:
            with pytest.raises(UpstreamUnreachable, match="cannot be reached"):
                await upstream.complete(_request(), _context())


async def test_a_cancelled_request_lets_go_of_its_upstream() -> None:
    async with FakeAgent(behaviour=agents.hang()) as agent, _upstream(agent) as upstream:
        task = asyncio.create_task(upstream.complete(_request(), _context()))
        await agent.wait_requests()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await agent.wait_disconnect()


async def test_a_stream_that_nobody_reads_on_lets_go_of_its_upstream() -> None:
    async with FakeAgent(behaviour=agents.endless()) as agent, _upstream(agent) as upstream:
        async with aclosing(upstream.stream(_request(stream=True), _context())) as events:
            assert await anext(events)
        await agent.wait_disconnect()


def test_upstream_errors_are_retryable_unless_the_request_is_at_fault() -> None:
    assert UpstreamError("x").retryable
    assert not UpstreamStatus("x", status=400, code="c", type_="t").retryable


async def _shouting(batches: AsyncGenerator[list[JsonObject], None]) -> AsyncGenerator[list[JsonObject], None]:
    async with aclosing(batches):
        async for batch in batches:
            for chunk in batch:
                for choice in chunk.get("choices") or ():
                    if choice["delta"].get("content"):
                        choice["delta"]["content"] = choice["delta"]["content"].upper()
            yield batch


@pytest.mark.parametrize("behaviour", [agents.answer_json(), agents.stream(torn=True)])
async def test_an_answer_can_be_changed_on_its_way(behaviour: agents.Behaviour) -> None:
    async with FakeAgent(behaviour=behaviour) as agent, _upstream(agent) as upstream:
        context = _context()
        context.answer_transform = _shouting
        assert await _stream_text(upstream, context) == DEFAULT_TEXT.upper()
        whole = orjson.loads(await upstream.complete(_request(), context))
        assert completion_text(whole) == DEFAULT_TEXT.upper()
        assert await upstream.ask(_request(), context) == DEFAULT_TEXT  # not what the client gets


async def test_several_answers_at_once_cannot_be_checked_on_their_way() -> None:
    async with FakeAgent() as agent, _upstream(agent) as upstream:
        context = _context()
        context.answer_transform = _shouting
        with pytest.raises(InvalidRequest, match="'n' has to be 1"):
            await upstream.complete(_request().replace(n=2), context)
        assert agent.requests == []


@pytest.mark.parametrize(
    "data",
    [
        b"data: nonsense\n\n",
        b'data: {"error": {"message": "gone", "code": 503}}\n\n',
        b'data: {"choices": []}\n\ndata: {"error": {"message": "gone", "code": 503}}\n\n',
    ],
)
async def test_a_stream_that_begins_with_nonsense_has_not_begun(data: bytes) -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.send(head(200, {"content-type": "text/event-stream", "connection": "close"}) + data)
        exchange.finish()

    async with FakeAgent(behaviour=behave) as agent, _upstream(agent) as upstream:
        with pytest.raises(UpstreamError):
            async with aclosing(upstream.stream(_request(stream=True), _context())) as events:
                await anext(events)


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [("3", 3, 3), ("in a minute", 30, 60), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0), ("999999999", 3600, 3600)],
)
async def test_retry_after_is_a_number_or_a_date(value: str, least: float, most: float) -> None:
    if value == "in a minute":
        value = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=60), usegmt=True)
    async with FakeAgent(behaviour=agents.fail(429, "Slow.", retry_after=value)) as agent, _upstream(agent) as upstream:
        with pytest.raises(UpstreamStatus) as caught:
            await upstream.complete(_request(), _context())
    assert caught.value.retry_after_s is not None
    assert least <= caught.value.retry_after_s <= most


async def test_a_model_without_a_name_has_that_of_the_request() -> None:
    request = _request().replace(model="nova")
    answer = {"choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
    async with (
        FakeAgent(behaviour=agents.garbage_body(orjson.dumps(answer))) as agent,
        _upstream(agent) as upstream,
        aclosing(upstream.chunks(request, _context())) as batches,
    ):
        chunks = [chunk async for batch in batches for chunk in batch]
    assert {chunk["model"] for chunk in chunks} == {"nova"}


async def test_a_torn_event_at_the_end_is_not_passed_on() -> None:
    events = agents.sse_events("one two")[:2]
    behaviour = agents.garbage_body(b"".join(events) + b'data: {"choi', content_type="text/event-stream")
    got = bytearray()

    async def read(upstream: ChatUpstream) -> None:
        async for data in upstream.stream(_request(stream=True), _context()):
            got.extend(data)

    async with FakeAgent(behaviour=behaviour) as agent, _upstream(agent) as upstream:
        with pytest.raises(UpstreamProtocolError, match="before it was finished"):
            await read(upstream)
    assert got == b"".join(events)


async def test_a_last_event_whose_end_is_missing_is_passed_on() -> None:
    body = b"".join(agents.sse_events("one two")).rstrip(b"\n")
    behaviour = agents.garbage_body(body, content_type="text/event-stream")
    async with FakeAgent(behaviour=behaviour) as agent, _upstream(agent) as upstream:
        pieces = [data async for data in upstream.stream(_request(stream=True), _context())]
    assert b"".join(pieces) == body

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from router.aio import timeout
from router.dialects.canonical import ChatRequest, DialectName
from router.errors import FilterUnavailable, UpstreamError, UpstreamProtocolError, UpstreamUnreachable
from router.filters.base import LocalAnswer, Rejection
from router.filters.bodies import BodyView, MessagesBody, WholeBody
from router.filters.chain import FilterChain
from router.filters.forwarding import HeaderForwarding
from router.filters.mcp_callout import McpFilter
from router.filters.mcp_session import McpSession
from router.filters.policy import FilterPolicy, PolicedFilter
from tests.fakes.counters import RecordedMetrics
from tests.fakes.mcp_server import FakeMcpServer, Tool, refused, text_result
from tests.filters.exchanges import context, finish_of, request, said, text_of, through


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def unchanged(arguments: dict[str, Any]) -> dict[str, Any]:
    return text_result(arguments["body"])


@asynccontextmanager
async def tool(
    behave: Tool = unchanged,
    *,
    manner: Any = "json",
    view: BodyView | None = None,
    headers: dict[str, str] | None = None,
    forwarding: HeaderForwarding | None = None,
    max_response_bytes: int = 8_000_000,
    clock: Clock | None = None,
) -> AsyncIterator[tuple[McpFilter, FakeMcpServer]]:
    """A filter in front of a server whose tool behaves like that."""
    async with FakeMcpServer(behave, manner) as server:
        session = McpSession(
            "guard",
            server.url,
            headers=headers or {},
            timeout_s=5.0,
            max_response_bytes=max_response_bytes,
            clock=clock or Clock(),
        )
        filter_ = McpFilter("guard", "guard", session, view or WholeBody(), forwarding or HeaderForwarding())
        try:
            yield filter_, server
        finally:
            await filter_.close()


@pytest.mark.parametrize("manner", ["json", "events"])
@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages", "openai_responses"])
async def test_the_tool_gets_body_and_path_and_its_result_is_the_body(manner: str, dialect: DialectName) -> None:
    async def politely(arguments: dict[str, Any]) -> dict[str, Any]:
        return text_result(orjson.loads(orjson.dumps(arguments["body"]).replace(b"open", b"please open")))

    asked = request("open ☀️", dialect=dialect, unknown=1)
    async with tool(politely, manner=manner) as (filter_, server):
        changed = await filter_.on_request(asked, context(path="/v1/some"))
    assert isinstance(changed, ChatRequest)
    assert (changed.messages[-1]["content"], changed.dialect) == ("please open ☀️", dialect)
    assert server.calls[0]["name"] == "guard"
    assert server.calls[0]["arguments"] == {"body": asked.native, "path": "/v1/some"}


async def test_an_agent_listeners_tool_gets_model_and_messages() -> None:
    async with tool(view=MessagesBody()) as (filter_, server):
        asked = request("a", dialect="anthropic_messages")
        assert await filter_.on_request(asked, context()) is asked
    assert server.calls[0]["arguments"]["body"] == {"model": "m", "messages": asked.messages}


BODY = {"model": "m", "messages": [{"role": "user", "content": "b"}]}


@pytest.mark.parametrize(
    "result",
    [
        {"structuredContent": {"result": BODY}, "content": [{"type": "text", "text": "for people"}]},
        {"structuredContent": {"result": orjson.dumps(BODY).decode()}, "content": []},
        {"structuredContent": BODY, "content": [{"type": "text", "text": orjson.dumps(BODY).decode()}]},
        {"structuredContent": BODY, "content": []},
        {"content": [{"type": "text", "text": orjson.dumps(BODY).decode()}, {"type": "text", "text": "more"}]},
    ],
)
async def test_the_shapes_that_a_result_may_have(result: dict[str, Any]) -> None:
    async def give(_: dict[str, Any]) -> dict[str, Any]:
        return result

    async with tool(give) as (filter_, _):
        changed = await filter_.on_request(request("a"), context())
    assert isinstance(changed, ChatRequest)
    assert changed.messages == BODY["messages"]


async def test_an_error_of_the_tool_rejects_with_400_and_its_text() -> None:
    async def refuse(_: dict[str, Any]) -> dict[str, Any]:
        return refused("Only questions about the shop.")

    async with tool(refuse) as (filter_, _):
        assert await filter_.on_request(request(), context()) == Rejection("Only questions about the shop.", 400)


async def test_a_tool_may_answer_itself() -> None:
    async def answer(_: dict[str, Any]) -> dict[str, Any]:
        return text_result({"answer": "At nine."})

    async with tool(answer) as (filter_, _):
        assert isinstance(await filter_.on_request(request(), context()), LocalAnswer)


@pytest.mark.parametrize("result", [text_result("no json"), {"content": []}, text_result([1]), text_result({"a": 1})])
async def test_a_result_that_is_no_body_is_a_failure(result: dict[str, Any]) -> None:
    async def give(_: dict[str, Any]) -> dict[str, Any]:
        return result

    async with tool(give) as (filter_, _):
        with pytest.raises(UpstreamProtocolError):
            await filter_.on_request(request(), context())


@pytest.mark.parametrize("manner", ["json", "events"])
async def test_a_large_body_with_unicode_survives(manner: str) -> None:
    asked = request("Grüße ☀️ 漢字 🎉 " * 80_000)
    async with tool(manner=manner) as (filter_, _):
        assert await filter_.on_request(asked, context()) is asked


@pytest.mark.parametrize("manner", ["json", "events"])
async def test_a_result_that_is_too_long_is_a_failure_and_the_next_call_works(manner: str) -> None:
    async def big(arguments: dict[str, Any]) -> dict[str, Any]:
        long = "long" in str(arguments["body"])
        return text_result("x" * 100_000) if long else await unchanged(arguments)

    async with tool(big, manner=manner, max_response_bytes=50_000) as (filter_, _):
        with pytest.raises(UpstreamError):
            await filter_.on_request(request("long"), context())
        asked = request("a")
        assert await filter_.on_request(asked, context()) is asked


# The session


async def test_one_session_serves_all_requests_and_is_ended_at_the_end() -> None:
    async with tool() as (filter_, server):
        await asyncio.gather(*(filter_.on_request(request(str(number)), context()) for number in range(20)))
        await filter_.on_request(request(), context())
        assert (server.opened, len(server.sessions), len(server.calls)) == (1, 1, 21)
    assert server.sessions == set()


async def test_calls_run_at_the_same_time() -> None:
    together = asyncio.Event()
    running = 0

    async def wait(arguments: dict[str, Any]) -> dict[str, Any]:
        nonlocal running
        running += 1
        if running == 3:
            together.set()
        await together.wait()
        return await unchanged(arguments)

    async with tool(wait) as (filter_, _), timeout(5):
        await asyncio.gather(*(filter_.on_request(request(), context()) for _ in range(3)))
    assert running == 3


async def test_a_server_that_forgot_the_session_gets_a_new_one_and_nobody_notices() -> None:
    asked = request()
    async with tool() as (filter_, server):
        await filter_.on_request(asked, context())
        server.forget()
        assert await filter_.on_request(asked, context()) is asked
        assert (server.opened, len(server.calls)) == (2, 2)


async def test_a_server_that_comes_back_is_used_again_after_a_pause() -> None:
    clock, asked = Clock(), request()
    async with tool(clock=clock) as (filter_, server):
        server.broken = True
        with pytest.raises(UpstreamUnreachable):
            await filter_.on_request(asked, context())
        seen = len(server.http.requests)
        with pytest.raises(UpstreamUnreachable, match="a moment ago"):
            await filter_.on_request(asked, context())
        assert len(server.http.requests) == seen
        server.broken = False
        clock.now += 0.3
        assert await filter_.on_request(asked, context()) is asked


async def test_pauses_get_longer_while_a_server_stays_away() -> None:
    clock = Clock()
    async with tool(clock=clock) as (filter_, server):
        server.broken = True
        tried = []
        for _ in range(60):
            before = len(server.http.requests)
            with pytest.raises(UpstreamUnreachable):
                await filter_.on_request(request(), context())
            if len(server.http.requests) > before:
                tried.append(clock.now)
            clock.now += 0.25
    assert tried == [0.0, 0.25, 0.75, 1.75, 3.75, 7.75]


async def test_a_session_that_breaks_in_mid_use_is_opened_again() -> None:
    asked = request()
    async with tool() as (filter_, server):
        await filter_.on_request(asked, context())
        server.broken = True
        with pytest.raises(UpstreamError):
            await filter_.on_request(asked, context())
        server.broken = False
        assert await filter_.on_request(asked, context()) is asked
        assert server.opened == 2


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    session = McpSession("guard", "http://127.0.0.1:1/mcp", headers={}, timeout_s=1, max_response_bytes=1000)
    with pytest.raises(UpstreamUnreachable, match="'guard' cannot be reached"):
        await session.call("guard", {}, {})
    await session.close()


async def test_a_request_that_is_given_up_leaves_the_session_to_others() -> None:
    release = asyncio.Event()

    async def wait(arguments: dict[str, Any]) -> dict[str, Any]:
        if "slow" in str(arguments["body"]):
            await release.wait()
        return await unchanged(arguments)

    asked = request("quick")
    async with tool(wait) as (filter_, server):
        asking = asyncio.create_task(filter_.on_request(request("slow"), context()))
        async with timeout(5):
            while not server.calls:
                await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await filter_.on_request(asked, context()) is asked
        assert server.opened == 1
        release.set()


async def test_a_request_that_is_given_up_while_connecting_does_not_hurt_the_next() -> None:
    asked = request()
    async with tool() as (filter_, server):
        asking = asyncio.create_task(filter_.on_request(asked, context()))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await filter_.on_request(asked, context()) is asked
        assert server.opened == 1


async def test_a_filter_that_was_never_asked_closes() -> None:
    async with tool() as (_, server):
        pass
    assert server.opened == 0


# Headers


async def test_each_call_has_the_headers_of_its_request_and_no_credentials() -> None:
    sent = {"authorization": "Bearer client", "cookie": "c", "x-api-key": "k", "traceparent": "00-a-b-01"}
    async with tool(headers={"x-service-key": "own"}) as (filter_, server):
        asking = [context({**sent, "traceparent": f"00-{number}-b-01"}, request_id=f"r-{number}") for number in "12"]
        await asyncio.gather(*(filter_.on_request(request(), each) for each in asking))
    seen = {(each["x-request-id"], each["traceparent"], each["x-service-key"]) for each in server.call_headers}
    assert seen == {("r-1", "00-1-b-01", "own"), ("r-2", "00-2-b-01", "own")}
    for received in server.http.requests:
        assert received.headers.keys().isdisjoint({"authorization", "cookie", "x-api-key"})


async def test_credentials_are_sent_where_the_operator_says_so() -> None:
    forwarding = HeaderForwarding(credentials=True)
    async with tool(forwarding=forwarding) as (filter_, server):
        await filter_.on_request(request(), context({"authorization": "Bearer client"}))
        await filter_.on_request(request(), context())
    assert [each.get("authorization") for each in server.call_headers] == ["Bearer client", None]


# Answers


def _chain(filter_: McpFilter, **policy: Any) -> FilterChain:
    return FilterChain([], [PolicedFilter(filter_, FilterPolicy(**policy), RecordedMetrics().metrics)])


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages", "openai_responses"])
async def test_the_tool_sees_whole_answers_in_the_clients_dialect(stream: bool, dialect: DialectName) -> None:
    async def redact(arguments: dict[str, Any]) -> dict[str, Any]:
        return text_result(orjson.loads(orjson.dumps(arguments["body"]).replace(b"secret", b"[...]")))

    async with tool(redact) as (filter_, server):
        transform = _chain(filter_).transform(request(dialect=dialect, stream=stream), context())
        out = await through(transform, said("The sec", "ret."))
    assert (text_of(out), finish_of(out), len(server.calls)) == ("The [...].", "stop", 1)


async def test_an_error_of_the_tool_ends_an_answer_as_a_refusal() -> None:
    async def refuse(_: dict[str, Any]) -> dict[str, Any]:
        return refused("Not for your eyes.")

    async with tool(refuse) as (filter_, _):
        out = await through(_chain(filter_).transform(request(), context()), said("a", "b"))
    assert (text_of(out), finish_of(out)) == ("Not for your eyes.", "content_filter")


async def test_an_answer_that_the_tool_leaves_alone_stays_as_it_was() -> None:
    async with tool() as (filter_, _):
        out = await through(_chain(filter_).transform(request(), context()), said("a", "b"))
    assert (text_of(out), finish_of(out)) == ("ab", "stop")


async def test_a_tool_that_fails_ends_the_answer_or_is_passed_over() -> None:
    async def fail(_: dict[str, Any]) -> dict[str, Any]:
        return text_result("no json")

    async with tool(fail) as (filter_, _):
        with pytest.raises(FilterUnavailable):
            await through(_chain(filter_).transform(request(), context()), said("a"))
        out = await through(_chain(filter_, on_error="allow").transform(request(), context()), said("a", "b"))
    assert (text_of(out), finish_of(out)) == ("ab", "stop")

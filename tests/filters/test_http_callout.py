from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from yarl import URL

from router.dialects.canonical import ChatRequest, DialectName
from router.errors import FilterUnavailable, UpstreamError, UpstreamProtocolError, UpstreamTimeout
from router.filters.base import LocalAnswer, Rejection
from router.filters.bodies import BodyView, MessagesBody, WholeBody
from router.filters.chain import FilterChain
from router.filters.forwarding import HeaderForwarding
from router.filters.http_callout import HttpFilter
from router.filters.policy import FilterPolicy, PolicedFilter
from router.upstream.http import Endpoint, HttpClient
from tests.fakes import agents
from tests.fakes.agents import Behaviour, FakeAgent
from tests.fakes.counters import RecordedMetrics
from tests.fakes.http_exchange import Exchange, RecordedRequest, head
from tests.filters.exchanges import assembled, context, finish_of, request, said, text_of, through, whole


def answering(change: Callable[[RecordedRequest], Any], status: int = 200) -> Behaviour:
    """A service that answers with what ``change`` makes of a request, as JSON or, where that is bytes, as it is."""

    async def behave(exchange: Exchange) -> None:
        body = change(exchange.request)
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        await exchange.send(head(status, {"content-type": "application/json", "content-length": str(len(raw))}) + raw)

    return behave


def no_content() -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        await exchange.send(head(204, {}))

    return behave


@asynccontextmanager
async def service(
    behaviour: Behaviour,
    *,
    view: BodyView | None = None,
    path: str = "",
    headers: Mapping[str, str] | None = None,
    forwarding: HeaderForwarding | None = None,
    timeout_s: float = 5.0,
    max_response_bytes: int = 5_000_000,
) -> AsyncIterator[tuple[HttpFilter, FakeAgent]]:
    """A filter in front of a service that behaves like that."""
    client = HttpClient(connect_timeout_s=2)
    try:
        async with FakeAgent(behaviour=behaviour) as fake:
            endpoint = Endpoint("scan", URL(fake.url + path), timeout_s, headers or {})
            filter_ = HttpFilter(
                endpoint,
                view or WholeBody(),
                client,
                forwarding or HeaderForwarding(),
                max_response_bytes=max_response_bytes,
            )
            yield filter_, fake
    finally:
        await client.close()


def echo(received: RecordedRequest) -> Any:
    return received.body


# Requests


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages", "openai_responses"])
async def test_the_service_gets_the_body_as_the_client_sent_it(dialect: DialectName) -> None:
    asked = request("Grüße ☀️", dialect=dialect, something={"unknown": [1, None]})
    path = {"openai_chat": "/v1/chat/completions", "anthropic_messages": "/v1/messages"}.get(dialect, "/v1/responses")
    async with service(answering(echo), path="/scan") as (filter_, fake):
        assert await filter_.on_request(asked, context(path=path)) is asked
    (received,) = fake.requests
    assert (received.method, received.path) == ("POST", f"/scan{path}")
    assert received.body == asked.native_body()
    assert received.headers["content-type"] == "application/json"


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages", "openai_responses"])
async def test_what_the_service_sends_back_replaces_the_body(dialect: DialectName) -> None:
    asked = request("open sesame", dialect=dialect, unknown=1)

    def change(received: RecordedRequest) -> Any:
        return {**orjson.loads(received.body.replace(b"open sesame", b"please")), "added": True}

    async with service(answering(change)) as (filter_, _):
        changed = await filter_.on_request(asked, context())
    assert isinstance(changed, ChatRequest)
    assert changed.dialect == dialect
    assert changed.messages[-1]["content"] == "please"
    assert changed.native is not None
    assert (changed.native["added"], changed.native["unknown"]) == (True, 1)


async def test_what_an_earlier_filter_changed_reaches_the_service_in_the_clients_dialect() -> None:
    asked = request("a", dialect="anthropic_messages").replace(messages=[{"role": "user", "content": "b"}])
    async with service(answering(echo)) as (filter_, fake):
        assert await filter_.on_request(asked, context(path="/v1/messages")) is asked
    assert fake.requests[0].json["max_tokens"] == 9
    assert "b" in str(fake.requests[0].json["messages"])


async def test_an_agent_listeners_service_gets_model_and_messages_and_only_messages_count() -> None:
    asked = request("a", dialect="anthropic_messages", system="Be brief.")

    def change(received: RecordedRequest) -> Any:
        messages = [{"role": message["role"], "content": "b"} for message in received.messages]
        return {"model": "other", "messages": messages, "temperature": 2}

    async with service(answering(change), view=MessagesBody()) as (filter_, fake):
        changed = await filter_.on_request(asked, context(path="/v1/messages"))
    assert fake.requests[0].json == {"model": "m", "messages": asked.messages}
    assert isinstance(changed, ChatRequest)
    assert changed.messages == [{"role": "system", "content": "b"}, {"role": "user", "content": "b"}]
    assert (changed.model, changed.dialect, "temperature" in changed.payload) == ("m", "anthropic_messages", False)


async def test_messages_that_come_back_unchanged_leave_the_request_as_it_came() -> None:
    asked = request("a", dialect="anthropic_messages")
    async with service(answering(lambda received: {"messages": received.messages}), view=MessagesBody()) as (
        filter_,
        _,
    ):
        assert await filter_.on_request(asked, context()) is asked


async def test_how_the_client_reads_its_answer_stays_its_choice() -> None:
    def change(received: RecordedRequest) -> Any:
        return {"model": "m", "messages": received.messages, "stream": False}

    async with service(answering(change)) as (filter_, _):
        changed = await filter_.on_request(request("a", stream=True), context())
    assert isinstance(changed, ChatRequest)
    assert changed.stream


async def test_204_changes_nothing() -> None:
    asked = request()
    async with service(no_content()) as (filter_, _):
        assert await filter_.on_request(asked, context()) is asked


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (400, {"detail": "Not about hacking."}, "Not about hacking."),
        (403, {"error": {"message": "No."}}, "No."),
        (422, b"plain words", "plain words"),
        (451, b"", "The filter 'scan' refused this."),
    ],
)
async def test_4xx_refuses_the_request_with_that_status_and_message(status: int, body: Any, message: str) -> None:
    async with service(answering(lambda _: body, status)) as (filter_, _):
        assert await filter_.on_request(request(), context()) == Rejection(message, status)


async def test_a_service_may_answer_itself() -> None:
    async with service(answering(lambda _: {"answer": "We open at nine."})) as (filter_, _):
        answer = await filter_.on_request(request(), context())
    assert isinstance(answer, LocalAnswer)
    assert answer.completion["choices"][0]["message"]["content"] == "We open at nine."
    completion = agents.completion("Hello.")
    async with service(answering(lambda _: {"answer": completion})) as (filter_, _):
        answer = await filter_.on_request(request(), context())
    assert answer == LocalAnswer(completion)


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (answering(lambda _: {}, 500), UpstreamProtocolError),
        (answering(lambda _: {}, 302), UpstreamProtocolError),
        (answering(lambda _: b"no json"), UpstreamProtocolError),
        (answering(lambda _: b""), UpstreamProtocolError),
        (answering(lambda _: ["a", "list"]), UpstreamProtocolError),
        (answering(lambda _: {"no": "messages"}), UpstreamProtocolError),
        (answering(lambda _: {"messages": "none"}), UpstreamProtocolError),
        (answering(lambda _: {"answer": 7}), UpstreamProtocolError),
        (answering(lambda _: b" " * 3000), UpstreamProtocolError),
        (agents.hang(), UpstreamTimeout),
        (agents.die(), UpstreamError),
        (agents.garbage(), UpstreamError),
    ],
)
@pytest.mark.parametrize("view", [WholeBody(), MessagesBody()])
async def test_everything_else_is_a_failure(behaviour: Behaviour, error: type[UpstreamError], view: BodyView) -> None:
    async with service(behaviour, view=view, timeout_s=0.2, max_response_bytes=2000) as (filter_, _):
        with pytest.raises(error):
            await filter_.on_request(request(), context())


async def test_a_large_body_with_unicode_survives() -> None:
    text = "Grüße ☀️ 漢字 🎉 " * 60_000
    async with service(answering(echo)) as (filter_, fake):
        asked = request(text)
        assert await filter_.on_request(asked, context()) is asked
    assert fake.requests[0].messages[0]["content"] == text


# Headers

SENT = {
    "authorization": "Bearer client-key",
    "cookie": "session=s3cret",
    "x-api-key": "client-key-2",
    "x-team-key": "gateway-key",
    "traceparent": "00-abc-def-01",
    "x-tenant": "acme",
    "x-other": "not asked for",
}


async def test_credentials_are_never_sent_to_a_service() -> None:
    async with service(answering(echo), headers={"x-service-key": "own"}) as (filter_, fake):
        await filter_.on_request(request(), context(SENT, credential_header="X-Team-Key", request_id="r-7"))
    received = fake.requests[0].headers
    assert (received["x-request-id"], received["traceparent"], received["x-service-key"]) == (
        "r-7",
        "00-abc-def-01",
        "own",
    )
    assert received.keys().isdisjoint({"authorization", "cookie", "x-api-key", "x-team-key", "x-tenant", "x-other"})


async def test_credentials_are_sent_where_the_operator_says_so_but_not_the_gateways_own() -> None:
    forwarding = HeaderForwarding(["X-Tenant", "x-team-key"], credentials=True)
    async with service(answering(echo), forwarding=forwarding) as (filter_, fake):
        await filter_.on_request(request(), context(SENT, credential_header="x-team-key"))
    received = fake.requests[0].headers
    assert (received["authorization"], received["cookie"]) == ("Bearer client-key", "session=s3cret")
    assert (received["x-api-key"], received["x-tenant"]) == ("client-key-2", "acme")
    assert received.keys().isdisjoint({"x-team-key", "x-other"})


async def test_credentials_cannot_be_let_through_by_name() -> None:
    async with service(answering(echo), forwarding=HeaderForwarding(["Authorization"])) as (filter_, fake):
        await filter_.on_request(request(), context(SENT))
    assert "authorization" not in fake.requests[0].headers


# Answers


def _chain(filter_: HttpFilter, **policy: Any) -> FilterChain:
    return FilterChain([], [PolicedFilter(filter_, FilterPolicy(**policy), RecordedMetrics().metrics)])


async def _answer(
    filter_: HttpFilter, batches: Any, *, stream: bool, dialect: DialectName = "openai_chat", **policy: Any
) -> Any:
    asked = request(dialect=dialect, stream=stream)
    return await through(_chain(filter_, **policy).transform(asked, context(request_id="r-9")), batches)


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages", "openai_responses"])
async def test_a_streamed_answer_passes_the_service_event_by_event(dialect: DialectName) -> None:
    async with service(answering(lambda received: received.body.replace(b"secret", b"[...]"))) as (filter_, fake):
        out = await _answer(filter_, said("The secret", " is out."), stream=True, dialect=dialect)
    assert (text_of(out), finish_of(out)) == ("The [...] is out.", "stop")
    assert len(fake.requests) > 2
    assert {received.headers["content-type"] for received in fake.requests} == {"text/event-stream"}
    assert {received.headers["x-request-id"] for received in fake.requests} == {"r-9"}
    for received in fake.requests:
        assert received.body.endswith(b"\n\n")


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages", "openai_responses"])
async def test_a_whole_answer_passes_the_service_as_json(dialect: DialectName) -> None:
    async with service(answering(lambda received: received.body.replace(b"secret", b"[...]"))) as (filter_, fake):
        out = await _answer(filter_, whole("The secret."), stream=False, dialect=dialect)
    assert text_of(out) == "The [...]."
    (received,) = fake.requests
    assert received.headers["content-type"] == "application/json"
    assert isinstance(received.json, dict)


async def test_the_chunks_of_a_whole_answer_are_put_together_first() -> None:
    async with service(answering(echo)) as (filter_, fake):
        out = await _answer(filter_, said("In ", "pieces."), stream=False)
    assert text_of(out) == "In pieces."
    assert fake.requests[0].json["choices"][0]["message"]["content"] == "In pieces."


async def test_a_service_may_hold_events_back_and_join_them() -> None:
    held = bytearray()

    def join(received: RecordedRequest) -> bytes:
        held.extend(received.body)
        if b"[DONE]" not in received.body:
            return b""
        return bytes(held)

    async with service(answering(join)) as (filter_, _):
        out = await _answer(filter_, said("a", "b"), stream=True)
    assert (len(out), text_of(out), finish_of(out)) == (1, "ab", "stop")


async def test_204_passes_an_answer_on() -> None:
    async with service(no_content()) as (filter_, _):
        assert text_of(await _answer(filter_, said("a", "b"), stream=True)) == "ab"
        assert text_of(await _answer(filter_, whole("a"), stream=False)) == "a"


@pytest.mark.parametrize("stream", [True, False])
async def test_4xx_ends_an_answer_with_the_services_message(stream: bool) -> None:
    def judge(received: RecordedRequest) -> Any:
        return {"detail": "Not for your eyes."}

    async def behave(exchange: Exchange) -> None:
        bad = b"bad" in exchange.request.body
        await (answering(judge, 403) if bad else answering(echo))(exchange)

    async with service(behave) as (filter_, _):
        out = await _answer(filter_, said("fine ", "bad", "more"), stream=stream)
    assert text_of(out) == ("fine \n\n" if stream else "") + "Not for your eyes."
    assert finish_of(out) == "content_filter"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "behaviour", [answering(lambda _: {}, 500), answering(lambda _: b"data: nonsense\n\n"), agents.hang(), agents.die()]
)
async def test_a_service_that_fails_ends_the_answer_or_is_passed_over(behaviour: Behaviour, stream: bool) -> None:
    async with service(behaviour, timeout_s=0.2) as (filter_, _):
        with pytest.raises(FilterUnavailable):
            await _answer(filter_, said("a", "b"), stream=stream)
        out = await _answer(filter_, said("a", "b"), stream=stream, on_error="allow")
    assert (text_of(out), finish_of(out)) == ("ab", "stop")


async def test_a_service_that_swallows_the_end_has_failed() -> None:
    async with service(answering(lambda _: b"")) as (filter_, _):
        with pytest.raises(FilterUnavailable):
            await _answer(filter_, said("a"), stream=True)


async def test_tool_calls_survive_the_service() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    batches = said("Let me see.", finish=False)
    batches[-1][-1]["choices"][0]["delta"]["tool_calls"] = [call]
    batches.append([{**batches[0][0], "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}])
    for dialect in ("openai_chat", "anthropic_messages", "openai_responses"):
        async with service(answering(echo)) as (filter_, _):
            out = await _answer(filter_, batches, stream=True, dialect=dialect)  # type: ignore[arg-type]
        (got,) = assembled(out)["choices"][0]["message"]["tool_calls"]
        assert (got["id"], orjson.loads(got["function"]["arguments"])) == ("c", {"a": 1})
        assert finish_of(out) == "tool_calls"


# Connections


async def test_a_request_that_is_given_up_lets_go_of_the_service() -> None:
    async with service(agents.hang()) as (filter_, fake):
        asking = asyncio.create_task(filter_.on_request(request(), context()))
        await fake.wait_requests()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await fake.wait_disconnect()
        await fake.wait_connections(0)


async def test_an_answer_that_nobody_reads_any_more_lets_go_of_the_service() -> None:
    async with service(agents.in_turn(answering(echo), agents.hang())) as (filter_, fake):
        transform = _chain(filter_).transform(request(stream=True), context())
        reading = asyncio.create_task(through(transform, said("a", "b")))
        await fake.wait_requests(2)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await fake.wait_disconnect()


async def test_connections_are_reused() -> None:
    async with service(answering(echo)) as (filter_, fake):
        for _ in range(5):
            await filter_.on_request(request(), context())
        assert fake.connections_made == 1

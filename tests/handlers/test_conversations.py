from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import orjson
import pytest

from router.context import Identity, RequestContext
from router.conversations.archive import Archive, Bounds
from router.conversations.conversations import Conversations
from router.conversations.ids import scope_of
from router.conversations.responses import ResponseNotFound, Responses
from router.dialects import openai_responses, sse
from router.errors import GatewayError, NotFound, PayloadTooLarge, StateUnavailable, UpstreamUnreachable
from router.handlers.conversation_objects import ConversationObjects
from router.handlers.conversations import StatefulResponses, StatePolicy
from router.handlers.reply import EVENT_STREAM, JSON, ByteStream, Reply
from router.state.base import Batch
from router.state.memory import MemoryStore

BOUNDS = Bounds(ttl_s=60, max_response_bytes=4000, max_items=100, max_bytes=100_000)
OUTPUT = [{"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}]
WHOLE = {"id": "resp_theirs", "object": "response", "status": "completed", "output": OUTPUT, "store": False}


class WatchedStore(MemoryStore):
    """Notes in ``log`` when something is committed; ``gone`` makes it fail."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log
        self.gone = False

    async def get(self, namespace: str, key: str) -> bytes | None:
        self._check()
        return await super().get(namespace, key)

    async def commit(self, namespace: str, batch: Batch, *, ttl_s: float) -> bool:
        self._check()
        self.log.append("commit")
        return await super().commit(namespace, batch, ttl_s=ttl_s)

    def _check(self) -> None:
        if self.gone:
            raise StateUnavailable


class Listener:
    """A handler with state around one that answers as ``answer`` says; ``bodies`` are those that it got."""

    def __init__(self, *, by_default: bool = True, tenant_header: str | None = None) -> None:
        self.log: list[str] = []
        self.store = WatchedStore(self.log)
        self.degraded = 0
        self.bodies: list[bytes] = []
        self.answer: Reply | GatewayError = whole(WHOLE)
        self.closed = False
        archive = Archive(self.store, BOUNDS)
        conversations = Conversations(archive)
        self.responses = Responses(archive, conversations)
        self.conversations = conversations
        self.objects = ConversationObjects(self.responses, conversations, tenant_header=tenant_header)
        self._stateful = StatefulResponses(
            self._inner,
            archive,
            self.responses,
            conversations,
            StatePolicy(by_default, tenant_header),
            count_degraded=self._count,
        )

    async def post(self, context: RequestContext | None = None, **fields: Any) -> Reply:
        return await self.post_bytes(orjson.dumps({"input": "Hi.", **fields}), context)

    async def post_bytes(self, body: bytes, context: RequestContext | None = None) -> Reply:
        return await self._stateful.create(context or context_of(), body)

    async def decide(self, **fields: Any) -> Reply:
        return await self._stateful.decide(context_of(), orjson.dumps(fields))

    async def stream(self, *events: bytes | GatewayError, **fields: Any) -> Reply:
        """Ask for a stream, which answers with these events."""

        async def generate() -> AsyncGenerator[bytes, None]:
            try:
                for each in events:
                    if isinstance(each, GatewayError):
                        raise each
                    self.log.append("event")
                    yield each
            finally:
                self.closed = True

        body = await ByteStream.start(generate())
        self.answer = Reply(200, EVENT_STREAM, body, {"x-a": "b"}, openai_responses.encode_stream_error)
        return await self.post(stream=True, **fields)

    async def _inner(self, context: RequestContext, body: bytes) -> Reply:
        self.bodies.append(body)
        if isinstance(self.answer, GatewayError):
            raise self.answer
        return self.answer

    def _count(self) -> None:
        self.degraded += 1


def context_of(key: str | None = None, tenant: str | None = None, **fields: Any) -> RequestContext:
    headers = {} if tenant is None else {"x-tenant": tenant}
    identity = None if key is None else Identity(key)
    return RequestContext("req-1", "front", "/v1/responses", headers, time.monotonic() + 5, identity=identity, **fields)


def whole(response: Any) -> Reply:
    return Reply(200, JSON, orjson.dumps(response), {"x-a": "b"})


def said(reply: Reply) -> Any:
    assert isinstance(reply.body, bytes)
    return orjson.loads(reply.body)


def event(type_: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (type_.encode(), orjson.dumps({"type": type_, **fields}))


CREATED = event("response.created", response={**WHOLE, "status": "in_progress", "output": []})
DELTA = event("response.output_text.delta", delta="Hi.")
COMPLETED = event("response.completed", response=WHOLE)


def responses_in(events: Sequence[bytes]) -> list[Any]:
    data = [orjson.loads(each) for each in sse.event_data(b"".join(events))]
    return [each["response"] for each in data if "response" in each]


async def read(reply: Reply) -> list[bytes]:
    assert isinstance(reply.body, ByteStream)
    events = [each async for each in reply.body]
    await reply.body.aclose()
    return events


async def test_an_answer_is_kept_before_it_is_returned() -> None:
    listener = Listener()
    reply = await listener.post()
    response = said(reply)
    assert reply.headers == {"x-a": "b"}
    assert response == {
        **WHOLE,
        "id": response["id"],
        "store": True,
        "previous_response_id": None,
        "conversation": None,
    }
    assert listener.log == ["commit"]
    asked = context_of(path_parameters={"response_id": response["id"]})
    assert said(await listener.objects.response(asked, b"")) == response


async def test_a_stream_is_kept_before_its_last_event_goes_out() -> None:
    listener = Listener()
    reply = await listener.stream(CREATED, DELTA + COMPLETED, b": bye\n\n")
    assert isinstance(reply.body, ByteStream)
    events = []
    async for each in reply.body:
        listener.log.append("sent")
        events.append(each)
    assert listener.log == ["event", "sent", "event", "sent", "commit", "sent", "event", "sent"]
    assert b"".join(events).endswith(b"\n\n: bye\n\n")
    assert events[1] == DELTA
    created, completed = responses_in(events)
    assert created["id"] == completed["id"] != "resp_theirs"
    assert (created["store"], completed["store"]) == (True, True)
    assert (reply.headers, listener.closed) == ({"x-a": "b"}, True)


async def test_a_client_that_goes_away_ends_the_stream_and_keeps_nothing() -> None:
    listener = Listener()
    reply = await listener.stream(CREATED, DELTA, COMPLETED)
    assert isinstance(reply.body, ByteStream)
    await anext(reply.body)
    await reply.body.aclose()
    assert listener.closed
    assert "commit" not in listener.log


async def test_a_stream_that_breaks_keeps_nothing() -> None:
    listener = Listener()
    reply = await listener.stream(CREATED, UpstreamUnreachable("gone"))
    with pytest.raises(UpstreamUnreachable):
        await read(reply)
    assert "commit" not in listener.log


async def test_events_that_are_here_already_are_kept_too() -> None:
    listener = Listener()
    listener.answer = Reply(200, EVENT_STREAM, CREATED + DELTA + COMPLETED)
    reply = await listener.post(stream=True)
    assert isinstance(reply.body, bytes)
    (_, completed) = responses_in([reply.body])
    assert (await listener.responses.get(scope(), completed["id"])).response == completed


def scope() -> str:
    return scope_of(context_of(), None)


@pytest.mark.parametrize(
    "body",
    [
        b'{"input":"Hi.","store":false}',
        b'{"input":"Hi."',
        b"[1]",
    ],
)
async def test_what_needs_no_state_goes_on_as_it_came(body: bytes) -> None:
    listener = Listener()
    listener.store.gone = True
    assert await listener.post_bytes(body) is listener.answer
    assert listener.bodies == [body]


async def test_a_store_that_is_gone_stops_nobody_who_does_not_need_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    listener = Listener()
    listener.store.gone = True
    context = context_of()
    response = said(await listener.post(context))
    assert (response["output"], response["store"]) == (OUTPUT, False)
    assert (context.degraded, listener.degraded) == (["state"], 1)
    assert "response not kept" in caplog.text
    (created, completed) = responses_in(await read(await listener.stream(CREATED, COMPLETED)))
    assert (created["store"], completed["store"]) == (True, False)


REFERENCE = {"type": "item_reference", "id": "msg_1"}
USER = {"role": "user", "content": "Go on."}


@pytest.mark.parametrize("reference", [REFERENCE, {"id": "msg_1"}, {"type": None, "id": "msg_1"}])
@pytest.mark.parametrize("store", [True, None])
async def test_items_that_are_only_named_are_put_back(reference: Any, store: bool | None) -> None:
    listener = Listener()
    await listener.post()
    response = said(await listener.post(input=[reference, USER], store=store))
    assert orjson.loads(listener.bodies[-1])["input"] == [*OUTPUT, USER]
    context = context_of(path_parameters={"response_id": response["id"]}, query="order=asc")
    assert said(await listener.objects.input_items(context, b""))["data"][0]["content"] == OUTPUT[0]["content"]


async def test_items_can_be_named_without_keeping_more() -> None:
    listener = Listener()
    await listener.post()
    response = said(await listener.post(input=[REFERENCE, USER], store=False))
    assert orjson.loads(listener.bodies[-1])["input"] == [*OUTPUT, USER]
    with pytest.raises(ResponseNotFound):
        await listener.responses.get(scope(), response["id"])


async def test_an_item_that_comes_before_anyway_is_there_once() -> None:
    listener = Listener()
    first = said(await listener.post())["id"]
    await listener.post(input=[REFERENCE, USER], previous_response_id=first)
    assert orjson.loads(listener.bodies[-1])["input"][1:] == [*OUTPUT, USER]


@pytest.mark.parametrize("id_", ["msg_2", "", "../r", None, 7])
async def test_an_item_that_is_not_there_is_not_found(id_: object) -> None:
    listener = Listener()
    await listener.post()
    with pytest.raises(NotFound) as caught:
        await listener.post(input=[USER, {"type": "item_reference", "id": id_}])
    assert caught.value.param == "input[1].id"
    assert len(listener.bodies) == 1


async def test_items_of_others_and_of_deleted_responses_cannot_be_named() -> None:
    listener = Listener()
    response_id = said(await listener.post(context_of("a")))["id"]
    with pytest.raises(NotFound):
        await listener.post(context_of("b"), input=[REFERENCE, USER])
    await listener.post(context_of("a"), input=[REFERENCE, USER], store=False)
    await listener.responses.delete(scope_of(context_of("a"), None), response_id)
    with pytest.raises(NotFound):
        await listener.post(context_of("a"), input=[REFERENCE, USER])


async def test_whoever_only_decides_sees_all_that_was_said_and_nothing_is_kept() -> None:
    listener = Listener()
    first = said(await listener.post())["id"]
    listener.answer, listener.log[:] = Reply(200, JSON, b'{"models": []}'), []
    reply = await listener.decide(input="Go on.", previous_response_id=first)
    assert reply.body == b'{"models": []}'
    assert len(orjson.loads(listener.bodies[-1])["input"]) == 3
    await listener.decide(input=[REFERENCE, USER])
    assert orjson.loads(listener.bodies[-1])["input"] == [*OUTPUT, USER]
    await listener.decide(input="Hi.")
    assert orjson.loads(listener.bodies[-1]) == {"input": "Hi."}
    with pytest.raises(ResponseNotFound):
        await listener.decide(input="Hi.", previous_response_id="resp_" + "0" * 48)
    assert listener.log == []


async def test_a_store_that_is_gone_is_an_error_for_whoever_needs_it() -> None:
    listener = Listener()
    first = said(await listener.post())["id"]
    conversation = await listener.conversations.create(scope(), {}, [])
    listener.store.gone = True
    for fields in ({"previous_response_id": first}, {"conversation": conversation.id}, {"store": True}):
        with pytest.raises(StateUnavailable):
            await listener.post(**fields)
    reply = await listener.stream(CREATED, DELTA, COMPLETED, store=True)
    with pytest.raises(StateUnavailable):
        await read(reply)
    for handler in (listener.objects.response, listener.objects.input_items):
        with pytest.raises(StateUnavailable):
            await handler(context_of(path_parameters={"response_id": first}), b"")
    assert listener.degraded == 0


async def test_nobody_is_asked_when_the_past_is_not_there() -> None:
    listener = Listener()
    for fields in ({"previous_response_id": "resp_" + "0" * 48}, {"previous_response_id": "resp_provider"}):
        with pytest.raises(ResponseNotFound) as caught:
            await listener.post(**fields)
        assert caught.value.status == 404
    with pytest.raises(NotFound):
        await listener.post(conversation="conv_" + "0" * 48)
    assert listener.bodies == []


async def test_input_that_is_too_large_to_be_kept_is_refused_before_anybody_is_asked() -> None:
    listener = Listener()
    with pytest.raises(PayloadTooLarge) as caught:
        await listener.post(input="x" * 5000, store=True)
    assert caught.value.param == "input"
    assert listener.bodies == []
    assert await listener.post(input="x" * 5000) is listener.answer
    assert "id" in said(await listener.post(instructions="x" * 5000, store=True))


async def test_an_answer_that_is_too_large_to_be_kept_goes_out_where_nobody_relies_on_it() -> None:
    listener = Listener()
    listener.answer = whole({**WHOLE, "metadata": {"a": "x" * 5000}})
    assert said(await listener.post())["store"] is False
    with pytest.raises(PayloadTooLarge):
        await listener.post(store=True)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400, JSON, b'{"error": {"message": "no"}}'),
        Reply(200, JSON, b'{"id": "resp_1", "status": "queued", "output": []}'),
        Reply(200, "text/plain", b"Hello."),
        Reply(200, JSON, b"no JSON"),
    ],
)
async def test_what_is_no_finished_response_is_passed_on(reply: Reply) -> None:
    listener = Listener()
    listener.answer = reply
    assert await listener.post() is reply
    assert listener.log == []


async def test_errors_of_whoever_answers_are_passed_on() -> None:
    listener = Listener()
    listener.answer = UpstreamUnreachable("gone")
    with pytest.raises(UpstreamUnreachable):
        await listener.post()


async def test_tenants_and_keys_are_kept_apart() -> None:
    listener = Listener(tenant_header="X-Tenant")
    owner = context_of("a", "t1")
    response_id = said(await listener.post(owner))["id"]
    for key, tenant in ((None, None), ("a", None), ("a", "t2"), ("b", "t1"), (None, "t1")):
        with pytest.raises(ResponseNotFound):
            await listener.post(context_of(key, tenant), previous_response_id=response_id)
    assert said(await listener.post(owner, previous_response_id=response_id))["previous_response_id"] == response_id


async def test_a_header_that_nobody_configured_keeps_nobody_apart() -> None:
    listener = Listener()
    response_id = said(await listener.post(context_of("a", "t1")))["id"]
    assert said(await listener.post(context_of("a", "t2"), previous_response_id=response_id))["id"] != response_id


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"metadata": []}', "metadata"),
        (b'{"metadata": {"a": 1}}', "metadata"),
        (b'{"metadata": {"%b": "x"}}' % (b"k" * 65), "metadata"),
        (b'{"metadata": {"k": "%b"}}' % (b"x" * 513), "metadata"),
        (orjson.dumps({"metadata": {str(n): "x" for n in range(17)}}), "metadata"),
        (b'{"items": "x"}', "items"),
        (b'{"items": [1]}', "items[0]"),
        (orjson.dumps({"items": [{"role": "user", "content": "x"}] * 21}), "items"),
        (b'{"items": [{"role": "user", "content": %b}]}' % (b"[" * 600 + b"]" * 600), None),
    ],
)
async def test_conversations_that_cannot_be_made_are_refused(body: bytes, param: str | None) -> None:
    listener = Listener()
    with pytest.raises(GatewayError) as caught:
        await listener.objects.create(context_of(), body)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert listener.log == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"meta": {"topic": "new"}}'])
async def test_metadata_are_replaced_by_others_only(body: bytes) -> None:
    listener = Listener()
    conversation = await listener.conversations.create(scope(), {"topic": "old"}, [])
    context = context_of(path_parameters={"conversation_id": conversation.id})
    with pytest.raises(GatewayError) as caught:
        await listener.objects.update(context, body)
    assert (caught.value.status, caught.value.param) == (400, "metadata")
    assert said(await listener.objects.conversation(context, b""))["metadata"] == {"topic": "old"}
    assert said(await listener.objects.update(context, b'{"metadata": null}'))["metadata"] == {}


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "limit=1e1", "order=up", "after=nobody", "&".join(["a=1"] * 60)]
)
async def test_a_page_that_cannot_be_is_refused(query: str) -> None:
    listener = Listener()
    conversation = await listener.conversations.create(scope(), {}, [{"role": "user", "content": "x"}])
    context = context_of(path_parameters={"conversation_id": conversation.id}, query=query)
    with pytest.raises(GatewayError) as caught:
        await listener.objects.items(context, b"")
    assert caught.value.status == 400

"""The external processor without Envoy: streams of messages as Envoy would send them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import grpc.aio
import pytest
from yarl import URL

from router.aio import timeout
from router.context import Identity, RequestContext, RouteDecision, Verdict
from router.errors import GatewayError, InvalidRequest, PayloadTooLarge, UpstreamError, UpstreamUnreachable
from router.protos.envoy.v3 import ext_proc_pb2 as wire
from router.services.calls import CallLimits, Calls
from router.services.ext_proc.exchange import EnvoyExchange, ExchangeOptions
from router.services.ext_proc.processor import NAME, ExternalProcessor
from router.services.ext_proc.upstream import CarriedAnswer, EnvoyClient
from router.services.server import GrpcServer, ServerOptions
from router.services.servicers import ServiceSet
from router.upstream.http import Endpoint
from tests.fakes.counters import RecordedMetrics
from tests.services.serving import WrittenLines

OPTIONS = ExchangeOptions("x-cluster", credentials=False, max_body_bytes=20, max_answer_bytes=100)
HEADERS = {"authorization": "Bearer of-the-provider", "x-extra": "1", "host": "api.example"}
ENDPOINT = Endpoint("weather", URL("http://api.example/v1/chat?x=1"), 5.0, HEADERS)
DUPLEX, BUFFERED = 4, 2
Handler = Callable[[EnvoyExchange, EnvoyClient], Awaitable[None]]


class ScriptedFront:
    """A listener with one path that does what ``handler`` does."""

    def __init__(self, handler: Handler, client: EnvoyClient, *, reads_answers: bool = True) -> None:
        self._handler = handler
        self._client = client
        self._reads = reads_answers
        self.cancelled = False

    def offers(self, path: str) -> bool:
        return path == "/ours"

    def reads_answers(self, path: str) -> bool:
        return self._reads

    async def serve(self, exchange: EnvoyExchange) -> None:
        exchange.context = RequestContext("id-1", "travel", exchange.path, exchange.headers, time.monotonic() + 5)
        try:
            await self._handler(exchange, self._client)
        except asyncio.CancelledError:
            self.cancelled = True
            raise


class Stream:
    """One exchange: says what Envoy says, and reads what it is answered."""

    def __init__(self, handler: Handler, *, reads_answers: bool = True) -> None:
        client = EnvoyClient()
        self.front = ScriptedFront(handler, client, reads_answers=reads_answers)
        self.processor = ExternalProcessor(self.front, client, OPTIONS, client.close)
        self._said: asyncio.Queue[wire.ProcessingRequest | None] = asyncio.Queue()
        call = RequestContext("call", "grpc", NAME, {}, time.monotonic() + 5)
        self._answers = self.processor.process(self._requests(), call)

    def say(self, *requests: wire.ProcessingRequest) -> None:
        for request in requests:
            self._said.put_nowait(request)

    def half_close(self) -> None:
        self._said.put_nowait(None)

    async def answer(self) -> wire.ProcessingResponse:
        async with timeout(5):
            return await anext(self._answers)

    async def forwarded(self) -> list[wire.ProcessingResponse]:
        """The answers until the request goes on: to its head, and to its body."""
        self.say(head())
        first = await self.answer()
        self.say(body(b"hello", end=True))
        return [first, await self.answer()]

    async def rest(self) -> list[wire.ProcessingResponse]:
        async with timeout(5):
            return [answer async for answer in self._answers]

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._answers.aclose()
        await self.processor.close()

    async def _requests(self) -> AsyncIterator[wire.ProcessingRequest]:
        while (request := await self._said.get()) is not None:
            yield request


def head(path: str = "/ours", *, end: bool = False, config: Sequence[int] = (0, 0), **more: Any) -> Any:
    fields = {":method": "POST", ":path": path, ":authority": "gateway", "cookie": "a=1", "x-forwarded-for": "::1"}
    protocol = wire.ProtocolConfiguration(request_body_mode=config[0], response_body_mode=config[1])
    return wire.ProcessingRequest(
        request_headers=wire.HttpHeaders(headers=header_map(fields), end_of_stream=end),
        protocol_config=protocol,
        **more,
    )


def header_map(fields: dict[str, str]) -> wire.HeaderMap:
    return wire.HeaderMap(
        headers=[wire.HeaderValue(key=name, raw_value=value.encode()) for name, value in fields.items()]
    )


def body(data: bytes, *, end: bool = False) -> wire.ProcessingRequest:
    return wire.ProcessingRequest(request_body=wire.HttpBody(body=data, end_of_stream=end))


def answer_head(status: int = 200, *, end: bool = False, **fields: str) -> wire.ProcessingRequest:
    found = header_map({":status": str(status), "content-type": "text/plain", "x-powered-by": "them", **fields})
    return wire.ProcessingRequest(response_headers=wire.HttpHeaders(headers=found, end_of_stream=end))


def answer_body(data: bytes, *, end: bool = False) -> wire.ProcessingRequest:
    return wire.ProcessingRequest(response_body=wire.HttpBody(body=data, end_of_stream=end))


def trailers(side: str) -> wire.ProcessingRequest:
    part = wire.HttpTrailers()
    if side == "request":
        return wire.ProcessingRequest(request_trailers=part)
    return wire.ProcessingRequest(response_trailers=part)


def set_fields(mutation: wire.HeaderMutation) -> dict[str, str]:
    assert {each.append_action for each in mutation.set_headers} <= {2}
    return {each.header.key: each.header.raw_value.decode() for each in mutation.set_headers}


def piece(response: wire.ProcessingResponse) -> tuple[bytes, bool]:
    part = response.response_body.response.body_mutation.streamed_response
    return part.body, part.end_of_stream


def facts(response: wire.ProcessingResponse) -> dict[str, Any]:
    return dict(response.dynamic_metadata["trident"])


async def relaying(exchange: EnvoyExchange, client: EnvoyClient) -> None:
    """Asks the upstream with the body in capitals, and streams what it says in brackets."""
    asked = await exchange.read(5)
    async with client.post(ENDPOINT, asked.upper(), {"x-request-id": "id-1"}) as response:
        exchange.begin(response.status, {"Content-Type": "text/event-stream"})
        async with aclosing(response.iter_bytes()) as pieces:
            async for data in pieces:
                exchange.write(b"<" + data + b">")
        exchange.end()


async def refusing(exchange: EnvoyExchange, client: EnvoyClient) -> None:
    exchange.send(401, {"Content-Type": "application/json"}, b"{}")


async def test_a_path_that_is_not_ours_is_left_alone() -> None:
    async with Stream(refusing) as stream:
        stream.say(head("/theirs"))
        [answer] = await stream.rest()
    mode = answer.mode_override
    assert (mode.request_body_mode, mode.response_body_mode, mode.response_header_mode) == (0, 0, 2)
    common = answer.request_headers.response
    assert list(common.header_mutation.remove_headers) == ["x-trident-route", "x-cluster"]
    assert common.clear_route_cache


async def test_a_path_that_is_not_ours_is_given_back_where_envoy_wants_everything_back() -> None:
    async with Stream(refusing) as stream:
        stream.say(head("/theirs", config=(DUPLEX, DUPLEX)), body(b"in", end=True), trailers("request"))
        stream.say(answer_head(), answer_body(b"out", end=True), trailers("response"))
        stream.half_close()
        _, given, *others = await stream.rest()
    part = given.request_body.response.body_mutation.streamed_response
    assert (part.body, part.end_of_stream) == (b"in", True)
    assert [each.WhichOneof("response") for each in others] == [
        "request_trailers",
        "response_headers",
        "response_body",
        "response_trailers",
    ]
    assert piece(others[2]) == (b"out", True)


async def test_what_is_answered_before_the_body_is_read_ends_the_exchange() -> None:
    async with Stream(refusing) as stream:
        stream.say(head())
        [answer] = await stream.rest()
    immediate = answer.immediate_response
    assert (immediate.status.code, immediate.body, immediate.details) == (401, b"{}", "trident")
    assert set_fields(immediate.headers) == {"content-type": "application/json"}


async def test_the_body_is_asked_for_whole_and_goes_on_changed() -> None:
    async with Stream(relaying) as stream:
        stream.say(head())
        mode = (await stream.answer()).mode_override
        assert (mode.request_body_mode, mode.response_header_mode, mode.response_body_mode) == (BUFFERED, 1, DUPLEX)
        assert mode.response_trailer_mode == 1
        stream.say(body(b"hello", end=True))
        answer = await stream.answer()
        common = answer.request_body.response
        assert common.body_mutation.body == b"HELLO"
        assert common.clear_route_cache
        told = set_fields(common.header_mutation)
        assert told[":path"] == "/v1/chat?x=1"
        assert (told["content-length"], told["x-cluster"], told["x-extra"]) == ("5", "weather", "1")
        assert "authorization" not in told
        assert "host" not in told
        assert list(common.header_mutation.remove_headers) == ["cookie"]
        assert facts(answer)["upstream"] == "weather"


async def test_an_answer_is_changed_on_its_way() -> None:
    async with Stream(relaying) as stream:
        await stream.forwarded()
        stream.say(answer_head(201), answer_body(b"one"), answer_body(b"", end=True))
        began, first, last = await stream.rest()
    mutation = began.response_headers.response.header_mutation
    assert set_fields(mutation) == {":status": "201", "content-type": "text/event-stream"}
    assert list(mutation.remove_headers) == ["x-powered-by"]
    assert piece(first) == (b"<one>", False)
    assert piece(last) == (b"", True)
    assert facts(last)["request_id"] == "id-1"


async def test_an_answer_with_trailers_ends_with_them() -> None:
    async with Stream(relaying) as stream:
        await stream.forwarded()
        stream.say(answer_head(), answer_body(b"one"), trailers("response"))
        *_, first, last = await stream.rest()
    assert piece(first) == (b"<one>", False)
    assert last.WhichOneof("response") == "response_trailers"


async def test_large_pieces_are_cut() -> None:
    async with Stream(relaying) as stream:
        await stream.forwarded()
        stream.say(answer_head(), answer_body(b"x" * 150_000, end=True))
        parts = [piece(answer)[0] for answer in (await stream.rest())[1:]]
    assert max(map(len, parts)) <= 64 * 1024
    assert b"".join(parts) == b"<" + b"x" * 150_000 + b">"


@pytest.mark.parametrize(("ends_in_trailers", "pieces"), [(False, 2), (True, 1)])
async def test_a_body_in_pieces_is_put_together_first(ends_in_trailers: bool, pieces: int) -> None:
    async with Stream(relaying) as stream:
        stream.say(head(config=(DUPLEX, DUPLEX)), body(b"hel"))
        stream.say(trailers("request") if ends_in_trailers else body(b"lo", end=True))
        first, second = await stream.answer(), await stream.answer()
        assert set_fields(first.request_headers.response.header_mutation)["x-cluster"] == "weather"
        part = second.request_body.response.body_mutation.streamed_response
        assert (part.body, part.end_of_stream) == (b"HEL" if ends_in_trailers else b"HELLO", not ends_in_trailers)
        if ends_in_trailers:
            assert (await stream.answer()).WhichOneof("response") == "request_trailers"


async def test_each_piece_gets_its_answer_where_envoy_counts_them() -> None:
    async with Stream(relaying, reads_answers=False) as stream:
        request = head(config=(1, 0))
        request.protocol_config.send_body_without_waiting_for_header_response = True
        stream.say(request, body(b"he"), body(b"l"), body(b"lo", end=True))
        assert (await stream.answer()).WhichOneof("response") == "request_headers"
        told = [(await stream.answer()).request_body.response.body_mutation for _ in range(3)]
        assert [each.WhichOneof("mutation") for each in told] == ["clear_body", "clear_body", "body"]
        assert told[-1].body == b"HELLO"


async def test_answers_that_have_to_be_seen_and_are_not_sent_break_the_exchange() -> None:
    async with Stream(relaying) as stream:
        stream.say(head(config=(DUPLEX, 0)))
        with pytest.raises(InvalidRequest, match="response_body_mode"):
            await stream.rest()


async def test_a_request_without_a_body_gets_one() -> None:
    async with Stream(relaying) as stream:
        stream.say(head(end=True))
        common = (await stream.answer()).request_headers.response
    assert (common.status, common.body_mutation.body) == (1, b"")


async def test_an_answer_nobody_looks_at_goes_out_as_it_is() -> None:
    async with Stream(relaying, reads_answers=False) as stream:
        first, _ = await stream.forwarded()
        stream.say(answer_head(418))
        [answer] = await stream.rest()
        assert stream.front.cancelled
    assert first.mode_override.response_body_mode == 0
    common = answer.response_headers.response
    assert set_fields(common.header_mutation) == {"x-trident-route": "weather", "x-request-id": "id-1"}
    assert not common.HasField("body_mutation")
    assert answer.mode_override.response_body_mode == 0


async def test_an_answer_of_envoys_own_is_let_through() -> None:
    async with Stream(relaying) as stream:
        stream.say(head())
        await stream.answer()
        stream.say(answer_head(408))
        [answer] = await stream.rest()
        assert stream.front.cancelled
    assert answer.response_headers.response == wire.CommonResponse()


async def test_a_body_is_bounded() -> None:
    raised: list[GatewayError] = []

    async def reading(exchange: EnvoyExchange, client: EnvoyClient) -> None:
        try:
            await exchange.read(5)
        except PayloadTooLarge as exc:
            raised.append(exc)
            exchange.send(413, {}, b"")

    async with Stream(reading) as stream:
        stream.say(head(), body(b"x" * 15), body(b"x" * 15), body(b"x" * 15, end=True))
        *_, answer = await stream.rest()
    assert answer.immediate_response.status.code == 413
    assert "20 bytes" in raised[0].message


async def test_a_stream_without_an_upstream_is_collected_within_bounds() -> None:
    async def streaming(exchange: EnvoyExchange, client: EnvoyClient) -> None:
        exchange.begin(200, {"Content-Type": "text/event-stream"})
        for _ in range(4):
            exchange.write(b"x" * 20)
        exchange.end()

    async def endless(exchange: EnvoyExchange, client: EnvoyClient) -> None:
        exchange.begin(200, {"Content-Type": "text/event-stream"})
        for _ in range(5):
            exchange.write(b"x" * 20)
        with pytest.raises(UpstreamError, match="100 bytes"):
            exchange.write(b"x")
        exchange.write(b"error")
        exchange.end()

    for handler, expected in ((streaming, b"x" * 80), (endless, b"error")):
        async with Stream(handler) as stream:
            stream.say(head())
            [answer] = await stream.rest()
        assert (answer.immediate_response.status.code, answer.immediate_response.body) == (200, expected)


async def test_an_upstream_without_a_body_still_gets_an_answer_with_one() -> None:
    async with Stream(relaying) as stream:
        await stream.forwarded()
        stream.say(answer_head(204, end=True))
        *_, answer = await stream.rest()
    assert answer.immediate_response.status.code == 204


async def test_only_one_upstream_can_be_asked() -> None:
    async def twice(exchange: EnvoyExchange, client: EnvoyClient) -> None:
        await exchange.read(5)
        async with client.post(ENDPOINT, b"a", {}):
            pass
        with pytest.raises(UpstreamUnreachable, match="somebody else"):
            async with client.post(ENDPOINT, b"b", {}):
                pass
        exchange.send(502, {}, b"")

    async with Stream(twice) as stream:
        await stream.forwarded()
        stream.say(answer_head(500), answer_body(b"no", end=True))
        *_, answer = await stream.rest()
    assert answer.WhichOneof("response") == "response_body"


async def test_envoy_may_say_that_nothing_more_comes_and_still_read() -> None:
    async with Stream(relaying) as stream:
        await stream.forwarded()
        stream.say(answer_head(), answer_body(b"one", end=True))
        stream.half_close()
        answers = await stream.rest()
    assert [piece(answer) for answer in answers[1:]] == [(b"<one>", False), (b"", True)]


async def test_a_request_that_is_cut_off_is_given_up() -> None:
    async with Stream(relaying) as stream:
        stream.say(head())
        await stream.answer()
        stream.say(body(b"hel"))
        stream.half_close()
        assert await stream.rest() == []
        assert stream.front.cancelled


async def test_an_answer_that_is_cut_off_is_told_to_who_reads_it() -> None:
    errors: list[str] = []

    async def noting(exchange: EnvoyExchange, client: EnvoyClient) -> None:
        try:
            await relaying(exchange, client)
        except UpstreamError as exc:
            errors.append(exc.code)
            exchange.write(b"broken")
            exchange.end()

    async with Stream(noting) as stream:
        await stream.forwarded()
        stream.say(answer_head(), answer_body(b"one"))
        stream.half_close()
        *_, last = await stream.rest()
    assert errors == ["upstream_unreachable"]
    assert piece(last) == (b"", True)


async def test_a_stream_that_is_closed_ends_what_is_done_for_it() -> None:
    async with Stream(relaying) as stream:
        await stream.forwarded()
    assert stream.front.cancelled


async def test_a_defect_fails_the_stream_instead_of_letting_the_request_pass() -> None:
    async def broken(exchange: EnvoyExchange, client: EnvoyClient) -> None:
        raise ZeroDivisionError

    async def silent(exchange: EnvoyExchange, client: EnvoyClient) -> None:
        exchange.abort()

    for handler, error in ((broken, ZeroDivisionError), (silent, UpstreamUnreachable)):
        async with Stream(handler) as stream:
            stream.say(head())
            with pytest.raises(error):
                await stream.rest()


@pytest.mark.parametrize("message", [wire.ProcessingRequest(), answer_head(), body(b"x")])
async def test_what_cannot_come_fails_the_stream(message: wire.ProcessingRequest) -> None:
    async with Stream(relaying) as stream:
        stream.say(message)
        with pytest.raises(InvalidRequest):
            await stream.rest()


async def test_observed_traffic_is_served_and_not_answered() -> None:
    served: list[bytes] = []

    async def noting(exchange: EnvoyExchange, client: EnvoyClient) -> None:
        await relaying(exchange, client)
        served.append(await exchange.read(5))

    async with Stream(noting) as stream:
        stream.say(head(observability_mode=True), body(b"hel"), body(b"lo", end=True))
        stream.say(answer_head(), answer_body(b"one", end=True))
        stream.half_close()
        assert await stream.rest() == []
    assert served == [b"hello"]


async def test_an_answer_is_read_no_further_than_it_is_taken() -> None:
    answer = CarriedAnswer()
    answer.begin(200, {})
    feeding = asyncio.create_task(answer.feed(b"x" * 300_000))
    await asyncio.sleep(0)
    assert not feeding.done()
    assert len(await answer.read()) == 300_000
    await feeding
    answer.abandon()
    await answer.feed(b"x" * 900_000)
    answer.finish()
    assert answer.take_rest(10) == b""


async def test_metadata_says_what_was_decided_and_by_whom() -> None:
    async def deciding(exchange: EnvoyExchange, client: EnvoyClient) -> None:
        context = exchange.context
        assert context is not None
        scores = {"weather": 0.91234, "flights": 0.1}
        context.decision = RouteDecision((("flights",), ("weather",)), "orchestrator", scores, "orchestrator", "7")
        context.identity = Identity("app")
        context.degraded.append("state")
        context.verdicts.append(Verdict("jailbreak", "input", "block", "injection", 0.99999))
        context.error_code = "content_filter"
        exchange.send(400, {}, b"")

    async with Stream(deciding) as stream:
        stream.say(head())
        [answer] = await stream.rest()
    told = facts(answer)
    assert dict(told.pop("scores")) == {"weather": 0.9123, "flights": 0.1}
    assert dict(told.pop("guards")["input.jailbreak"]) == {"outcome": "block", "score": 1, "label": "injection"}
    assert told == {
        "request_id": "id-1",
        "listener": "travel",
        "route": "flights, weather",
        "reason": "orchestrator",
        "orchestrator": "orchestrator",
        "orchestrator_version": "7",
        "key": "app",
        "degraded": "state",
        "error": "content_filter",
    }


async def test_the_service_is_served_under_envoys_name() -> None:
    client = EnvoyClient()
    processor = ExternalProcessor(ScriptedFront(refusing, client), client, OPTIONS, client.close)

    async def not_ready() -> list[str]:
        return []

    recorded, lines = RecordedMetrics(), WrittenLines()
    services = ServiceSet(processor=processor)
    assert services.names == ("envoy.service.ext_proc.v3.ExternalProcessor",)
    calls = Calls(CallLimits(), recorded.metrics, lines)
    server = GrpcServer(ServerOptions("127.0.0.1", 0, drain_timeout_s=5), services, calls, not_ready)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            process = channel.stream_stream(
                f"/{NAME}/Process",
                request_serializer=wire.ProcessingRequest.SerializeToString,
                response_deserializer=wire.ProcessingResponse.FromString,
            )
            call = process()
            await call.write(head())
            answer = await call.read()
            assert answer.immediate_response.status.code == 401
            broken = process()
            await broken.write(wire.ProcessingRequest())
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await broken.read()
            assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    finally:
        await server.drain()
    assert [line["path"] for line in lines.entries] == [f"/{NAME}/Process"] * 2

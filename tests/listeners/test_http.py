from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest
import yarl

from router.aio import timeout
from router.context import RequestContext, RouteDecision
from router.dialects.openai_chat_stream import encode_stream_error
from router.errors import GatewayError, InvalidRequest, OperatorError, UpstreamStatus, UpstreamUnreachable
from router.handlers.reply import EVENT_STREAM, JSON, ByteStream, Reply
from router.listeners.http import HttpListener, ListenerOptions
from router.listeners.middleware import Handler, Resource
from router.telemetry import semconv
from router.telemetry.access_log import LoggedAccess
from tests.fakes.counters import RecordedMetrics

CHAT = "/v1/chat/completions"


async def _echo(context: RequestContext, body: bytes) -> Reply:
    return Reply(200, JSON, body, {"x-name": "wetter-ü, a"})


@asynccontextmanager
async def _listening(
    handler: Handler = _echo, recorded: RecordedMetrics | None = None, **changes: Any
) -> AsyncIterator[HttpListener]:
    fields = {"timeout_s": 5.0, "max_body_bytes": 1000, "drain_timeout_s": 1.0, "body_timeout_s": 5.0}
    options = ListenerOptions("front", "127.0.0.1", 0, **{**fields, **changes})
    listener = HttpListener(
        options, {CHAT: Resource({"POST": handler})}, (recorded or RecordedMetrics()).recorder, LoggedAccess()
    )
    await listener.start()
    try:
        yield listener
    finally:
        await listener.drain()


@asynccontextmanager
async def _post(listener: HttpListener, body: bytes = b"{}", **kwargs: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{listener.port}{CHAT}", data=body, **kwargs) as response,
    ):
        yield response


def _raising(error: Exception) -> Handler:
    async def handler(context: RequestContext, body: bytes) -> Reply:
        context.decision = RouteDecision((("weather",),), "orchestrator")
        raise error

    return handler


def _streaming(*pieces: bytes | Exception | asyncio.Event, closed: asyncio.Event | None = None) -> Handler:
    async def generate() -> AsyncGenerator[bytes, None]:
        try:
            for piece in pieces:
                if isinstance(piece, asyncio.Event):
                    await piece.wait()
                elif isinstance(piece, Exception):
                    raise piece
                else:
                    yield piece
        finally:
            if closed is not None:
                closed.set()

    async def handler(context: RequestContext, body: bytes) -> Reply:
        return Reply(200, EVENT_STREAM, await ByteStream.start(generate()), {}, encode_stream_error)

    return handler


async def test_a_request_id_is_made_or_kept() -> None:
    async with _listening() as listener:
        async with _post(listener) as response:
            assert len(response.headers["x-request-id"]) == 32
        async with _post(listener, headers={"x-request-id": "mine-1"}) as response:
            assert response.headers["x-request-id"] == "mine-1"


async def test_one_who_fails_at_the_end_of_a_request_keeps_no_other_from_being_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = asyncio.Event()

    def failing(context: RequestContext) -> None:
        raise ValueError("a defect")

    async def handler(context: RequestContext, body: bytes) -> Reply:
        context.on_finished += [failing, lambda _: told.set()]
        return Reply(200, JSON, b"{}")

    recorded = RecordedMetrics()
    async with _listening(handler, recorded) as listener, _post(listener) as response:
        assert response.status == 200
        async with timeout(5):
            await told.wait()
    assert recorded.count(semconv.REQUESTS, "front", "2xx") == 1
    assert "a defect" in caplog.text


async def test_the_events_of_a_stream_are_counted() -> None:
    seen: list[int] = []
    stream = _streaming(b"data: 1\n\ndata: 2\n\n", b"data: 3\n\n")

    async def handler(context: RequestContext, body: bytes) -> Reply:
        context.on_finished.append(lambda finished: seen.append(finished.streamed_events))
        return await stream(context, body)

    async with _listening(handler) as listener:
        async with _post(listener) as response:
            await response.read()
        await listener.drain()
    assert seen == [3]


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "ü"])
async def test_a_request_id_that_may_not_stand_in_a_log_is_replaced(given: str) -> None:
    async with _listening() as listener, _post(listener, headers={"x-request-id": given}) as response:
        assert len(response.headers["x-request-id"]) == 32


async def test_header_values_are_made_safe() -> None:
    async with _listening() as listener, _post(listener) as response:
        assert response.headers["x-name"] == "wetter-%C3%BC, a"


async def test_an_unknown_path_says_what_there_is() -> None:
    async with _listening() as listener, aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{listener.port}/nope") as response:
            assert response.status == 404
            error = (await response.json())["error"]
            assert CHAT in error["message"]
            assert error["request_id"] == response.headers["x-request-id"]
        async with session.get(f"http://127.0.0.1:{listener.port}{CHAT}") as response:
            assert response.status == 405
            assert "POST" in (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://localhost:3000", 200),
        ("http://127.0.0.1:8080", 200),
        ("http://[::1]:8080", 200),
        ("https://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("http://192.168.1.5", 403),
        ("null", 403),
        ("http://[::1", 403),
        ("garbage", 403),
    ],
)
async def test_pages_of_other_machines_may_not_use_a_gateway_without_keys(origin: str | None, status: int) -> None:
    headers = {"content-type": "text/plain", **({} if origin is None else {"origin": origin})}
    async with _listening() as listener, _post(listener, headers=headers) as response:
        assert response.status == status
        if status == 403:
            assert (await response.json())["error"]["code"] == "origin_not_allowed"


async def test_a_handler_knows_the_parts_of_the_path_and_the_query() -> None:
    async def tell(context: RequestContext, body: bytes) -> Reply:
        return Reply(200, JSON, f"{dict(context.path_parameters)} {context.query}".encode())

    recorded = RecordedMetrics()
    options = ListenerOptions("front", "127.0.0.1", 0, 5.0, 1000, 1.0, 5.0)
    resources = {"/v1/things/{thing_id}": Resource({"GET": tell}), "/v1/things": Resource({"GET": tell})}
    listener = HttpListener(options, resources, recorded.recorder, LoggedAccess())
    await listener.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{listener.port}") as session:
            said = []
            for target in ("/v1/things/a%20b?limit=2&x=%2F", "/v1/things?q", "/v1/things/", "/v1/things/a/b"):
                async with session.get(yarl.URL(target, encoded=True)) as response:
                    said.append(await response.text() if response.status == 200 else response.status)
        assert said == ["{'thing_id': 'a b'} limit=2&x=%2F", "{} q", 404, 404]
    finally:
        await listener.drain()
    routes = {labels[1] for labels, _ in recorded.registry.snapshot()[semconv.SERVER_REQUEST_DURATION]}
    assert routes == {"/v1/things/{thing_id}", "/v1/things", "other"}


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_413(chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 100

    body: Any = pieces() if chunked else b"x" * 3000
    async with _listening() as listener, _post(listener, body) as response:
        assert response.status == 413
        assert "max_body_bytes" in (await response.json())["error"]["message"]


async def test_a_compressed_body_is_bounded_by_what_it_unpacks_to() -> None:
    import zlib

    bomb = zlib.compress(b"x" * 1_000_000)
    async with _listening() as listener, _post(listener, bomb, headers={"content-encoding": "deflate"}) as response:
        assert response.status == 413


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + b"x-a: b\r\n" * 500 + b"\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_bytes_that_are_not_http_get_an_error_in_our_shape(sent: bytes) -> None:
    async with _listening() as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(sent)
        async with timeout(5):
            answer = await reader.read()
        writer.close()
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["error"]["type"] == "invalid_request_error"
    assert b"aiohttp" not in answer


async def test_a_body_that_never_ends_is_408() -> None:
    async with _listening(body_timeout_s=0.2) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        async with timeout(5):
            assert b"408" in await reader.readline()
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidRequest("Bad.", param="messages"), 400, "invalid_request"),
        (UpstreamStatus("Slow down.", status=429, code="busy", type_="t", retry_after_s=2.4), 429, "busy"),
        (UpstreamUnreachable("'weather' cannot be reached."), 502, "upstream_unreachable"),
        (GatewayError("Broken."), 500, "internal_error"),
    ],
)
async def test_errors_have_one_shape(error: GatewayError, status: int, code: str) -> None:
    async with _listening(_raising(error)) as listener, _post(listener) as response:
        assert response.status == status
        body = (await response.json())["error"]
        assert set(body) == {"message", "type", "param", "code", "request_id"}
        assert (body["message"], body["code"]) == (error.message, code)
        assert response.headers["x-trident-route"] == "weather"
        assert response.headers.get("Retry-After") == ("2" if status == 429 else None)


async def test_an_unexpected_exception_tells_the_client_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with _listening(_raising(ValueError("secret detail"))) as listener, _post(listener) as response:
        assert response.status == 500
        assert "secret" not in await response.text()
    assert "secret detail" in caplog.text


async def test_degraded_parts_are_shown() -> None:
    async def handler(context: RequestContext, body: bytes) -> Reply:
        context.degraded += ["orchestrator", "guardrail"]
        return Reply(200, JSON, b"{}")

    async with _listening(handler) as listener, _post(listener) as response:
        assert response.headers["x-trident-degraded"] == "orchestrator, guardrail"


async def test_a_stream_is_passed_on_piece_by_piece() -> None:
    more = asyncio.Event()
    async with _listening(_streaming(b"data: 1\n\n", more, b"data: 2\n\n")) as listener, _post(listener) as response:
        assert response.content_type == EVENT_STREAM
        assert await response.content.readany() == b"data: 1\n\n"
        more.set()
        assert await response.content.read() == b"data: 2\n\n"


async def test_a_stream_that_breaks_ends_with_one_error_event() -> None:
    handler = _streaming(b"data: 1\n\n", UpstreamUnreachable("The connection to 'weather' broke."))
    async with _listening(handler) as listener, _post(listener) as response:
        text = await response.text()
    assert text.startswith('data: 1\n\ndata: {"error":{"message":"The connection to \'weather\' broke."')
    assert text.endswith("}}\n\n")
    assert "[DONE]" not in text


async def test_a_defect_in_a_stream_is_told_without_saying_what_it_is(caplog: pytest.LogCaptureFixture) -> None:
    handler = _streaming(b"data: 1\n\n", KeyError("inner workings"))
    async with _listening(handler) as listener, _post(listener) as response:
        text = await response.text()
    assert "inner workings" not in text
    assert orjson.loads(text.split("data: ")[2])["error"]["code"] == "internal_error"
    assert "stream failed" in caplog.text


async def test_a_stream_that_breaks_before_its_first_byte_has_a_status() -> None:
    async with _listening(_streaming(UpstreamUnreachable("gone"))) as listener, _post(listener) as response:
        assert response.status == 502


async def test_the_timeout_of_the_listener_ends_a_request_before_its_answer() -> None:
    async def handler(context: RequestContext, body: bytes) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    async with _listening(handler, timeout_s=0.2) as listener, _post(listener) as response:
        assert response.status == 504
        assert (await response.json())["error"]["code"] == "upstream_timeout"


async def test_the_timeout_of_the_listener_ends_a_stream() -> None:
    handler = _streaming(b"data: 1\n\n", asyncio.Event())
    async with _listening(handler, timeout_s=0.2) as listener, _post(listener) as response:
        assert "upstream_timeout" in await response.text()


async def test_a_client_that_leaves_closes_the_source() -> None:
    closed = asyncio.Event()
    recorded = RecordedMetrics()
    async with _listening(_streaming(b"data: 1\n\n", asyncio.Event(), closed=closed), recorded) as listener:
        async with _post(listener) as response:
            await response.content.readany()
        async with timeout(5):
            await closed.wait()
            while not recorded.count(semconv.REQUESTS):
                await asyncio.sleep(0.01)
    assert recorded.count(semconv.REQUESTS, "4xx") == 1


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_draining_lets_a_stream_finish_and_refuses_new_ones() -> None:
    more = asyncio.Event()
    async with _listening(_streaming(b"data: 1\n\n", more, b"data: 2\n\n")) as listener:
        port = listener.port
        async with _post(listener) as response:
            await response.content.readany()
            draining = asyncio.create_task(listener.drain())
            async with timeout(5):
                while await _accepts(port):
                    await asyncio.sleep(0)
            more.set()
            assert await response.content.read() == b"data: 2\n\n"
        await draining


async def test_draining_cuts_off_what_does_not_finish_in_time() -> None:
    closed = asyncio.Event()
    handler = _streaming(b"data: 1\n\n", asyncio.Event(), closed=closed)
    async with _listening(handler, drain_timeout_s=0.1) as listener, _post(listener) as response:
        await response.content.readany()
        async with timeout(5):
            await listener.drain()
        assert closed.is_set()


async def test_a_slow_reader_holds_the_source_back() -> None:
    produced = 0

    async def generate() -> AsyncGenerator[bytes, None]:
        nonlocal produced
        while produced < 2000:
            produced += 1
            yield b"x" * 65536

    async def handler(context: RequestContext, body: bytes) -> Reply:
        return Reply(200, EVENT_STREAM, await ByteStream.start(generate()))

    async with _listening(handler) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1024)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        await reader.readline()
        seen = -1
        while seen != produced:
            seen = produced
            await asyncio.sleep(0.2)
        assert produced < 500
        writer.close()


@pytest.mark.parametrize("whole", [False, True])
async def test_a_client_that_never_reads_is_cut_off(whole: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def generate() -> AsyncGenerator[bytes, None]:
        while True:
            yield b"x" * 65536

    async def handler(context: RequestContext, body: bytes) -> Reply:
        return Reply(200, EVENT_STREAM, b"x" * 50_000_000 if whole else await ByteStream.start(generate()))

    recorded = RecordedMetrics()
    with caplog.at_level(logging.INFO):
        async with _listening(handler, recorded, timeout_s=0.3) as listener:
            _, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1024)
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
            async with timeout(10):
                while not recorded.count(semconv.REQUESTS):
                    await asyncio.sleep(0.02)
            writer.close()
    assert "client does not read" in caplog.text


async def test_a_port_that_is_taken_says_how_to_fix_it() -> None:
    async with _listening() as listener:
        options = ListenerOptions("second", "127.0.0.1", listener.port, 5, 1000, 1, 5)
        with pytest.raises(OperatorError, match="'second' cannot bind") as caught:
            await HttpListener(options, {}, RecordedMetrics().recorder, LoggedAccess()).start()
        assert "port" in (caught.value.fix or "")


async def test_one_access_line_per_request_without_content(caplog: pytest.LogCaptureFixture) -> None:
    recorded = RecordedMetrics()
    with caplog.at_level(logging.INFO, "router.access"):
        async with _listening(recorded=recorded) as listener, _post(listener, b'{"secret": 1}') as response:
            await response.read()
    (line,) = [record for record in caplog.records if record.name == "router.access"]
    assert (line.status, line.path, line.listener) == (200, CHAT, "front")  # type: ignore[attr-defined]
    assert "secret" not in str(vars(line))
    assert recorded.count(semconv.REQUESTS, "front", "2xx") == 1

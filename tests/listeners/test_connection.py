"""What a client sees of a connection, byte for byte."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from router.aio import timeout
from router.context import RequestContext
from router.handlers.reply import EVENT_STREAM, JSON, ByteStream, Reply
from router.listeners.http import HttpListener, ListenerOptions
from router.listeners.middleware import Handler, Resource
from router.telemetry.access_log import LoggedAccess
from tests.fakes.counters import RecordedMetrics

POST = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"


async def _echo(context: RequestContext, body: bytes) -> Reply:
    return Reply(200, JSON, body)


async def _stream(context: RequestContext, body: bytes) -> Reply:
    async def generate() -> AsyncGenerator[bytes, None]:
        for piece in (b"one", b"", b"two"):
            yield piece

    return Reply(200, EVENT_STREAM, await ByteStream.start(generate()))


@asynccontextmanager
async def _connected(
    handler: Handler = _echo, **changes: Any
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with _listening(handler, **changes) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        try:
            async with timeout(8):
                yield reader, writer
        finally:
            writer.close()


@asynccontextmanager
async def _listening(handler: Handler = _echo, **changes: Any) -> AsyncIterator[HttpListener]:
    fields = {"timeout_s": 5.0, "max_body_bytes": 1000, "drain_timeout_s": 1.0, "body_timeout_s": 5.0}
    options = ListenerOptions("front", "127.0.0.1", 0, **{**fields, **changes})
    paths = {"/echo": Resource({"POST": handler, "HEAD": handler})}
    listener = HttpListener(options, paths, RecordedMetrics().recorder, LoggedAccess())
    await listener.start()
    try:
        yield listener
    finally:
        await listener.drain()


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of the next answer, as long as its content length says."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head, await reader.readexactly(length)


async def test_requests_follow_each_other_on_one_connection() -> None:
    async with _connected() as (reader, writer):
        for body in (b"{}", b"[]"):
            writer.write(POST + body)
            head, answered = await _answer(reader)
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"connection:" not in head.lower()
            assert head.count(b"Server: trident\r\n") == head.count(b"Date: ") == 1
            assert answered == body


async def test_requests_that_come_together_are_answered_in_their_order() -> None:
    running = 0

    async def slow(context: RequestContext, body: bytes) -> Reply:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        running -= 1
        return Reply(200, JSON, body)

    async with _connected(slow) as (reader, writer):
        writer.write(b"".join(POST + b"%02d" % number for number in range(50)))
        assert [(await _answer(reader))[1] for _ in range(50)] == [b"%02d" % number for number in range(50)]


async def test_a_stream_comes_in_chunks_and_keeps_the_connection() -> None:
    async with _connected(_stream) as (reader, writer):
        for _ in range(2):
            writer.write(POST + b"{}")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"Transfer-Encoding: chunked\r\n" in head
            assert b"content-length" not in head.lower()
            assert await reader.readuntil(b"0\r\n\r\n") == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_an_old_client_gets_a_stream_that_ends_with_the_connection() -> None:
    async with _connected(_stream) as (reader, writer):
        writer.write(b"POST /echo HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n")
        answer = await reader.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    assert b"chunked" not in head
    assert body == b"onetwo"


async def test_an_old_client_is_told_that_it_may_go_on() -> None:
    async with _connected() as (reader, writer):
        for _ in range(2):
            writer.write(b"POST /echo HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n{}")
            head, _ = await _answer(reader)
            assert b"Connection: keep-alive\r\n" in head


@pytest.mark.parametrize("handler", [_echo, _stream])
async def test_head_has_no_body(handler: Handler) -> None:
    async with _connected(handler) as (reader, writer):
        writer.write(b"HEAD /echo HTTP/1.1\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")
    assert answer.count(b"\r\n\r\n") == 1


async def test_a_client_that_wants_no_more_is_let_go() -> None:
    async with _connected() as (reader, writer):
        writer.write(POST.replace(b"host: x", b"connection: close") + b"{}")
        answer = await reader.read()
        assert b"\r\nConnection: close\r\n" in answer
        assert answer.endswith(b"\r\n\r\n{}")


async def test_a_client_that_waits_for_it_is_told_to_go_on() -> None:
    async with _connected() as (reader, writer):
        writer.write(POST.replace(b"host: x", b"Expect: 100-Continue"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert (await _answer(reader))[1] == b"{}"


async def test_a_client_that_is_refused_while_it_sends_reads_why() -> None:
    async with _connected() as (reader, writer):
        writer.write(b"POST /echo HTTP/1.1\r\ncontent-length: 9000000\r\n\r\n")
        for _ in range(90):
            writer.write(b"x" * 100_000)
            await writer.drain()
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nConnection: close\r\n" in answer


async def test_what_follows_a_good_request_and_is_none_is_refused_behind_it() -> None:
    async with _connected() as (reader, writer):
        writer.write(POST + b"{}" + b"GARBAGE\r\n\r\n")
        head, body = await _answer(reader)
        assert (head[:12], body) == (b"HTTP/1.1 200", b"{}")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")


async def test_a_body_that_is_no_http_is_refused() -> None:
    async with _connected() as (reader, writer):
        writer.write(b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n")
        await asyncio.sleep(0)
        writer.write(b"nonsense\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_says_nothing_is_let_go() -> None:
    async with _connected(keepalive_s=0.05) as (reader, _):
        assert await reader.read() == b""


async def test_a_connection_that_rests_is_closed() -> None:
    async with _connected(keepalive_s=0.05) as (reader, writer):
        writer.write(POST + b"{}")
        await _answer(reader)
        assert await reader.read() == b""


async def test_a_head_that_dribbles_is_not_waited_for() -> None:
    async with _connected(body_timeout_s=0.1, keepalive_s=60.0) as (reader, writer):
        for byte in (POST[:1], POST[1:2], POST[2:3]):
            writer.write(byte)
            await writer.drain()
        assert await reader.read() == b""


async def test_a_body_may_come_compressed() -> None:
    body = gzip.compress(b'{"a": 1}')
    async with _connected() as (reader, writer):
        writer.write(
            b"POST /echo HTTP/1.1\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        assert (await _answer(reader))[1] == b'{"a": 1}'


@pytest.mark.parametrize(
    ("coding", "body"), [(b"br", b"{}"), (b"gzip", b"{}"), (b"gzip", gzip.compress(b"{}")[:-4]), (b"gzip, gzip", b"{}")]
)
async def test_a_body_in_an_unknown_or_broken_coding_is_refused(coding: bytes, body: bytes) -> None:
    head = b"POST /echo HTTP/1.1\r\ncontent-encoding: %b\r\ncontent-length: %d\r\n\r\n" % (coding, len(body))
    async with _connected() as (reader, writer):
        writer.write(head + body)
        answer, _ = await _answer(reader)
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_a_large_compressed_body_is_unpacked_beside_the_loop() -> None:
    body = gzip.compress(bytes(range(256)) * 400, compresslevel=0)
    async with _connected(max_body_bytes=200_000) as (reader, writer):
        writer.write(
            b"POST /echo HTTP/1.1\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        assert (await _answer(reader))[1] == bytes(range(256)) * 400


async def test_draining_closes_connections_that_rest_and_says_so_on_the_others() -> None:
    asked, more = asyncio.Event(), asyncio.Event()

    async def slow(context: RequestContext, body: bytes) -> Reply:
        asked.set()
        await more.wait()
        return Reply(200, JSON, body)

    async with _listening(slow) as listener, timeout(8):
        resting, other = await asyncio.open_connection("127.0.0.1", listener.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(POST + b"{}")
        await asked.wait()
        draining = asyncio.create_task(listener.drain())
        assert await resting.read() == b""
        more.set()
        answer = await reader.read()
        assert b"\r\nConnection: close\r\n" in answer
        assert answer.endswith(b"{}")
        await draining
        other.close()
        writer.close()


async def test_an_answer_larger_than_a_write_arrives_whole() -> None:
    async def large(context: RequestContext, body: bytes) -> Reply:
        return Reply(200, JSON, b"x" * 5_000_000)

    async with _connected(large) as (reader, writer):
        writer.write(POST + b"{}")
        assert len((await _answer(reader))[1]) == 5_000_000

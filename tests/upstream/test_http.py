from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest
from yarl import URL

from router.errors import (
    InvalidRequest,
    UpstreamProtocolError,
    UpstreamUnreachable,
)
from router.upstream.http import Endpoint
from tests.fakes import agents
from tests.fakes.agents import FakeAgent
from tests.fakes.http_exchange import Exchange as Served
from tests.upstream.calling import EMPTY, LIMIT, OK, calling, sends


async def test_the_request_is_what_was_asked_for() -> None:
    async with (
        FakeAgent() as agent,
        calling(agent.url, headers={"X-Team": "blue", "Host": "front"}) as caller,
        caller.post(b'{"messages": []}', {"x-request-id": "7"}) as response,
    ):
        assert (response.status, response.content_type) == (200, "application/json")
        assert response.header("Content-Length") == response.header("content-length") is not None
        assert response.header("x-none") is None
    request = agent.requests[0]
    assert (request.method, request.path, request.body) == ("POST", "/chat", b'{"messages": []}')
    assert request.headers == {
        "host": "front",
        "content-type": "application/json",
        "accept": "text/event-stream, application/json",
        "accept-encoding": "identity",
        "x-team": "blue",
        "x-request-id": "7",
        "content-length": "16",
    }


@pytest.mark.parametrize(
    ("field", "media_type"),
    [
        (b"", "application/octet-stream"),
        (b"Content-Type: Text/Event-Stream ; charset=x\r\n", "text/event-stream"),
        (b"content-type: a/b\r\ncontent-type: c/d\r\n", "a/b"),
    ],
)
async def test_the_content_type_is_the_bare_media_type(field: bytes, media_type: str) -> None:
    behaviour = sends(OK + field + b"content-length: 0\r\n\r\n")
    async with FakeAgent(behaviour=behaviour) as agent, calling(agent.url) as caller, caller.post() as response:
        assert response.content_type == media_type


@pytest.mark.parametrize(
    "pieces",
    [
        [OK + b"content-length: 5\r\n\r\nhello"],
        [OK + b"content-length: 5\r\n\r\n", b"he", b"llo"],
        [OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 x\r\n\r\n" + OK + b"content-length: 5\r\n\r\nhello"],
    ],
)
async def test_a_whole_answer_leaves_its_connection_to_the_next_request(pieces: list[bytes]) -> None:
    async with FakeAgent(behaviour=sends(*pieces)) as agent, calling(agent.url) as caller:
        assert [await caller.body() for _ in range(3)] == [b"hello"] * 3
        assert agent.connections_made == 1


@pytest.mark.parametrize("head", [OK, OK + b"connection: close\r\ncontent-length: 5\r\n", b"HTTP/1.0 200 OK\r\n"])
async def test_an_answer_that_ends_its_connection_is_whole(head: bytes) -> None:
    async with (
        FakeAgent(behaviour=sends(head + b"\r\nhel", b"lo", then_end=True)) as agent,
        calling(agent.url) as caller,
    ):
        assert [await caller.body() for _ in range(2)] == [b"hello"] * 2
        assert agent.connections_made == 2


async def test_a_body_that_nobody_read_is_not_given_to_the_next_request() -> None:
    answers = [OK + b"content-length: 3\r\n\r\n" + text for text in (b"one", b"two")]
    behaviour = agents.in_turn(*map(sends, answers))
    async with FakeAgent(behaviour=behaviour) as agent, calling(agent.url) as caller:
        async with caller.post():
            pass
        assert await caller.body() == b"two"
        assert agent.connections_made == 1


async def test_an_answer_cannot_be_read_after_its_block() -> None:
    async with FakeAgent() as agent, calling(agent.url) as caller:
        async with caller.post() as response:
            pass
        with pytest.raises(RuntimeError, match="inside the block"):
            await response.read(LIMIT)


TEXT = b"coded text " * 1000


@pytest.mark.parametrize(("coding", "data"), [("gzip", gzip.compress(TEXT)), ("deflate", zlib.compress(TEXT))])
async def test_a_coded_answer_is_decoded(coding: str, data: bytes) -> None:
    head = OK + f"content-encoding: {coding}\r\ncontent-length: {len(data)}\r\n\r\n".encode()
    async with FakeAgent(behaviour=sends(head + data[:9], data[9:])) as agent, calling(agent.url) as caller:
        assert await caller.body() == TEXT
        assert await caller.body() == TEXT
        assert agent.connections_made == 1


@pytest.mark.parametrize(
    ("coding", "data"), [("br", b"x"), ("gzip", b"plain"), ("gzip", gzip.compress(TEXT)[:-4]), ("deflate", b"plain")]
)
async def test_an_answer_that_cannot_be_decoded_is_refused(coding: str, data: bytes) -> None:
    head = OK + f"content-encoding: {coding}\r\ncontent-length: {len(data)}\r\n\r\n".encode()
    async with FakeAgent(behaviour=sends(head + data)) as agent, calling(agent.url) as caller:
        with pytest.raises(UpstreamProtocolError, match="weather"):
            await caller.body()


async def test_the_bound_of_a_read_holds_for_decoded_bytes() -> None:
    data = gzip.compress(bytes(LIMIT * 5))
    head = OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(data)
    async with FakeAgent(behaviour=sends(head + data)) as agent, calling(agent.url) as caller:
        with pytest.raises(UpstreamProtocolError, match=f"more than {LIMIT} bytes"):
            await caller.body()


@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 1, 20_000_000])
async def test_a_large_body_arrives_whole(size: int) -> None:
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    async with FakeAgent(behaviour=sends(EMPTY)) as agent, calling(agent.url) as caller:
        for _ in range(2):
            assert await caller.body(body) == b""
            assert agent.requests.pop().body == body
        assert agent.connections_made == 1


async def test_an_answer_may_come_before_the_request_has_left() -> None:
    done = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nlarge")
        await done.wait()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with calling(url) as caller, caller.post(bytes(50_000_000)) as response:
        assert response.status == 413
        assert await response.read(LIMIT) == b"large"
    done.set()
    server.close()


async def test_a_stream_waits_for_its_reader() -> None:
    sent, part, count = 0, bytes(65_536), 1000

    async def pour(exchange: Served) -> None:
        nonlocal sent
        await exchange.begin_stream()
        for _ in range(count):
            await exchange.send_part(part)
            sent += len(part)
            await asyncio.sleep(0)
        await exchange.end_stream()

    async def stalled() -> int:
        known, same = sent, 0
        while same < 20:
            await asyncio.sleep(0.01)
            known, same = sent, same + 1 if sent == known else 0
        return known

    async with FakeAgent(behaviour=pour) as agent, calling(agent.url) as caller, caller.post() as response:
        assert await asyncio.wait_for(stalled(), 10) < count * len(part) / 2
        assert sum([len(data) async for data in response.iter_bytes()]) == count * len(part)


async def test_a_cancelled_wait_lets_go_of_the_connection() -> None:
    async with FakeAgent(behaviour=agents.hang_midstream()) as agent, calling(agent.url) as caller:
        task = asyncio.ensure_future(caller.body())
        await agent.wait_requests()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await agent.wait_disconnect()


async def test_closing_the_client_cuts_off_what_is_running() -> None:
    async with FakeAgent(behaviour=agents.hang_midstream()) as agent, calling(agent.url) as caller:
        task = asyncio.ensure_future(caller.body())
        await agent.wait_requests()
        await caller.client.close()
        with pytest.raises(UpstreamUnreachable):
            await task
        await agent.wait_disconnect()


async def test_many_requests_at_once_have_a_connection_each() -> None:
    async with FakeAgent() as agent, calling(agent.url) as caller:
        first = await asyncio.gather(*(caller.body() for _ in range(50)))
        again = await asyncio.gather(*(caller.body() for _ in range(50)))
        assert set(first) == set(again)
        assert agent.connections_made == 50


async def test_a_header_that_breaks_out_of_its_line_is_never_sent() -> None:
    async with FakeAgent() as agent, calling(agent.url) as caller:
        with pytest.raises(InvalidRequest):
            caller.post(headers={"baggage": "a\r\nx-admin: yes"})
        with pytest.raises(ValueError, match="x-team"):
            Endpoint("weather", URL(agent.url), 5, {"x-team": "a\nb"})
        assert agent.requests == []

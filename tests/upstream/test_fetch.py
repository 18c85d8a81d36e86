from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from router.errors import UpstreamError, UpstreamProtocolError, UpstreamTimeout, UpstreamUnreachable
from router.upstream.fetch import Fetcher
from router.upstream.http import HttpClient
from tests.fakes.agents import Behaviour, FakeAgent
from tests.fakes.http_exchange import Exchange as Served
from tests.upstream.calling import OK, sends


@asynccontextmanager
async def _fetcher(*, max_bytes: int = 1000, timeout_s: float = 5) -> AsyncIterator[Fetcher]:
    client = HttpClient(connect_timeout_s=2)
    try:
        yield Fetcher(client, max_bytes=max_bytes, timeout_s=timeout_s)
    finally:
        await client.close()


async def _fetch(behaviour: Behaviour, *, max_bytes: int = 1000, timeout_s: float = 5) -> bytes:
    async with FakeAgent(behaviour=behaviour) as agent, _fetcher(max_bytes=max_bytes, timeout_s=timeout_s) as fetcher:
        return await fetcher.fetch(fetcher.endpoint("catalogue", URL(agent.url) / "api.json"))


async def test_a_document_is_asked_for_with_a_bare_get() -> None:
    behaviour = sends(OK + b"content-length: 2\r\n\r\n{}")
    async with FakeAgent(behaviour=behaviour) as agent, _fetcher() as fetcher:
        endpoint = fetcher.endpoint("catalogue", (URL(agent.url) / "api.json").with_query(query="up{a='b'} > 1"))
        assert [await fetcher.fetch(endpoint) for _ in range(2)] == [b"{}", b"{}"]
        assert agent.connections_made == 1
    request = agent.requests[0]
    assert (request.method, request.body) == ("GET", b"")
    assert request.path.partition("?")[0] == "/api.json"
    assert set(request.headers) == {"host", "accept", "accept-encoding"}


async def test_a_compressed_document_is_unpacked_within_the_bound() -> None:
    def packed(size: int) -> Behaviour:
        body = gzip.compress(b"x" * size)
        return sends(OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    assert await _fetch(packed(1000)) == b"x" * 1000
    with pytest.raises(UpstreamProtocolError, match="more than 1000 bytes"):
        await _fetch(packed(1_000_000))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 302 Found\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
    ],
)
async def test_any_status_but_200_is_a_failure(answer: bytes) -> None:
    with pytest.raises(UpstreamProtocolError, match=r"'catalogue' answered with status \d+"):
        await _fetch(sends(answer))


async def test_a_document_that_dribbles_is_given_up_in_time() -> None:
    async def dribble(exchange: Served) -> None:
        await exchange.send(OK + b"content-length: 1000\r\n\r\n")
        closed = asyncio.ensure_future(exchange.wait_closed())
        while not closed.done():
            await exchange.send(b"x")
            await asyncio.wait([closed], timeout=0.02)

    with pytest.raises(UpstreamTimeout, match="'catalogue' did not answer in time"):
        await _fetch(dribble, timeout_s=0.3)


async def test_nobody_there_is_a_failure_that_does_not_show_the_url() -> None:
    async with FakeAgent() as agent:
        url = URL(agent.url) / "secret"
    async with _fetcher() as fetcher:
        with pytest.raises(UpstreamUnreachable) as caught:
            await fetcher.fetch(fetcher.endpoint("catalogue", url))
    assert "secret" not in str(caught.value)


async def test_a_document_that_breaks_off_is_a_failure() -> None:
    with pytest.raises(UpstreamError):
        await _fetch(sends(OK + b"content-length: 1000\r\n\r\nxx", then_end=True))

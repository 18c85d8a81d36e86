"""A client with one endpoint, and agents that answer in given bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from yarl import URL

from router.upstream.http import Endpoint, Exchange, HttpClient
from tests.fakes.agents import Behaviour
from tests.fakes.http_exchange import Exchange as Served

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"content-length: 0\r\n\r\n"
LIMIT = 10_000_000


class Caller:
    """A client and one endpoint of it."""

    def __init__(self, client: HttpClient, endpoint: Endpoint) -> None:
        self.client = client
        self.endpoint = endpoint

    def post(self, body: bytes = b"{}", headers: Mapping[str, str] | None = None) -> Exchange:
        return self.client.post(self.endpoint, body, headers or {})

    async def body(self, body: bytes = b"{}") -> bytes:
        async with self.post(body) as response:
            return await response.read(LIMIT)


@asynccontextmanager
async def calling(url: str, *, timeout_s: float = 5, headers: Mapping[str, str] | None = None) -> AsyncIterator[Caller]:
    client = HttpClient(connect_timeout_s=2)
    try:
        yield Caller(client, Endpoint("weather", URL(url) / "chat", timeout_s, headers or {}))
    finally:
        await client.close()


def sends(*pieces: bytes, then_end: bool = False) -> Behaviour:
    """Answers with these bytes, each on its own; and ends the connection, or waits for the next request."""

    async def behave(exchange: Served) -> None:
        for piece in pieces:
            await exchange.send(piece)
            await asyncio.sleep(0)
        if then_end:
            exchange.finish()

    return behave

"""One connection to an MCP server, shared by all requests: opened when it is needed, and again after it broke.

The SDK's client lives in one task of its own, as its task groups want it; requests call tools through it from theirs.
The protocol is streamable HTTP (https://modelcontextprotocol.io/specification), with or without sessions, whichever the
server speaks. After a failure to connect there is a pause, doubled with each further failure, in which calls fail at
once instead of waiting for a server that is gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextvars import ContextVar
from typing import Any

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CONNECTION_CLOSED, INTERNAL_ERROR, CallToolResult, Implementation

from router import __version__
from router.errors import UpstreamProtocolError, UpstreamUnreachable

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 15.0
_MAX_CALLS = 64
_CLOSE_TIMEOUT_S = 5.0
# What the SDK says where the server does not know the session, or answers with an error status.
_SESSION_GONE = "Session terminated"


class McpSession:
    """Calls tools of the server at ``url``. Close it with ``close``.

    ``headers`` go out with every request; ``timeout_s`` bounds each step of connecting, ``max_response_bytes`` one
    answer. At most 64 calls run at a time; more wait.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        headers: Mapping[str, str],
        timeout_s: float,
        max_response_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._url = url
        self._own_headers = dict(headers)
        self._timeout_s = timeout_s
        self._max_response_bytes = max_response_bytes
        self._clock = clock
        self._call_headers: ContextVar[Mapping[str, str]] = ContextVar("call_headers")
        self._slots = asyncio.Semaphore(_MAX_CALLS)
        self._connection: _Connection | None = None
        self._closing: set[_Connection] = set()
        self._failures = 0
        self._not_before = 0.0

    async def call(self, tool: str, arguments: dict[str, Any], headers: Mapping[str, str]) -> CallToolResult:
        """Call a tool; ``headers`` go out with this call. Raises ``UpstreamError``.

        A call that the server turned down because it had forgotten the session is made again in a new one.
        """
        async with self._slots:
            token = self._call_headers.set(headers)
            try:
                try:
                    return await self._called(tool, arguments)
                except _SessionGone:
                    return await self._called(tool, arguments)
            except _SessionGone as exc:
                raise UpstreamUnreachable(f"'{self._name}' keeps no session.") from exc
            finally:
                self._call_headers.reset(token)

    async def close(self) -> None:
        """End the session and close all connections; calls that are running fail."""
        if self._connection is not None:
            self._drop(self._connection)
        await asyncio.gather(*[connection.closed() for connection in self._closing])

    async def _called(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        connection = self._connected()
        client = await connection.client()
        try:
            return await client.call_tool(tool, arguments)
        except MCPError as exc:
            if exc.message == _SESSION_GONE:
                self._drop(connection)
                raise _SessionGone from exc
            if exc.code in {CONNECTION_CLOSED, INTERNAL_ERROR}:
                self._drop(connection)
                raise UpstreamUnreachable(f"The connection to '{self._name}' broke.") from exc
            raise UpstreamProtocolError(f"'{self._name}' cannot be called: {exc.message[:200]}") from exc
        except (RuntimeError, ValueError) as exc:
            # What the SDK raises for a result that the tool's own schema, or the protocol, does not allow.
            raise UpstreamProtocolError(f"'{self._name}' sent a result that is not valid.") from exc

    def _connected(self) -> _Connection:
        connection = self._connection
        if connection is not None and not connection.broken:
            return connection
        if self._clock() < self._not_before:
            raise UpstreamUnreachable(f"'{self._name}' could not be reached a moment ago.")
        self._connection = _Connection(self._name, self._open, self._settled)
        return self._connection

    def _settled(self, *, connected: bool) -> None:
        """Connecting has come to an end."""
        if connected:
            self._failures = 0
            return
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._failures, 10))
        self._not_before = self._clock() + pause_s
        self._failures += 1

    def _drop(self, connection: _Connection) -> None:
        if self._connection is connection:
            self._connection = None
        if connection not in self._closing:
            self._closing.add(connection)
            connection.stop(lambda: self._closing.discard(connection))

    def _open(self) -> tuple[httpx2.AsyncClient, Client]:
        http = httpx2.AsyncClient(
            headers=self._own_headers,
            timeout=httpx2.Timeout(self._timeout_s, read=None),  # a server may keep a stream open and say nothing
            transport=_BoundedTransport(self._max_response_bytes),
            event_hooks={"request": [self._add_call_headers]},
            trust_env=False,
        )
        transport = streamable_http_client(self._url, http_client=http, max_sse_event_size=self._max_response_bytes)
        info = Implementation(name="trident", version=__version__)
        return http, Client(transport, read_timeout_seconds=self._timeout_s, client_info=info, cache=None)

    async def _add_call_headers(self, request: httpx2.Request) -> None:
        # The SDK sends each call in the context that it was made in.
        for name, value in self._call_headers.get({}).items():
            request.headers.setdefault(name, value)


class _SessionGone(Exception):
    """The server does not know the session any more, and so has not run the tool."""


class _Connection:
    """The task that a client lives in."""

    def __init__(
        self,
        name: str,
        open_: Callable[[], tuple[httpx2.AsyncClient, Client]],
        settled: Callable[..., None],
    ) -> None:
        self._name = name
        self._open = open_
        self._settled = settled
        self._stop = asyncio.Event()
        self._client: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run())

    @property
    def broken(self) -> bool:
        return self._task.done() or self._stop.is_set()

    async def client(self) -> Client:
        """The client, once it is connected; connecting goes on when whoever waits for it does not."""
        return await asyncio.shield(self._client)

    def stop(self, stopped: Callable[[], None]) -> None:
        self._task.add_done_callback(lambda _: stopped())
        self._stop.set()

    async def closed(self) -> None:
        """Wait until everything is closed, not forever."""
        await asyncio.wait([self._task], timeout=_CLOSE_TIMEOUT_S)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            http, client = self._open()
            async with http, client:
                self._settled(connected=True)
                self._client.set_result(client)
                await self._stop.wait()
        except Exception as exc:  # the SDK's task groups raise groups of whatever broke in them
            if not self._client.done():
                self._settled(connected=False)
                self._fail(exc)
        finally:
            if not self._client.done():
                self._fail(None)

    def _fail(self, cause: Exception | None) -> None:
        failure = UpstreamUnreachable(f"'{self._name}' cannot be reached.")
        failure.__cause__ = cause
        self._client.set_exception(failure)
        self._client.exception()  # perhaps nobody waits for it any more


class _BoundedTransport(httpx2.AsyncHTTPTransport):
    """HTTP whose answers fail where they get too long; of streams of events the SDK bounds each event."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(limits=httpx2.Limits(max_connections=_MAX_CALLS + 4, max_keepalive_connections=_MAX_CALLS))
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        stream = response.stream
        events = response.headers.get("content-type", "").startswith("text/event-stream")
        if not events and isinstance(stream, httpx2.AsyncByteStream):
            response.stream = _BoundedStream(stream, self._max_bytes)
        return response


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        size = 0
        async for data in self._stream:
            size += len(data)
            if size > self._max_bytes:
                raise httpx2.StreamError(f"The answer has more than {self._max_bytes} bytes.")
            yield data

    async def aclose(self) -> None:
        await self._stream.aclose()

"""The only HTTP client: sends a body to an endpoint and hands back status, headers and the answer's bytes.

One ``HttpClient`` per runtime, so that connections are shared and reused. No redirects, no cookies, no proxies from the
environment. Everything that aiohttp raises becomes an ``UpstreamError`` here.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType

import aiohttp
from yarl import URL

from router.errors import UpstreamError, UpstreamProtocolError, UpstreamTimeout, UpstreamUnreachable

_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "text/event-stream, application/json",
    "Accept-Encoding": "identity",
}
_READ_BYTES = 64 * 1024
_LARGE_BODY_BYTES = 512 * 1024  # aiohttp writes larger ones piece by piece when they come as a file


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an upstream listens and how long it may keep us waiting.

    ``name`` is what clients are told when it fails; the URL is not. ``timeout_s`` is the longest wait for the first
    byte, and again between two reads.
    """

    name: str
    url: URL
    timeout_s: float
    headers: Mapping[str, str] = field(default_factory=dict)


class UpstreamResponse:
    """An answer whose head has arrived. Valid inside the ``HttpClient.post`` block that gave it."""

    __slots__ = ("_endpoint", "_response", "content_type", "status")

    def __init__(self, endpoint: Endpoint, response: aiohttp.ClientResponse) -> None:
        self._endpoint = endpoint
        self._response = response
        self.status = response.status
        self.content_type = response.content_type

    def header(self, name: str) -> str | None:
        """One header of the answer, or ``None``."""
        return self._response.headers.get(name)

    async def read(self, max_bytes: int) -> bytes:
        """The whole body. Raises ``UpstreamProtocolError`` when it is longer than ``max_bytes``."""
        length = self._response.content_length
        if length is not None and length <= max_bytes and "Content-Encoding" not in self._response.headers:
            with _mapped(self._endpoint):
                return await self._response.read()
        parts: list[bytes] = []
        size = 0
        async for part in self.iter_bytes():
            size += len(part)
            if size > max_bytes:
                raise UpstreamProtocolError(f"'{self._endpoint.name}' sent an answer of more than {max_bytes} bytes.")
            parts.append(part)
        return b"".join(parts)

    async def iter_bytes(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises ``UpstreamError`` when it breaks off or stalls for ``timeout_s``."""
        content = self._response.content
        with _mapped(self._endpoint):
            while data := await content.readany():
                yield data


class Exchange:
    """One request and its answer, as a context manager; made by ``HttpClient.post``."""

    __slots__ = ("_endpoint", "_response", "_send")

    def __init__(self, endpoint: Endpoint, send: Callable[[], Awaitable[aiohttp.ClientResponse]]) -> None:
        self._endpoint = endpoint
        self._send = send

    async def __aenter__(self) -> UpstreamResponse:
        with _mapped(self._endpoint):
            self._response = await self._send()
        return UpstreamResponse(self._endpoint, self._response)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._response.__aexit__(kind, exc, traceback)


class HttpClient:
    """A pool of connections to upstreams. Close it with ``close``; requests still running are cut off."""

    def __init__(self, *, connect_timeout_s: float) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=("User-Agent", "Accept"),
            max_line_size=16 * 1024,
            max_field_size=16 * 1024,
            read_bufsize=_READ_BYTES,
        )
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    def post(self, endpoint: Endpoint, body: bytes, headers: Mapping[str, str]) -> Exchange:
        """Send ``body``: ``async with`` waits for the answer's head, at most ``endpoint.timeout_s``.

        Leaving the block before the body is finished closes the connection, so the upstream sees that nobody listens
        any more.
        """
        return Exchange(endpoint, lambda: self._send(endpoint, body, headers))

    async def _send(self, endpoint: Endpoint, body: bytes, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        return await self._session.post(
            endpoint.url,
            data=body if len(body) <= _LARGE_BODY_BYTES else io.BytesIO(body),
            headers={**_HEADERS, **headers, **endpoint.headers},
            allow_redirects=False,
            timeout=self._timeout(endpoint.timeout_s),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    def _timeout(self, read_s: float) -> aiohttp.ClientTimeout:
        known = self._timeouts.get(read_s)
        if known is None:
            known = aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_s, sock_read=read_s)
            self._timeouts[read_s] = known
        return known


class _mapped:  # noqa: N801  a context manager used like a keyword
    """Turns what aiohttp raises into an ``UpstreamError`` that names the endpoint, and nothing else about it."""

    __slots__ = ("_endpoint",)

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is not None:
            error = _as_upstream_error(self._endpoint.name, exc)
            if error is not None:
                raise error from exc


def _as_upstream_error(name: str, exc: BaseException) -> UpstreamError | None:
    if isinstance(exc, aiohttp.ServerConnectionError) and isinstance(exc, asyncio.TimeoutError):
        return UpstreamTimeout(f"'{name}' did not answer in time.")
    if isinstance(exc, (asyncio.TimeoutError, TimeoutError)):
        return UpstreamTimeout(f"'{name}' did not answer in time.")
    if isinstance(exc, aiohttp.ClientConnectorError):
        return UpstreamUnreachable(f"'{name}' cannot be reached.")
    if isinstance(exc, (aiohttp.ClientPayloadError, aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        return UpstreamUnreachable(f"The connection to '{name}' broke.")
    if isinstance(exc, aiohttp.ClientError):
        return UpstreamProtocolError(f"'{name}' sent something that is not an HTTP answer.")
    return None

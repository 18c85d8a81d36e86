"""The only HTTP client: sends a body to an endpoint and hands back status, headers and the answer's bytes.

One ``HttpClient`` per runtime, so that connections are shared and reused. No redirects, no cookies, no proxies from the
environment. It speaks HTTP/1.1 over its own connections (``pool``, ``connection``); whatever fails below becomes an
``UpstreamError`` here, which names the endpoint and never its URL.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from types import TracebackType

from yarl import URL

from router.errors import UpstreamError, UpstreamProtocolError, UpstreamTimeout, UpstreamUnreachable
from router.upstream.answer import BrokenOff, ConnectionFailure, MalformedAnswer
from router.upstream.connection import Connection, TimedOut
from router.upstream.content_coding import decoder_of
from router.upstream.pool import CannotConnect, ConnectionPool, Origin
from router.upstream.request import Method, RequestHead

_DEFAULT_CONTENT_TYPE = "application/octet-stream"  # RFC 9110, section 8.3


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an upstream listens and how long it may keep us waiting.

    ``name`` is what clients are told when it fails; the URL is not. ``timeout_s`` is the longest wait for the first
    byte, and again between two reads. ``headers`` go out with every request and win over all others; a ``Host`` among
    them replaces that of the URL. ``address`` is the IP address of the URL's host to connect to, where somebody has
    looked it up already. Raises ``ValueError`` for a URL or header that no request could carry.
    """

    name: str
    url: URL
    timeout_s: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: Method = "POST"
    address: str | None = None
    origin: Origin = field(init=False, repr=False, compare=False)
    request_head: RequestHead = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "request_head", RequestHead(self.url, self.headers, self.method))
        origin = Origin(self.url.scheme, self.url.raw_host or "", self.url.port or 0, self.address)
        object.__setattr__(self, "origin", origin)


class UpstreamResponse:
    """An answer whose head has arrived. Valid inside the ``HttpClient.post`` block that gave it."""

    __slots__ = ("_connection", "_decoder", "_endpoint", "_headers", "content_type", "status")

    def __init__(self, endpoint: Endpoint, connection: Connection) -> None:
        self._endpoint = endpoint
        self._connection: Connection | None = connection
        self._headers = connection.answer.headers
        self._decoder = decoder_of(self._headers)
        self.status = connection.answer.status
        self.content_type = _media_type(self._headers.get(b"content-type"))

    def header(self, name: str) -> str | None:
        """One header of the answer, or ``None``; of a repeated one all values, separated by commas."""
        value = self._headers.get(name.lower().encode("latin-1"))
        return None if value is None else value.decode("utf-8", "surrogateescape")

    async def read(self, max_bytes: int) -> bytes:
        """The whole body. Raises ``UpstreamProtocolError`` when it is longer than ``max_bytes``."""
        if self._decoder is None and (whole := self._borrowed().take_rest(max_bytes)) is not None:
            return whole
        parts: list[bytes] = []
        size = 0
        async with aclosing(self.iter_bytes()) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > max_bytes:
                    name = self._endpoint.name
                    raise UpstreamProtocolError(f"'{name}' sent an answer of more than {max_bytes} bytes.")
                parts.append(piece)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def iter_bytes(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives. Raises ``UpstreamError`` when it breaks off or stalls for ``timeout_s``."""
        decoder = self._decoder
        try:
            while data := await self._borrowed().read():
                if decoder is None:
                    yield data
                    continue
                for piece in decoder.decode(data):
                    yield piece
            if decoder is not None:
                decoder.finish()
        except ConnectionFailure as exc:
            raise _as_upstream_error(self._endpoint.name, exc) from exc

    def detach(self) -> None:
        """Let go of the connection, which may serve another request from now on."""
        self._connection = None

    def _borrowed(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("An answer can only be read inside the block that gave it.")
        return self._connection


class Exchange:
    """One request and its answer, as a context manager; made by ``HttpClient.post``."""

    __slots__ = ("_body", "_connection", "_endpoint", "_head", "_pool", "_response")

    def __init__(self, pool: ConnectionPool, endpoint: Endpoint, head: bytes, body: bytes) -> None:
        self._pool = pool
        self._endpoint = endpoint
        self._head = head
        self._body = body

    async def __aenter__(self) -> UpstreamResponse:
        try:
            self._connection = await self._answered()
            try:
                self._response = UpstreamResponse(self._endpoint, self._connection)
            except MalformedAnswer:
                self._connection.abort()
                raise
        except ConnectionFailure as exc:
            raise _as_upstream_error(self._endpoint.name, exc) from exc
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._response.detach()
        self._pool.give_back(self._endpoint.origin, self._connection)

    async def _answered(self) -> Connection:
        """A connection on which the head of the answer has arrived."""
        kept = self._pool.take(self._endpoint.origin)
        if kept is not None:
            try:
                return await self._ask(kept)
            except BrokenOff:
                # RFC 9112, section 9.3.1: the upstream may close an idle connection just as the request leaves.
                if not kept.answer.untouched:
                    raise
        return await self._ask(await self._pool.connect(self._endpoint.origin))

    async def _ask(self, connection: Connection) -> Connection:
        try:
            connection.send(self._head, self._body, self._endpoint.timeout_s)
            await connection.head()
        except BaseException:
            connection.abort()
            raise
        return connection


class HttpClient:
    """A pool of connections to upstreams. Close it with ``close``; requests still running are cut off.

    With ``keep_alive`` false every request has a connection of its own, and so is never sent twice. ``tls`` takes the
    place of the system's settings.
    """

    def __init__(self, *, connect_timeout_s: float, keep_alive: bool = True, tls: ssl.SSLContext | None = None) -> None:
        self._pool = ConnectionPool(connect_timeout_s=connect_timeout_s, max_idle=512 if keep_alive else 0, tls=tls)

    def post(self, endpoint: Endpoint, body: bytes, headers: Mapping[str, str]) -> Exchange:
        """Send ``body``: ``async with`` waits for the answer's head, at most ``endpoint.timeout_s``.

        ``headers`` go out beside those of the endpoint; one that would break out of its line raises ``InvalidRequest``.
        Leaving the block before the body is finished closes the connection, so the upstream sees that nobody listens
        any more. A request that found its kept connection closed, before any byte of an answer, is sent once again.
        """
        return Exchange(self._pool, endpoint, endpoint.request_head.encode(headers, len(body)), body)

    def get(self, endpoint: Endpoint, headers: Mapping[str, str]) -> Exchange:
        """As ``post``, for an endpoint whose ``method`` is ``GET``."""
        return self.post(endpoint, b"", headers)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()


@functools.lru_cache(maxsize=128)
def _media_type(value: bytes | None) -> str:
    if value is None:
        return _DEFAULT_CONTENT_TYPE
    return value.decode("latin-1").partition(";")[0].partition(",")[0].strip().lower()


def _as_upstream_error(name: str, failure: ConnectionFailure) -> UpstreamError:
    if isinstance(failure, TimedOut):
        return UpstreamTimeout(f"'{name}' did not answer in time.")
    if isinstance(failure, CannotConnect):
        return UpstreamUnreachable(f"'{name}' cannot be reached.")
    if isinstance(failure, BrokenOff):
        return UpstreamUnreachable(f"The connection to '{name}' broke.")
    return UpstreamProtocolError(f"'{name}' sent something that is not an HTTP answer.")

"""One request of a client and the way back for its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from router.aio import timeout
from router.listeners.request_parser import Headers, MalformedRequest, Request
from router.listeners.response_head import ResponseHeads

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_ONE_WRITE_BYTES = 64 * 1024


class BodyTooLarge(Exception):
    """The body of a request is larger than the listener lets it be."""


class Wire(Protocol):
    """The connection below an exchange. What is written after it was lost goes nowhere."""

    heads: ResponseHeads

    @property
    def writing_paused(self) -> bool:
        """Whether the client is slower than what is written to it."""

    @property
    def draining(self) -> bool:
        """Whether the connection is to be closed behind this exchange."""

    def write(self, data: bytes) -> None:
        """Send ``data`` as soon as possible."""

    def write_soon(self, data: bytes) -> None:
        """As ``write``, together with what else is written before the event loop looks for input again."""

    async def drained(self) -> None:
        """Wait until the client has taken most of what was written."""

    async def settled(self, request: Request) -> None:
        """Wait until nothing more of the body of ``request`` is to come."""

    def abort(self) -> None:
        """Close at once."""


class Exchange:
    """Read the request with ``read``; then ``send`` a whole answer, or ``begin``, ``write`` and ``end`` a stream.

    ``ended``: the answer is complete. ``closes``: it says that the connection is closed behind it.
    """

    __slots__ = ("_chunked", "_request", "_wire", "begun", "closes", "ended", "headers", "method", "path", "query")

    def __init__(self, request: Request, wire: Wire) -> None:
        self.method = request.method
        self.path = request.path
        self.query = request.query
        self.headers: Headers = request.headers
        self.begun = False
        self.ended = False
        self.closes = False
        self._request = request
        self._wire = wire
        self._chunked = False

    @property
    def writing_paused(self) -> bool:
        """Whether the client is slower than what is written to it."""
        return self._wire.writing_paused

    async def read(self, timeout_s: float) -> bytes:
        """The body as it came, within ``timeout_s``.

        Raises ``BodyTooLarge``, ``MalformedRequest`` for what is not HTTP, and ``TimeoutError``.
        """
        request = self._request
        if not request.settled:
            if request.version != "1.0" and request.headers.get("expect", "").lower() == "100-continue":
                self._wire.write(_CONTINUE)
            async with timeout(timeout_s):
                await self._wire.settled(request)
        if request.too_large:
            raise BodyTooLarge
        if not request.complete:
            raise MalformedRequest("the body is not HTTP")
        parts = request.parts
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send a whole answer."""
        head = self._head(status, headers, f"Content-Length: {len(body)}\r\n")
        self.ended = True
        if self.method == "HEAD":
            self._wire.write(head)
        elif len(body) <= _ONE_WRITE_BYTES:
            self._wire.write(head + body)
        else:
            self._wire.write(head)
            self._wire.write(body)

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of a stream."""
        self._chunked = self._request.version != "1.0"
        if self._chunked:
            head = self._head(status, headers, "Transfer-Encoding: chunked\r\n")
        else:
            self._request.keep_alive = False  # where the connection ends, so does the stream
            head = self._head(status, headers, "")
        self._wire.write_soon(head)

    def write(self, data: bytes) -> None:
        """Send a piece of a stream; while ``writing_paused``, wait for ``drained`` before the next."""
        if data and self.method != "HEAD":
            self._wire.write_soon(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def drained(self) -> None:
        """Wait until the client has taken most of what was written."""
        await self._wire.drained()

    def end(self) -> None:
        """End a stream well."""
        self.ended = True
        self._wire.write(_LAST_CHUNK if self._chunked and self.method != "HEAD" else b"")

    def abort(self) -> None:
        """Close the connection at once, whatever has gone out."""
        self._wire.abort()

    def _head(self, status: int, headers: Mapping[str, str], framing: str) -> bytes:
        request, wire = self._request, self._wire
        self.begun = True
        self.closes = not (request.keep_alive and request.complete) or wire.draining
        if self.closes:
            framing += "Connection: close\r\n"
        elif request.version == "1.0":
            framing += "Connection: keep-alive\r\n"
        return wire.heads.encode(status, headers, framing)

"""Bytes of a client's connection become requests. Sans-I/O around llhttp, with bounds of its own.

phase   input                   next    note
head    head of a request       body    the request joins ``begun``
body    bytes of the body       body    kept in the request while it is not ``too_large``
body    end of the body         head    the request is ``complete``
any     what is no HTTP/1.x     -       ``MalformedRequest``; a request whose body is cut short by it is ``broken``

An upgrade of the protocol that is offered (``h2c``, as some clients do with everything they send) is not accepted, and
the request is read as if it had not been offered (RFC 9110, section 7.8).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import TypeVar, overload
from urllib.parse import unquote_to_bytes

import httptools

MAX_LINE_BYTES = 16 * 1024
MAX_HEAD_BYTES = 64 * 1024
MAX_FIELDS = 128

_Default = TypeVar("_Default")
_VERSIONS = frozenset({"1.0", "1.1"})


class MalformedRequest(Exception):
    """What arrived is not an HTTP request, or one beyond the bounds."""


class Headers(Mapping[str, str]):
    """The fields of a head, whatever the case of their names; the values of a repeated one are joined by commas."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[str, str]) -> None:
        """``fields`` has its names in lower case."""
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    @overload
    def get(self, name: str, /) -> str | None: ...

    @overload
    def get(self, name: str, /, default: str | _Default) -> str | _Default: ...

    def get(self, name: str, /, default: object = None) -> object:
        """As every mapping has it, at a fraction of the cost."""
        return self._fields.get(name.lower(), default)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class Request:
    """One request as it arrives. ``size`` counts the bytes of its body so far, ``parts`` has them.

    ``complete``: all of the body is here. ``too_large``: it has, or announces, more than it may. ``broken``: what came
    instead of the rest is not HTTP. ``keep_alive``: another request may follow on the connection.
    """

    __slots__ = (
        "broken",
        "complete",
        "headers",
        "keep_alive",
        "method",
        "parts",
        "path",
        "query",
        "size",
        "too_large",
        "version",
    )

    def __init__(self, method: str, target: bytes, version: str, headers: Headers, *, keep_alive: bool) -> None:
        self.method = method
        self.path, self.query = _path_and_query(target)
        self.version = version
        self.headers = headers
        self.keep_alive = keep_alive
        self.parts: list[bytes] = []
        self.size = 0
        self.complete = False
        self.too_large = False
        self.broken = False

    @property
    def settled(self) -> bool:
        """Whether there is nothing to wait for: the body is here, or never will be."""
        return self.complete or self.too_large or self.broken


class RequestParser:
    """One request after the other; those whose head is here are in ``begun``, whoever serves them takes them out.

    ``head_begun``: a head has begun to arrive and is not complete.
    """

    __slots__ = (
        "_ended",
        "_fields",
        "_lines",
        "_llhttp",
        "_max_body_bytes",
        "_offered_method",
        "_request",
        "_target",
        "_unproductive",
        "begun",
        "head_begun",
    )

    def __init__(self, *, max_body_bytes: int) -> None:
        self.begun: deque[Request] = deque()
        self.head_begun = False
        self._max_body_bytes = max_body_bytes
        self._llhttp = httptools.HttpRequestParser(self)
        self._request: Request | None = None
        self._ended = False
        self._offered_method = b""
        self._unproductive = 0  # bytes that brought neither a head nor a part of a body
        self._target = b""
        self._lines: list[tuple[bytes, bytes]] = []
        self._fields: dict[str, str] = {}

    def feed(self, data: bytes) -> None:
        """Take in what the connection brought. Raises ``MalformedRequest``; the parser is of no use afterwards."""
        if self._ended:
            return
        self._unproductive += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as exc:
            if not self._ended:
                raise self._malformed("not an HTTP request") from exc
        if self._unproductive > MAX_HEAD_BYTES:  # a line that never ends, which llhttp would go on collecting
            raise self._malformed(f"more than {MAX_HEAD_BYTES} bytes without a head or a part of a body")

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self._llhttp.feed_data(data)
            except httptools.HttpParserUpgrade as exc:
                # llhttp takes the body for the other protocol already; the head is read again without the offer.
                self._llhttp = httptools.HttpRequestParser(self)
                data = self._head_without_offer() + data[exc.args[0] :]
            else:
                return

    def _head_without_offer(self) -> bytes:
        lines = [
            f"{name}: {value}\r\n" for name, value in self._fields.items() if name not in ("upgrade", "connection")
        ]
        fields = "".join(lines).encode("utf-8", "surrogateescape")
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (self._offered_method, self._target, fields)

    def on_message_begin(self) -> None:
        """llhttp: the first byte of a request."""
        self.head_begun = True
        self._target = b""
        self._lines.clear()

    def on_url(self, data: bytes) -> None:
        """llhttp: a piece of the target."""
        self._target += data
        if len(self._target) > MAX_LINE_BYTES:
            raise self._malformed("the target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: a field of the head, or of the trailer of a chunked body."""
        if self._request is None:  # what is in a trailer is nobody's concern
            self._lines.append((name, value))

    def on_headers_complete(self) -> None:
        """llhttp: the empty line behind a head."""
        parser = self._llhttp
        self._fields = fields = self._read_fields()
        version = parser.get_http_version()
        method = parser.get_method()
        if version not in _VERSIONS or method == b"CONNECT":
            raise self._malformed("neither HTTP/1.1 nor HTTP/1.0")
        coding = fields.get("transfer-encoding")
        if coding is not None and coding.strip().lower() != "chunked":
            raise self._malformed("a transfer coding that is not known here")
        if parser.should_upgrade():
            self._offered_method = method
            return
        keep_alive = parser.should_keep_alive()
        request = Request(method.decode("ascii"), self._target, version, Headers(fields), keep_alive=keep_alive)
        length = fields.get("content-length")
        request.too_large = length is not None and int(length) > self._max_body_bytes
        self._request = request
        self._unproductive = 0
        self.head_begun = False
        self.begun.append(request)

    def _read_fields(self) -> dict[str, str]:
        lines, self._lines = self._lines, []
        if len(lines) > MAX_FIELDS:
            raise self._malformed("the head has too many fields")
        fields: dict[str, str] = {}
        size = 0
        for name, value in lines:
            line_bytes = len(name) + len(value) + 4
            size += line_bytes
            if line_bytes > MAX_LINE_BYTES or size > MAX_HEAD_BYTES:
                raise self._malformed("the head is too large")
            key, text = name.lower().decode("ascii"), value.decode("utf-8", "surrogateescape")
            fields[key] = f"{fields[key]}, {text}" if key in fields else text
        return fields

    def on_body(self, data: bytes) -> None:
        """llhttp: a part of the body, without its framing."""
        self._unproductive = 0
        request = self._request
        if request is None or request.too_large:
            return
        request.size += len(data)
        if request.size > self._max_body_bytes:
            request.too_large = True
            request.parts.clear()
        else:
            request.parts.append(data)

    def on_message_complete(self) -> None:
        """llhttp: the end of a request."""
        request, self._request = self._request, None
        if request is not None:
            request.complete = True
            self._unproductive = 0
            self._ended = not request.keep_alive  # nothing can follow, whatever comes

    def _malformed(self, what: str) -> MalformedRequest:
        if self._request is not None:
            self._request.broken = True
        return MalformedRequest(what)


def _path_and_query(target: bytes) -> tuple[str, str]:
    """The path of a target, decoded, and its query as it came."""
    query = b""
    if not target.startswith(b"/"):
        if target == b"*":
            return "*", ""
        try:
            url = httptools.parse_url(target)
        except httptools.HttpParserError as exc:
            raise MalformedRequest("not a target") from exc
        path, query = url.path or b"/", url.query or b""
    else:
        path, _, query = target.partition(b"#")[0].partition(b"?")
    if b"%" in path:
        path = unquote_to_bytes(path)
    return path.decode("utf-8", "replace"), query.decode("utf-8", "replace")

"""Bytes of an HTTP/1.1 connection become answers: head, body, end. Sans-I/O around llhttp, with bounds of its own.

phase       input                         next        note
head        interim answer (1xx)          head        at most MAX_INTERIM_ANSWERS
head        head of an answer             body
body        bytes of the body             body        kept until ``take``
body        end by length or last chunk   complete
body        end of the connection         complete    only where neither length nor chunks say where the body ends
head, body  end of the connection         -           ``BrokenOff``
head, body  anything else                 -           ``MalformedAnswer``
complete    anything                      complete    ``keep_alive`` is gone
complete    ``reset``                     head        only with ``keep_alive``
"""

from __future__ import annotations

from typing import Literal

import httptools

MAX_LINE_BYTES = 16 * 1024
MAX_HEAD_BYTES = 64 * 1024
MAX_FIELDS = 128
MAX_INTERIM_ANSWERS = 16

_NO_BODY = frozenset({204, 304})  # RFC 9112, section 6.3
_SWITCHING_PROTOCOLS = 101


class ConnectionFailure(Exception):
    """An exchange with an upstream cannot go on, and neither can its connection."""


class BrokenOff(ConnectionFailure):
    """The connection ended before the answer was complete."""


class MalformedAnswer(ConnectionFailure):
    """What arrived is not an HTTP answer, or one beyond the bounds."""


class AnswerParser:
    """One answer after the other; ``reset`` between them.

    ``status`` and ``headers`` are valid once ``phase`` has left ``"head"``. Names of headers are in lower case, a
    repeated one has its values joined by commas. ``keep_alive`` says whether another request may follow, once
    ``phase`` is ``"complete"``. ``buffered`` counts the bytes of the body that ``take`` would give.
    """

    __slots__ = (
        "_field_bytes",
        "_fields",
        "_interim",
        "_llhttp",
        "_parts",
        "_unproductive",
        "buffered",
        "headers",
        "keep_alive",
        "phase",
        "status",
    )

    def __init__(self) -> None:
        self._llhttp = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self.reset()

    def reset(self) -> None:
        """Make ready for the next answer on the same connection."""
        self.phase: Literal["head", "body", "complete"] = "head"
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.keep_alive = False
        self.buffered = 0
        self._parts.clear()
        self._fields = 0
        self._field_bytes = 0
        self._interim = 0
        self._unproductive = 0  # bytes that brought neither a head nor a part of the body

    @property
    def untouched(self) -> bool:
        """Not a single byte of this answer has arrived."""
        return self.phase == "head" and self._unproductive == 0

    @property
    def starved(self) -> bool:
        """Nothing of the body can be had before more arrives."""
        return self.buffered == 0 and self.phase != "complete"

    def feed(self, data: bytes) -> None:
        """Take in what the connection brought. Raises ``MalformedAnswer``; the parser is of no use afterwards."""
        self._unproductive += len(data)
        try:
            self._llhttp.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            if self.phase != "complete":
                raise MalformedAnswer("not an HTTP answer") from exc
            self.keep_alive = False
        if self._unproductive > MAX_HEAD_BYTES:  # a line that never ends, which llhttp would go on collecting
            raise MalformedAnswer(f"more than {MAX_HEAD_BYTES} bytes without a head or a part of the body")

    def end(self) -> None:
        """The connection has ended. Raises ``BrokenOff`` when the answer needed more."""
        if self.phase == "head" or (self.phase == "body" and not self._ends_with_connection()):
            raise BrokenOff("the connection ended before the answer")
        self.phase = "complete"
        self.keep_alive = False

    def take(self) -> bytes:
        """The bytes of the body that have arrived since the last call."""
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.buffered = 0
        return data

    def on_message_begin(self) -> None:
        """llhttp: the first byte of an answer."""
        if self.phase == "complete":
            raise MalformedAnswer("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: a field of the head, or of the trailer of a chunked body."""
        size = len(name) + len(value) + 4
        self._fields += 1
        self._field_bytes += size
        if size > MAX_LINE_BYTES or self._field_bytes > MAX_HEAD_BYTES or self._fields > MAX_FIELDS:
            raise MalformedAnswer("the head is too large")
        if self.phase == "head":
            key = name.lower()
            known = self.headers.get(key)
            self.headers[key] = value if known is None else known + b", " + value

    def on_headers_complete(self) -> None:
        """llhttp: the empty line behind a head, or behind a trailer."""
        if self.phase != "head":
            return
        status = self._llhttp.get_status_code()
        headers = self.headers
        if status < 200:
            self._skip_interim(status)
            return
        coding = headers.get(b"transfer-encoding")
        if coding is not None and coding.strip().lower() != b"chunked":
            raise MalformedAnswer("a transfer coding that was not asked for")
        self.status = status
        self.phase = "body"
        self._unproductive = 0
        if status in _NO_BODY and (coding is not None or headers.get(b"content-length", b"0").strip(b"0")):
            self.phase = "complete"  # llhttp would wait for the body that is announced, so nothing can follow

    def on_body(self, data: bytes) -> None:
        """llhttp: a part of the body, without its framing."""
        if self.phase == "body":
            self._parts.append(data)
            self.buffered += len(data)
        self._unproductive = 0

    def on_message_complete(self) -> None:
        """llhttp: the end of an answer, interim ones too."""
        if self.phase == "body":
            self.phase = "complete"
            self.keep_alive = self._llhttp.should_keep_alive()
            self._unproductive = 0

    def _skip_interim(self, status: int) -> None:
        self._interim += 1
        framed = b"content-length" in self.headers or b"transfer-encoding" in self.headers
        if status < 100 or status == _SWITCHING_PROTOCOLS or framed or self._interim > MAX_INTERIM_ANSWERS:
            raise MalformedAnswer(f"status {status} instead of an answer")
        self.headers = {}

    def _ends_with_connection(self) -> bool:
        return b"content-length" not in self.headers and b"transfer-encoding" not in self.headers

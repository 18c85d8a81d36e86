"""Amazon's binary event stream, sans-I/O: bytes become messages with typed headers.

Rules (https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html,
https://smithy.io/2.0/aws/amazon-eventstream.html), all numbers big-endian: a message is its total length and the length
of its headers (32 bits each), the CRC32 of these eight bytes, headers, payload, and the CRC32 of everything before it.
A header is the length of its name (8 bits), the name, a type (8 bits) and a value; text and bytes have their length (16
bits) in front.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias
from uuid import UUID

from router.errors import UpstreamProtocolError

MEDIA_TYPE = "application/vnd.amazon.eventstream"

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_SMALLEST = _PRELUDE.size + _CRC.size
_MAX_HEADER_BYTES = 128 * 1024
_MAX_KNOWN_HEADERS = 32
_PREFIX = struct.Struct(">H")
_LONG = struct.Struct(">q")


class Timestamp(int):
    """Milliseconds since 1970-01-01 UTC; more of them than a ``datetime`` can say."""


HeaderValue: TypeAlias = bool | int | bytes | str | UUID


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a stream."""

    headers: Mapping[str, HeaderValue]
    payload: bytes

    def text(self, name: str) -> str:
        """The header ``name``; empty where there is none, or where it is no text."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class Decoder:
    """Cuts a byte stream into messages.

    Raises ``UpstreamProtocolError`` for a checksum that is wrong, a message that is malformed, and one of more than
    ``max_message_bytes``, which is known as soon as its first bytes are there. Of no use after it has raised.
    """

    __slots__ = ("_buffer", "_known_headers", "_max_message_bytes", "_wanted")

    def __init__(self, max_message_bytes: int) -> None:
        self._buffer = bytearray()
        self._known_headers: dict[bytes, Mapping[str, HeaderValue]] = {}  # messages of one kind have the same ones
        self._max_message_bytes = max_message_bytes
        self._wanted = _PRELUDE.size  # bytes below which there is nothing to do

    @property
    def empty(self) -> bool:
        """Whether nothing is left of a message that has only begun."""
        return not self._buffer

    def feed(self, data: bytes) -> list[Message]:
        """The messages that ``data`` completes."""
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        begin = 0
        while len(buffer) - begin >= self._wanted:
            total, header_bytes = self._prelude(bytes(buffer[begin : begin + _PRELUDE.size]))
            if len(buffer) - begin < total:
                self._wanted = total
                break
            messages.append(self._message(bytes(buffer[begin : begin + total]), header_bytes))
            begin += total
            self._wanted = _PRELUDE.size
        del buffer[:begin]
        return messages

    def _prelude(self, prelude: bytes) -> tuple[int, int]:
        total, header_bytes, crc = _PRELUDE.unpack(prelude)
        if zlib.crc32(prelude[:8]) != crc:
            raise UpstreamProtocolError("The upstream sent an event whose length has a wrong checksum.")
        if total > self._max_message_bytes:
            raise UpstreamProtocolError(f"The upstream sent an event of more than {self._max_message_bytes} bytes.")
        if header_bytes > min(_MAX_HEADER_BYTES, total - _SMALLEST):
            raise _malformed()
        return total, header_bytes

    def _message(self, data: bytes, header_bytes: int) -> Message:
        end = len(data) - _CRC.size
        if zlib.crc32(memoryview(data)[:end]) != _CRC.unpack_from(data, end)[0]:
            raise UpstreamProtocolError("The upstream sent an event with a wrong checksum.")
        begin = _PRELUDE.size + header_bytes
        block = data[_PRELUDE.size : begin]
        headers = self._known_headers.get(block)
        if headers is None:
            headers = _headers(block)
            if len(self._known_headers) < _MAX_KNOWN_HEADERS:
                self._known_headers[block] = headers
        return Message(headers, data[begin:end])


def _headers(data: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    position = 0
    try:
        while position < len(data):
            name, position = _cut(data, position + 1, data[position])
            read = _READERS.get(data[position])
            if read is None:
                raise _malformed()
            headers[name.decode()], position = read(data, position + 1)
    except (IndexError, struct.error, UnicodeDecodeError) as exc:
        raise _malformed() from exc
    return headers


def _cut(data: bytes, begin: int, length: int) -> tuple[bytes, int]:
    end = begin + length
    if end > len(data):
        raise _malformed()
    return data[begin:end], end


def _number(layout: str) -> Callable[[bytes, int], tuple[int, int]]:
    number = struct.Struct(layout)
    return lambda data, begin: (number.unpack_from(data, begin)[0], begin + number.size)


def _bytes(data: bytes, begin: int) -> tuple[bytes, int]:
    (length,) = _PREFIX.unpack_from(data, begin)
    return _cut(data, begin + _PREFIX.size, length)


def _text(data: bytes, begin: int) -> tuple[str, int]:
    value, end = _bytes(data, begin)
    return value.decode(), end


def _timestamp(data: bytes, begin: int) -> tuple[Timestamp, int]:
    return Timestamp(_LONG.unpack_from(data, begin)[0]), begin + _LONG.size


def _uuid(data: bytes, begin: int) -> tuple[UUID, int]:
    value, end = _cut(data, begin, 16)
    return UUID(bytes=value), end


_READERS: Mapping[int, Callable[[bytes, int], tuple[HeaderValue, int]]] = MappingProxyType(
    {
        0: lambda _, begin: (True, begin),
        1: lambda _, begin: (False, begin),
        2: _number(">b"),
        3: _number(">h"),
        4: _number(">i"),
        5: _number(">q"),
        6: _bytes,
        7: _text,
        8: _timestamp,
        9: _uuid,
    }
)


def _malformed() -> UpstreamProtocolError:
    return UpstreamProtocolError("The upstream sent an event that is malformed.")

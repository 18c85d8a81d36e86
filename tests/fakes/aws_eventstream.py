"""Writes Amazon's binary event stream, for fakes that speak it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from uuid import UUID

from router.dialects.aws_eventstream import HeaderValue, Timestamp

_WIDTHS = ((2, ">b", 8), (3, ">h", 16), (4, ">i", 32), (5, ">q", 64))


def encode_message(headers: Mapping[str, HeaderValue], payload: bytes) -> bytes:
    """One message; an integer has the narrowest type that it fits into."""
    block = b"".join(_header(name.encode(), value) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + block + payload
    return message + struct.pack(">I", zlib.crc32(message))


def _header(name: bytes, value: HeaderValue) -> bytes:
    return bytes([len(name)]) + name + _value(value)


def _value(value: HeaderValue) -> bytes:
    if isinstance(value, bool):
        return b"\0" if value else b"\1"
    if isinstance(value, Timestamp):
        return b"\x08" + struct.pack(">q", value)
    if isinstance(value, int):
        kind, layout, _ = next(width for width in _WIDTHS if abs(2 * value + 1) < 1 << width[2])
        return bytes([kind]) + struct.pack(layout, value)
    if isinstance(value, UUID):
        return b"\x09" + value.bytes
    data = value.encode() if isinstance(value, str) else value
    return (b"\x07" if isinstance(value, str) else b"\x06") + struct.pack(">H", len(data)) + data

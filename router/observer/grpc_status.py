"""The delay in the details of a gRPC status: ``google.rpc.Status`` with a ``google.rpc.RetryInfo`` in it.

https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto has the messages; three fields of
them are read, which is less than a dependency.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
_DETAILS = 3  # Status.details
_RETRY_DELAY = 1  # RetryInfo.retry_delay


def retry_delay_s(status: bytes) -> float | None:
    """After how many seconds the server wants to be asked again, ``None`` where it does not say."""
    try:
        for detail in _messages(status, _DETAILS):
            packed = Any.FromString(detail)
            if packed.type_url == _RETRY_INFO:
                for delay in _messages(packed.value, _RETRY_DELAY):
                    duration = Duration.FromString(delay)
                    return max(0.0, duration.seconds + duration.nanos / 1e9)
                return 0.0
    except (DecodeError, IndexError, ValueError):
        return None
    return None


def _messages(data: bytes, wanted: int) -> Iterator[bytes]:
    """The fields with this number that have a length. Raises ``ValueError`` or ``IndexError`` where malformed."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        match tag & 7:
            case 0:
                _, position = _varint(data, position)
            case 1:
                position += 8
            case 2:
                size, position = _varint(data, position)
                if position + size > len(data):
                    raise ValueError("a field that ends behind the message")
                if tag >> 3 == wanted:
                    yield data[position : position + size]
                position += size
            case 5:
                position += 4
            case _:
                raise ValueError("a field of an unknown kind")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while shift < 70:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
    raise ValueError("a number of more than 64 bits")

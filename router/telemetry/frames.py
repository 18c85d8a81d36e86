"""What the telemetry process is told, and by whom: messages over a local socket, framed. No I/O here.

A frame is two lengths (big-endian, 4 bytes each), a JSON object, and bytes that belong to it. ``type`` says what it is:

``hello``      worker -> observer: ``worker`` (int), ``pid``
``metrics``    worker -> observer, about every second: ``series`` (``instruments.Snapshot``), everything so far
``request``    worker -> observer, one finished request; its answer as the client got it are the bytes, unless that was
               too large: ``trace`` (``None`` when it is not sampled) and ``exchange`` (``None`` without signals)
``log_level``  observer -> worker: ``level``
``hold_back``  observer -> worker: for so many ``seconds``, tell of few requests: there is not enough CPU for all of it
``query``      command line -> observer: ``what`` and its arguments, answered by frames of the type ``result``, the last
               of which has ``"end": true``

``trace``: ``id``, ``state`` (tracestate), ``dropped`` (spans that were too many), ``spans``: lists of name, kind, span
id, parent id, start and end (ns), error or ``None``, attributes, events (lists of ns, name, attributes). The first span
is the request itself.

``exchange``: ``key`` (which conversation), ``start`` (index of the first message), ``messages`` (canonical, newest
last), ``status``, ``error_code``, ``attempts`` (outcomes), ``listener``. ``request`` also has ``dialect`` (that of the
answer) and ``stream`` (whether it was one).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from router.telemetry.tracing import Trace

MAX_FRAME_BYTES = 8 * 1024 * 1024

_LENGTHS = struct.Struct(">II")


class FrameError(ValueError):
    """What came is no frame; the connection is of no use any more."""


def encode(message: Mapping[str, Any], payload: Sequence[bytes] = ()) -> bytes:
    """One frame. Values that JSON has no word for are told as their ``str``."""
    head = orjson.dumps(message, default=str, option=orjson.OPT_NON_STR_KEYS)
    return b"".join((_LENGTHS.pack(len(head), sum(map(len, payload))), head, *payload))


class FrameReader:
    """Takes bytes as they come, gives the frames that they complete."""

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
        """The messages that ``data`` completes, each with its bytes. Raises ``FrameError``."""
        self._buffer += data
        position = 0
        try:
            while len(self._buffer) - position >= _LENGTHS.size:
                head, rest = _LENGTHS.unpack_from(self._buffer, position)
                if head + rest > self._max_bytes:
                    raise FrameError(f"a frame of {head + rest} bytes")
                start = position + _LENGTHS.size
                end = start + head + rest
                if len(self._buffer) < end:
                    break
                position = end
                yield self._message(start, head), bytes(memoryview(self._buffer)[start + head : end])
        finally:
            del self._buffer[:position]

    def _message(self, start: int, size: int) -> dict[str, Any]:
        try:
            message = orjson.loads(bytes(memoryview(self._buffer)[start : start + size]))
        except orjson.JSONDecodeError as exc:
            raise FrameError("a frame without JSON") from exc
        if not isinstance(message, dict):
            raise FrameError("a frame without an object")
        return message


def trace_fields(trace: Trace) -> dict[str, Any]:
    """``trace`` as a ``request`` frame has it; spans that nobody ended end now."""
    spans = trace.spans
    for span in spans:
        span.end()
    return {
        "id": trace.trace_id,
        "state": trace.tracestate,
        "dropped": trace.dropped,
        "spans": [
            (
                span.name,
                span.kind,
                span.span_id,
                span.parent_id,
                span.started_ns,
                span.ended_ns,
                span.error,
                span.attributes,
                span.events,
            )
            for span in spans
        ],
    }

"""Server-sent events, sans-I/O: where one event ends, and what its data is.

Rules (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream): lines end in LF, CRLF
or CR; an empty line ends an event; ``data`` lines of one event are joined by LF; lines that begin with a colon are
comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from router.errors import UpstreamProtocolError

_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n|\r\n\n")
_LINE_END = re.compile(rb"\r\n|\n|\r")

DONE = b"[DONE]"


class EventSplitter:
    """Cuts a byte stream behind whole events, so that no torn event is ever passed on.

    ``feed`` returns the bytes up to and including the last complete event; what follows is kept for the next call.
    Raises ``UpstreamProtocolError`` when one event grows beyond ``max_event_bytes``.
    """

    __slots__ = ("_max_event_bytes", "_rest")

    def __init__(self, max_event_bytes: int) -> None:
        self._rest = b""
        self._max_event_bytes = max_event_bytes

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; give back those that complete events (perhaps none), unchanged."""
        searched = max(0, len(self._rest) - 3)  # an end is at most four bytes, so one may have begun before ``data``
        buffer = self._rest + data if self._rest else data
        if buffer.endswith(b"\n\n"):  # what every server sends: one or more whole events
            self._rest = b""
            return buffer
        end = 0
        for match in _EVENT_END.finditer(buffer, searched):
            end = match.end()
        self._rest = buffer[end:]
        if len(self._rest) > self._max_event_bytes:
            raise UpstreamProtocolError(f"The upstream sent an event of more than {self._max_event_bytes} bytes.")
        return buffer[:end]

    def finish(self) -> bytes:
        """Give back what is left at the end of the stream: an event whose closing empty line is missing, or nothing."""
        rest, self._rest = self._rest, b""
        return rest


def split(events: bytes) -> Iterator[bytes]:
    """Yield each of ``events`` as it is, its end included; what follows the last end is an event, too."""
    start = 0
    for match in _EVENT_END.finditer(events):
        yield events[start : match.end()]
        start = match.end()
    if start < len(events):
        yield events[start:]


def event_data(events: bytes) -> Iterator[bytes]:
    """Yield the data of each event in ``events``, which holds whole events only (see ``EventSplitter``)."""
    data: list[bytes] = []
    for line in _LINE_END.split(events):
        if not line:
            if data:
                yield b"\n".join(data)
                data = []
        elif line.startswith(b"data:"):
            data.append(line[6:] if line.startswith(b"data: ") else line[5:])
    if data:
        yield b"\n".join(data)


def encode_event(data: bytes) -> bytes:
    """One event that carries ``data``, which holds no line ends (JSON never does)."""
    return b"data: " + data + b"\n\n"

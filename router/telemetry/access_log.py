"""Access lines, one per request.

Through ``logging`` such a line costs a third of a relayed request, so JSON lines have a way of their own: encoded at
once, written in batches.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Protocol, TextIO

import orjson

NAME = "router.access"
MESSAGE = "request"

_FLUSH_AFTER_S = 0.1
_FLUSH_LINES = 256


class AccessLog(Protocol):
    """Where access lines go. ``flush`` writes what is still held back."""

    def write(self, entry: Mapping[str, object]) -> None:
        """Take the fields of one line."""

    def flush(self) -> None:
        """Write what is held back, now."""


class LoggedAccess:
    """Access lines as ordinary log records, in whatever format logging has been given."""

    def __init__(self) -> None:
        self._logger = logging.getLogger(NAME)

    def write(self, entry: Mapping[str, object]) -> None:
        """Log one record at level INFO."""
        self._logger.info(MESSAGE, extra=entry)

    def flush(self) -> None:
        """Nothing is held back."""


class JsonAccess:
    """Access lines as JSON, shaped like those of ``logs.JsonFormatter``, at most a tenth of a second late.

    Make it where ``stream`` is configured; call ``write`` inside the event loop. ``fields`` are on every line.
    """

    def __init__(self, stream: TextIO, fields: Mapping[str, object]) -> None:
        self._stream = stream
        self._logger = logging.getLogger(NAME)
        self._fields = {"level": "info", "logger": NAME, "message": MESSAGE, **fields}
        self._second = -1
        self._until_second = ""
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def write(self, entry: Mapping[str, object]) -> None:
        """Encode one line and see to it that it is written soon; nothing where such lines are not wanted now."""
        if not self._logger.isEnabledFor(logging.INFO):
            return
        line = {"ts": self._timestamp(), **self._fields, **entry}
        self._lines.append(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE))
        if len(self._lines) >= _FLUSH_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_AFTER_S, self.flush)

    def _timestamp(self) -> str:
        """ISO 8601 with milliseconds; most of it is the same for a second."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._until_second = datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._until_second}.{int((now - second) * 1000):03d}+00:00"

    def flush(self) -> None:
        """Write the lines so far in one piece."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if lines:
            self._stream.write(b"".join(lines).decode())
            self._stream.flush()

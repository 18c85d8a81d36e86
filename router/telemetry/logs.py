"""Logging of every process: JSON lines for machines, one aligned line for people.

A log call is a constant message plus fields (``logger.warning("worker ended", extra={"pid": 7})``); both formats show
the fields. Each process configures its own root logger once, at start.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Literal, TextIO

import orjson

LogFormat = Literal["auto", "json", "pretty"]

# What logging itself puts on a record; everything else came in through ``extra``.
_OWN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# Talkative at INFO about things that our own lines already say.
_QUIET_LOGGERS = ("asyncio", "aiohttp", "grpc")

_LEVEL_COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


def record_fields(record: logging.LogRecord) -> dict[str, object]:
    """The fields that the caller attached to a record."""
    return {name: value for name, value in vars(record).items() if name not in _OWN_ATTRIBUTES}


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ``ts``, ``level``, ``logger``, ``message``, then the fields."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        super().__init__()
        self._fields = dict(fields)

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, tz=timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._fields,
            **record_fields(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class PrettyFormatter(logging.Formatter):
    """``12:30:01 WARNING worker ended  pid=7``, with the level in colour where the stream is a terminal."""

    def __init__(self, fields: Mapping[str, object], *, colour: bool) -> None:
        super().__init__()
        self._fields = dict(fields)
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        fields = {**self._fields, **record_fields(record)}
        pairs = " ".join(f"{name}={_one_line(value)}" for name, value in fields.items() if value is not None)
        line = f"{clock} {self._level(record.levelname)} {record.getMessage()}"
        if pairs:
            line += f"  {self._paint(pairs, '2')}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line

    def _level(self, name: str) -> str:
        return self._paint(f"{name:<7}", _LEVEL_COLOURS.get(name, "0"))

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def is_pretty(stream: TextIO, log_format: LogFormat) -> bool:
    """Whether lines to ``stream`` are for people."""
    return log_format == "pretty" or (log_format == "auto" and stream.isatty())


def configure_logging(
    stream: TextIO, *, level: str = "info", log_format: LogFormat = "auto", fields: Mapping[str, object] | None = None
) -> None:
    """Send all logging of this process to ``stream``; ``fields`` are added to every line.

    ``auto`` is pretty on a terminal and JSON elsewhere. Replaces what was configured before.
    """
    pretty = PrettyFormatter(fields or {}, colour=stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(pretty if is_pretty(stream, log_format) else JsonFormatter(fields or {}))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_log_level(level)


def set_log_level(level: str) -> None:
    """Change how much this process logs from now on; what is no level changes nothing."""
    if level.upper() not in _LEVEL_COLOURS:
        return
    root = logging.getLogger()
    root.setLevel(level.upper())
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))


def _one_line(value: object) -> str:
    text = str(value)
    return repr(text) if not text or any(character.isspace() for character in text) else text

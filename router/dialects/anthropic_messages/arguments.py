"""Answers as JSON, and the arguments of tool calls: JSON text on one side, objects on the other."""

from __future__ import annotations

import re

import orjson

from router.dialects.canonical import JsonObject
from router.errors import UpstreamProtocolError

# What the depth of a JSON text depends on: escaped letters (or a lone backslash at its end), quotes and brackets.
_MARKS = re.compile(r"\\.|[\\\"{}\[\]]", re.DOTALL)


class StreamedCall:
    """One tool call: what is known of it, and the pieces of its arguments."""

    __slots__ = ("_begun", "_depth", "_in_text", "_scanned", "_torn", "id", "name", "pieces")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []
        self._scanned = 0
        self._depth = 0
        self._begun = False
        self._in_text = False
        self._torn = ""

    def is_complete(self) -> bool:
        """Whether no more arguments can follow. Looks at each piece once, whenever it is asked."""
        while self._scanned < len(self.pieces):
            piece = self._torn + self.pieces[self._scanned]
            self._scanned += 1
            self._torn = ""
            for mark in _MARKS.findall(piece):
                if mark == '"':
                    self._in_text = not self._in_text
                elif mark == "\\":  # the letter that it escapes is in the next piece
                    self._torn = mark
                elif not self._in_text and mark in "{[":
                    self._begun = True
                    self._depth += 1
                elif not self._in_text and mark in "}]":
                    self._depth -= 1
        return self._begun and self._depth <= 0


def parsed_arguments(arguments: object) -> JsonObject | None:
    """The arguments of a tool call, none of them where the text is empty; ``None`` when they are not a JSON object."""
    if not arguments:
        return {}
    if not isinstance(arguments, str | bytes):
        return None
    try:
        value = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def answer_json(value: object) -> bytes:
    """A part of an answer as JSON. Raises ``UpstreamProtocolError`` when it is nested deeper than can be written."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as exc:
        raise UpstreamProtocolError(f"The upstream's answer cannot be passed on: {exc}.") from exc

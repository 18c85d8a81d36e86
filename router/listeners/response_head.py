"""The head of an answer in bytes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus

_LINES = {int(status): f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


class ResponseHeads:
    """Builds heads; the ``Date`` in them is made once a second."""

    __slots__ = ("_date", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._date = ""

    def encode(self, status: int, headers: Mapping[str, str], framing: str) -> bytes:
        """One head. ``framing`` are further lines, each with its end: how the body is framed, what comes after it.

        Line breaks in a value, which would begin a header of somebody else's, become spaces.
        """
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if fields.count("\n") != len(headers) or fields.count("\r") != len(headers):
            fields = "".join([f"{_one_line(name)}: {_one_line(value)}\r\n" for name, value in headers.items()])
        line = _LINES.get(status) or f"HTTP/1.1 {status} \r\n"
        return f"{line}{fields}Date: {self._now()}\r\n{framing}\r\n".encode("utf-8", "replace")

    def _now(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._date = formatdate(second, usegmt=True)
        return self._date


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")

"""The log file of one tritonserver: bounded, and readable for the reason of a failure."""

from __future__ import annotations

import os
import re
from pathlib import Path

_KEPT_BYTES = 1024 * 1024
_TAIL_LINES = 20

# `2026-01-31T12:00:00Z E 4711 model_lifecycle.cc:642] "failed to load 'x' version 1: ..."`, newlines escaped.
_ERROR = re.compile(r'^\S+ E \d+ \S+\] "?(?P<message>.*?)"?$')
# What says why a model is missing; other errors follow from it, or are of no account (a machine without CUDA).
_REASON = re.compile(r"^failed to (load|poll)\b")


class ServerLog:
    """An append-only file that the server writes and the supervisor keeps small.

    One earlier file is kept (suffix ``.1``). The server's descriptor is in append mode, so that truncating the file
    under it is safe: the next line lands at the new end.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._mark = 0

    def rotate(self) -> None:
        """Put the file of an earlier run aside."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self.path.replace(self._previous)
        self.path.touch(mode=0o600)

    def open(self) -> int:
        """A descriptor for the server to write to, which the caller closes; ``errors`` and ``tail`` begin here."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._mark = os.fstat(descriptor).st_size
        return descriptor

    def bound(self) -> None:
        """Truncate the file when it is over its limit, and keep the end of it as the earlier file."""
        try:
            if self.path.stat().st_size <= self._max_bytes:
                return
            with self.path.open("rb") as file:
                file.seek(-min(_KEPT_BYTES, self._max_bytes), os.SEEK_END)
                self._previous.write_bytes(file.read())
            os.truncate(self.path, 0)
            self._mark = 0
        except FileNotFoundError:
            return

    def errors(self) -> list[str]:
        """Why models did not load since ``open``, newlines restored; without such lines, all errors."""
        found = [m["message"].replace("\\n", "\n").strip() for line in self._lines() if (m := _ERROR.match(line))]
        reasons = [message for message in found if _REASON.match(message)]
        return list(dict.fromkeys(reasons or found))

    def tail(self) -> str:
        """The last lines since ``open``, without the tables that Triton draws."""
        lines = [line for line in self._lines() if line and line[0] not in "|+"]
        return "\n".join(lines[-_TAIL_LINES:])

    def _lines(self) -> list[str]:
        try:
            with self.path.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(self._mark if self._mark <= end else 0, end - _KEPT_BYTES))
                return file.read().decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return []

    @property
    def _previous(self) -> Path:
        return self.path.with_name(f"{self.path.name}.1")

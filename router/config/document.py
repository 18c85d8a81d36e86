"""The values of a configuration file, with the place and the spelling of each."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from router.config.problems import KeyPath, Problem, render_path


@dataclass(frozen=True, slots=True)
class Mark:
    """A position, counted from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Document:
    """``data`` (dicts, lists and scalars) with the position and the spelling of each value.

    ``moved`` says for values that a migration put elsewhere where they stand in the file.
    """

    data: dict[str, Any]
    values: dict[KeyPath, Mark] = field(default_factory=dict)
    keys: dict[KeyPath, Mark] = field(default_factory=dict)
    spelling: dict[KeyPath, str] = field(default_factory=dict)
    moved: dict[KeyPath, KeyPath] = field(default_factory=dict)

    def source(self, path: KeyPath) -> KeyPath:
        """Where in the file the value at ``path`` was written."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.moved:
                return self.moved[path[:length]] + path[length:]
        return path

    def move(self, new: KeyPath, old: KeyPath) -> None:
        """Note that the value at ``new`` was read at ``old``, itself perhaps moved before."""
        self.moved[new] = self.source(old)

    def locate(self, path: KeyPath) -> Mark | None:
        """The scalar at ``path``, or the key of a mapping or list; for a path not in the file, its nearest ancestor."""
        place = self.source(path)
        while place:
            mark = self.values.get(place) if place in self.spelling else self.keys.get(place, self.values.get(place))
            if mark is not None:
                return mark
            place = place[:-1]
        return self.values.get(())

    def locate_key(self, path: KeyPath) -> Mark | None:
        """The key itself, where ``locate`` would give its value."""
        return self.keys.get(self.source(path)) or self.locate(path)

    def show(self, path: KeyPath) -> str:
        """The value at ``path`` as the file spells it (so ``$NAME``, never what it stands for), short, in quotes."""
        text = self.spelling.get(self.source(path))
        if text is None:
            return "the value"
        text = re.sub(r"//[^/@\s]*@", "//***@", text.strip())
        return f"`{text[:60]}…`" if len(text) > 60 else f"`{text}`"

    def problem(self, path: KeyPath, message: str, suggestion: str | None = None, *, on_key: bool = False) -> Problem:
        """An error at ``path``."""
        mark = self.locate_key(path) if on_key else self.locate(path)
        line, column = (mark.line, mark.column) if mark else (None, None)
        return Problem("error", render_path(self.source(path)), message, suggestion, line, column)

    def warning(self, path: KeyPath, message: str, suggestion: str | None = None) -> Problem:
        """A warning at ``path``, positioned at the key."""
        mark = self.locate_key(path)
        line, column = (mark.line, mark.column) if mark else (None, None)
        return Problem("warning", render_path(self.source(path)), message, suggestion, line, column)

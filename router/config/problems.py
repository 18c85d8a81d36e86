"""What is wrong with a configuration file: where, why, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from router.errors import OperatorError

Severity = Literal["error", "warning"]

# A place in the document: mapping keys and list indexes from the root.
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. ``line`` and ``column`` count from 1 and are ``None`` when it is about the file as a whole.

    Neither ``message`` nor ``suggestion`` ever holds a value that came from the environment.
    """

    severity: Severity
    path: str
    message: str
    suggestion: str | None = None
    line: int | None = None
    column: int | None = None

    def format(self, file: Path) -> str:
        """The finding as compilers print theirs: ``file:line:column: severity: message``."""
        place = "".join(f":{number}" for number in (self.line, self.column) if number is not None)
        subject = f"{self.path}: " if self.path else ""
        return f"{file}{place}: {self.severity}: {subject}{self.message}"


class ConfigErrors(OperatorError):
    """The file cannot be used. ``problems`` holds every finding, warnings included, in the order of the file."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.path = path
        self.problems = in_file_order(problems)
        errors = [problem for problem in self.problems if problem.severity == "error"]
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        lines = [f"The configuration {path} has {count}."]
        for problem in errors:
            lines.append(f"  {problem.format(path)}")
            if problem.suggestion:
                lines.append(f"      {problem.suggestion}")
        super().__init__("\n".join(lines), fix="Correct the file; `trident check` shows the same list, with warnings.")


def in_file_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Sorted by position; what has none comes first."""
    return tuple(sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0)))


def render_path(path: KeyPath) -> str:
    """``("listeners", 0, "agents")`` as ``listeners[0].agents``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def did_you_mean(word: str, known: Iterable[str], *, plural: str) -> str:
    """A suggestion for a word that is none of ``known``: the nearest ones, else the whole list."""
    names = sorted(set(known))
    lowered = {name.lower(): name for name in names}
    close = [lowered[match] for match in difflib.get_close_matches(word.lower(), lowered, n=2, cutoff=0.6)]
    if close:
        return f"Did you mean {' or '.join(f'`{name}`' for name in close)}?"
    if not names:
        return f"There are no {plural}."
    return f"Known {plural}: {', '.join(f'`{name}`' for name in names)}."

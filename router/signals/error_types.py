"""Which type of signal an error is, by what it says (``data/tool_results.yaml``) and by its codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import re2  # type: ignore[import-untyped]  # Google's own binding has no annotations
import yaml

from router.signals.report import SIGNAL_TYPES, SignalType

_LINE_CHARS = 400
_NAMES: Mapping[str, SignalType] = {kind.rpartition(".")[2]: kind for kind in SIGNAL_TYPES}

_STATUSES: Mapping[int, SignalType] = {
    400: "execution.failure.invalid_args",
    401: "execution.failure.auth_misuse",
    403: "execution.failure.auth_misuse",
    404: "execution.failure.state_error",
    407: "execution.failure.auth_misuse",
    408: "environment.exhaustion.timeout",
    409: "execution.failure.state_error",
    410: "execution.failure.state_error",
    412: "execution.failure.state_error",
    423: "execution.failure.state_error",
    428: "execution.failure.state_error",
    429: "environment.exhaustion.rate_limit",
    504: "environment.exhaustion.timeout",
}
# What shells and coreutils' timeout say with an exit code.
EXIT_CODES: Mapping[int, SignalType] = {
    124: "environment.exhaustion.timeout",
    126: "execution.failure.auth_misuse",
    127: "execution.failure.tool_not_found",
}


@dataclass(frozen=True, slots=True)
class _Patterns:
    """For each type, in order, what is looked for in errors, and which lines are errors by themselves."""

    said: tuple[tuple[SignalType, Any], ...]
    line: tuple[tuple[SignalType, Any], ...]


@cache
def _patterns() -> _Patterns:
    """The bundled patterns, read at the first use."""
    file = resources.files("router.signals") / "data" / "tool_results.yaml"
    kinds: Mapping[str, Mapping[str, list[str]]] = yaml.safe_load(file.read_text(encoding="utf-8"))
    said = [(_NAMES[kind], re2.compile(f"(?i)(?:{'|'.join(lists['said'])})")) for kind, lists in kinds.items()]
    line = [
        (_NAMES[kind], re2.compile(f"(?i)^(?:{'|'.join(lists['line'])})$"))
        for kind, lists in kinds.items()
        if "line" in lists
    ]
    return _Patterns(tuple(said), tuple(line))


def type_by_words(said: str) -> SignalType | None:
    """The type of an error by its message or code, the most telling type first."""
    return next((kind for kind, pattern in _patterns().said if pattern.search(said)), None)


def type_by_line(text: str) -> SignalType | None:
    """The type of a text that is an error by its first line alone; ``None`` for any other text."""
    line = text.strip()
    if len(line) > _LINE_CHARS:
        return None
    first = line.split("\n", 1)[0]
    return next((kind for kind, pattern in _patterns().line if pattern.search(first)), None)


def type_by_status(status: int) -> SignalType:
    """The type of an HTTP error."""
    other: SignalType = "environment.exhaustion.api_error" if status >= 500 else "execution.failure.invalid_args"
    return _STATUSES.get(status, other)

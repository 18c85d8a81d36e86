"""Placeholders such as ``<PERSON_1>`` in the place of personal data, and the way back, for one request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal

from router.pii.findings import Entity, Finding

PLACEHOLDER = re.compile(r"<[A-Z][A-Z_]{1,30}_\d{1,6}>")
MARK = re.compile(r"<[A-Z][A-Z_]{1,30}(?:_\d{1,6})?>")

# In JSON, the brackets may be written as escapes, as the encoders of some servers do; the third form is any other
# escape, which has to be seen as a whole: in `\\u003c` the backslash is escaped and the rest is text.
_IN_JSON = re.compile(
    r"(?:<|\\u003[cC])(?P<name>[A-Z][A-Z_]{1,30}_\d{1,6})(?:>|\\u003[eE])|\\(?:[^u]|u(?!003[cC])[0-9a-fA-F]{4})",
    re.DOTALL,
)

# The end of a text that could be the beginning of a placeholder.
_BEGUN = re.compile(r"<(?:[A-Z][A-Z_]{0,31}\d{0,6})?\Z")
_BEGUN_IN_JSON = re.compile(
    r"(?:(?:<|\\u003[cC])(?:[A-Z][A-Z_]{0,31}\d{0,6})?(?:\\(?:u(?:0(?:0(?:3[eE]?)?)?)?)?)?|\\(?:u[0-9a-fA-F]{0,3})?)\Z"
)

Syntax = Literal["text", "json"]

MOST_MENTIONED = 500
_FEWEST_CHARS = 4  # of a value that is looked for wherever it stands


class Placeholders:
    """What stands for what in one request.

    Equal values get equal placeholders. Numbers count in the order in which values are met, so that a conversation that
    grows at its end keeps the placeholders of its beginning. A placeholder that stands in the request as it came is
    never given out: what somebody wrote as such must not turn into somebody else's name.
    """

    __slots__ = ("_counts", "_placeholders", "_taken", "_values")

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._placeholders: dict[tuple[Entity, str], str] = {}
        self._counts: dict[Entity, int] = {}
        self._taken: set[str] = set()

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Placeholders({', '.join(self._values)})"

    def reserve(self, texts: Iterable[str]) -> None:
        """Leave out the placeholders that ``texts`` have already."""
        for text in texts:
            self._taken.update(PLACEHOLDER.findall(text))

    def add(self, findings: Iterable[Finding]) -> None:
        """Give placeholders to what was found, in this order."""
        for finding in findings:
            self._placeholder(finding.entity, finding.text)

    def mentions(self, text: str) -> list[Finding]:
        """Where ``text`` has what has a placeholder already, whether or not anything there says what it is.

        Values that are very short, or begin or end inside of a word, are left alone, and those beyond the first
        ``MOST_MENTIONED``.
        """
        return [
            finding
            for entity, value in islice(self._placeholders, MOST_MENTIONED)
            for finding in _mentions(text, entity, value)
        ]

    def replace(self, text: str, findings: Sequence[Finding]) -> str:
        """``text`` with a placeholder for each finding; ``findings`` are in its order and do not overlap."""
        if not findings:
            return text
        parts = []
        start = 0
        for finding in findings:
            parts += [text[start : finding.start], self._placeholder(finding.entity, finding.text)]
            start = finding.end
        return "".join([*parts, text[start:]])

    def restore(self, text: str, syntax: Syntax = "text") -> str:
        """``text`` with the values again; in ``json``, inside strings of encoded JSON."""
        if not self._values:
            return text
        if syntax == "text":
            return PLACEHOLDER.sub(lambda match: self._values.get(match[0], match[0]), text)
        return _IN_JSON.sub(self._value_in_json, text)

    def _placeholder(self, entity: Entity, value: str) -> str:
        known = self._placeholders.get((entity, value))
        if known is not None:
            return known
        number = self._counts.get(entity, 0) + 1
        while (placeholder := f"<{entity}_{number}>") in self._taken:
            number += 1
        self._counts[entity] = number
        self._placeholders[entity, value] = placeholder
        self._values[placeholder] = value
        return placeholder

    def _value_in_json(self, match: re.Match[str]) -> str:
        value = self._values.get(f"<{match['name']}>")
        return match[0] if value is None else json.dumps(value, ensure_ascii=False)[1:-1]


def marked(text: str, findings: Sequence[Finding]) -> str:
    """``text`` with ``<PERSON>`` and the like for each finding: for good, with no way back."""
    parts = []
    start = 0
    for finding in findings:
        parts += [text[start : finding.start], f"<{finding.entity}>"]
        start = finding.end
    return "".join([*parts, text[start:]])


def _mentions(text: str, entity: Entity, value: str) -> Iterator[Finding]:
    if len(value) < _FEWEST_CHARS:
        return
    start = text.find(value)
    while start >= 0:
        end = start + len(value)
        inside = (start > 0 and text[start - 1].isalnum() and value[0].isalnum()) or (
            end < len(text) and text[end].isalnum() and value[-1].isalnum()
        )
        if not inside:
            yield Finding(entity, start, end, 1.0, value)
        start = text.find(value, end)


class StreamRestorer:
    """Restores a text that comes in pieces; a placeholder may be cut anywhere."""

    __slots__ = ("_held", "_placeholders", "_syntax")

    def __init__(self, placeholders: Placeholders, syntax: Syntax = "text") -> None:
        self._placeholders = placeholders
        self._syntax: Syntax = syntax
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be said after ``piece``; at most one begun placeholder is held back."""
        text = self._held + piece
        cut = len(text) if not self._placeholders else self._begun(text)
        self._held = text[cut:]
        return self._placeholders.restore(text[:cut], self._syntax)

    @property
    def holds(self) -> bool:
        """Whether something is held back."""
        return bool(self._held)

    def held(self) -> str:
        """What is held back."""
        return self._held

    def finish(self) -> str:
        """What was held back: it was no placeholder after all."""
        held, self._held = self._held, ""
        return held

    def _begun(self, text: str) -> int:
        """Where a placeholder begins whose end is still to come; the length of ``text`` where there is none."""
        begun = _BEGUN
        start = 0
        if self._syntax == "json":
            begun = _BEGUN_IN_JSON
            for match in _IN_JSON.finditer(text):
                start = match.end()
        match_ = begun.search(text, max(start, len(text) - 64))
        return len(text) if match_ is None else match_.start()

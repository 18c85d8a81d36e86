"""One recogniser: a pattern, a check of what it matches, and the words nearby that make it more likely."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from router.pii.findings import Entity, Finding

# How far before and behind a match its context reaches, in characters.
_BEFORE_CHARS = 60
_BEHIND_CHARS = 24


@dataclass(frozen=True, slots=True)
class Pattern:
    """Matches of ``regex`` that pass ``check`` are ``entity`` with ``score``, or ``with_context`` near such a word.

    The group ``value``, where there is one, is what was found; else the whole match. ``check`` gets that text. All that
    is found has at least ``min_digits``, where it is a number at all.
    Expressions are bounded in every repetition, and written so that no two ways to match the same text compete: texts
    come from strangers.
    """

    entity: Entity
    regex: re.Pattern[str]
    score: float
    context: re.Pattern[str] | None = None
    with_context: float = 0.0
    check: Callable[[str], bool] | None = None
    min_digits: int = 4

    def find(self, text: str, start: int, end: int) -> Iterator[Finding]:
        """What is found in ``text[start:end]``; what stands around that is seen as context."""
        group = "value" if "value" in self.regex.groupindex else 0
        for match in self.regex.finditer(text, start, end):
            value = match[group]
            if self.check is None or self.check(value):
                first, last = match.span(group)
                yield Finding(self.entity, first, last, self._score(text, match), value)

    def _score(self, text: str, match: re.Match[str]) -> float:
        if self.context is not None and near(self.context, text, match.start(), match.end()):
            return max(self.score, self.with_context)
        return self.score


def near(words: re.Pattern[str], text: str, start: int, end: int) -> bool:
    """Whether one of ``words`` stands near ``text[start:end]``."""
    before = text[max(0, start - _BEFORE_CHARS) : start]
    return words.search(before) is not None or words.search(text[end : end + _BEHIND_CHARS]) is not None


def words(*alternatives: str) -> re.Pattern[str]:
    """An expression for any of these words or phrases, letter case aside; a dash is optional, or a space."""
    phrases = "|".join(re.escape(one).replace(r"\-", "[ _-]?") for one in alternatives)
    return re.compile(rf"(?<![^\W_])(?:{phrases})(?![^\W_])", re.IGNORECASE)


def find_all(patterns: Sequence[Pattern], text: str) -> list[Finding]:
    """What ``patterns`` find anywhere in ``text``."""
    return [finding for pattern in patterns for finding in pattern.find(text, 0, len(text))]

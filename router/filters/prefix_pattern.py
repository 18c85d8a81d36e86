"""From a pattern to one that matches all beginnings of what the pattern matches, so that streams can wait for the rest.

Syntax is RE2's (https://github.com/google/re2/wiki/Syntax). The result matches at least all prefixes of all matches,
the matches themselves and the empty text included. It may match more: anchors and word boundaries count for nothing,
and ``.`` matches line ends, which only means that now and then a few characters wait needlessly.

    abc         (?:a(?:b(?:c)?)?)?
    ab|cd       (?:(?:a(?:b)?)?|(?:c(?:d)?)?)
    [ab]{2,4}   (?:[ab]){0,3}(?:[ab])?
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from typing_extensions import assert_never


@dataclass(frozen=True, slots=True)
class _Atom:
    """What matches one character."""

    pattern: str


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    options: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: _Node
    least: int
    most: int | None


_Node: TypeAlias = "_Atom | _Sequence | _Choice | _Repeat"

_FLAGS = re.compile(r"\(\?([imsU-]+)\)")
_GROUP = re.compile(r"\((?:\?(?:P?<\w+>|([imsU-]*):))?")
_REPEAT = re.compile(r"(?:([*+?])|\{(\d+)(?:(,)(\d*))?\})\??")
_ANCHOR = re.compile(r"[\^$]|\\[AbBz]")
_QUOTED = re.compile(r"\\Q(.*?)(?:\\E|$)", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x\{[0-9A-Fa-f]+\}|x[0-9A-Fa-f]{2}|[pP](?:\{[^}]*\}|.)|[0-7]{1,3}|.)", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?(?:\[:\^?\w+:\]|\\[pP]\{[^}]*\}|\\x\{[^}]*\}|\\.|[^\]\\])*\]", re.DOTALL)
_MAX_DEPTH = 32


def prefix_pattern(pattern: str) -> str:
    """The pattern of all prefixes. Raises ``ValueError`` for what is no pattern, or nests too deeply."""
    return _prefix(_parsed(pattern))


def matches_no_text(pattern: str) -> bool:
    """Whether somewhere the pattern may match nothing at all, as ``a*`` and ``\\b`` do. Raises as the other one."""
    return _least(_parsed(pattern)) == 0


def _parsed(pattern: str) -> _Node:
    parser = _Parser(pattern)
    node = parser.choice(0)
    if parser.rest:
        raise ValueError("The pattern closes a group that it did not open.")
    return node


class _Parser:
    """Reads a pattern that RE2 has already accepted, down to what matters for prefixes."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._any_case = False

    @property
    def rest(self) -> bool:
        return self._at < len(self._pattern)

    def choice(self, depth: int) -> _Node:
        """``a|b|c`` up to the end of the group."""
        if depth > _MAX_DEPTH:
            raise ValueError(f"The pattern has groups nested more than {_MAX_DEPTH} deep.")
        options = [self._sequence(depth)]
        while self._take("|"):
            options.append(self._sequence(depth))
        return options[0] if len(options) == 1 else _Choice(tuple(options))

    def _sequence(self, depth: int) -> _Node:
        parts: list[_Node] = []
        while self.rest and self._pattern[self._at] not in "|)":
            parts += self._part(depth)
        return parts[0] if len(parts) == 1 else _Sequence(tuple(parts))

    def _part(self, depth: int) -> list[_Node]:
        """One part with its repetitions; none for what matches no text, several for quoted text."""
        if flags := self._match(_FLAGS):
            self._set(flags[1])
            return []
        if self._match(_ANCHOR):
            while self._match(_REPEAT):
                pass
            return []
        if quoted := self._match(_QUOTED):
            letters: list[_Node] = [self._cased(re.escape(letter)) for letter in quoted[1]]
            return letters if not letters else [*letters[:-1], self._repeated(letters[-1])]
        if group := self._match(_GROUP):
            any_case = self._any_case
            self._set(group[1] or "")
            node = self.choice(depth + 1)
            if not self._take(")"):
                raise ValueError("The pattern has a group that is not closed.")
            self._any_case = any_case
            return [self._repeated(node)]
        return [self._repeated(self._atom())]

    def _set(self, flags: str) -> None:
        on, _, off = flags.partition("-")
        self._any_case = (self._any_case or "i" in on) and "i" not in off

    def _atom(self) -> _Atom:
        if found := self._match(_CLASS) or self._match(_ESCAPE):
            return self._cased(found[0])
        self._at += 1
        letter = self._pattern[self._at - 1]
        return _Atom("(?s:.)") if letter == "." else self._cased(re.escape(letter))

    def _cased(self, pattern: str) -> _Atom:
        return _Atom(f"(?i:{pattern})" if self._any_case else pattern)

    def _repeated(self, node: _Node) -> _Node:
        while found := self._match(_REPEAT):
            sign, least, comma, most = found.groups()
            if sign is not None:
                node = _Repeat(node, 1 if sign == "+" else 0, 1 if sign == "?" else None)
            else:
                node = _Repeat(node, int(least), int(most) if most else None if comma else int(least))
        return node

    def _match(self, what: re.Pattern[str]) -> re.Match[str] | None:
        found = what.match(self._pattern, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _take(self, letter: str) -> bool:
        if self.rest and self._pattern[self._at] == letter:
            self._at += 1
            return True
        return False


def _least(node: _Node) -> int:
    """How many characters a match of ``node`` has at least."""
    if isinstance(node, _Atom):
        return 1
    if isinstance(node, _Sequence):
        return sum(map(_least, node.parts))
    if isinstance(node, _Choice):
        return min(map(_least, node.options))
    if isinstance(node, _Repeat):
        return node.least * _least(node.part)
    assert_never(node)


def _full(node: _Node) -> str:
    """A pattern for all that ``node`` matches."""
    if isinstance(node, _Atom):
        return node.pattern
    if isinstance(node, _Sequence):
        return "".join(map(_full, node.parts))
    if isinstance(node, _Choice):
        return f"(?:{'|'.join(map(_full, node.options))})"
    if isinstance(node, _Repeat):
        return _times(_full(node.part), node.least, node.most)
    assert_never(node)


def _prefix(node: _Node) -> str:
    """A pattern for all prefixes of what ``node`` matches."""
    if isinstance(node, _Atom):
        return f"(?:{node.pattern})?"
    if isinstance(node, _Choice):
        return f"(?:{'|'.join(map(_prefix, node.options))})"
    if isinstance(node, _Repeat):
        if node.most == 0:
            return ""
        most = None if node.most is None else node.most - 1
        return _times(_full(node.part), 0, most) + _prefix(node.part)
    if isinstance(node, _Sequence):
        rest = ""
        for part in reversed(node.parts):
            if isinstance(part, _Atom):
                rest = f"(?:{part.pattern}{rest})?"
            else:
                rest = f"(?:{_full(part)}{rest}|{_prefix(part)})"
        return rest
    assert_never(node)


def _times(pattern: str, least: int, most: int | None) -> str:
    return f"(?:{pattern}){{{least},{'' if most is None else most}}}"

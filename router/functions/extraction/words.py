"""A turn as words with their places, and when two words are forms of one."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import islice

MAX_CHARS = 2000  # of a turn that is read; the rest of a longer one is left out

_TOKEN = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*|\d+|\n|\S")
_SUFFIXES = ("ations", "ation", "ances", "ance", "ences", "ments", "ment", "ings", "ing", "edly", "ed", "ly", "es", "s")
_MAX_TOKENS = 400
_MIN_STEM = 4
_MIN_SHARED = 6
_MAX_ENDING = 3
_SHARED_OF_LONGER = 0.7


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a run of digits or one mark, with its place in the turn.

    Words are compared by ``folded`` and ``stem``.
    """

    text: str
    folded: str
    stem: str
    start: int
    end: int

    @property
    def is_word(self) -> bool:
        return self.text[0].isalpha()

    @property
    def is_digits(self) -> bool:
        return self.text[0].isdigit()

    @property
    def is_capitalised(self) -> bool:
        return self.text[0].isupper()


def word_set(*lines: str) -> frozenset[str]:
    """The words of some lines."""
    return frozenset(word for line in lines for word in line.split())


def tokens_of(text: str) -> tuple[Token, ...]:
    """The first 400 tokens of a text, in order."""
    found = islice(_TOKEN.finditer(text), _MAX_TOKENS)
    return tuple(Token(each[0], fold(each[0]), stem(each[0]), each.start(), each.end()) for each in found)


def fold(text: str) -> str:
    return text.casefold().replace("\u2019", "'")


def unaccented(text: str) -> str:
    """``text`` folded and without accents, as people type it in a hurry."""
    if text.isascii():
        return text.casefold()
    return "".join(each for each in unicodedata.normalize("NFD", fold(text)) if not unicodedata.combining(each))


def stem(word: str) -> str:
    """A word without the endings that tell its forms apart; good enough to compare, not to print."""
    word = fold(word).removesuffix("'s")
    if word.endswith("ies") and len(word) > _MIN_STEM:
        return word[:-3] + "y"
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and not word.endswith("ss") and len(word) - len(suffix) >= _least(suffix):
            word = word[: -len(suffix)]
            break
    return word[:-1] if word.endswith("e") and len(word) > _MIN_STEM else word


def stems_of(text: str) -> frozenset[str]:
    """The stems of the words of a text or of an identifier."""
    return frozenset(stem(each) for each in words_of(text))


def words_of(text: str) -> tuple[str, ...]:
    """The folded words of a text or of an identifier such as ``maxPrice`` or ``max_price``."""
    return tuple(fold(each[0]) for each in _WORD.finditer(_CAMEL.sub(" ", text)))


def akin(one: str, other: str) -> bool:
    """Whether two words are forms of each other: dentist and dentistry, soft and softly."""
    return akin_stems(stem(one), stem(other))


def akin_stems(one: str, other: str) -> bool:
    """As :func:`akin`, of stems."""
    if one == other:
        return True
    if one[:_MIN_STEM] != other[:_MIN_STEM]:
        return False
    shared = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        shared += 1
    shorter, longer = sorted((len(one), len(other)))
    if shared == shorter >= _MIN_STEM and longer - shorter <= _MAX_ENDING:
        return True
    return shared >= _MIN_SHARED and shared >= _SHARED_OF_LONGER * longer


_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _least(suffix: str) -> int:
    return 2 if suffix == "s" else 3 if suffix == "es" else _MIN_STEM

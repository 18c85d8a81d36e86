"""Numbers in digits and in words. Words are read by text2num, what it leaves out (a dozen, half a) by a small table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from text_to_num import text2num  # type: ignore[import-untyped]  # a compiled module without annotations

from router.functions.extraction.vocabulary import Language
from router.functions.extraction.words import Token

# 2,500.50 and 2.500,50 and 2 and 2.5 and 2,5; thousands are grouped in threes.
_DIGITS = re.compile(
    r"\d{1,3}(?:,\d{3}){1,5}(?:\.\d{1,9})?(?!\d)|\d{1,3}(?:\.\d{3}){1,5},\d{1,9}(?!\d)|\d{1,15}(?:[.,]\d{1,9})?(?!\d)"
)
_MAGNITUDES = {"k": 1_000, "thousand": 1_000, "mille": 1_000, "tausend": 1_000, "mil": 1_000}
_MILLIONS = {"m": 1_000_000, "million": 1_000_000, "millions": 1_000_000, "mio": 1_000_000, "millionen": 1_000_000}
_MAGNITUDES |= _MILLIONS | {"billion": 1_000_000_000, "billions": 1_000_000_000}
_WORDS = {"dozen": 12.0, "half": 0.5, "couple": 2.0, "pair": 2.0, "halbe": 0.5, "halbes": 0.5, "halben": 0.5}
_WORDS |= {"demi": 0.5, "demie": 0.5, "media": 0.5, "medio": 0.5, "docena": 12.0, "dutzend": 12.0, "douzaine": 12.0}
_ONE = frozenset({"a", "an", "one", "ein", "eine", "einen", "einem", "einer", "un", "une", "una", "uno"})
_JOINED_BY = frozenset({"and", "und", "et", "y", "-"})
_MAX_WORDS = 12


@dataclass(frozen=True, slots=True)
class Numeral:
    """A number between two tokens, ``last`` not included. ``weak``: the word may as well be an article or pronoun."""

    value: float
    first: int
    last: int
    weak: bool = False


def numerals(text: str, tokens: Sequence[Token], language: Language) -> tuple[Numeral, ...]:
    """The numbers of a text, in order, none inside another."""
    found = []
    index = 0
    while index < len(tokens):
        numeral = _digits(text, tokens, index) or _in_words(tokens, index, language)
        if numeral is not None:
            found.append(numeral)
            index = numeral.last
        else:
            index += 1
    return tuple(found)


def _digits(text: str, tokens: Sequence[Token], index: int) -> Numeral | None:
    token = tokens[index]
    if not token.is_digits or not token.text.isascii():
        return None
    match = _DIGITS.match(text, token.start)
    if match is None:
        return None
    last = index
    while last < len(tokens) and tokens[last].end <= match.end():
        last += 1
    value = _value_of(match[0])
    after = tokens[last] if last < len(tokens) else None
    if after is not None and after.folded in _MAGNITUDES and _is_magnitude(after, match.end(), tokens, last):
        value, last = value * _MAGNITUDES[after.folded], last + 1
    negative = index > 0 and tokens[index - 1].text in {"-", "\u2212"} and _stands_free(tokens, index - 1, token)
    return Numeral(-value if negative else value, index - 1 if negative else index, last)


def _is_magnitude(after: Token, end: int, tokens: Sequence[Token], last: int) -> bool:
    """``2k`` is 2000; ``2 m`` is two metres, and ``5 k`` may be anything."""
    return len(after.folded) > 1 or (after.folded == "k" and after.start == end)


def _stands_free(tokens: Sequence[Token], index: int, digits: Token) -> bool:
    return tokens[index].end == digits.start and (index == 0 or tokens[index - 1].end < tokens[index].start)


def _value_of(digits: str) -> float:
    comma, point = digits.rfind(","), digits.rfind(".")
    if comma >= 0 and point >= 0:
        group = "," if comma < point else "."
        return float(digits.replace(group, "").replace(",", "."))
    if comma >= 0:
        grouped = len(digits) - comma == 4 or digits.count(",") > 1  # three digits behind the comma
        return float(digits.replace(",", "") if grouped else digits.replace(",", "."))
    return float(digits)


def _in_words(tokens: Sequence[Token], index: int, language: Language) -> Numeral | None:
    if not tokens[index].is_word:
        return None
    return _mixed(tokens, index, language) or _spelled(tokens, index, language)


def _mixed(tokens: Sequence[Token], index: int, language: Language) -> Numeral | None:
    """A dozen, half a, one and a half, a hundred, one and a half million."""
    words = [each.folded for each in tokens[index : index + 5]] + [""] * 5
    place = 1 if words[0] in _ONE and words[1] in _WORDS.keys() | {"hundred", "thousand", "million"} else 0
    if place and words[1] not in _WORDS:
        rest = _spelled(tokens, index + 1, language)
        return None if rest is None else Numeral(rest.value, index, rest.last)
    if words[place] in _WORDS and (place or words[0] not in {"pair", "couple"}):
        last = index + place + 1
        if words[place] in {"half", "dozen", "couple"}:
            last += next((2 for _ in [0] if words[place + 1 : place + 3] == ["of", "a"]), 0)
            last += 1 if words[last - index] in {"a", "an", "of"} else 0
        return Numeral(_WORDS[words[place]], index, last)
    return _and_a_half(tokens, index, language) or _dozens(tokens, index, language)


def _dozens(tokens: Sequence[Token], index: int, language: Language) -> Numeral | None:
    whole = _spelled(tokens, index, language)
    if whole is None or whole.last >= len(tokens) or tokens[whole.last].folded not in {"dozen", "dutzend", "docenas"}:
        return None
    return Numeral(whole.value * 12, index, whole.last + 1)


def _and_a_half(tokens: Sequence[Token], index: int, language: Language) -> Numeral | None:
    whole = _spelled(tokens, index, language)
    if whole is None:
        return None
    after = [each.folded for each in tokens[whole.last : whole.last + 4]]
    if after[:3] not in (["and", "a", "half"], ["und", "ein", "halb"], ["and", "one", "half"]):
        return None
    factor = _MAGNITUDES.get(after[3], 1) if len(after) > 3 else 1  # the word behind the half
    return Numeral((whole.value + 0.5) * factor, index, whole.last + 3 + (factor > 1))


def _spelled(tokens: Sequence[Token], index: int, language: Language) -> Numeral | None:
    """The longest run of number words that is one number."""
    last = index
    for end in _ends(tokens, index, language):
        last = end
    while last > index:
        words = " ".join(each.folded for each in tokens[index:last] if each.text != "-")
        value = _parsed(words, language)
        if value is not None:
            return Numeral(value, index, last, weak=last == index + 1 and tokens[index].folded in _ONE)
        last -= 1
        while last > index and tokens[last - 1].folded in _JOINED_BY:
            last -= 1
    return None


def _ends(tokens: Sequence[Token], index: int, language: Language) -> Iterator[int]:
    for place in range(index, min(len(tokens), index + _MAX_WORDS)):
        word = tokens[place].folded
        if place > index and word in _JOINED_BY:
            continue
        if not tokens[place].is_word or _parsed(word, language) is None:
            return
        yield place + 1


def _parsed(words: str, language: Language) -> float | None:
    if words == "ones" or len(words) < 2 or len(words) > 100:  # a letter is no number; nor is an essay
        return None
    if words in _ONE:
        return 1.0 if words not in {"a", "an"} else None
    for each in dict.fromkeys((language, "en")):
        try:
            return float(text2num(words, each))
        except ValueError:
            continue
    return None

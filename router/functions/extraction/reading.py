"""Everything in a turn that may be the value of a parameter, whichever target it is for."""

from __future__ import annotations

import datetime
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from router.functions.extraction import names
from router.functions.extraction.amounts import Amount, amounts
from router.functions.extraction.calendar_days import DateSpan
from router.functions.extraction.dates import DateReader
from router.functions.extraction.literals import Verbatim, literals
from router.functions.extraction.names import Mention
from router.functions.extraction.numerals import numerals
from router.functions.extraction.times import TimeSpan, times
from router.functions.extraction.vocabulary import LANGUAGES, MARKERS, Language
from router.functions.extraction.words import MAX_CHARS, Token, stem, tokens_of, unaccented

_WINDOW_WORDS = 4
_JOINING = frozenset("-_./'")


@dataclass(frozen=True, slots=True)
class Window:
    """Up to four words and digits in a row; ``joined`` are their letters without accents, hyphens inside left out."""

    first: int
    last: int
    words: tuple[str, ...]
    joined: str
    stem: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A turn and what was found in it; places are those of ``tokens``. ``folded`` has no accents.

    ``taken`` are the tokens of dates, times and literals: no name begins there.
    """

    text: str
    tokens: tuple[Token, ...]
    folded: tuple[str, ...]
    language: Language
    today: datetime.date
    dates: tuple[DateSpan, ...]
    times: tuple[TimeSpan, ...]
    literals: tuple[Verbatim, ...]
    amounts: tuple[Amount, ...]
    currencies: tuple[Mention, ...]
    countries: tuple[Mention, ...]
    languages: tuple[Mention, ...]
    taken: frozenset[int]
    windows: tuple[Window, ...]

    def word(self, index: int) -> str:
        """The folded token, empty beyond either end."""
        return self.folded[index] if 0 <= index < len(self.folded) else ""

    def words_before(self, index: int, count: int) -> tuple[str, ...]:
        return self.folded[max(0, index - count) : max(0, index)]

    def words_after(self, index: int, count: int) -> tuple[str, ...]:
        return self.folded[index : index + count]

    def said(self, first: int, last: int) -> str:
        """The text between two tokens as it was written."""
        return self.text[self.tokens[first].start : self.tokens[last - 1].end]

    def first_token(self, start: int) -> int:
        """The token that a place in the text is in, or the one behind it."""
        return bisect_right(self.tokens, start, key=lambda each: each.end)


class Reader:
    """Reads turns. Holds the names of four languages (some megabytes), so one is enough for a process."""

    def __init__(self) -> None:
        self._countries = names.countries()
        self._languages = names.languages()
        self._currencies = names.currencies()
        self._dates = {each: DateReader(each, names.calendar_names(each)) for each in LANGUAGES}

    def read(self, text: str, today: datetime.date) -> Reading:
        """What is in the first characters of ``text``: :data:`MAX_CHARS`, and no more than 400 tokens."""
        text = text[:MAX_CHARS]
        tokens = tokens_of(text)
        text = text[: tokens[-1].end] if tokens else ""
        folded = tuple(unaccented(each.text) for each in tokens)
        language = language_of(tokens)
        found = literals(text)
        quoted = _places(tokens, [each for each in found if each.kind != "code"])
        numbers = [each for each in numerals(text, tokens, language) if quoted.isdisjoint(range(each.first, each.last))]
        dates = [
            each
            for each in self._dates[language].read(text, tokens, numbers, today)
            if quoted.isdisjoint(range(each.first, each.last))
        ]
        dated = [range(each.first, each.last) for each in dates]
        timed = times(text, tokens, numbers, [*dated, *(range(place, place + 1) for place in quoted)])
        when = {place for each in (*dated, *(range(each.first, each.last) for each in timed)) for place in each}
        found = tuple(each for each in found if each.kind != "code" or when.isdisjoint(_places(tokens, [each])))
        named = [each for each in found if each.kind == "code" and any(mark.isdigit() for mark in each.value)]
        coded = _places(tokens, named)
        currencies = _outside(self._currencies.find(tokens), quoted)
        measured = amounts(tokens, numbers, currencies, when | quoted)
        measured = tuple(each for each in measured if coded.isdisjoint(range(each.first, each.last)))
        return Reading(
            text=text,
            tokens=tokens,
            folded=folded,
            language=language,
            today=today,
            dates=tuple(dates),
            times=timed,
            literals=found,
            amounts=measured,
            currencies=currencies,
            countries=_outside(self._countries.find(tokens), quoted),
            languages=_outside(self._languages.find(tokens), quoted),
            taken=frozenset(quoted | when | coded),
            windows=tuple(_windows(tokens)),
        )


def language_of(tokens: Sequence[Token]) -> Language:
    """The language with the most small words of its own; English where none has more."""
    words = [each.folded for each in tokens]
    counts = {language: sum(word in markers for word in words) for language, markers in MARKERS.items()}
    best = max(LANGUAGES, key=lambda each: counts[each])
    return best if counts[best] > counts["en"] else "en"


def _windows(tokens: Sequence[Token]) -> Iterator[Window]:
    for first, token in enumerate(tokens):
        words: tuple[str, ...] = ()
        joined, last = "", first
        while last < len(tokens) and len(words) < _WINDOW_WORDS and (token.is_word or token.is_digits):
            each = tokens[last]
            last += 1
            if each.is_word or each.is_digits:
                words, joined = (*words, each.folded), joined + unaccented(each.text)
                yield Window(first, last, words, joined, each.stem if len(words) == 1 else stem(joined))
            elif each.text not in _JOINING:
                break


def _places(tokens: Sequence[Token], found: Sequence[Verbatim]) -> set[int]:
    """The tokens that literals take up. Both are in order, so that the text is walked once."""
    places = set()
    index = 0
    for each in sorted(found, key=lambda one: one.start):
        while index < len(tokens) and tokens[index].end <= each.start:
            index += 1
        while index < len(tokens) and tokens[index].start < each.end:
            places.add(index)
            index += 1
    return places


def _outside(mentions: Sequence[Mention], places: set[int]) -> tuple[Mention, ...]:
    return tuple(each for each in mentions if places.isdisjoint(range(each.first, each.last)))

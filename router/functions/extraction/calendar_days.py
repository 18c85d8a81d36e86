"""A day that a text names, and the text as what reads days sees it."""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from router.functions.extraction.numerals import Numeral
from router.functions.extraction.units import UNITS
from router.functions.extraction.words import Token

Side: TypeAlias = Literal["start", "end"]
Day: TypeAlias = datetime.date
WEEK, MONTHS = 7, 12
DAY_S = 86_400.0
_LEAP_YEARS = 9  # a leap day is never further away

_ORDINALS = frozenset({"st", "nd", "rd", "th", "er", "º", "."})
_ORDINAL_WORDS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8}
_ORDINAL_WORDS |= {"ninth": 9, "tenth": 10, "ersten": 1, "zweiten": 2, "dritten": 3, "premier": 1, "primero": 1}


@dataclass(frozen=True, slots=True)
class DateSpan:
    """A day between two tokens, ``last`` not included.

    ``ahead`` is the next such day from today on, ``behind`` the newest such day until today; where the text says which,
    both are the same. ``side``: of a range. ``later_days``: so many days after a day that was named before.
    ``sure`` is false where the order of day and month is a guess.
    """

    first: int
    last: int
    ahead: Day
    behind: Day
    side: Side | None = None
    later_days: int | None = None
    sure: bool = True
    rolls: Literal["week", "year"] | None = None


@dataclass(frozen=True, slots=True)
class DayText:
    text: str
    tokens: Sequence[Token]
    folded: Sequence[str]
    numbers: Mapping[int, Numeral]
    today: Day

    def word(self, index: int) -> str:
        return self.folded[index] if 0 <= index < len(self.folded) else ""

    def token_at(self, end: int) -> int:
        """The index of the first token that begins at or after a place in the text."""
        return next((place for place, each in enumerate(self.tokens) if each.start >= end), len(self.tokens))

    def day_number(self, index: int) -> tuple[int | None, int]:
        """A day of the month (an ordinal or a number) that begins at ``index``, and the token behind it."""
        if index >= len(self.tokens) or index < 0:
            return None, index
        token = self.tokens[index]
        if token.is_digits and len(token.text) <= 2 and token.text.isascii() and 1 <= int(token.text) <= 31:
            after = self.tokens[index + 1] if index + 1 < len(self.tokens) else None
            glued = after is not None and after.start == token.end and after.folded in _ORDINALS
            if glued and after is not None and after.text == "." and index + 2 == len(self.tokens):
                glued = False  # the end of a sentence
            return int(token.text), index + 1 + glued
        if self.word(index) in _ORDINAL_WORDS:
            return _ORDINAL_WORDS[self.word(index)], index + 1
        return None, index

    def year_at(self, index: int) -> int | None:
        word = self.word(index)
        return int(word) if len(word) == 4 and word.isascii() and word.isdigit() and word[:2] in {"19", "20"} else None

    def count_at(self, index: int) -> tuple[float | None, int]:
        if index in self.numbers:
            return self.numbers[index].value, self.numbers[index].last
        return (
            (1.0, index + 1) if self.word(index) in {"a", "an", "einem", "einer", "une", "un", "una"} else (None, index)
        )

    def dated(self, first: int, last: int, month: int, day: int, year: int | None) -> DateSpan:
        if year is not None:
            exact = Day(year, month, day)
            return DateSpan(first, last, exact, exact)
        ahead = self._nearest(month, day, 1)
        behind = self._nearest(month, day, -1)
        return DateSpan(first, last, ahead, behind, rolls="year")

    def _nearest(self, month: int, day: int, step: Literal[1, -1]) -> Day:
        """The next such day from today on, or the newest until today. Raises ``ValueError`` where there is none."""
        for years in range(_LEAP_YEARS):
            year = self.today.year + step * years
            if is_day(year, month, day) and (Day(year, month, day) - self.today).days * step >= 0:
                return Day(year, month, day)
        raise ValueError(day)

    def moved(self, count: float, unit: str, days: int) -> Day:
        """Today moved by calendar months or years where the unit is one of them, else by days."""
        factor = UNITS[unit].factor / DAY_S
        if factor in (30, 365) and count.is_integer():
            return added_months(self.today, int(count) * (1 if factor == 30 else MONTHS))  # of a month
        return self.today + datetime.timedelta(days)


def is_day(year: int, month: int, day: int) -> bool:
    return 1 <= month <= MONTHS and 1 <= day <= calendar.monthrange(year, month)[1]


def added_months(day: Day, months: int) -> Day:
    number = day.year * MONTHS + day.month - 1 + months
    year, month = divmod(number, MONTHS)
    return Day(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def first_valid(first: Day, day: int, step: int, fits: Callable[[Day], bool]) -> Day:
    for months in range(3):
        month = added_months(first, step * months)
        if is_day(month.year, month.month, day) and fits(month.replace(day=day)):
            return month.replace(day=day)
    raise ValueError(day)

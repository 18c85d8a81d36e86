"""Days that a text names, relative to the day of a clock: dates, weekdays, "tomorrow", "in two weeks", ranges."""

from __future__ import annotations

import calendar
import datetime
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from router.functions.extraction.names import CalendarNames
from router.functions.extraction.numerals import Numeral
from router.functions.extraction.units import UNITS
from router.functions.extraction.vocabulary import Language
from router.functions.extraction.words import Token, unaccented

Side: TypeAlias = Literal["start", "end"]
_Day = datetime.date
_WEEK, _MONTHS = 7, 12
_CENTURY = 100

_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?!\d)")
_SLASHED = re.compile(r"(\d{1,2})([/.])(\d{1,2})(?:\2(\d{4}|\d{2}))?(?![\d/%])")
_ORDINALS = frozenset({"st", "nd", "rd", "th", "er", "º", "."})
_ORDINAL_WORDS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8}
_ORDINAL_WORDS |= {"ninth": 9, "tenth": 10, "ersten": 1, "zweiten": 2, "dritten": 3, "premier": 1, "primero": 1}
_OFFSETS: Mapping[tuple[str, ...], int] = {
    ("day", "after", "tomorrow"): 2, ("day", "before", "yesterday"): -2, ("last", "night"): -1,
    ("this", "morning"): 0, ("this", "afternoon"): 0, ("this", "evening"): 0, ("today",): 0, ("tonight",): 0,
    ("tomorrow",): 1, ("tmrw",): 1, ("yesterday",): -1, ("heute",): 0, ("morgen",): 1, ("ubermorgen",): 2,
    ("gestern",): -1, ("vorgestern",): -2, ("aujourd'hui",): 0, ("demain",): 1, ("apres", "-", "demain"): 2,
    ("hier",): -1, ("hoy",): 0, ("pasado", "manana"): 2, ("manana",): 1, ("ayer",): -1,
}  # fmt: skip
_NEXT = frozenset(
    {"next", "nachsten", "nachste", "nachster", "nachstes", "prochain", "prochaine", "proximo", "proxima"}
)
_LAST = frozenset({"last", "past", "previous", "letzten", "letzte", "letzter", "dernier", "pasado", "pasada"})
_THIS = frozenset({"this", "coming", "upcoming", "diesen", "diese", "dieser", "dieses", "kommenden", "ce", "este"})
_TO = frozenset(
    {"to", "till", "til", "until", "through", "thru", "-", "–", "—", "bis", "au", "al", "hasta", "a", "jusqu'au"}
)
_BETWEEN = frozenset({"between", "zwischen", "entre"})
_FILLERS = frozenset({"the", "on", "den", "zum", "dem", "le", "el", "of", "de", "del", "am", ","})
_AND = frozenset({"and", "und", "et", "y", "&"})


@dataclass(frozen=True, slots=True)
class DateSpan:
    """A day between two tokens, ``last`` not included.

    ``ahead`` is the next such day from today on, ``behind`` the newest such day until today; where the text says which,
    both are the same. ``side``: of a range. ``later_days``: so many days after a day that was named before.
    ``sure`` is false where the order of day and month is a guess.
    """

    first: int
    last: int
    ahead: _Day
    behind: _Day
    side: Side | None = None
    later_days: int | None = None
    sure: bool = True
    rolls: Literal["week", "year"] | None = None


class DateReader:
    """Reads the dates of one language, English included."""

    def __init__(self, language: Language, names: CalendarNames) -> None:
        self._names = names
        self._day_first = language != "en"
        self._shapes: tuple[Callable[[_Text, int], Iterator[DateSpan]], ...] = (
            self._iso, self._offset, self._day_and_month, self._month_and_day, self._weekday, self._period,
            self._relative, self._slashed, self._day_of_month,
        )  # fmt: skip

    def read(self, text: str, tokens: Sequence[Token], numbers: Sequence[Numeral], today: _Day) -> tuple[DateSpan, ...]:
        """The days in order, none inside another."""
        view = _Text(
            text, tokens, [unaccented(each.text) for each in tokens], {each.first: each for each in numbers}, today
        )
        found: list[DateSpan] = []
        index = 0
        while index < len(tokens):
            spans = self._at(view, index)
            found += spans
            index = max(each.last for each in spans) if spans else index + 1
        return tuple(_in_ranges(self._half_dates(view, found), view))

    def _at(self, view: _Text, index: int) -> list[DateSpan]:
        for shape in self._shapes:
            try:
                spans = list(shape(view, index))
            except (ValueError, OverflowError):  # no such day
                continue
            if spans:
                return spans
        return []

    def _iso(self, view: _Text, index: int) -> Iterator[DateSpan]:
        match = _ISO.match(view.text, view.tokens[index].start)
        if match and view.tokens[index].is_digits:
            day = _Day(int(match[1]), int(match[2]), int(match[3]))
            yield DateSpan(index, view.token_at(match.end()), day, day)

    def _slashed(self, view: _Text, index: int) -> Iterator[DateSpan]:
        token = view.tokens[index]
        match = _SLASHED.match(view.text, token.start) if token.is_digits else None
        if match is None or (match[2] == "." and match[4] is None and not self._day_first):
            return
        one, other = int(match[1]), int(match[3])
        day_first = one > _MONTHS or (other <= _MONTHS and (self._day_first or match[2] == "."))
        day, month = (one, other) if day_first else (other, one)
        sure = one == other or max(one, other) > _MONTHS or self._day_first or match[2] == "."
        last = view.token_at(match.end())
        last += last < len(view.tokens) and match[2] == "." and view.tokens[last].text == "." and match[4] is None
        yield replace(view.dated(index, last, month, day, _year(match[4])), sure=sure)

    def _offset(self, view: _Text, index: int) -> Iterator[DateSpan]:
        for words, days in _OFFSETS.items():
            if tuple(view.folded[index : index + len(words)]) == words:
                day = view.today + datetime.timedelta(days)
                yield DateSpan(index, index + len(words), day, day)
                return

    def _day_and_month(self, view: _Text, index: int) -> Iterator[DateSpan]:
        day, place = view.day_number(index)
        if day is None:
            return
        place += view.word(place) in {"of", "de", "day"}
        month = self._names.months.get(view.word(place))
        if month is not None:
            place += 1 + (view.word(place + 1) == "." and len(view.word(place)) <= 4)  # noqa: PLR2004  # an abbreviation
            place += view.word(place) in {",", "de", "del", "of"} and view.year_at(place + 1) is not None
            year = view.year_at(place)
            yield view.dated(index, place + (year is not None), month, day, year)

    def _month_and_day(self, view: _Text, index: int) -> Iterator[DateSpan]:
        month = self._names.months.get(view.word(index))
        if month is None:
            return
        place = index + 1 + (view.word(index + 1) == ".")
        place += view.word(place) == "the"
        day, last = view.day_number(place)
        if day is None or view.word(last) == ":":
            return
        comma = view.word(last) == "," and view.year_at(last + 1) is not None
        year = view.year_at(last + comma)
        yield view.dated(index, last + (comma + 1 if year is not None else 0), month, day, year)

    def _day_of_month(self, view: _Text, index: int) -> Iterator[DateSpan]:
        """The 23rd, with or without "of this month"."""
        day, last = view.day_number(index)
        before = view.word(index - 1)
        ordinal = last - index > 1 and view.word(last - 1) != "."
        dotted = last - index > 1 and before in {"am", "vom", "bis", "zum"}
        if day is None or not (ordinal or dotted or (before == "le" and self._day_first)):
            return
        months = 0
        if (
            view.word(last) == "of"
            and view.word(last + 2) == "month"
            and view.word(last + 1) in {"this", "next", "the"}
        ):
            months, last = int(view.word(last + 1) == "next"), last + 3
            day_on = _added_months(view.today.replace(day=1), months).replace(day=day)
            yield DateSpan(index, last, day_on, day_on)
            return
        first = view.today.replace(day=1)
        ahead = _first_valid(first, day, 1, lambda each: each >= view.today)
        behind = _first_valid(first, day, -1, lambda each: each <= view.today)
        yield DateSpan(index, last, ahead, behind)

    def _weekday(self, view: _Text, index: int) -> Iterator[DateSpan]:
        place = index + (view.word(index) in _NEXT | _LAST | _THIS)
        word = view.word(place)
        number = self._names.weekdays.get(word) or self._names.weekdays.get(word.removesuffix("s"))
        number = self._names.weekdays.get(word, number)
        if number is None or (word in self._names.short_weekdays and not view.tokens[place].is_capitalised):
            return
        last = place + 1 + (word in self._names.short_weekdays and view.word(place + 1) == ".")
        ahead = view.today + datetime.timedelta((number - view.today.weekday()) % _WEEK)
        behind = view.today - datetime.timedelta((view.today.weekday() - number) % _WEEK)
        before = view.word(index) if place > index else ""
        after = view.word(last) if view.word(last) in _NEXT | _LAST else ""
        last += bool(after)
        if before in _NEXT or after in _NEXT:
            monday = view.today - datetime.timedelta(view.today.weekday() - _WEEK)
            ahead = behind = monday + datetime.timedelta(number)
        elif before in _LAST or after in _LAST:
            yesterday = view.today - datetime.timedelta(1)
            ahead = behind = yesterday - datetime.timedelta((yesterday.weekday() - number) % _WEEK)
        elif before:
            behind = ahead
        # "Friday, June 13th" is one day.
        for spot in (last, last + 1):
            dated = next(self._day_and_month(view, spot), None) or next(self._month_and_day(view, spot), None)
            if dated is not None and (spot == last or view.word(last) == ","):
                yield replace(dated, first=index)
                return
        yield DateSpan(index, last, ahead, behind, rolls="week")

    def _period(self, view: _Text, index: int) -> Iterator[DateSpan]:
        """Next week, this weekend, next month: a first and a last day."""
        ahead = 1 if view.word(index) in _NEXT else -1 if view.word(index) in _LAST else 0
        if ahead == 0 and view.word(index) not in _THIS | {"the"}:
            return
        word = view.word(index + 1)
        monday = view.today - datetime.timedelta(view.today.weekday()) + datetime.timedelta(_WEEK * ahead)
        if word in {"week", "woche", "semaine", "semana"} and view.word(index) != "the":
            days = monday, monday + datetime.timedelta(4)
        elif word in {"weekend", "wochenende"}:
            days = monday + datetime.timedelta(5), monday + datetime.timedelta(6)
        elif word in {"month", "monat", "mois", "mes"} and view.word(index) != "the":
            first = _added_months(view.today.replace(day=1), ahead)
            days = first, _added_months(first, 1) - datetime.timedelta(1)
        else:
            return
        yield DateSpan(index, index + 2, days[0], days[0], "start")
        yield DateSpan(index, index + 2, days[1], days[1], "end")

    def _relative(self, view: _Text, index: int) -> Iterator[DateSpan]:
        """In three days, two weeks ago, a week from now, a week later."""
        place = index + (view.word(index) in {"in", "vor", "dans", "dentro", "hace"})
        place += view.word(place) == "de"
        count, last = view.count_at(place)
        unit = UNITS.get(view.word(last))
        if count is None or unit is None or unit.dimension != "time" or unit.factor < 86_400:  # noqa: PLR2004  # a day
            return
        after, before = view.word(last + 1), view.word(index)
        days = round(count * unit.factor / 86_400)
        if days > 36_600:  # noqa: PLR2004  # a hundred years
            return
        if after in {"later", "afterwards", "spater"}:
            yield DateSpan(index, last + 2, view.today, view.today, later_days=days)
            return
        sign, width = 0, 1
        if before in {"vor", "hace"} or after == "ago" or (before == "il" and after == "a"):
            sign, width = -1, 1 + (after == "ago")
        elif before in {"in", "dans", "dentro"}:
            sign = 1
        elif after == "from" and view.word(last + 2) in {"now", "today"}:
            sign, width = 1, 3
        if sign:
            day = view.moved(sign * count, view.word(last), sign * days)
            yield DateSpan(index, last + width, day, day)

    def _half_dates(self, view: _Text, found: Sequence[DateSpan]) -> list[DateSpan]:
        """``found`` with the days that lack a month beside a date that has one: from 5 to 9 November, July 7 to 18."""
        halves = [half for span in found for half in (*_before(view, span), *self._after(view, span))]
        places = {each.first for each in halves}
        spans = [*halves, *(span for span in found if span.first not in places)]
        return sorted(spans, key=lambda each: each.first)

    def _after(self, view: _Text, span: DateSpan) -> Iterator[DateSpan]:
        place = span.last
        if span.rolls != "year" or view.word(place) not in _TO | _AND:
            return
        day, last = view.day_number(place + 1)
        if day is None or last in view.numbers or self._names.months.get(view.word(last)) is not None:
            return
        if view.word(last) in UNITS or view.word(last) in {":", "/", "people", "guests"} or day <= span.ahead.day:
            return
        try:
            yield DateSpan(place + 1, last, span.ahead.replace(day=day), span.behind.replace(day=day), rolls="year")
        except ValueError:
            return


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    tokens: Sequence[Token]
    folded: Sequence[str]
    numbers: Mapping[int, Numeral]
    today: _Day

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
        if token.is_digits and len(token.text) <= 2 and token.text.isascii() and 1 <= int(token.text) <= 31:  # noqa: PLR2004
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
        return int(word) if len(word) == 4 and word.isascii() and word.isdigit() and word[:2] in {"19", "20"} else None  # noqa: PLR2004

    def count_at(self, index: int) -> tuple[float | None, int]:
        if index in self.numbers:
            return self.numbers[index].value, self.numbers[index].last
        return (
            (1.0, index + 1) if self.word(index) in {"a", "an", "einem", "einer", "une", "un", "una"} else (None, index)
        )

    def dated(self, first: int, last: int, month: int, day: int, year: int | None) -> DateSpan:
        if year is not None:
            exact = _Day(year, month, day)
            return DateSpan(first, last, exact, exact)
        years = [this for this in (self.today.year + step for step in (0, 1, 2, 3, 4)) if _is_day(this, month, day)]
        past = [this for this in (self.today.year - step for step in (0, 1, 2, 3, 4)) if _is_day(this, month, day)]
        ahead = next(each for this in years if (each := _Day(this, month, day)) >= self.today)
        behind = next(each for this in past if (each := _Day(this, month, day)) <= self.today)
        return DateSpan(first, last, ahead, behind, rolls="year")

    def moved(self, count: float, unit: str, days: int) -> _Day:
        """Today moved by calendar months or years where the unit is one of them, else by days."""
        factor = UNITS[unit].factor / 86_400
        if factor in (30, 365) and count.is_integer():
            return _added_months(self.today, int(count) * (1 if factor == 30 else _MONTHS))  # noqa: PLR2004  # of a month
        return self.today + datetime.timedelta(days)


def _before(view: _Text, span: DateSpan) -> Iterator[DateSpan]:
    if span.rolls != "year" or view.word(span.first - 1) not in _TO | _AND:
        return
    for place in (span.first - 2, span.first - 3):
        day, last = view.day_number(place)
        if day is not None and last == span.first - 1 and day <= span.ahead.day:
            yield DateSpan(place, last, span.ahead.replace(day=day), span.behind.replace(day=day), rolls="year")
            return


def _in_ranges(spans: Sequence[DateSpan], view: _Text) -> Iterator[DateSpan]:
    """``spans`` with the sides of ranges, ends not before their starts."""
    index = 0
    while index < len(spans):
        span = spans[index]
        after = spans[index + 1] if index + 1 < len(spans) else None
        if after is not None and span.side is None and after.side is None and _joins(view, span, after):
            yield replace(span, side="start")
            yield _not_before(replace(after, side="end"), span)
            index += 2
        else:
            yield span
            index += 1


def _joins(view: _Text, one: DateSpan, other: DateSpan) -> bool:
    between = [word for word in view.folded[one.last : other.first] if word not in _FILLERS]
    opening = {view.word(one.first - 1), view.word(one.first - 2)}
    if len(between) == 1 and between[0] in _TO:
        return True
    return len(between) == 1 and between[0] in _AND and not _BETWEEN.isdisjoint(opening)


def _not_before(end: DateSpan, start: DateSpan) -> DateSpan:
    ahead = end.ahead
    if ahead < start.ahead and end.rolls == "week":
        ahead += datetime.timedelta(_WEEK)
    elif ahead < start.ahead and end.rolls == "year" and _is_day(ahead.year + 1, ahead.month, ahead.day):
        ahead = ahead.replace(year=ahead.year + 1)
    behind = end.behind if end.behind >= start.behind else ahead
    return replace(end, ahead=ahead, behind=behind)


def _year(digits: str | None) -> int | None:
    if digits is None:
        return None
    return int(digits) if len(digits) > 2 else 2000 + int(digits)  # noqa: PLR2004  # 25 is 2025


def _is_day(year: int, month: int, day: int) -> bool:
    return 1 <= month <= _MONTHS and 1 <= day <= calendar.monthrange(year, month)[1]


def _added_months(day: _Day, months: int) -> _Day:
    number = day.year * _MONTHS + day.month - 1 + months
    year, month = divmod(number, _MONTHS)
    return _Day(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _first_valid(first: _Day, day: int, step: int, fits: Callable[[_Day], bool]) -> _Day:
    for months in range(3):
        month = _added_months(first, step * months)
        if _is_day(month.year, month.month, day) and fits(month.replace(day=day)):
            return month.replace(day=day)
    raise ValueError(day)

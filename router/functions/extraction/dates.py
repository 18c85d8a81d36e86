"""Days that a text names, relative to the day of a clock: dates, weekdays, "tomorrow", "in two weeks", ranges."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from router.functions.extraction.calendar_days import (
    DAY_S,
    MONTHS,
    WEEK,
    DateSpan,
    Day,
    DayText,
    added_months,
    first_valid,
)
from router.functions.extraction.date_ranges import half_dates, in_ranges
from router.functions.extraction.names import CalendarNames
from router.functions.extraction.numerals import Numeral
from router.functions.extraction.units import UNITS
from router.functions.extraction.vocabulary import Language
from router.functions.extraction.words import Token, unaccented

_MOST_DAYS = 36_600  # a hundred years
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?!\d)")
_SLASHED = re.compile(r"(\d{1,2})([/.])(\d{1,2})(?:\2(\d{4}|\d{2}))?(?![\d/%])")
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


class DateReader:
    """Reads the dates of one language, English included."""

    def __init__(self, language: Language, names: CalendarNames) -> None:
        self._names = names
        self._day_first = language != "en"
        self._shapes: tuple[Callable[[DayText, int], Iterator[DateSpan]], ...] = (
            self._iso, self._offset, self._day_and_month, self._month_and_day, self._weekday, self._period,
            self._relative, self._slashed, self._day_of_month,
        )  # fmt: skip

    def read(self, text: str, tokens: Sequence[Token], numbers: Sequence[Numeral], today: Day) -> tuple[DateSpan, ...]:
        """The days in order, none inside another."""
        view = DayText(
            text, tokens, [unaccented(each.text) for each in tokens], {each.first: each for each in numbers}, today
        )
        found: list[DateSpan] = []
        index = 0
        while index < len(tokens):
            spans = self._at(view, index)
            found += spans
            index = max(each.last for each in spans) if spans else index + 1
        return tuple(in_ranges(half_dates(view, found, self._names.months), view))

    def _at(self, view: DayText, index: int) -> list[DateSpan]:
        for shape in self._shapes:
            try:
                spans = list(shape(view, index))
            except (ValueError, OverflowError):  # no such day
                continue
            if spans:
                return spans
        return []

    def _iso(self, view: DayText, index: int) -> Iterator[DateSpan]:
        match = _ISO.match(view.text, view.tokens[index].start)
        if match and view.tokens[index].is_digits:
            day = Day(int(match[1]), int(match[2]), int(match[3]))
            yield DateSpan(index, view.token_at(match.end()), day, day)

    def _slashed(self, view: DayText, index: int) -> Iterator[DateSpan]:
        token = view.tokens[index]
        match = _SLASHED.match(view.text, token.start) if token.is_digits else None
        if match is None or (match[2] == "." and match[4] is None and not self._day_first):
            return
        one, other = int(match[1]), int(match[3])
        day_first = one > MONTHS or (other <= MONTHS and (self._day_first or match[2] == "."))
        day, month = (one, other) if day_first else (other, one)
        sure = one == other or max(one, other) > MONTHS or self._day_first or match[2] == "."
        last = view.token_at(match.end())
        last += last < len(view.tokens) and match[2] == "." and view.tokens[last].text == "." and match[4] is None
        yield replace(view.dated(index, last, month, day, _year(match[4])), sure=sure)

    def _offset(self, view: DayText, index: int) -> Iterator[DateSpan]:
        for words, days in _OFFSETS.items():
            if tuple(view.folded[index : index + len(words)]) == words:
                day = view.today + datetime.timedelta(days)
                yield DateSpan(index, index + len(words), day, day)
                return

    def _day_and_month(self, view: DayText, index: int) -> Iterator[DateSpan]:
        day, place = view.day_number(index)
        if day is None:
            return
        place += view.word(place) in {"of", "de", "day"}
        month = self._names.months.get(view.word(place))
        if month is not None:
            place += 1 + (view.word(place + 1) == "." and len(view.word(place)) <= 4)  # an abbreviation
            place += view.word(place) in {",", "de", "del", "of"} and view.year_at(place + 1) is not None
            year = view.year_at(place)
            yield view.dated(index, place + (year is not None), month, day, year)

    def _month_and_day(self, view: DayText, index: int) -> Iterator[DateSpan]:
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

    def _day_of_month(self, view: DayText, index: int) -> Iterator[DateSpan]:
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
            day_on = added_months(view.today.replace(day=1), months).replace(day=day)
            yield DateSpan(index, last, day_on, day_on)
            return
        first = view.today.replace(day=1)
        ahead = first_valid(first, day, 1, lambda each: each >= view.today)
        behind = first_valid(first, day, -1, lambda each: each <= view.today)
        yield DateSpan(index, last, ahead, behind)

    def _weekday(self, view: DayText, index: int) -> Iterator[DateSpan]:
        place = index + (view.word(index) in _NEXT | _LAST | _THIS)
        word = view.word(place)
        number = self._names.weekdays.get(word) or self._names.weekdays.get(word.removesuffix("s"))
        number = self._names.weekdays.get(word, number)
        if number is None or (word in self._names.short_weekdays and not view.tokens[place].is_capitalised):
            return
        last = place + 1 + (word in self._names.short_weekdays and view.word(place + 1) == ".")
        ahead = view.today + datetime.timedelta((number - view.today.weekday()) % WEEK)
        behind = view.today - datetime.timedelta((view.today.weekday() - number) % WEEK)
        before = view.word(index) if place > index else ""
        after = view.word(last) if view.word(last) in _NEXT | _LAST else ""
        last += bool(after)
        if before in _NEXT or after in _NEXT:
            monday = view.today - datetime.timedelta(view.today.weekday() - WEEK)
            ahead = behind = monday + datetime.timedelta(number)
        elif before in _LAST or after in _LAST:
            yesterday = view.today - datetime.timedelta(1)
            ahead = behind = yesterday - datetime.timedelta((yesterday.weekday() - number) % WEEK)
        elif before:
            behind = ahead
        # "Friday, June 13th" is one day.
        for spot in (last, last + 1):
            dated = next(self._day_and_month(view, spot), None) or next(self._month_and_day(view, spot), None)
            if dated is not None and (spot == last or view.word(last) == ","):
                yield replace(dated, first=index)
                return
        yield DateSpan(index, last, ahead, behind, rolls="week")

    def _period(self, view: DayText, index: int) -> Iterator[DateSpan]:
        """Next week, this weekend, next month: a first and a last day."""
        ahead = 1 if view.word(index) in _NEXT else -1 if view.word(index) in _LAST else 0
        told = view.word(index) == "the" and view.word(index - 1) in {"on", "over", "for", "at", "during"}
        if ahead == 0 and view.word(index) not in _THIS and not told:
            return
        word = view.word(index + 1)
        monday = view.today - datetime.timedelta(view.today.weekday()) + datetime.timedelta(WEEK * ahead)
        if word in {"week", "woche", "semaine", "semana"} and view.word(index) != "the":
            days = monday, monday + datetime.timedelta(4)
        elif word in {"weekend", "wochenende"}:
            days = monday + datetime.timedelta(5), monday + datetime.timedelta(6)
        elif word in {"month", "monat", "mois", "mes"} and view.word(index) != "the":
            first = added_months(view.today.replace(day=1), ahead)
            days = first, added_months(first, 1) - datetime.timedelta(1)
        else:
            return
        yield DateSpan(index, index + 2, days[0], days[0], "start")
        yield DateSpan(index, index + 2, days[1], days[1], "end")

    def _relative(self, view: DayText, index: int) -> Iterator[DateSpan]:
        """In three days, two weeks ago, a week from now, a week later."""
        place = index + (view.word(index) in {"in", "vor", "dans", "dentro", "hace"})
        place += view.word(place) == "de"
        count, last = view.count_at(place)
        unit = UNITS.get(view.word(last))
        if count is None or unit is None or unit.dimension != "time" or unit.factor < 86_400:  # a day
            return
        after, before = view.word(last + 1), view.word(index)
        days = round(count * unit.factor / DAY_S)
        if days > 36_600:  # a hundred years
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


def _year(digits: str | None) -> int | None:
    if digits is None:
        return None
    return int(digits) if len(digits) > 2 else 2000 + int(digits)  # 25 is 2025

"""First and last days: from 5 to 9 November, tomorrow until Sunday."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from router.functions.extraction.calendar_days import WEEK, DateSpan, DayText, is_day
from router.functions.extraction.units import UNITS

_TO = frozenset(
    {"to", "till", "til", "until", "through", "thru", "-", "\u2013", "—", "bis", "au", "al", "hasta", "a", "jusqu'au"}
)
_BETWEEN = frozenset({"between", "zwischen", "entre"})
_FILLERS = frozenset({"the", "on", "den", "zum", "dem", "le", "el", "of", "de", "del", "am", ","})
_AND = frozenset({"and", "und", "et", "y", "&"})


def in_ranges(spans: Sequence[DateSpan], view: DayText) -> Iterator[DateSpan]:
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


def half_dates(view: DayText, found: Sequence[DateSpan], months: Mapping[str, int]) -> list[DateSpan]:
    """``found`` with the days that lack a month beside a date that has one: from 5 to 9 November, July 7 to 18."""
    halves = [half for span in found for half in (*_before(view, span), *_after(view, span, months))]
    halves = [each for each in halves if not any(span.first < each.first < span.last for span in found)]
    places = {each.first for each in halves}
    spans = [*halves, *(span for span in found if span.first not in places)]
    return sorted(spans, key=lambda each: each.first)


def _after(view: DayText, span: DateSpan, months: Mapping[str, int]) -> Iterator[DateSpan]:
    place = span.last
    if span.rolls != "year" or view.word(place) not in _TO | _AND:
        return
    day, last = view.day_number(place + 1)
    if day is None or last in view.numbers or months.get(view.word(last)) is not None:
        return
    if view.word(last) in UNITS or view.word(last) in {":", "/", "people", "guests"} or day <= span.ahead.day:
        return
    try:
        yield DateSpan(place + 1, last, span.ahead.replace(day=day), span.behind.replace(day=day), rolls="year")
    except ValueError:
        return


def _before(view: DayText, span: DateSpan) -> Iterator[DateSpan]:
    if span.rolls != "year" or view.word(span.first - 1) not in _TO | _AND:
        return
    for place in (span.first - 2, span.first - 3):
        day, last = view.day_number(place)
        if day is not None and last == span.first - 1 and day <= span.ahead.day:
            yield DateSpan(place, last, span.ahead.replace(day=day), span.behind.replace(day=day), rolls="year")
            return


def _joins(view: DayText, one: DateSpan, other: DateSpan) -> bool:
    between = [word for word in view.folded[one.last : other.first] if word not in _FILLERS]
    opening = {view.word(one.first - 1), view.word(one.first - 2)}
    if len(between) == 1 and between[0] in _TO:
        return True
    return len(between) == 1 and between[0] in _AND and not _BETWEEN.isdisjoint(opening)


def _not_before(end: DateSpan, start: DateSpan) -> DateSpan:
    ahead = end.ahead
    if ahead < start.ahead and end.rolls == "week":
        ahead += datetime.timedelta(WEEK)
    elif ahead < start.ahead and end.rolls == "year" and is_day(ahead.year + 1, ahead.month, ahead.day):
        ahead = ahead.replace(year=ahead.year + 1)
    behind = end.behind if end.behind >= start.behind else ahead
    return replace(end, ahead=ahead, behind=behind)

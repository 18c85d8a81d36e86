"""Times of day that a text names."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from router.functions.extraction.numerals import Numeral
from router.functions.extraction.words import Token, unaccented

_NOON, _HOURS, _MINUTES = 12, 24, 60
_CLOCK = re.compile(
    r"(\d{1,2})(?:(?::|\.|\s?h\s?|\s?Uhr\s?)([0-5]\d)(?::[0-5]\d)?|\s?h\b|\s?Uhr\b)?(?:\s?([ap])\.?\s?m\b\.?)?",
    re.IGNORECASE,
)
_NAMED = {"noon": (12, 0), "midday": (12, 0), "midnight": (0, 0), "mittag": (12, 0), "mittags": (12, 0)}
_NAMED |= {"mitternacht": (0, 0), "midi": (12, 0), "minuit": (0, 0), "mediodia": (12, 0), "medianoche": (0, 0)}
_AT = frozenset({"at", "um", "by", "around", "las", "from", "until", "till", "to", "before", "after", "gegen"})
_LATE = frozenset(
    {"afternoon", "evening", "night", "tonight", "nachmittag", "abend", "nachmittags", "abends", "soir", "tarde"}
)
_EARLY = frozenset({"morning", "morgens", "vormittags", "fruh", "matin"})
_PARTS = {"half": 30, "quarter": 15}
_BUSINESS_DAY = 7  # an hour below it, without a.m. or p.m., is one of the afternoon


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """A time between two tokens, ``last`` not included; not ``sure`` where morning or afternoon is a guess."""

    first: int
    last: int
    time: datetime.time
    sure: bool = True


def times(
    text: str, tokens: Sequence[Token], numbers: Sequence[Numeral], dated: Sequence[range]
) -> tuple[TimeSpan, ...]:
    """The times in order. ``dated`` are the places of tokens that are part of dates."""
    taken = {index for places in dated for index in places}
    folded = [unaccented(each.text) for each in tokens]
    by_place = {each.first: each for each in numbers}
    found: list[TimeSpan] = []
    index = 0
    while index < len(tokens):
        span = None if index in taken else next(_at(text, tokens, folded, by_place, index), None)
        if span is not None:
            span = _with_part_of_day(span, folded)
            found.append(span)
        index = index + 1 if span is None else span.last
    return tuple(found)


def _at(
    text: str, tokens: Sequence[Token], folded: Sequence[str], numbers: Mapping[int, Numeral], index: int
) -> Iterator[TimeSpan]:
    word = folded[index]
    if word in _NAMED:
        yield TimeSpan(index, index + 1, datetime.time(*_NAMED[word]))
    elif word in _PARTS or index in numbers:
        yield from _past(folded, numbers, index)
        yield from _on_the_clock(text, tokens, folded, index)
        if index in numbers:
            yield from _in_words(folded, numbers, index)


def _past(folded: Sequence[str], numbers: Mapping[int, Numeral], index: int) -> Iterator[TimeSpan]:
    """Half past nine, quarter to ten, twenty past four."""
    minutes = _PARTS.get(folded[index])
    place = index + 1
    if minutes is None:
        minutes, place = int(numbers[index].value), numbers[index].last
    if place + 1 >= len(folded) or folded[place] not in {"past", "to", "after", "before"} or place + 1 not in numbers:
        return
    hour = numbers[place + 1].value
    if (
        hour.is_integer()
        and 0 <= hour <= _NOON
        and 0 < minutes < _MINUTES
        and (folded[place] == "past" or folded[index] in _PARTS)
    ):
        total = int(hour) * _MINUTES + (minutes if folded[place] in {"past", "after"} else -minutes)
        hour_of, minute = divmod(total % (_HOURS * _MINUTES), _MINUTES)
        yield _guessed(index, numbers[place + 1].last, hour_of, minute)


def _on_the_clock(text: str, tokens: Sequence[Token], folded: Sequence[str], index: int) -> Iterator[TimeSpan]:
    if not tokens[index].is_digits or (
        index
        and tokens[index - 1].text in {"$", "€", "£", ":", "/", "-"}
        and tokens[index - 1].end == tokens[index].start
    ):
        return
    match = _CLOCK.match(text, tokens[index].start)
    if match is None or match.end() < tokens[index].end:
        return
    hour, minute, half = int(match[1]), int(match[2] or 0), (match[3] or "").casefold()
    marked = ":" in match[0] or match[0][len(match[1]) :].strip().casefold()[:1] in {"h", "u"}
    last = next((place for place in range(index, len(tokens)) if tokens[place].start >= match.end()), len(tokens))
    after = folded[last] if last < len(folded) else ""
    if after in {"o'clock", "oclock"}:
        marked, last = True, last + 1
    if half and 1 <= hour <= _NOON:
        yield TimeSpan(index, last, datetime.time(hour % _NOON + (_NOON if half == "p" else 0), minute))
    elif marked and hour < _HOURS:
        exact = hour == 0 or hour >= _BUSINESS_DAY or match[1].startswith("0") or ":" not in match[0]
        yield TimeSpan(index, last, datetime.time(hour, minute)) if exact else _guessed(index, last, hour, minute)


def _in_words(folded: Sequence[str], numbers: Mapping[int, Numeral], index: int) -> Iterator[TimeSpan]:
    """At nine; nine in the morning."""
    number = numbers[index]
    last = number.last
    after = folded[last] if last < len(folded) else ""
    oclock = after in {"o'clock", "oclock", "uhr"}
    last += oclock
    late = _part_of_day(folded, last)[0] is not None
    told = (
        index > 0
        and folded[index - 1] in {"at", "um", "las"}
        and (
            after
            in {
                "",
                ",",
                ".",
                "?",
                "!",
                "on",
                "tomorrow",
                "today",
                "for",
                "with",
                "please",
                "until",
                "till",
                "to",
                "and",
                "-",
                ";",
            }
            or oclock
        )
    )
    if number.value.is_integer() and 0 <= number.value < _HOURS and (told or oclock or late):
        yield _guessed(index, last, int(number.value), 0)


def _guessed(first: int, last: int, hour: int, minute: int) -> TimeSpan:
    if 0 < hour < _BUSINESS_DAY:
        return TimeSpan(first, last, datetime.time(hour + _NOON, minute), sure=False)
    return TimeSpan(first, last, datetime.time(hour, minute))


def _part_of_day(folded: Sequence[str], index: int) -> tuple[bool | None, int]:
    """Whether "in the evening" and the like (true) or "in the morning" (false) follows, and the token behind it."""
    place = index
    for _ in range(3):
        word = folded[place] if place < len(folded) else ""
        if word in _LATE:
            return True, place + 1
        if word in _EARLY:
            return False, place + 1
        if word not in {"in", "the", "at", "am", "du", "de", "la", "this"}:
            break
        place += 1
    return None, index


def _with_part_of_day(span: TimeSpan, folded: Sequence[str]) -> TimeSpan:
    late, last = _part_of_day(folded, span.last)
    if late is None and not _LATE.isdisjoint(folded[max(0, span.first - 3) : span.first]):
        late = True
    if late is None:
        return span
    hour = span.time.hour
    if late and hour < _NOON and hour:
        hour += _NOON
    if not late and hour >= _NOON and not span.sure:
        hour -= _NOON
    return TimeSpan(span.first, last, span.time.replace(hour=hour))

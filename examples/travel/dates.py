"""Reads date words: today, tomorrow, weekdays, weekends, "in 3 days", "12 May", 2026-05-12, months."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS: tuple[str, ...] = ("january", "february", "march", "april", "may", "june", "july")
MONTHS += ("august", "september", "october", "november", "december")
MONTH_NAMES = tuple(month.capitalize() for month in MONTHS)

_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_FULL_MONTH = "(?:" + "|".join(month for month in MONTHS if month not in {"march", "may"}) + ")"
_COUNT = r"(?:\d{1,2}|two|three|four|five|six|seven|few)"
_WEEKDAY = "(?:(?:mon|tues|wednes|thurs|fri|satur|sun)days?|mon|tue|wed|thu|fri)"
# "March" and "may" are everyday words: they need a day or a word such as "in" beside them.
_PATTERN = re.compile(
    rf"""\b(?:
      (?P<iso>\d{{4}}-\d\d-\d\d)
    | (?P<today>today|tonight|right\ now|now)
    | (?P<overmorrow>day\ after\ tomorrow)
    | (?P<tomorrow>tomorrow)
    | in\ (?P<ahead>{_COUNT})\ days
    | next\ (?P<span>{_COUNT})\ days
    | (?P<next_week>next\ week)(?!end)
    | (?P<this_week>(?:this|the)\ week)(?!end)
    | (?P<weekend>weekend)
    | (?P<weekday>{_WEEKDAY})
    | (?P<day>\d{{1,2}})(?:st|nd|rd|th)?\ (?:of\ )?(?P<month_after>{_MONTH})
    | (?P<month_before>{_MONTH})\ (?P<day_after>\d{{1,2}})(?:st|nd|rd|th)?
    | (?:in|during|early|late|mid|next|this|of|for|about)[ -](?P<led_month>{_MONTH})
    | (?P<month>{_FULL_MONTH})
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
_NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "few": 3}


@dataclass(frozen=True, slots=True)
class When:
    """Some days in a row, or a whole month (1 to 12) of any year."""

    days: tuple[date, ...] = ()
    month: int | None = None


def find_dates(text: str, today: date) -> list[When]:
    """The dates named in the text, in order; a day of the year that has passed is next year's."""
    return [when for match in _PATTERN.finditer(text) if (when := _read(match, today)) is not None]


def spoken(day: date) -> str:
    """``Friday 3 July 2026``."""
    return f"{WEEKDAYS[day.weekday()].capitalize()} {day.day} {MONTH_NAMES[day.month - 1]} {day.year}"


def _read(match: re.Match[str], today: date) -> When | None:
    found = {name: value.lower() for name, value in match.groupdict().items() if value}
    if "iso" in found:
        try:
            return When((date.fromisoformat(found["iso"]),))
        except ValueError:
            return None
    written = found.get("month_after") or found.get("month_before") or found.get("led_month") or found.get("month")
    if written is None:
        return _relative(found, today)
    month = next((i for i, name in enumerate(MONTHS, 1) if written in {name, name[:3], name[:4]}), None)
    day = found.get("day") or found.get("day_after")
    if month is None:  # a word that only begins like a month
        return None
    return When(month=month) if day is None else _day_of_year(month, int(day), today)


def _relative(found: dict[str, str], today: date) -> When:
    to_saturday = (5 - today.weekday()) % 7
    periods = {
        "today": (0, 1),
        "tomorrow": (1, 1),
        "overmorrow": (2, 1),
        "this_week": (0, 7 - today.weekday()),
        "next_week": (7 - today.weekday(), 7),
        "weekend": (0, 1) if today.weekday() == 6 else (to_saturday, 2),
    }
    for name, (offset, count) in periods.items():
        if name in found:
            return _days(today, offset, count)
    if "weekday" in found:
        wanted = next(i for i, name in enumerate(WEEKDAYS) if name.startswith(found["weekday"][:3]))
        return _days(today, (wanted - today.weekday()) % 7)
    if "span" in found:
        return _days(today, 0, min(_number(found["span"]), 14))
    return _days(today, _number(found["ahead"]))


def _days(today: date, offset: int, count: int = 1) -> When:
    return When(tuple(today + timedelta(days=offset + i) for i in range(count)))


def _number(word: str) -> int:
    return _NUMBERS.get(word) or int(word)


def _day_of_year(month: int, day: int, today: date) -> When | None:
    for year in range(today.year, today.year + 9):  # 29 February may be eight years away
        try:
            candidate = date(year, month, day)
        except ValueError:
            continue
        if candidate >= today:
            return When((candidate,))
    return None

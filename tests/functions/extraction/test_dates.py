from __future__ import annotations

import pytest

from tests.functions.extraction.readings import read


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2025-07-01", "2025-07-01"),
        ("today", "2025-06-11"),
        ("tomorrow", "2025-06-12"),
        ("the day after tomorrow", "2025-06-13"),
        ("yesterday", "2025-06-10"),
        ("on Friday", "2025-06-13"),
        ("next Friday", "2025-06-20"),
        ("last Friday", "2025-06-06"),
        ("this Wednesday", "2025-06-11"),
        ("the 3rd of May", "2026-05-03"),
        ("August 14", "2025-08-14"),
        ("14 August 2027", "2027-08-14"),
        ("Aug. 14th, 2027", "2027-08-14"),
        ("12/20", "2025-12-20"),
        ("20/12/2025", "2025-12-20"),
        ("24.12.2025", "2025-12-24"),
        ("the 23rd", "2025-06-23"),
        ("the 8th of this month", "2025-06-08"),
        ("in two weeks", "2025-06-25"),
        ("in a month", "2025-07-11"),
        ("three days ago", "2025-06-08"),
        ("a week from now", "2025-06-18"),
        ("Friday, June 13th", "2025-06-13"),
        ("am 15. Juli um zehn", "2025-07-15"),
        ("wir kommen übermorgen", "2025-06-13"),
        ("le 14 juillet pour nous", "2025-07-14"),
        ("el 9 de septiembre para mí", "2025-09-09"),
        ("February 29", "2028-02-29"),
    ],
)
def test_a_day_is_found_relative_to_the_clock(text: str, day: str) -> None:
    [found] = read(text).dates
    assert found.ahead.isoformat() == day


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("from July 7 to July 18", "2025-07-07", "2025-07-18"),
        ("July 7 to 18", "2025-07-07", "2025-07-18"),
        ("between 5 and 9 November", "2025-11-05", "2025-11-09"),
        ("tomorrow until Sunday", "2025-06-12", "2025-06-15"),
        ("from Friday to Monday", "2025-06-13", "2025-06-16"),
        ("from Friday to Thursday", "2025-06-13", "2025-06-19"),
        ("December 29 - January 3", "2025-12-29", "2026-01-03"),
        ("vom 3. bis 7. Oktober", "2025-10-03", "2025-10-07"),
        ("del 2 al 6 de octubre en casa", "2025-10-02", "2025-10-06"),
        ("next week", "2025-06-16", "2025-06-20"),
        ("this weekend", "2025-06-14", "2025-06-15"),
        ("next month", "2025-07-01", "2025-07-31"),
    ],
)
def test_a_range_has_a_first_and_a_last_day(text: str, start: str, end: str) -> None:
    first, last = read(text).dates
    assert (first.side, first.ahead.isoformat()) == ("start", start)
    assert (last.side, last.ahead.isoformat()) == ("end", end)


def test_a_weekday_can_be_meant_to_be_past() -> None:
    [found] = read("it happened on Monday").dates
    assert (found.ahead.isoformat(), found.behind.isoformat()) == ("2025-06-16", "2025-06-09")


def test_a_day_and_a_month_in_digits_are_a_guess() -> None:
    [found] = read("on 3/4").dates
    assert not found.sure


@pytest.mark.parametrize("text", ["31 February", "may I have 3", "the sun is out", "2025-13-40", "chapter 4.5", "0/0"])
def test_what_is_no_day_is_none(text: str) -> None:
    assert read(text).dates == ()


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("at 3pm", "15:00:00"),
        ("at 8:30 a.m.", "08:30:00"),
        ("14:05", "14:05:00"),
        ("at 9", "09:00:00"),
        ("noon", "12:00:00"),
        ("quarter past nine", "09:15:00"),
        ("quarter to eight in the evening", "19:45:00"),
        ("at 5 o'clock in the morning", "05:00:00"),
        ("at half past four", "16:30:00"),
        ("tonight at 8", "20:00:00"),
        ("12 am", "00:00:00"),
        ("wir kommen um 15 Uhr", "15:00:00"),
        ("à 20h30 pour nous", "20:30:00"),
    ],
)
def test_a_time_of_day_is_found(text: str, time: str) -> None:
    [found] = read(text).times
    assert found.time.isoformat() == time


def test_an_early_hour_without_a_half_of_the_day_is_a_guess() -> None:
    [guessed], [said] = read("at 4:30").times, read("at 4:30 pm").times
    assert not guessed.sure
    assert said.sure


@pytest.mark.parametrize("text", ["at 75 percent", "for 9 people", "25:00", "version 3", "$10"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert read(text).times == ()

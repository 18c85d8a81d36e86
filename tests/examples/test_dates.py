from __future__ import annotations

from datetime import date, timedelta

import pytest
from dates import When, find_dates, spoken


def _june(*days: int) -> When:
    return When(tuple(date(2026, 6, day) for day in days))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("today", _june(17)),
        ("is it raining right now?", _june(17)),
        ("tomorrow", _june(18)),
        ("the day after tomorrow", _june(19)),
        ("on Friday", _june(19)),
        ("next MONDAY", _june(22)),
        ("Tues", None),
        ("on Wednesday", _june(17)),
        ("this weekend", _june(20, 21)),
        ("next week", _june(22, 23, 24, 25, 26, 27, 28)),
        ("the rest of this week", _june(17, 18, 19, 20, 21)),
        ("in 3 days", _june(20)),
        ("in two days", _june(19)),
        ("for the next 2 days", _june(17, 18)),
        ("2026-06-30", _june(30)),
        ("2026-02-30", None),
        ("on 20 June", _june(20)),
        ("June 20th", _june(20)),
        ("the 20th of june", _june(20)),
        ("12 May", When((date(2027, 5, 12),))),
        ("29 February", When((date(2028, 2, 29),))),
        ("31 June", None),
        ("in May", When(month=5)),
        ("in march", When(month=3)),
        ("this August", When(month=8)),
        ("January", When(month=1)),
        ("May I march in Marseille?", None),
        ("is there sun in Oslo", None),
        ("", None),
    ],
)
def test_reads_date_words(wednesday: date, text: str, expected: When | None) -> None:
    assert find_dates(text, wednesday) == ([] if expected is None else [expected])


def test_several_dates_come_in_the_order_of_the_text(wednesday: date) -> None:
    assert find_dates("from Friday, back on Sunday", wednesday) == [_june(19), _june(21)]


def test_on_a_sunday_the_weekend_is_today() -> None:
    sunday = date(2026, 6, 21)
    assert find_dates("this weekend", sunday) == [When((sunday,))]


def test_a_weekday_is_always_within_a_week(wednesday: date) -> None:
    for offset in range(7):
        day = wednesday + timedelta(days=offset)
        assert find_dates(f"on {day:%A}", wednesday) == [When((day,))]


def test_a_day_is_spoken_in_full() -> None:
    assert spoken(date(2026, 7, 3)) == "Friday 3 July 2026"

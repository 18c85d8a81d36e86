from __future__ import annotations

import math
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.access.quotas import Period, capacity, fits, name_pattern, wait_s, window_at


def _at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("period", "now", "start", "end"),
    [
        ("second", "2026-02-03T04:05:06.700", "2026-02-03T04:05:06", "2026-02-03T04:05:07"),
        ("minute", "2026-02-03T04:05:06.700", "2026-02-03T04:05:00", "2026-02-03T04:06:00"),
        ("hour", "2026-02-03T04:05:06", "2026-02-03T04:00:00", "2026-02-03T05:00:00"),
        ("day", "2026-02-03T00:00:00", "2026-02-03T00:00:00", "2026-02-04T00:00:00"),
        ("month", "2026-02-28T23:59:59.999", "2026-02-01T00:00:00", "2026-03-01T00:00:00"),
        ("month", "2026-12-31T12:00:00", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
    ],
)
def test_windows_are_those_of_the_clock(period: Period, now: str, start: str, end: str) -> None:
    assert window_at(period, _at(now)) == (_at(start), _at(end))


@pytest.mark.parametrize(
    ("previous", "left_of_window", "expected"),
    [(0, 1.0, 10), (10, 1.0, 1), (10, 0.5, 6), (10, 0.26, 8), (10, 0.0, 10), (-5, 1.0, 10), (1, 1.0, 10)],
)
def test_the_window_before_counts_as_far_as_it_is_not_over(previous: int, left_of_window: float, expected: int) -> None:
    assert capacity(10, previous, left_of_window) == expected


@pytest.mark.parametrize(
    ("wanted", "used", "previous", "expected"),
    [
        (1, 0, 0, 0.0),  # there is room
        (11, 0, 0, math.inf),  # there never will be
        (4, 5, 10, 28.0),  # from 648 on, 1 of the 10 from before counts
        (1, 10, 0, 40.0),  # in the next window, of which 9 count at once
        (3, 10, 0, 52.0),  # a fifth of the next window has to be over
        (10, 10, 0, 94.0),  # nine tenths
    ],
)
def test_the_wait_ends_when_there_is_room(wanted: int, used: int, previous: int, expected: float) -> None:
    waited = wait_s(10, wanted, used, previous, now=620.0, start=600, end=660)
    assert waited == pytest.approx(expected, abs=0.01)


@given(
    amount=st.integers(1, 50),
    wanted=st.integers(1, 50),
    used=st.integers(0, 60),
    previous=st.integers(0, 60),
    into=st.integers(0, 59),
)
def test_the_wait_is_as_long_as_it_has_to_be(amount: int, wanted: int, used: int, previous: int, into: int) -> None:
    def has_room(now: float) -> bool:
        if now < 660:
            return used + wanted <= capacity(amount, previous, (660 - now) / 60)
        return wanted <= (capacity(amount, used, (720 - now) / 60) if now < 720 else amount)

    waited = wait_s(amount, wanted, used, previous, now=600.0 + into, start=600, end=660)
    if math.isinf(waited):
        assert wanted > amount
        return
    assert has_room(600 + into + waited)
    assert waited < 0.01 or not has_room(600 + into + waited - 0.01)


@pytest.mark.parametrize(
    ("patterns", "model", "fitting"),
    [
        (("openai/*",), "openai/gpt-4o", True),
        (("openai/*",), "azure_openai/gpt-4o", False),
        (("gpt-4o",), "openai/gpt-4o", True),
        (("gpt-4o",), "openai/gpt-4o-mini", False),
        (("gpt-4?",), "openai/gpt-4o", False),
        (("a.b/*", "*mini*"), "openai/gpt-4o-mini-2", True),
        (("a.b/*",), "axb/c", False),
        (("*",), "anything/at\nall", True),
        (("*",), "x" * 257, False),
    ],
)
def test_names_fit_patterns(patterns: tuple[str, ...], model: str, fitting: bool) -> None:
    assert fits(name_pattern(patterns), model) is fitting


@pytest.mark.parametrize(
    ("patterns", "model", "loosely", "strictly"),
    [
        (("openai/gpt-4o",), "openrouter/openai/gpt-4o", True, False),
        (("openai/*",), "openrouter/openai/gpt-4o", True, False),
        (("openrouter/*",), "openrouter/openai/gpt-4o", True, True),
        (("*/gpt-4o",), "openrouter/openai/gpt-4o", True, True),
        (("gpt-4o",), "openai/gpt-4o", True, True),
    ],
)
def test_a_name_below_another_provider_is_that_of_a_model_for_limits_only(
    patterns: tuple[str, ...], model: str, loosely: bool, strictly: bool
) -> None:
    pattern = name_pattern(patterns)
    assert (fits(pattern, model), fits(pattern, model, loosely=False)) == (loosely, strictly)


def test_one_fitting_name_is_enough() -> None:
    assert fits(name_pattern(["fast"]), "openai/gpt-4o", "fast")
    assert not fits(name_pattern(["fast"]))

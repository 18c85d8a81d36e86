from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.telemetry import semconv
from router.upstream.breaker import BreakerPolicy, BreakerState, CircuitBreaker
from tests.upstream.scripted import Gateway

POLICY = BreakerPolicy(consecutive_failures=3, failure_ratio=0.5, window_s=10, min_requests=6, open_for_s=4, probes=2)
T = 1000.0


class Breaker(CircuitBreaker):
    """A breaker that notes its states; ``dice`` in the middle: open times without jitter."""

    __slots__ = ("dice", "states")

    def __init__(self, policy: BreakerPolicy = POLICY) -> None:
        self.dice = 0.5
        self.states: list[BreakerState] = []
        super().__init__(policy, random=lambda: self.dice, on_change=self.states.append)

    def run(self, outcomes: str, now: float = T) -> None:
        """One try after the other: F fails, S succeeds, A is abandoned."""
        for outcome in outcomes:
            assert self.admits(now)
            self.end(self.enter(now), outcome, now)

    def end(self, ticket: int, outcome: str, now: float) -> None:
        end: dict[str, Callable[[], None]] = {
            "F": lambda: self.failed(ticket, now),
            "S": lambda: self.succeeded(ticket, now),
            "A": lambda: self.abandoned(ticket),
        }
        end[outcome]()


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ("", "closed"),
        ("FF", "closed"),
        ("FFF", "open"),
        ("FFSFF", "closed"),
        ("AAAA", "closed"),
        ("FFAF", "open"),
        ("SFSF", "closed"),  # a large share, but of too few
        ("SFSFSF", "open"),
        ("SSSSFFSF", "closed"),
    ],
)
def test_too_many_failures_in_a_row_or_too_large_a_share_open_it(outcomes: str, state: BreakerState) -> None:
    breaker = Breaker()
    breaker.run(outcomes)
    assert breaker.state == state


def test_what_is_older_than_the_window_has_no_share() -> None:
    breaker = Breaker()
    breaker.run("SFSFS", T)
    breaker.run("F", T + 11)
    assert breaker.state == "closed"
    breaker.run("SSSF", T + 12)
    assert breaker.state == "closed"
    breaker.run("F", T + 12)
    assert breaker.state == "open"


def test_nobody_is_admitted_until_it_is_due() -> None:
    breaker = Breaker()
    breaker.run("FFF")
    assert [breaker.admits(T + after) for after in (0, 3.9, 4.0)] == [False, False, True]
    assert breaker.ready_in_s(T + 1) == 3.0
    assert breaker.ready_in_s(T + 4) == 0.0


def test_a_bounded_number_of_probes_goes_through() -> None:
    breaker = Breaker()
    breaker.run("FFF")
    tickets = [breaker.enter(T + 4), breaker.enter(T + 4)]
    assert not breaker.admits(T + 4)
    assert breaker.ready_in_s(T + 4) > 0
    breaker.abandoned(tickets[0])
    assert breaker.admits(T + 4)


def test_probes_that_were_under_way_take_no_place_of_the_next_ones() -> None:
    breaker = Breaker()
    breaker.run("FFF")
    _, probe = breaker.enter(T + 4), breaker.enter(T + 4)
    breaker.failed(probe, T + 4)
    later = T + 4 + breaker.ready_in_s(T + 4)
    breaker.enter(later)
    assert breaker.admits(later)


@pytest.mark.parametrize(("outcomes", "state"), [("S", "half_open"), ("SS", "closed"), ("F", "open"), ("SF", "open")])
def test_probes_decide(outcomes: str, state: BreakerState) -> None:
    breaker = Breaker()
    breaker.run("FFF")
    breaker.run(outcomes, T + 4)
    assert breaker.state == state


def test_every_change_is_told_once() -> None:
    breaker = Breaker()
    breaker.run("FFF")
    breaker.run("SS", T + 4)
    assert breaker.states == ["open", "half_open", "closed"]


def test_closing_forgets_what_was_counted() -> None:
    breaker = Breaker()
    breaker.run("SFSFSF")
    breaker.run("SS", T + 4)
    breaker.run("FF", T + 4)
    assert breaker.state == "closed"


def test_it_stays_open_longer_each_time_up_to_a_bound() -> None:
    breaker = Breaker()
    breaker.run("FFF")
    now, waits = T, []
    for _ in range(6):
        waits.append(breaker.ready_in_s(now))
        now += waits[-1]
        breaker.run("F", now)
    assert waits == [4, 8, 16, 32, 32, 32]


@pytest.mark.parametrize(("held_s", "open_s"), [(9.9, 8), (10.0, 4)])
def test_the_growth_is_forgotten_when_it_has_held_for_a_window(held_s: float, open_s: float) -> None:
    breaker = Breaker()
    breaker.run("FFF")
    breaker.run("SS", T + 4)
    breaker.run("FFF", T + 4 + held_s)
    assert breaker.ready_in_s(T + 4 + held_s) == pytest.approx(open_s)


@pytest.mark.parametrize(("dice", "open_s"), [(0.0, 3), (1.0, 5)])
def test_open_times_have_jitter(dice: float, open_s: float) -> None:
    breaker = Breaker()
    breaker.dice = dice
    breaker.run("FFF")
    assert breaker.ready_in_s(T) == open_s


@pytest.mark.parametrize("outcome", ["S", "F", "A"])
def test_a_try_that_began_in_an_earlier_state_says_nothing(outcome: str) -> None:
    breaker = Breaker()
    late = breaker.enter(T)
    breaker.run("FFF")
    breaker.end(late, outcome, T + 1)
    assert breaker.state == "open"
    assert breaker.ready_in_s(T + 1) == 3.0
    breaker.enter(T + 4)
    breaker.end(late, outcome, T + 4)
    assert breaker.state == "half_open"
    assert breaker.admits(T + 4)
    breaker.enter(T + 4)
    assert not breaker.admits(T + 4)


@given(st.lists(st.tuples(st.sampled_from("SFA+"), st.integers(0, 5), st.floats(0, 8)), max_size=80))
def test_whatever_happens_probes_stay_bounded_and_it_recovers(steps: list[tuple[str, int, float]]) -> None:
    breaker, now, tickets = Breaker(), T, list[int]()
    for action, position, passed_s in steps:
        now += passed_s
        if action == "+":
            if breaker.admits(now):
                before = breaker.state
                tickets.append(breaker.enter(now))
                assert before == breaker.state or (before, breaker.state) == ("open", "half_open")
        elif tickets:
            breaker.end(tickets.pop(position % len(tickets)), action, now)
        assert 0.0 <= breaker.ready_in_s(now) <= 32 * 1.25
    for ticket in tickets:
        breaker.abandoned(ticket)
    now += breaker.ready_in_s(now)
    while breaker.state != "closed":
        assert breaker.admits(now)
        breaker.run("S", now)


def test_changes_are_counted_and_opening_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway()
    member = gateway.member("east", b"")
    caplog.set_level(logging.INFO, "router.upstream.fallback")
    for _ in range(gateway.policy.breaker.consecutive_failures):
        member.breaker.failed(member.breaker.enter(T), T)
    assert gateway.recorded.count(semconv.BREAKER_CHANGES, "east", "open") == 1
    member.breaker.enter(T + 100)
    assert gateway.recorded.count(semconv.BREAKER_CHANGES, "east", "half_open") == 1
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]

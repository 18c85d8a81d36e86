from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.upstream.cluster import Candidate, Member, select
from tests.upstream.scripted import Gateway, ScriptedUpstream

T = 1000.0


def members(*weights: float) -> list[Member]:
    gateway = Gateway()
    return [
        gateway.fallback.member(f"m{position}", ScriptedUpstream(b""), weight=weight)
        for position, weight in enumerate(weights)
    ]


def chosen(cluster: Sequence[Member], times: int) -> list[str]:
    names = []
    for _ in range(times):
        member = select(cluster, "m", T)
        assert member is not None
        names.append(member.name)
    return names


def trip(member: Member, now: float = T) -> None:
    while member.breaker.state == "closed":
        member.breaker.failed(member.breaker.enter(now), now)


def test_equals_take_turns() -> None:
    assert chosen(members(1, 1, 1), 6) == ["m0", "m1", "m2"] * 2


def test_turns_are_by_weight_and_spread_out() -> None:
    assert chosen(members(5, 1, 1), 7) == ["m0", "m0", "m1", "m0", "m2", "m0", "m0"]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_over_a_whole_turn_everyone_gets_its_weight(weights: list[int]) -> None:
    assert Counter(chosen(members(*weights), sum(weights))) == {
        f"m{position}": weight for position, weight in enumerate(weights)
    }


@pytest.mark.parametrize(
    ("weights", "outstanding", "choice"),
    [
        ((1, 1), (2, 1), "m1"),
        ((3, 1), (2, 1), "m0"),
        ((3, 1), (4, 1), "m1"),
        ((1, 1, 1), (5, 0, 3), "m1"),
        ((0.5, 2), (1, 3), "m1"),
    ],
)
def test_the_least_busy_one_for_its_weight_is_asked(
    weights: tuple[float, ...], outstanding: tuple[int, ...], choice: str
) -> None:
    cluster = members(*weights)
    for member, number in zip(cluster, outstanding, strict=True):
        member.outstanding = number
    assert chosen(cluster, 2) == [choice, choice]


def test_open_breakers_are_passed_over_until_they_are_due() -> None:
    east, west = cluster = members(1, 1)
    trip(east)
    assert chosen(cluster, 3) == ["m1"] * 3
    trip(west)
    assert select(cluster, "m", T) is None
    later = T + east.ready_in_s("m", T)
    assert select([east], "m", later) is east


def test_a_member_that_asked_for_it_is_left_alone_with_that_model_only() -> None:
    east, west = cluster = members(1, 1)
    east.set_aside("m", 7, T)
    assert chosen(cluster, 2) == ["m1", "m1"]
    assert select([east], "other", T) is east
    assert (east.ready_in_s("m", T + 2), west.ready_in_s("m", T)) == (5, 0)
    assert select([east], "m", T + 6.9) is None
    assert select([east], "m", T + 7) is east


def test_of_two_requests_to_be_left_alone_the_longer_one_holds() -> None:
    (east,) = members(1)
    east.set_aside("m", 7, T)
    east.set_aside("m", 2, T)
    assert east.aside_s("m", T) == 7
    east.set_aside("m", 100_000, T)
    assert east.aside_s("m", T) == 300


def test_what_is_remembered_per_model_is_bounded() -> None:
    (east,) = members(1)
    for number in range(200):
        east.set_aside(f"m{number}", 10, T)
    assert [number for number in range(200) if east.aside_s(f"m{number}", T)] == list(range(136, 200))


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_a_weight_is_above_zero(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        members(weight)


def test_a_candidate_has_members() -> None:
    with pytest.raises(ValueError, match="Nobody"):
        Candidate((), "m")

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.pii.findings import Entity, Finding, resolve_overlaps

TEXT = "Anna Berg, 12 Elm Street, +1 415 555 0132"


def finding(entity: Entity, start: int, end: int, score: float = 0.9) -> Finding:
    return Finding(entity, start, end, score, TEXT[start:end])


def spans(findings: list[Finding]) -> list[tuple[str, int, int]]:
    return [(one.entity, one.start, one.end) for one in findings]


def test_the_same_entity_found_twice_is_one() -> None:
    [one] = resolve_overlaps([finding("PERSON", 0, 6, 0.6), finding("PERSON", 5, 9, 0.8)], TEXT)
    assert (one.start, one.end, one.score, one.text) == (0, 9, 0.8, "Anna Berg")


def test_neighbours_stay_two() -> None:
    assert len(resolve_overlaps([finding("PERSON", 0, 4), finding("PERSON", 5, 9)], TEXT)) == 2


def test_the_higher_score_wins() -> None:
    found = resolve_overlaps([finding("ADDRESS", 27, 41, 0.6), finding("PHONE_NUMBER", 26, 41, 0.9)], TEXT)
    assert spans(found) == [("PHONE_NUMBER", 26, 41)]


def test_what_sticks_out_of_the_winner_is_not_lost() -> None:
    found = resolve_overlaps([finding("ADDRESS", 11, 32, 0.6), finding("PHONE_NUMBER", 26, 41, 0.9)], TEXT)
    assert spans(found) == [("ADDRESS", 11, 26), ("PHONE_NUMBER", 26, 41)]


def test_a_value_is_in_no_representation() -> None:
    assert "Anna" not in repr(finding("PERSON", 0, 9))


ANY = st.builds(
    lambda entity, start, length, score: finding(entity, start, min(len(TEXT), start + length), score),
    st.sampled_from(["PERSON", "ADDRESS", "PHONE_NUMBER"]),
    st.integers(0, len(TEXT) - 1),
    st.integers(1, 20),
    st.sampled_from([0.5, 0.7, 0.9]),
)


@given(st.lists(ANY, max_size=8))
def test_everything_that_was_found_stays_covered_once(findings: list[Finding]) -> None:
    resolved = resolve_overlaps(findings, TEXT)
    places = [place for one in resolved for place in range(one.start, one.end)]
    assert len(places) == len(set(places))
    assert spans(resolved) == sorted(spans(resolved), key=lambda one: one[1])
    letters = {place for one in findings for place in range(one.start, one.end) if TEXT[place].isalnum()}
    assert letters <= set(places)
    assert all(one.text == TEXT[one.start : one.end] for one in resolved)

from __future__ import annotations

import pytest

from benchmarks.services import report


def test_the_difference_is_that_of_the_medians_round_by_round_too() -> None:
    triton = [0.004] * 10 + [0.006] * 10
    route = [0.005] * 10 + [0.0065] * 10
    found = report(triton, route)
    assert (found.triton_p50_ms, found.route_p50_ms, found.added_ms) == (5.0, 5.75, 0.75)
    assert found.rounds == pytest.approx([1.0] * 5 + [0.5] * 5)


def test_a_few_answers_are_rounds_of_their_own() -> None:
    assert report([0.001, 0.002], [0.002, 0.004]).rounds == (1.0, 2.0)

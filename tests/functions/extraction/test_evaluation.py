from __future__ import annotations

from typing import Any

import pytest
from evaluate_functions import Case, Judged, agrees, function_lines, judge, load_cases

from router.functions.extractor import ExtractedCall
from tests.functions.extraction.readings import WEATHER, parameter


def judged(wanted: list[dict[str, Any]], found: list[dict[str, Any]]) -> Judged:
    case = Case(WEATHER, "plain", ("weather",), tuple(wanted), None)
    return Judged(case, tuple(ExtractedCall(WEATHER.name, each) for each in found))


@pytest.mark.parametrize(
    "found",
    [
        [],
        [{}],
        [{"location": "Oslo"}],
        [{"location": "Rome", "days": 2}],
        [{"location": "Oslo", "days": 3}],
        [{"location": "Oslo", "days": 2}, {"location": "Rome"}],
    ],
)
def test_a_call_is_exact_with_all_arguments_and_no_others(found: list[dict[str, Any]]) -> None:
    assert judged([{"location": "Oslo", "days": 2}], [{"location": "oslo", "days": 2.0}]).exact
    assert not judged([{"location": "Oslo", "days": 2}], found).exact


def test_what_was_not_said_must_not_be_found() -> None:
    assert not judged([{"location": "Oslo"}], [{"location": "Oslo", "days": 1}]).exact
    assert judged([{"location": "Oslo", "days": {"any_of": [None, 1]}}], [{"location": "Oslo"}]).exact


def test_made_up_values_cost_precision_and_overlooked_ones_recall() -> None:
    lines = {line.measure: line for line in function_lines([judged([{"location": "Oslo"}], [{"days": 1}])] * 5)}
    assert (lines["values: precision"].value, lines["values: recall"].value) == (0.0, 0.0)
    assert lines["required and said: not asked for"].value == 0.0


def test_a_default_counts_like_no_value() -> None:
    described = parameter("units", default="celsius")
    assert agrees(described, None, "celsius")
    assert agrees(described, "celsius", None)
    assert not agrees(described, None, "fahrenheit")


def test_the_two_parts_share_no_target() -> None:
    (development, _), (heldout, _) = load_cases("dev"), load_cases("heldout")
    assert len(development) + len(heldout) >= 300
    assert {each.target.name for each in development}.isdisjoint(each.target.name for each in heldout)


def test_the_development_part_stays_as_good_as_it_was() -> None:
    found = judge(*load_cases("dev"))
    assert sum(each.exact for each in found) / len(found) >= 0.93

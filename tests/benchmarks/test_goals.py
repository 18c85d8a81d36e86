from __future__ import annotations

import pytest

from benchmarks.goals import Goal, goals
from tests.benchmarks.measurements import measured_all


def test_goals_compare_with_the_floor_the_agent_and_the_models() -> None:
    found = goals(measured_all(direct=0.1, floor=1.0, single=1.25, orchestrated=12.0, triton=11.0))
    measured = {goal.text: goal for goal in found}
    ratio = measured["one agent / floor, requests/s, json-c16"]
    assert ratio.measured == pytest.approx(0.8)
    assert ratio.verdict == "ok"
    added = measured["one agent - agent directly, p50 of one request at a time"]
    assert added.measured == pytest.approx(1.15)
    assert added.verdict == "missed"
    own = measured["guard and orchestrator - the models alone, p50 of one request at a time"]
    assert own.measured == pytest.approx(1.0)
    assert own.verdict == "ok"
    assert measured["gateway and Triton, resident memory"].measured == 100


def test_the_model_gateway_is_compared_with_the_floor() -> None:
    faster = {"models": 1.1, "models-messages": 2.0}
    measured = {goal.text: goal for goal in goals(measured_all(floor=1.0, **faster))}
    relayed = measured["model listener / floor, requests/s, stream-c64"]
    assert (relayed.measured, relayed.limit, relayed.verdict) == (pytest.approx(1 / 1.1), 0.8, "ok")
    translated = measured["Anthropic client to OpenAI provider / floor, requests/s, stream-c16"]
    assert (translated.measured, translated.limit, translated.verdict) == (pytest.approx(0.5), 0.4, "ok")
    first = measured["model listener - floor, first token p50 of one stream at a time"]
    assert (first.measured, first.limit, first.verdict) == (pytest.approx(0.05), 0.5, "ok")
    assert len(measured) == 7


def test_each_round_is_compared_with_itself() -> None:
    # A machine that is twice as slow in the second round: the difference of the medians would be right, that of mixed
    # rounds would not.
    rounds = measured_all(direct=0.1, single=0.6) + measured_all(direct=0.2, single=0.8, number=1)
    (goal,) = goals(rounds)
    assert goal.rounds == pytest.approx((0.5, 0.6))
    assert goal.measured == pytest.approx(0.55)


def test_only_what_every_round_measured_has_goals() -> None:
    assert goals([]) == []
    assert goals(measured_all(direct=0.1)) == []
    assert [goal.unit for goal in goals(measured_all(floor=1.0, single=2.0))] == ["x"] * 4
    assert goals(measured_all(floor=1.0, single=2.0) + measured_all(floor=1.0, number=1)) == []


@pytest.mark.parametrize(
    ("rounds", "verdict"),
    [((0.5, 0.9), "ok"), ((1.1, 1.2), "missed"), ((0.5, 0.9, 1.1), "unclear"), ((-0.1, 0.5), "unclear")],
)
def test_rounds_that_disagree_leave_a_goal_unclear(rounds: tuple[float, ...], verdict: str) -> None:
    assert Goal("added", "ms", rounds, 1.0).verdict == verdict


@pytest.mark.parametrize(("rounds", "verdict"), [((0.8, 0.7), "ok"), ((0.6,), "missed"), ((0.6, 0.8), "unclear")])
def test_a_ratio_has_to_be_at_least_its_limit(rounds: tuple[float, ...], verdict: str) -> None:
    assert Goal("ratio", "x", rounds, 0.7, at_least=True).verdict == verdict

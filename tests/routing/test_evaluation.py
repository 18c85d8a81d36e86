from __future__ import annotations

from router.context import RouteDecision
from router.routing.evaluation import NOBODY, Outcome, evaluate


def _outcome(expected: str, chosen: str, *, ordered: bool = False, reason: str | None = None) -> Outcome:
    routes = tuple(chosen.split())
    decision = RouteDecision(
        tuple((name,) for name in routes) or (("a",),),
        reason or ("orchestrator" if routes else "no_match"),  # type: ignore[arg-type]
        scores={name: 1.0 - position / 10 for position, name in enumerate(routes)},
    )
    return Outcome("text", tuple(expected.split()), ordered, decision)


def test_a_case_is_right_when_exactly_the_expected_agents_were_chosen() -> None:
    assert _outcome("a b", "b a").right
    assert not _outcome("a b", "a").right
    assert not _outcome("a", "a b").right
    assert _outcome("a b", "a b", ordered=True).right
    assert not _outcome("a b", "b a", ordered=True).right


def test_nobody_is_right_when_the_default_had_to_answer() -> None:
    assert _outcome("", "").right
    assert not _outcome("", "a").right
    assert not _outcome("a", "").right


def test_a_decision_that_no_model_made_is_never_right() -> None:
    assert not _outcome("a", "a", reason="degraded").right


def test_the_report_counts_who_is_taken_for_whom() -> None:
    outcomes = [_outcome("a", "a"), _outcome("a", "b"), _outcome("a", "b c"), _outcome("", "c"), _outcome("b c", "b")]
    report = evaluate(outcomes, ["a", "b", "c", "unused"])
    assert report.accuracy == 0.2
    assert report.wrong == tuple(outcomes[1:])
    assert report.confusion == {("a", "a"): 1, ("a", "b"): 2, (NOBODY, "c"): 1}
    assert report.collisions == ((("a", "b"), 2), (("a", "c"), 1))
    counts = {agent.name: (agent.hits, agent.false_alarms, agent.misses) for agent in report.agents}
    assert counts == {"a": (1, 0, 2), "b": (1, 2, 0), "c": (0, 2, 1), "unused": (0, 0, 0)}
    assert [agent.name for agent in report.agents] == ["c", "a", "b", "unused"]
    assert {agent.name: round(agent.f1, 2) for agent in report.agents} == {"a": 0.5, "b": 0.5, "c": 0, "unused": 1}

"""How well decisions match what was expected (pure): accuracy, who is taken for whom, whose description is weakest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from router.context import RouteDecision

NOBODY = "(nobody)"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case: what was asked, who should have answered, and what was decided."""

    text: str
    expected: tuple[str, ...]
    ordered: bool
    decision: RouteDecision

    @property
    def chosen(self) -> tuple[str, ...]:
        """The agents found needed; none where the default answers in their place."""
        return () if self.decision.reason in {"no_match", "degraded"} else self.decision.routes

    @property
    def right(self) -> bool:
        """Whether exactly the expected agents were chosen, in the expected order where that matters."""
        if self.decision.reason == "degraded":
            return False
        return self.chosen == self.expected if self.ordered else set(self.chosen) == set(self.expected)


@dataclass(frozen=True, slots=True)
class AgentReport:
    """One agent over all cases: how often it was chosen rightly, wrongly, and missed."""

    name: str
    hits: int
    false_alarms: int
    misses: int

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 1 where the agent neither was nor should have been chosen."""
        whole = 2 * self.hits + self.false_alarms + self.misses
        return 1.0 if whole == 0 else 2 * self.hits / whole


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that ``trident eval`` says about a run.

    ``agents`` has the weakest first. ``confusion`` counts (expected, chosen) over cases for one agent or nobody, the
    chosen one being the best-scored of those chosen. ``collisions`` counts pairs (wanted, taken) where ``taken`` was
    chosen wrongly while ``wanted`` was needed, most frequent first.
    """

    outcomes: tuple[Outcome, ...]
    agents: tuple[AgentReport, ...]
    confusion: dict[tuple[str, str], int]
    collisions: tuple[tuple[tuple[str, str], int], ...]

    @property
    def accuracy(self) -> float:
        """The share of cases that are exactly right."""
        return sum(outcome.right for outcome in self.outcomes) / len(self.outcomes)

    @property
    def wrong(self) -> tuple[Outcome, ...]:
        """The cases that are not right."""
        return tuple(outcome for outcome in self.outcomes if not outcome.right)


def evaluate(outcomes: Sequence[Outcome], names: Iterable[str]) -> Report:
    """The report on ``outcomes`` (at least one) over the agents ``names``."""
    reports = [_agent_report(name, outcomes) for name in names]
    confusion: Counter[tuple[str, str]] = Counter()
    collisions: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        if len(outcome.expected) <= 1:
            best = max(outcome.chosen, key=lambda name: outcome.decision.scores.get(name, 0.0), default=NOBODY)
            confusion[outcome.expected[0] if outcome.expected else NOBODY, best] += 1
        for taken in set(outcome.chosen) - set(outcome.expected):
            collisions.update((wanted, taken) for wanted in outcome.expected)
    return Report(
        tuple(outcomes),
        tuple(sorted(reports, key=lambda report: report.f1)),
        dict(confusion),
        tuple(collisions.most_common()),
    )


def _agent_report(name: str, outcomes: Sequence[Outcome]) -> AgentReport:
    hits = sum(name in outcome.expected and name in outcome.chosen for outcome in outcomes)
    chosen = sum(name in outcome.chosen for outcome in outcomes)
    expected = sum(name in outcome.expected for outcome in outcomes)
    return AgentReport(name, hits, chosen - hits, expected - hits)

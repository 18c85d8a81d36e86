"""How a conversation goes, from how many signals of each type it had (docs/signals.md has the tables)."""

from __future__ import annotations

from collections.abc import Mapping

from router.signals.report import GROUP_OF, SIGNAL_GROUPS, GroupSummary, Quality, SignalGroup, SignalType

START_SCORE = 50.0
# What one sure signal of a type adds to the score, and how many of a type count.
EFFECTS: Mapping[SignalType, float] = {
    "interaction.misalignment.correction": -5.0,
    "interaction.misalignment.rephrase": -4.0,
    "interaction.misalignment.clarification": -3.0,
    "interaction.stagnation.dragging": -10.0,
    "interaction.stagnation.repetition": -5.0,
    "interaction.disengagement.escalation": -15.0,
    "interaction.disengagement.quit": -20.0,
    "interaction.disengagement.negative_stance": -8.0,
    "interaction.satisfaction.gratitude": 10.0,
    "interaction.satisfaction.confirmation": 8.0,
    "interaction.satisfaction.success": 15.0,
    "execution.failure.invalid_args": -2.0,
    "execution.failure.bad_query": -2.0,
    "execution.failure.tool_not_found": -3.0,
    "execution.failure.auth_misuse": -3.0,
    "execution.failure.state_error": -2.0,
    "execution.loops.retry": -4.0,
    "execution.loops.parameter_drift": -4.0,
    "execution.loops.oscillation": -5.0,
    "environment.exhaustion.api_error": -3.0,
    "environment.exhaustion.timeout": -3.0,
    "environment.exhaustion.rate_limit": -3.0,
    "environment.exhaustion.network": -3.0,
    "environment.exhaustion.malformed_response": -2.0,
    "environment.exhaustion.context_overflow": -4.0,
}
MAX_COUNTED = 5
# The least score of each quality.
QUALITIES: tuple[tuple[float, Quality], ...] = ((70.0, "excellent"), (58.0, "good"), (42.0, "neutral"), (25.0, "poor"))

# From how many signals on a group is of severity 1, 2, 3. Satisfaction never is.
SEVERITIES: Mapping[SignalGroup, tuple[int, int, int]] = {
    "interaction.misalignment": (1, 3, 5),
    "interaction.stagnation": (1, 2, 4),
    "interaction.disengagement": (1, 2, 3),
    "execution.failure": (1, 4, 8),
    "execution.loops": (1, 3, 6),
    "environment.exhaustion": (1, 3, 6),
}
# Types that are serious by themselves.
LEAST_SEVERITY: Mapping[SignalType, int] = {
    "interaction.disengagement.escalation": 2,
    "interaction.disengagement.quit": 2,
}


def score(confidences: Mapping[SignalType, float]) -> float:
    """From 0 to 100. ``confidences`` are the sums of those of the signals of each type."""
    total = START_SCORE + sum(EFFECTS[kind] * min(weight, MAX_COUNTED) for kind, weight in confidences.items())
    return round(min(100.0, max(0.0, total)), 1)


def quality(value: float) -> Quality:
    """The quality that a score amounts to."""
    return next((name for least, name in QUALITIES if value >= least), "severe")


def summarize(counts: Mapping[SignalType, int]) -> dict[SignalGroup, GroupSummary]:
    """Count and severity of every group."""
    return {group: _summary(group, counts) for group in SIGNAL_GROUPS}


def _summary(group: SignalGroup, counts: Mapping[SignalType, int]) -> GroupSummary:
    kinds = {kind: count for kind, count in counts.items() if GROUP_OF[kind] == group and count}
    count = sum(kinds.values())
    severity = sum(count >= least for least in SEVERITIES.get(group, ()))
    return GroupSummary(count, max([severity, *(LEAST_SEVERITY.get(kind, 0) for kind in kinds)]))

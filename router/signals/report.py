"""What is reported: signals by type, and what they amount to for the conversation so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

SignalType: TypeAlias = Literal[
    "interaction.misalignment.correction",
    "interaction.misalignment.rephrase",
    "interaction.misalignment.clarification",
    "interaction.stagnation.dragging",
    "interaction.stagnation.repetition",
    "interaction.disengagement.escalation",
    "interaction.disengagement.quit",
    "interaction.disengagement.negative_stance",
    "interaction.satisfaction.gratitude",
    "interaction.satisfaction.confirmation",
    "interaction.satisfaction.success",
    "execution.failure.invalid_args",
    "execution.failure.bad_query",
    "execution.failure.tool_not_found",
    "execution.failure.auth_misuse",
    "execution.failure.state_error",
    "execution.loops.retry",
    "execution.loops.parameter_drift",
    "execution.loops.oscillation",
    "environment.exhaustion.api_error",
    "environment.exhaustion.timeout",
    "environment.exhaustion.rate_limit",
    "environment.exhaustion.network",
    "environment.exhaustion.malformed_response",
    "environment.exhaustion.context_overflow",
]
SIGNAL_TYPES: tuple[SignalType, ...] = get_args(SignalType)

SignalGroup: TypeAlias = Literal[
    "interaction.misalignment",
    "interaction.stagnation",
    "interaction.disengagement",
    "interaction.satisfaction",
    "execution.failure",
    "execution.loops",
    "environment.exhaustion",
]
SIGNAL_GROUPS: tuple[SignalGroup, ...] = get_args(SignalGroup)
GROUP_OF: Mapping[SignalType, SignalGroup] = {
    kind: group for group in SIGNAL_GROUPS for kind in SIGNAL_TYPES if kind.startswith(f"{group}.")
}

Quality: TypeAlias = Literal["excellent", "good", "neutral", "poor", "severe"]

MAX_SNIPPET_CHARS = 120


@dataclass(frozen=True, slots=True)
class Signal:
    """One instance. ``message_index`` counts from the beginning of the conversation; ``confidence`` is from 0 to 1.

    ``snippet`` is what it was seen in, at most 120 characters of the conversation's own text: content, to be handled
    as such.
    """

    type: SignalType
    message_index: int
    confidence: float
    snippet: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """How many signals of a group there were so far, and how bad that is: 0 (not at all) to 3."""

    count: int
    severity: int


@dataclass(frozen=True, slots=True)
class SignalReport:
    """What one exchange says.

    ``signals`` are new: they are in what came after the model's last answer, in the newest answer, or in how the
    exchange ended. ``earlier`` are those in older messages that were not known, because nothing was known of the
    conversation or somebody else served a part of it; whoever counts leaves them out. ``groups`` (all of them, also
    those without signals), ``quality``, ``score`` (0 to 100, 50 without signals) and ``turns`` (user messages) are of
    the conversation as far as it was seen, the newest answer included.
    """

    signals: tuple[Signal, ...]
    earlier: tuple[Signal, ...]
    groups: Mapping[SignalGroup, GroupSummary]
    quality: Quality
    score: float
    turns: int


def snippet(text: str) -> str:
    """``text`` in one line, cut to what a signal may carry."""
    line = " ".join(text[: 4 * MAX_SNIPPET_CHARS].split())
    return line if len(line) <= MAX_SNIPPET_CHARS else f"{line[: MAX_SNIPPET_CHARS - 1]}…"

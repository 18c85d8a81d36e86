"""What is remembered of a conversation: a digest of bounded size, enough to go on with its newest messages alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from router.signals.likeness import Digest
from router.signals.report import GROUP_OF, Signal, SignalType
from router.signals.semantics import Vector
from router.signals.tool_calls import Call

MAX_USER_TEXTS = 8
MAX_ANSWERS = 4

# A conversation drags when it has gone on for so many user messages since anything was achieved, and was stuck in at
# least so many of them; it is said again after as many more.
DRAGGING_TURNS = 8
DRAGGING_STUCK = 3

_FRICTION = frozenset(
    {
        "interaction.misalignment",
        "interaction.stagnation",
        "interaction.disengagement",
        "execution.failure",
        "execution.loops",
    }
)


@dataclass(frozen=True, slots=True)
class UserText:
    """A user message: its words, and its vector where the encoder was asked."""

    digest: Digest
    vector: Vector | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """The user messages since something was achieved: how many, how many of them stuck, when that was last reported."""

    turns: int = 0
    stuck: int = 0
    newest_stuck: bool = False
    reported_at: int = 0

    @property
    def drags(self) -> bool:
        return self.turns - self.reported_at >= DRAGGING_TURNS and self.stuck >= DRAGGING_STUCK


@dataclass(frozen=True, slots=True)
class Reported:
    """The signals that were reported of the newest answer, which comes back as a message of the next request."""

    message_index: int = -1
    types: frozenset[SignalType] = frozenset()


@dataclass(frozen=True, slots=True)
class ConversationState:
    """What :func:`router.signals.analyzer.analyze` needs to go on.

    ``seen`` is how many messages of the conversation it knows, ``newest`` the digest of the last of them; the newest
    answer is not among them before it comes back. ``answered`` and ``asked`` say whether the assistant has said
    something, and whether its last words were a question. ``counts`` and ``confidences`` (sums) are by type.
    """

    seen: int = 0
    newest: bytes | None = None
    answered: bool = False
    asked: bool = False
    turns: int = 0
    user_texts: tuple[UserText, ...] = ()
    answers: tuple[Digest, ...] = ()
    calls: tuple[Call, ...] = ()
    stretch: Stretch = field(default_factory=Stretch)
    counts: Mapping[SignalType, int] = field(default_factory=dict)
    confidences: Mapping[SignalType, float] = field(default_factory=dict)
    reported: Reported = field(default_factory=Reported)

    def with_signals(self, signals: Iterable[Signal]) -> ConversationState:
        """This state with ``signals`` counted, and what they say of the stretch."""
        counts, confidences = dict(self.counts), dict(self.confidences)
        stuck = False
        for signal in signals:
            counts[signal.type] = counts.get(signal.type, 0) + 1
            confidences[signal.type] = confidences.get(signal.type, 0.0) + signal.confidence
            stuck = stuck or GROUP_OF[signal.type] in _FRICTION
        stretch = self.stretch
        if stuck and not stretch.newest_stuck:
            stretch = replace(stretch, stuck=stretch.stuck + 1, newest_stuck=True)
        return replace(self, counts=counts, confidences=confidences, stretch=stretch)

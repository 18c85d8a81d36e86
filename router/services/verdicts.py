"""Verdicts on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from router.context import Verdict
from router.guardrails import Guard
from router.protos.v1 import guardrail_pb2 as wire
from router.telemetry.metrics import GuardOutcome

# From what is least to what is most of a verdict.
OUTCOMES: Mapping[GuardOutcome, wire.Outcome.ValueType] = MappingProxyType(
    {
        "pass": wire.OUTCOME_PASS,
        "unseen": wire.OUTCOME_UNSEEN,
        "shadow": wire.OUTCOME_SHADOW,
        "allowed_unchecked": wire.OUTCOME_ALLOWED_UNCHECKED,
        "annotate": wire.OUTCOME_ANNOTATE,
        "route": wire.OUTCOME_ROUTE,
        "redact": wire.OUTCOME_REDACT,
        "unavailable": wire.OUTCOME_UNAVAILABLE,
        "block": wire.OUTCOME_BLOCK,
    }
)
_GRAVITY = {number: gravity for gravity, number in enumerate(OUTCOMES.values())}


@dataclass(frozen=True, slots=True)
class NamedGuard:
    """A guard of the configuration; ``model`` is empty where it asks none."""

    guard: Guard
    model: str = ""

    @property
    def judges_answers(self) -> bool:
        """Whether it makes sense on answers: what is no classifier judges requests, and an answer goes nowhere else."""
        return self.guard.check.model is not None and self.guard.policy.action != "route"


def gravest(outcomes: Iterable[wire.Outcome.ValueType]) -> wire.Outcome.ValueType:
    """What there is most of."""
    return max(outcomes, key=_GRAVITY.__getitem__)


def encode_verdict(verdict: Verdict, named: NamedGuard) -> wire.Verdict:
    """What a guard of the configuration said."""
    policy = named.guard.policy
    return wire.Verdict(
        guard=verdict.guard,
        outcome=OUTCOMES[verdict.outcome],
        label=verdict.label or "",
        score=verdict.score,
        message=policy.message if verdict.outcome == "block" else "",
        route=(policy.route or "") if verdict.outcome == "route" else "",
        model=named.model,
    )

"""What a request's owner, its client and the counters learn about verdicts. Scores only where a guard reveals them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from router.context import LocalReply, RequestContext, Verdict
from router.errors import ContentBlocked
from router.guardrails.engine import Judgement
from router.telemetry import semconv
from router.telemetry.metrics import Metrics
from router.telemetry.tracing import Span

GUARD_HEADER = "x-trident-guard"
FLAGS_HEADER = "x-trident-guard-flags"
UNSEEN_HEADER = "x-trident-guard-unseen"
SCORE_HEADER = "x-trident-guard-score"


def report(
    judgements: Sequence[Judgement],
    context: RequestContext,
    metrics: Metrics,
    direction: Literal["input", "output"],
) -> None:
    """Count every verdict, keep it in ``context``, and say in headers what was only noted or could not be read."""
    for judgement in judgements:
        policy, finding = judgement.guard.policy, judgement.finding
        metrics.guard_judged(policy.name, judgement.outcome)
        context.verdicts.append(
            Verdict(policy.name, direction, judgement.outcome, finding.label, finding.score, judgement.unseen)
        )
        if judgement.outcome in ("unavailable", "allowed_unchecked"):
            metrics.degraded("guardrail")
        if judgement.outcome == "allowed_unchecked" and not policy.shadow and "guardrail" not in context.degraded:
            context.degraded.append("guardrail")
        if judgement.outcome in ("annotate", "redact", "route"):
            _add(context, FLAGS_HEADER, f"{policy.name}={_header_safe(finding.label or '')}")
        if judgement.outcome in ("annotate", "block", "redact", "route") and policy.reveal_score:
            _add(context, SCORE_HEADER, f"{policy.name}={finding.score:.4f}")
        if not policy.shadow:
            for kind in judgement.unseen:
                _add(context, UNSEEN_HEADER, kind)


def trace(judgements: Sequence[Judgement], parent: Span, *, since_ns: int) -> None:
    """A span for each guard on an answer, over all of it: its windows may be more than a trace has room for."""
    for judgement in judgements:
        name, finding = judgement.guard.policy.name, judgement.finding
        span = parent.child(f"{semconv.GUARDRAIL_SPAN} {name}", "internal", {semconv.GUARD: name})
        span.started_ns = since_ns
        span.set(semconv.DIRECTION, "output")
        span.set(semconv.OUTCOME, judgement.outcome)
        if finding.label is not None:
            span.set(semconv.GUARD_LABEL, finding.label)
            span.set(semconv.GUARD_SCORE, round(finding.score, 6))
        if judgement.outcome in ("unavailable", "allowed_unchecked"):
            span.fail("unavailable")
        span.end()


def refusal(judgement: Judgement, context: RequestContext) -> LocalReply:
    """What the client of a blocked request or answer gets. Raises ``ContentBlocked`` where that is an error."""
    policy = judgement.guard.policy
    context.response_headers[GUARD_HEADER] = policy.name
    if policy.on_block == "error":
        raise ContentBlocked(f"{policy.message} (Blocked by the guard '{policy.name}'.)")
    return LocalReply(policy.message, policy.name)


def _add(context: RequestContext, header: str, value: str) -> None:
    said = context.response_headers.get(header)
    if said is None or value not in said.split(", "):
        context.response_headers[header] = value if said is None else f"{said}, {value}"


def _header_safe(label: str) -> str:
    """A model's label, which may have characters that no header can carry."""
    return "".join([char if char.isascii() and char.isprintable() and char != "," else "_" for char in label])

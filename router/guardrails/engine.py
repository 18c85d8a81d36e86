"""Guards judge: all at the same time, those on one model in one batch, and a model that is gone is a verdict."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from router.aio import timeout
from router.errors import GatewayError
from router.guardrails.checks import Check, Finding
from router.guardrails.policy import GuardPolicy
from router.guardrails.scores import ScoredModel, Scores
from router.guardrails.texts import Subject
from router.telemetry import semconv
from router.telemetry.metrics import GuardOutcome
from router.telemetry.tracing import current_span

logger = logging.getLogger(__name__)

_CHARS_PER_S = 10_000.0  # what a classifier on one busy core reads, the time that long texts get on top


@dataclass(frozen=True, slots=True)
class Guard:
    """What to look for, and what to do about it."""

    policy: GuardPolicy
    check: Check


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a guard says about one subject."""

    guard: Guard
    outcome: GuardOutcome
    finding: Finding = field(default_factory=Finding)
    unseen: tuple[str, ...] = ()


async def judge(
    guards: Sequence[Guard], subject_of: Callable[[Guard], Subject], *, timeout_s: float
) -> list[Judgement]:
    """What each of ``guards`` says, in their order. Never fails: see ``GuardPolicy.on_error``."""
    subjects = [subject_of(guard) for guard in guards]
    texts: dict[ScoredModel, dict[str, None]] = {}
    waits: dict[ScoredModel, float] = {}
    limits = []
    for guard, subject in zip(guards, subjects, strict=True):
        wanted = [passage.text for passage in subject.passages] if guard.check.model is not None else []
        limit = min(timeout_s, guard.policy.timeout_s + sum(map(len, wanted)) / _CHARS_PER_S)
        limits.append(limit)
        if guard.check.model is not None and wanted:
            texts.setdefault(guard.check.model, {}).update(dict.fromkeys(wanted))
            waits[guard.check.model] = max(limit, waits.get(guard.check.model, 0.0))
    batches = {
        model: asyncio.ensure_future(model.scores(wanted, timeout_s=waits[model])) for model, wanted in texts.items()
    }
    try:
        return list(
            await asyncio.gather(
                *(
                    _judge(guard, subject, batches.get(guard.check.model) if guard.check.model else None, limit)
                    for guard, subject, limit in zip(guards, subjects, limits, strict=True)
                )
            )
        )
    finally:
        for batch in batches.values():
            if not batch.done():
                batch.cancel()
            elif not batch.cancelled():
                batch.exception()  # every guard that waited for it has said so


async def judge_one(guard: Guard, subject: Subject, *, timeout_s: float) -> Judgement:
    """What one guard says."""
    [judgement] = await judge([guard], lambda _: subject, timeout_s=timeout_s)
    return judgement


async def _judge(
    guard: Guard, subject: Subject, batch: asyncio.Future[Mapping[str, Sequence[Scores]]] | None, timeout_s: float
) -> Judgement:
    name = guard.policy.name
    with current_span().child(f"{semconv.GUARDRAIL_SPAN} {name}", "internal", {semconv.GUARD: name}) as span:
        try:
            async with timeout(timeout_s):
                # Shielded: the others on this model may have more time.
                scores = {} if batch is None else await asyncio.shield(batch)
                finding = await guard.check.find(subject, scores, timeout_s=timeout_s)
        except (GatewayError, asyncio.TimeoutError, TimeoutError) as exc:
            judgement = _unavailable(guard, exc)
            span.fail("unavailable")
        else:
            judgement = _judgement(guard, subject, finding)
            if finding.label is not None:
                span.set(semconv.GUARD_LABEL, finding.label)
                span.set(semconv.GUARD_SCORE, round(finding.score, 6))
        span.set(semconv.OUTCOME, judgement.outcome)
        return judgement


def _judgement(guard: Guard, subject: Subject, finding: Finding) -> Judgement:
    policy = guard.policy
    outcome: GuardOutcome = "pass"
    if finding.hits:
        outcome = "shadow" if policy.shadow else policy.action
    elif subject.unseen and policy.unseen == "deny":
        finding = Finding("unseen", 1.0)
        outcome = "shadow" if policy.shadow else "block"
    elif subject.unseen and guard.check.model is not None:
        outcome = "unseen"
    return Judgement(guard, outcome, finding, subject.unseen)


def _unavailable(guard: Guard, exc: BaseException) -> Judgement:
    policy = guard.policy
    allowed = policy.shadow or policy.on_error == "allow"
    outcome: GuardOutcome = "allowed_unchecked" if allowed else "unavailable"
    logger.warning(
        "guard unavailable",
        extra={"guard": policy.name, "outcome": outcome, "cause": repr(exc.__cause__ or exc)},
    )
    return Judgement(guard, outcome)

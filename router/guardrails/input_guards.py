"""The guards on a request: refuse it, change it, send it elsewhere, or let it pass with a note."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from router.context import LocalReply, RequestContext
from router.dialects.canonical import ChatRequest
from router.errors import GuardrailUnavailable, PayloadTooLarge
from router.guardrails.engine import Guard, Judgement, judge, judge_one
from router.guardrails.redaction import finding_bad, message_texts, redacted_texts, with_replacements
from router.guardrails.reporting import refusal, report
from router.guardrails.texts import Passage, RequestTexts, Subject
from router.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Passed:
    """A request that may go on: as it came, or with something redacted; ``target`` is where a guard sends it."""

    request: ChatRequest
    target: str | None = None


class InputGuards:
    """All guards on the requests of one listener; ``max_chars`` is what they read of one request at most."""

    def __init__(self, guards: Sequence[Guard], metrics: Metrics, *, max_chars: int) -> None:
        self._guards = tuple(guards)
        self._metrics = metrics
        self._max_chars = max_chars

    def __bool__(self) -> bool:
        return bool(self._guards)

    async def rule(self, request: ChatRequest, context: RequestContext) -> Passed | LocalReply:
        """What becomes of ``request``. The first guard in order that blocks has the word, before any that is gone.

        Raises ``ContentBlocked`` for a guard that blocks with an error, ``GuardrailUnavailable`` when a guard is gone
        and fail-closed, and ``PayloadTooLarge`` when there is more text than the guards may read.
        """
        if not self._guards:
            return Passed(request)
        judgements = await self._judged(request, context.remaining_s())
        passed = Passed(request, next((_target(each) for each in judgements if each.outcome == "route"), None))
        if not any(each.outcome in ("block", "unavailable") for each in judgements):
            for position, judgement in enumerate(judgements):
                if judgement.outcome == "redact":
                    redacted = await _redacted(passed.request, judgement, context.remaining_s())
                    if redacted is None:
                        judgements[position] = Judgement(judgement.guard, "block", judgement.finding, judgement.unseen)
                    else:
                        passed = Passed(redacted, passed.target)
        report(judgements, context, self._metrics, "input")
        for judgement in judgements:
            if judgement.outcome == "block":
                return refusal(judgement, context)
        for judgement in judgements:
            if judgement.outcome == "unavailable":
                name = judgement.guard.policy.name
                raise GuardrailUnavailable(f"The '{name}' check is not available; nothing was passed on.")
        return passed

    async def _judged(self, request: ChatRequest, timeout_s: float) -> list[Judgement]:
        texts = RequestTexts(request)

        def subject(guard: Guard) -> Subject:
            return texts.subject(guard.policy.scope)

        readable = [guard for guard in self._guards if self._can_read(guard, subject(guard))]
        judged = await judge(readable, subject, timeout_s=timeout_s)
        if len(readable) == len(self._guards):
            return judged
        outcomes = {each.guard: each for each in judged}
        if all(each.outcome != "block" for each in judged):
            self._refuse_unread([guard for guard in self._guards if guard not in outcomes])
        return [outcomes.get(guard) or Judgement(guard, "allowed_unchecked") for guard in self._guards]

    def _can_read(self, guard: Guard, subject: Subject) -> bool:
        return guard.check.model is None or subject.chars <= self._max_chars

    def _refuse_unread(self, guards: Sequence[Guard]) -> None:
        """Whatever a guard's failure policy: this is a request's doing, and nothing that passes."""
        if any(guard.policy.acts for guard in guards):
            raise PayloadTooLarge(
                f"The conversation has more than {self._max_chars} characters for the guards to read "
                "(limits.max_guard_chars).",
                param="messages",
            )


def _target(judgement: Judgement) -> str | None:
    return judgement.guard.policy.route


async def _redacted(request: ChatRequest, judgement: Judgement, timeout_s: float) -> ChatRequest | None:
    """``request`` without what a guard found in it; ``None`` where it cannot be taken out, or nobody can say."""
    guard, deadline = judgement.guard, time.monotonic() + timeout_s
    hits: Sequence[Passage] = judgement.finding.hits
    for whole in (False, True):
        messages = sorted({index for passage in hits for index in passage.messages})
        texts = dict.fromkeys(text for index in messages for text in message_texts(request.messages[index]))
        placeholder = guard.policy.placeholder
        if whole:
            replaced = {text: placeholder for text in texts if text.strip()}
        else:
            replaced = await redacted_texts(texts, finding_bad(guard, deadline), placeholder)
        request = with_replacements(request, messages, replaced)
        again = await judge_one(
            guard, RequestTexts(request).subject(guard.policy.scope), timeout_s=deadline - time.monotonic()
        )
        if again.outcome in ("pass", "unseen"):
            return request
        hits = again.finding.hits
    return None

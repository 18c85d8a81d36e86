"""Whether a request may go anywhere at all: the guard's verdict, and what a refused client reads."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from router.context import LocalReply, RequestContext
from router.dialects.canonical import ChatRequest
from router.errors import GuardrailUnavailable
from router.guardrails import Guard, judged_texts
from router.handlers.local_answer import text_reply
from router.handlers.reply import Reply

GUARD_HEADER = "x-trident-guard"

_Decision = TypeVar("_Decision")


class Admission:
    """The input guard of a listener; without one, everything is admitted."""

    def __init__(self, guard: Guard | None, *, max_chars: int) -> None:
        self._guard = guard
        self._max_chars = max_chars

    async def admit_while(
        self, request: ChatRequest, context: RequestContext, deciding: Coroutine[Any, Any, _Decision]
    ) -> _Decision | LocalReply:
        """Ask the guard and decide at the same time: the decision where the request may pass, else the refusal.

        Raises what ``admit`` and ``deciding`` raise; a decision that nobody waits for any more is cancelled.
        """
        if self._guard is None:
            return await deciding
        task = asyncio.ensure_future(deciding)
        try:
            refusal = await self.admit(request, context)
            return await task if refusal is None else refusal
        finally:
            if not task.done():
                task.cancel()
            elif not task.cancelled():
                task.exception()  # the guard's word counts; what went wrong beside it is nobody's concern

    async def admit(self, request: ChatRequest, context: RequestContext) -> LocalReply | None:
        """``None`` when the request may pass, else the refusal.

        Raises ``GuardrailUnavailable`` when the guard is gone and fail-closed, ``PayloadTooLarge`` when there is more
        text than it can read. A guard that is gone but lets requests pass is noted in ``context.degraded``.
        """
        if self._guard is None:
            return None
        texts = judged_texts(request.messages, max_chars=self._max_chars)
        verdict = await self._guard.judge(texts, timeout_s=context.remaining_s())
        if verdict.outcome == "block":
            return LocalReply(self._guard.policy.message, verdict.guard)
        if verdict.outcome == "unavailable":
            raise GuardrailUnavailable(f"The '{verdict.guard}' check is not available; nothing was passed on.")
        if verdict.outcome == "allowed_unchecked":
            context.degraded.append("guardrail")
        return None


def refusal_reply(request: ChatRequest, refusal: LocalReply) -> Reply:
    """A refusal as an ordinary answer, which every client can show, with the finish reason ``content_filter``."""
    return text_reply(request, refusal.message, {GUARD_HEADER: refusal.guard}, finish_reason="content_filter")

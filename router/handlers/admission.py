"""Whether a request may go anywhere at all: the guards' word, what a refused client reads, who judges the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from router.context import LocalReply, RequestContext
from router.dialects.canonical import ChatRequest
from router.guardrails import GUARD_HEADER, InputGuards, OutputGuards, Passed
from router.handlers.local_answer import text_reply
from router.handlers.reply import Reply

_Decision = TypeVar("_Decision")

# Decides who answers a request: the agent or model of this name, where a guard sends it there.
Decide: TypeAlias = Callable[[ChatRequest, str | None], Coroutine[Any, Any, _Decision]]


@dataclass(frozen=True, slots=True)
class Admitted(Generic[_Decision]):
    """A request that may go on, as the guards leave it, and the decision about it."""

    request: ChatRequest
    decision: _Decision


class Admission:
    """The guards of a listener; without any, everything is admitted."""

    def __init__(self, guards: InputGuards | None = None, answers: OutputGuards | None = None) -> None:
        self._guards = guards or None
        self._answers = answers

    async def admit_while(
        self, request: ChatRequest, context: RequestContext, decide: Decide[_Decision]
    ) -> Admitted[_Decision] | LocalReply:
        """Ask the guards and decide at the same time: the decision where the request may pass, else the refusal.

        Where a guard changes the request or sends it elsewhere, it is decided again. Sets ``context.answer_transform``
        where answers are judged. Raises what ``admit`` and ``decide`` raise; a decision that nobody waits for any more
        is cancelled.
        """
        if self._guards is None:
            self._watch_answer(request, context)
            return Admitted(request, await decide(request, None))
        task = asyncio.ensure_future(decide(request, None))
        try:
            ruling = await self.admit(request, context)
            if isinstance(ruling, LocalReply):
                return ruling
            self._watch_answer(ruling.request, context)
            if ruling.request is request and ruling.target is None:
                return Admitted(request, await task)
        finally:
            if not task.done():
                task.cancel()
            elif not task.cancelled():
                task.exception()  # the guards' word counts; what went wrong beside it is nobody's concern
        return Admitted(ruling.request, await decide(ruling.request, ruling.target))

    async def admit(self, request: ChatRequest, context: RequestContext) -> Passed | LocalReply:
        """What the guards say (``InputGuards.rule``). A guard that is gone but lets requests pass is noted in
        ``context.degraded``.
        """
        return Passed(request) if self._guards is None else await self._guards.rule(request, context)

    def _watch_answer(self, request: ChatRequest, context: RequestContext) -> None:
        if self._answers is not None:
            context.answer_transform = self._answers.transform(request, context)


def refusal_reply(request: ChatRequest, refusal: LocalReply) -> Reply:
    """A refusal as an ordinary answer, which every client can show, with the finish reason ``content_filter``."""
    return text_reply(request, refusal.message, {GUARD_HEADER: refusal.guard}, finish_reason="content_filter")

"""Whether a request may go anywhere at all: filters, guards, what a refused client reads, who judges the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from router.context import AnswerTransform, LocalReply, RequestContext
from router.dialects.canonical import ChatRequest, Message, chunks_of, message_text
from router.filters.chain import FilterChain
from router.guardrails import GUARD_HEADER, InputGuards, OutputGuards, Passed
from router.handlers.filtered_agent import assembled, one_batch, through
from router.handlers.local_answer import local_reply, text_reply
from router.handlers.reply import Reply
from router.telemetry import semconv

_Decision = TypeVar("_Decision")

# Decides who answers a request: the agent or model of this name, where a guard sends it there.
Decide: TypeAlias = Callable[[ChatRequest, str | None], Coroutine[Any, Any, _Decision]]


@dataclass(frozen=True, slots=True)
class Admitted(Generic[_Decision]):
    """A request that may go on, as the guards leave it, and the decision about it."""

    request: ChatRequest
    decision: _Decision


class Admission:
    """The filters and guards of a listener; without any, everything is admitted.

    Filters come first, since they may change what is said; guards judge what is left of it. Answers pass the filters,
    then the guards: these have the last word on what a client reads. ``guards_first``: whoever decides is a provider's
    model, which may read no more of a request than the guards let pass.
    """

    def __init__(
        self,
        guards: InputGuards | None = None,
        answers: OutputGuards | None = None,
        filters: FilterChain | None = None,
        *,
        guards_first: bool = False,
    ) -> None:
        self._guards_first = guards_first
        self._guards = guards or None
        self._answers = answers
        self._filters = filters or None

    def __bool__(self) -> bool:
        """Whether anybody looks at requests."""
        return self._guards is not None or self.filters

    @property
    def filters(self) -> bool:
        """Whether filters do."""
        return self._filters is not None

    async def filtered(self, request: ChatRequest, context: RequestContext) -> ChatRequest | Reply:
        """``request`` as the filters let it through, or the answer that one of them gives.

        What is looked at here is what goes out: the bytes that came are not, since a name that stands in them twice may
        mean one thing to us and another to whoever gets them. Raises ``FilterRejected`` and ``FilterUnavailable``.
        """
        if self._guards is None and self._filters is None:
            return request
        request = request.replace()
        if self._filters is None:
            return request
        outcome = await self._filters.apply_request(request, context)
        if isinstance(outcome, ChatRequest):
            return outcome
        self._watch_answer(request, context)
        whole = await assembled(through(one_batch(chunks_of(outcome.completion)), context.answer_transform))
        return local_reply(request, whole, {})

    async def admit_while(
        self, request: ChatRequest, context: RequestContext, decide: Decide[_Decision]
    ) -> Admitted[_Decision] | LocalReply:
        """Ask the guards and decide at the same time: the decision where the request may pass, else the refusal.

        With ``guards_first`` it is decided when the guards have spoken, else decided again where a guard changes the
        request or sends it elsewhere. Sets ``context.answer_transform`` where answers are judged. Raises what ``admit``
        and ``decide`` raise; a decision that nobody waits for any more is cancelled.
        """
        if self._guards is None:
            self._watch_answer(request, context)
            return Admitted(request, await decide(request, None))
        if self._guards_first:
            ruling = await self.admit(request, context)
            if isinstance(ruling, LocalReply):
                return ruling
            self._watch_answer(ruling.request, context)
            return Admitted(ruling.request, await decide(ruling.request, ruling.target))
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
        if self._guards is None:
            return Passed(request)
        with context.span.child(semconv.GUARDRAILS_SPAN, attributes={semconv.DIRECTION: "input"}):
            return await self._guards.rule(request, context)

    async def judged_result(self, text: str, context: RequestContext) -> str | LocalReply:
        """What the gateway has looked up for a model, as the guards that read the results of tools leave it, or the
        refusal. Raises what ``admit`` raises.
        """
        if self._guards is None:
            return text
        result: Message = {"role": "tool", "content": text}
        ruling = await self.admit(ChatRequest({"messages": [result]}), context)
        return ruling if isinstance(ruling, LocalReply) else message_text(ruling.request.messages[0])

    def _watch_answer(self, request: ChatRequest, context: RequestContext) -> None:
        filtering = None if self._filters is None else self._filters.transform(request, context)
        judging = None if self._answers is None else self._answers.transform(request, context)
        context.answer_transform = _in_turn(filtering, judging)


def _in_turn(first: AnswerTransform | None, then: AnswerTransform | None) -> AnswerTransform | None:
    if first is None or then is None:
        return first or then
    return lambda batches: then(first(batches))


def refusal_reply(request: ChatRequest, refusal: LocalReply) -> Reply:
    """A refusal as an ordinary answer, which every client can show, with the finish reason ``content_filter``."""
    return text_reply(request, refusal.message, {GUARD_HEADER: refusal.guard}, finish_reason="content_filter")

"""``guardrail``: a guard as a filter, in its place in a chain, for the listeners and agents that name it."""

from __future__ import annotations

from router.context import LocalReply, RequestContext
from router.dialects.canonical import ChatRequest, JsonObject, completion
from router.errors import PayloadTooLarge
from router.filters.base import AnswerFilter, AnswerOutcome, Blocked, LocalAnswer, Rejection, RequestOutcome
from router.guardrails import Guard, InputGuards, OutputGuards
from router.guardrails.guarded_answer import GuardedAnswer
from router.telemetry.metrics import Metrics


class GuardrailFilter:
    """``guard`` decides about requests among ``input_filters`` and about answers among ``output_filters``.

    It has to be one that blocks with an answer, redacts or annotates. While its model is gone it raises
    ``GuardrailUnavailable``, so that what happens then is for the filter's policy to say.
    """

    def __init__(self, guard: Guard, metrics: Metrics, *, max_chars: int) -> None:
        self.name = guard.policy.name
        self._requests = InputGuards([guard], metrics, max_chars=max_chars)
        self._answers = OutputGuards([guard], metrics)

    async def on_request(self, request: ChatRequest, context: RequestContext) -> RequestOutcome:
        """The request, perhaps redacted, or the guard's refusal as an answer."""
        try:
            ruling = await self._requests.rule(request, context)
        except PayloadTooLarge as exc:
            return Rejection(exc.message, exc.status)
        if isinstance(ruling, LocalReply):
            said = completion({"content": ruling.message}, model=request.model or "", finish_reason="content_filter")
            return LocalAnswer(said)
        return ruling.request

    def answer_filter(self, request: ChatRequest, context: RequestContext) -> AnswerFilter | None:
        """Who judges one answer."""
        return _GuardedAnswer(self._answers, self._answers.answer(request, context), context)


class _GuardedAnswer:
    """An answer filter: window by window, each held until it was judged."""

    def __init__(self, guards: OutputGuards, answer: GuardedAnswer, context: RequestContext) -> None:
        self._guards = guards
        self._answer = answer
        self._context = context
        self._held: list[JsonObject] = []

    async def feed(self, chunks: list[JsonObject]) -> AnswerOutcome:
        """What has been judged now."""
        self._held += chunks
        self._answer.windows.add(chunks)
        return await self._judged() if self._answer.windows.ready else []

    async def finish(self) -> AnswerOutcome:
        """The last window."""
        outcome = await self._judged() if self._answer.windows.pending else []
        if not isinstance(outcome, Blocked):
            self._guards.report(self._answer, self._context)
        return outcome

    def held(self) -> list[JsonObject]:
        held, self._held = self._held, []
        return held

    async def _judged(self) -> AnswerOutcome:
        ruled = await self._answer.ruled()
        self._held = []
        if isinstance(ruled, LocalReply):
            self._guards.report(self._answer, self._context)
            return Blocked(ruled.message)
        return ruled

"""The guards on an answer: nothing of it goes out before it was judged, and what is bad never does.

While one window is judged the next is read, so that an answer keeps its pace as long as judging a window takes less
time than reading one; all that came meanwhile is the next window.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from router.aio import timeout
from router.context import AnswerTransform, LocalReply, RequestContext
from router.dialects.canonical import ChatRequest, JsonObject
from router.errors import GatewayError
from router.guardrails.engine import Guard
from router.guardrails.guarded_answer import GuardedAnswer
from router.guardrails.policy import Windowing
from router.guardrails.read_ahead import ReadAhead
from router.guardrails.reporting import report, trace
from router.guardrails.windows import Windows
from router.telemetry.metrics import Metrics


class OutputGuards:
    """All guards on the answers of one listener."""

    def __init__(self, guards: Sequence[Guard], metrics: Metrics) -> None:
        self._guards = tuple(guards)
        self._metrics = metrics
        ways = [guard.policy.windowing for guard in guards]
        self._windowing = Windowing(
            "sentence" if any(way.at == "sentence" for way in ways) else "chars",
            min((way.window_chars for way in ways), default=200),
            min((way.max_wait_s for way in ways), default=1.0),
        )

    def __bool__(self) -> bool:
        return bool(self._guards)

    def transform(self, request: ChatRequest, context: RequestContext) -> AnswerTransform | None:
        """What ``context.answer_transform`` is to be for the answer to ``request``; ``None`` without guards.

        A blocked answer ends with the guard's message and the finish reason ``content_filter``; a whole one is that and
        nothing else. Raises within the stream ``ContentBlocked`` for a guard that blocks with an error,
        ``GuardrailUnavailable`` when a guard is gone and fail-closed, and whatever the answer raises, with nothing
        unjudged before it.
        """
        if not self._guards:
            return None

        async def transformed(
            batches: AsyncGenerator[list[JsonObject], None],
        ) -> AsyncGenerator[list[JsonObject], None]:
            answer = self.answer(request, context)
            holding = not request.stream or any(guard.policy.acts for guard in self._guards)
            chunks = _held(answer, batches, self._windowing.max_wait_s) if holding else _watched(answer, batches)
            try:
                async with aclosing(chunks):
                    async for batch in chunks:
                        yield batch
            finally:
                self.report(answer, context)

        return transformed

    def answer(self, request: ChatRequest, context: RequestContext) -> GuardedAnswer:
        """The state of one answer to ``request``, for whoever brings its chunks."""
        return GuardedAnswer(self._guards, Windows(self._windowing, whole=not request.stream), context)

    def report(self, answer: GuardedAnswer, context: RequestContext) -> None:
        """Say what became of an answer, once, at its end."""
        report(answer.judgements, context, self._metrics, "output")
        if context.span.recording:
            trace(answer.judgements, context.span, since_ns=answer.since_ns)


async def _held(
    answer: GuardedAnswer, batches: AsyncGenerator[list[JsonObject], None], max_wait_s: float
) -> AsyncGenerator[list[JsonObject], None]:
    """What may go out of the answer, window by window."""
    windows = answer.windows
    async with ReadAhead(batches) as ahead:
        ended = False
        while not ended:
            failure: GatewayError | None = None
            deadline: float | None = None
            while not (windows.ready or ended):
                try:
                    async with timeout(None if deadline is None else max(0.0, deadline - time.monotonic())):
                        chunks = await ahead.chunks()
                except (asyncio.TimeoutError, TimeoutError):
                    break
                except GatewayError as exc:
                    failure, chunks = exc, []
                ended = not chunks
                windows.add(chunks)
                if windows.pending and deadline is None and not windows.whole:
                    deadline = time.monotonic() + max_wait_s
            if failure is not None and not answer.begun:
                raise failure  # nothing has gone out: another upstream may do better
            if windows.pending:
                ruled = await answer.ruled()
                if isinstance(ruled, LocalReply):
                    yield answer.ending(ruled)
                    return
                yield ruled
            if failure is not None:
                raise failure


async def _watched(
    answer: GuardedAnswer, batches: AsyncGenerator[list[JsonObject], None]
) -> AsyncGenerator[list[JsonObject], None]:
    """The answer at once, judged beside it: for guards that only take notes."""
    windows = answer.windows
    judging: asyncio.Task[None] | None = None
    try:
        async with aclosing(batches):
            async for batch in batches:
                yield batch
                windows.add(batch)
                if windows.ready and (judging is None or judging.done()):
                    judging = asyncio.create_task(answer.note(windows.take()), name="note verdicts")
        if judging is not None:
            await judging
        if windows.pending:
            await answer.note(windows.take())
    finally:
        if judging is not None:
            judging.cancel()
            await asyncio.gather(judging, return_exceptions=True)

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
from router.dialects.canonical import ChatRequest, JsonObject, Usage, chunk, chunk_base, usage_chunk
from router.errors import GatewayError, GuardrailUnavailable
from router.guardrails.engine import Guard, Judgement, judge, judge_one
from router.guardrails.policy import Windowing
from router.guardrails.read_ahead import ReadAhead
from router.guardrails.redaction import finding_bad, redacted_texts
from router.guardrails.reporting import refusal, report
from router.guardrails.windows import Window, Windows
from router.telemetry.metrics import GuardOutcome, Metrics

# From what is least to what is most of a verdict.
_GRAVITY: tuple[GuardOutcome, ...] = (
    *("pass", "unseen", "shadow", "allowed_unchecked", "annotate", "route", "redact", "unavailable", "block"),
)


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
            answer = _GuardedAnswer(self._guards, Windows(self._windowing, whole=not request.stream), context)
            holding = not request.stream or any(guard.policy.acts for guard in self._guards)
            chunks = answer.held(batches, self._windowing.max_wait_s) if holding else answer.watched(batches)
            try:
                async with aclosing(chunks):
                    async for batch in chunks:
                        yield batch
            finally:
                report(answer.judgements, context, self._metrics, "output")

        return transformed


class _GuardedAnswer:
    """One answer; ``judgements`` is the gravest of each guard so far."""

    def __init__(self, guards: Sequence[Guard], windows: Windows, context: RequestContext) -> None:
        self._guards = guards
        self._windows = windows
        self._context = context
        self._gravest: dict[Guard, Judgement] = {}
        self._last: JsonObject | None = None

    @property
    def judgements(self) -> list[Judgement]:
        return list(self._gravest.values())

    async def held(
        self, batches: AsyncGenerator[list[JsonObject], None], max_wait_s: float
    ) -> AsyncGenerator[list[JsonObject], None]:
        """What may go out of the answer, window by window."""
        windows = self._windows
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
                if failure is not None and self._last is None:
                    raise failure  # nothing has gone out: another upstream may do better
                if windows.pending:
                    window = await self._ruled(windows.take())
                    if isinstance(window, LocalReply):
                        yield self._ending(window)
                        return
                    self._last = window.chunks[-1]
                    yield list(window.chunks)
                if failure is not None:
                    raise failure

    async def watched(self, batches: AsyncGenerator[list[JsonObject], None]) -> AsyncGenerator[list[JsonObject], None]:
        """The answer at once, judged beside it: for guards that only take notes."""
        windows = self._windows
        judging: asyncio.Task[None] | None = None
        try:
            async with aclosing(batches):
                async for batch in batches:
                    yield batch
                    windows.add(batch)
                    if windows.ready and (judging is None or judging.done()):
                        judging = asyncio.create_task(self._note(windows.take()), name="note verdicts")
            if judging is not None:
                await judging
            if windows.pending:
                await self._note(windows.take())
        finally:
            if judging is not None:
                judging.cancel()
                await asyncio.gather(judging, return_exceptions=True)

    async def _note(self, window: Window) -> None:
        self._keep(await self._judged(window))

    async def _ruled(self, window: Window) -> Window | LocalReply:
        """``window`` as it may go out, or what is said instead of it."""
        judgements = await self._judged(window)
        blocked = any(judgement.outcome in ("block", "unavailable") for judgement in judgements)
        for position, judgement in enumerate(judgements):
            if judgement.outcome == "redact" and not blocked:
                redacted = await self._redacted(window, judgement)
                if redacted is None:
                    judgements[position] = Judgement(judgement.guard, "block", judgement.finding)
                else:
                    window = redacted
                    self._windows.correct(window)
        self._keep(judgements)
        for judgement in judgements:
            if judgement.outcome == "block":
                headers = dict(self._context.response_headers)
                said = refusal(judgement, self._context)
                if self._last is not None:
                    self._context.response_headers.clear()
                    self._context.response_headers.update(headers)
                return said
        for judgement in judgements:
            if judgement.outcome == "unavailable":
                name = judgement.guard.policy.name
                raise GuardrailUnavailable(f"The '{name}' check is not available; the answer was not passed on.")
        return window

    async def _judged(self, window: Window) -> list[Judgement]:
        subject = window.subject
        return await judge(self._guards, lambda _: subject, timeout_s=self._context.remaining_s())

    def _keep(self, judgements: Sequence[Judgement]) -> None:
        for judgement in judgements:
            known = self._gravest.get(judgement.guard)
            if known is None or _gravity(judgement) > _gravity(known):
                self._gravest[judgement.guard] = judgement

    async def _redacted(self, window: Window, judgement: Judgement) -> Window | None:
        """``window`` without what a guard found in it; ``None`` where it is in what cannot be replaced."""
        guard = judgement.guard
        placeholder = guard.policy.placeholder
        find_bad = finding_bad(guard, time.monotonic() + self._context.remaining_s())
        for whole in (False, True):
            channels = window.hit_channels(judgement.finding.hits)
            if channels is None:
                return None
            found = [window.texts[channel] for channel in channels]
            replaced = {} if whole else await redacted_texts(found, find_bad, placeholder)
            # What is bad only together with what went before it goes as a whole.
            window = window.replaced(
                {channel: replaced.get(window.texts[channel], placeholder) for channel in channels}
            )
            judgement = await judge_one(guard, window.subject, timeout_s=self._context.remaining_s())
            if judgement.outcome in ("pass", "unseen"):
                return window
        return None

    def _ending(self, said: LocalReply) -> list[JsonObject]:
        """The refusal as the end of the answer, or all of it, with the tokens that were counted so far."""
        if self._last is None:
            base = chunk_base(self._context.attempts[-1].model if self._context.attempts else "")
            first = {"role": "assistant", "content": said.message}
        else:
            base = {name: self._last[name] for name in ("id", "object", "created", "model") if name in self._last}
            first = {"content": f"\n\n{said.message}"}
        ending = chunk({}, base=base, finish_reason="content_filter")
        return [chunk(first, base=base), ending, usage_chunk(self._context.usage or Usage(0, 0), base=base)]


def _gravity(judgement: Judgement) -> tuple[int, float]:
    return _GRAVITY.index(judgement.outcome), judgement.finding.score

"""One answer under guards: what may go out of each window of it, and how it ends where nothing more may."""

from __future__ import annotations

import time
from collections.abc import Sequence

from router.context import LocalReply, RequestContext
from router.dialects.canonical import JsonObject, Usage, chunk, chunk_base, usage_chunk
from router.errors import GuardrailUnavailable
from router.guardrails.engine import Guard, Judgement, judge, judge_one
from router.guardrails.redaction import finding_bad, redacted_texts
from router.guardrails.reporting import refusal
from router.guardrails.windows import Window, Windows
from router.telemetry.metrics import GuardOutcome

# From what is least to what is most of a verdict.
_GRAVITY: tuple[GuardOutcome, ...] = (
    *("pass", "unseen", "shadow", "allowed_unchecked", "annotate", "route", "redact", "unavailable", "block"),
)


class GuardedAnswer:
    """Feed ``windows``, then ask for what is ruled of it.

    ``judgements`` is the gravest of each guard so far; ``begun``: something has gone out. ``since_ns`` is when all
    of it began, since the epoch.
    """

    def __init__(self, guards: Sequence[Guard], windows: Windows, context: RequestContext) -> None:
        self.windows = windows
        self.since_ns = time.time_ns()
        self._guards = guards
        self._context = context
        self._gravest: dict[Guard, Judgement] = {}
        self._last: JsonObject | None = None

    @property
    def judgements(self) -> list[Judgement]:
        return list(self._gravest.values())

    @property
    def begun(self) -> bool:
        return self._last is not None

    async def ruled(self) -> list[JsonObject] | LocalReply:
        """What may go out of the chunks that ``windows`` holds, or what is said instead of them.

        Raises ``ContentBlocked`` for a guard that blocks with an error, and ``GuardrailUnavailable``.
        """
        window = await self._ruled(self.windows.take())
        if isinstance(window, LocalReply):
            return window
        self._last = window.chunks[-1]
        return list(window.chunks)

    async def note(self, window: Window) -> None:
        """Only remember what the guards say about ``window``."""
        self._keep(await self._judged(window))

    def ending(self, said: LocalReply) -> list[JsonObject]:
        """The refusal as the end of the answer, or all of it, with the tokens that were counted so far."""
        if self._last is None:
            base = chunk_base(self._context.attempts[-1].model if self._context.attempts else "")
            first = {"role": "assistant", "content": said.message}
        else:
            base = {name: self._last[name] for name in ("id", "object", "created", "model") if name in self._last}
            first = {"content": f"\n\n{said.message}"}
        ending = chunk({}, base=base, finish_reason="content_filter")
        return [chunk(first, base=base), ending, usage_chunk(self._context.usage or Usage(0, 0), base=base)]

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
                    self.windows.correct(window)
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


def _gravity(judgement: Judgement) -> tuple[int, float]:
    return _GRAVITY.index(judgement.outcome), judgement.finding.score

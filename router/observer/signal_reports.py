"""Signals of finished exchanges: counted, and said on the spans of their requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from router.observer.answers import Answer
from router.observer.request_spans import add_event
from router.observer.requests import Content
from router.observer.spans import FinishedSpan
from router.signals.exchange import Exchange
from router.signals.report import Signal, SignalReport
from router.telemetry import catalogue, semconv
from router.telemetry.instruments import OVERFLOW, Registry

Analysis: TypeAlias = Callable[[str, Exchange], Awaitable[SignalReport]]
"""Gets the key of a conversation and its newest exchange; keeps what it has to remember of the conversation."""


class SignalReports:
    """Has exchanges analysed, counts what is new, and says it on spans; snippets only where there is ``content``.

    While ``is_behind`` says so, exchanges are let go, and counted: spans, which cost a tenth, come first.
    """

    def __init__(
        self,
        analyse: Analysis,
        registry: Registry,
        content: Content | None = None,
        *,
        is_behind: Callable[[], bool] = lambda: False,
    ) -> None:
        self._analyse = analyse
        self._content = content
        self._is_behind = is_behind
        self._dropped = registry.sum(catalogue.TELEMETRY_DROPPED)
        self._signals = registry.sum(catalogue.SIGNALS)
        self._quality = registry.sum(catalogue.CONVERSATION_QUALITY)

    async def observe(self, exchange: Mapping[str, Any], answer: Answer | None, root: FinishedSpan | None) -> None:
        """Look at one exchange, as ``telemetry.frames`` has it; ``root`` is the span of its request."""
        if self._is_behind():
            self._dropped.add(1, "exchanges")
            return
        report = await self._analyse(str(exchange.get("key")), _exchange(exchange, answer))
        for signal in report.signals:
            self._signals.add(1, signal.type)
        listener = exchange.get("listener")
        self._quality.add(1, listener if isinstance(listener, str) else OVERFLOW, report.quality)
        if root is not None:
            await self._describe(root, report)

    async def _describe(self, root: FinishedSpan, report: SignalReport) -> None:
        attributes = root.attributes
        attributes[semconv.QUALITY] = report.quality
        attributes[semconv.CONVERSATION_SCORE] = report.score
        attributes[semconv.SIGNAL_COUNT] = len(report.signals)
        attributes[semconv.SIGNAL_SEVERITY] = max((group.severity for group in report.groups.values()), default=0)
        for name, group in report.groups.items():
            if group.count:
                attributes[f"{semconv.SIGNAL_PREFIX}.{name}.count"] = group.count
                attributes[f"{semconv.SIGNAL_PREFIX}.{name}.severity"] = group.severity
        snippets = await self._snippets(report.signals)
        for signal, snippet in zip(report.signals, snippets, strict=True):
            said: dict[str, Any] = {
                semconv.SIGNAL_TYPE: signal.type,
                semconv.SIGNAL_MESSAGE_INDEX: signal.message_index,
                semconv.SIGNAL_CONFIDENCE: round(signal.confidence, 3),
            }
            if snippet is not None:
                said[semconv.SIGNAL_SNIPPET] = snippet
            add_event(root, root.ended_ns, semconv.SIGNAL_EVENT, said)

    async def _snippets(self, signals: tuple[Signal, ...]) -> list[str | None]:
        if self._content is None or not signals:
            return [None] * len(signals)
        return list(await self._content.texts([signal.snippet for signal in signals]))


def _exchange(fields: Mapping[str, Any], answer: Answer | None) -> Exchange:
    messages, attempts, status, start = (fields.get(name) for name in ("messages", "attempts", "status", "start"))
    code = fields.get("error_code")
    return Exchange(
        start=start if isinstance(start, int) else 0,
        messages=messages if isinstance(messages, list) else [],
        answer=dict(answer.message) if answer is not None else None,
        status=status if isinstance(status, int) else 0,
        error_code=code if isinstance(code, str) else None,
        attempts=[str(attempt) for attempt in attempts] if isinstance(attempts, list) else [],
        finish_reason=answer.finish_reason if answer is not None else None,
    )

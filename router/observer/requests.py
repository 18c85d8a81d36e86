"""What is made of one finished request: its spans, completed with what its answer says, and its signals."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from router.observer.answers import Answer, read_answer, text_of, tool_calls
from router.observer.request_spans import add_event, answering_span, read_spans
from router.observer.spans import FinishedSpan, SpanTaker
from router.telemetry import semconv

logger = logging.getLogger(__name__)

_MAX_NAME_CHARS = 128


class Content(Protocol):
    """What was said, as it may be shown."""

    async def attributes(self, messages: Sequence[Mapping[str, Any]], answer: Answer | None) -> Mapping[str, str]:
        """Span attributes for the newest of ``messages`` and the answer."""

    async def texts(self, texts: Sequence[str]) -> list[str]:
        """``texts`` without what may not be shown."""


class SignalObserver(Protocol):
    """Looks for signals in exchanges."""

    async def observe(self, exchange: Mapping[str, Any], answer: Answer | None, root: FinishedSpan | None) -> None:
        """Look at one exchange; say what was found on the span of its request, where there is one."""


class RequestPipeline:
    """Turns ``request`` messages into spans for ``takers``. ``static`` attributes are on every span of ours.

    Without ``content`` nothing that was said gets into spans.
    """

    def __init__(
        self,
        takers: Sequence[SpanTaker],
        *,
        static: Mapping[str, str],
        service: str = "trident",
        content: Content | None = None,
        signals: SignalObserver | None = None,
    ) -> None:
        self._takers = tuple(takers)
        self._static = static
        self._service = service
        self._content = content
        self._signals = signals

    async def handle(self, message: Mapping[str, Any], answer: bytes) -> None:
        """Take one ``request`` message and the bytes of its answer."""
        spans = read_spans(message.get("trace"), self._static, self._service)
        exchange = message.get("exchange")
        said = _read(message, answer)
        messages = _messages(exchange)
        if spans:
            await self._complete(spans, messages, said, exchange)
        if self._signals is not None and isinstance(exchange, dict):
            await self._signals.observe(exchange, said, spans[0] if spans else None)
        if spans:
            for taker in self._takers:
                taker.take(spans)

    async def _complete(
        self, spans: Sequence[FinishedSpan], messages: list[Mapping[str, Any]], said: Answer | None, exchange: object
    ) -> None:
        """Say on the span of whoever answered what was asked and answered, and with which tools."""
        span = answering_span(spans)
        if span is None:
            return
        conversation = spans[0].attributes.get(semconv.CONVERSATION_ID)
        if conversation is not None:
            span.attributes.setdefault(semconv.CONVERSATION_ID, conversation)
        if said is not None:
            _describe(span, said)
        await self._note_results(span, messages)
        if said is not None:
            await self._note_calls(span, said)
        if self._content is not None:
            span.attributes.update(await self._content.attributes(messages, said))
            start = exchange.get("start") if isinstance(exchange, dict) else 0
            if start:
                span.attributes[semconv.CONVERSATION_START] = start

    async def _note_calls(self, span: FinishedSpan, said: Answer) -> None:
        calls = said.tool_calls
        shown = await self._shown([call.arguments for call in calls])
        for call, arguments in zip(calls, shown, strict=True):
            name = call.name[:_MAX_NAME_CHARS]
            attributes = {semconv.TOOL_NAME: name, semconv.TOOL_CALL_ID: call.call_id[:_MAX_NAME_CHARS]}
            if arguments is not None:
                attributes[semconv.TOOL_CALL_ARGUMENTS] = arguments
            add_event(span, span.ended_ns, f"{semconv.EXECUTE_TOOL} {name}", attributes)

    async def _note_results(self, span: FinishedSpan, messages: Sequence[Mapping[str, Any]]) -> None:
        """The results that came with this request: those behind the newest message of the assistant."""
        results, names = _newest_results(messages)
        shown = await self._shown([text_of(result) for result in results])
        for result, text in zip(results, shown, strict=True):
            call_id = str(result.get("tool_call_id") or "")[:_MAX_NAME_CHARS]
            attributes: dict[str, Any] = {semconv.TOOL_CALL_ID: call_id}
            if call_id in names:
                attributes[semconv.TOOL_NAME] = names[call_id][:_MAX_NAME_CHARS]
            if result.get("is_error") is True:
                attributes[semconv.ERROR_TYPE] = "tool_error"
            if text is not None:
                attributes[semconv.TOOL_CALL_RESULT] = text
            add_event(span, span.started_ns, semconv.TOOL_RESULT_EVENT, attributes)

    async def _shown(self, texts: Sequence[str]) -> Sequence[str | None]:
        if self._content is None or not texts:
            return [None] * len(texts)
        return await self._content.texts(texts)


def _read(message: Mapping[str, Any], data: bytes) -> Answer | None:
    try:
        return read_answer(message.get("dialect"), bool(message.get("stream")), data)
    except Exception:  # clients and providers write these bytes; spans and numbers are not theirs to take away
        logger.exception("answer not read")
        return None


def _messages(exchange: object) -> list[Mapping[str, Any]]:
    messages = exchange.get("messages") if isinstance(exchange, dict) else None
    return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []


def _describe(span: FinishedSpan, said: Answer) -> None:
    attributes = span.attributes
    if said.response_id is not None:
        attributes.setdefault(semconv.RESPONSE_ID, said.response_id)
    if said.model is not None:
        attributes.setdefault(semconv.RESPONSE_MODEL, said.model)
    if said.finish_reason is not None:
        attributes.setdefault(semconv.FINISH_REASONS, [said.finish_reason])


def _newest_results(messages: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], dict[str, str]]:
    """The tool messages at the end of ``messages``, and the names of tools by the ids of their calls."""
    results: list[Mapping[str, Any]] = []
    for message in reversed(messages):
        if message.get("role") == "assistant":
            return results[::-1], {call.call_id: call.name for call in tool_calls(message)}
        if message.get("role") == "tool":
            results.append(message)
    return results[::-1], {}

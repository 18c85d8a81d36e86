"""What is recorded of every request: its span, its numbers, and what the telemetry process gets to see of it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from router.context import RequestContext
from router.pricing import PriceTable
from router.telemetry import catalogue, frames, semconv
from router.telemetry.channel import Sink
from router.telemetry.metrics import Metrics
from router.telemetry.tracing import AttributeValue, Sampler
from router.upstream.span_attributes import usage_attributes

# Answers and messages that are larger are not looked at behind the request; their spans and numbers are.
MAX_ANSWER_BYTES = 256 * 1024
_MAX_MESSAGES_BYTES = 256 * 1024
_MAX_MESSAGES = 64
_MAX_TEXT_CHARS = 2048  # of each message where all of them are too large
_MAX_CONVERSATIONS = 10_000
_FEW_MESSAGES = 8
_SHORT_CHARS = 8192
_ROLE_AND_CONTENT = 2  # fields
_MAX_HEADER_CHARS = 256

_UNTRACED_PATHS = frozenset({"/healthz", "/readyz"})
_SERVER_ERROR = 500
# Attributes that mean what the gateway, or a convention, says; not what a client calls one of its headers.
_SAID_HERE = ("trident.", "gen_ai.", "http.", "url.", "error.", "rpc.", "service.")
_BROKEN_STREAM = "stream_broken"  # the status had gone out before
_CONVERSATION_HEADER = "x-model-affinity"


class Recorder(Protocol):
    """Who is told when a request begins, and when it is over."""

    @property
    def wants_answers(self) -> bool:
        """Whether the bytes of answers are looked at behind the request."""

    def begin(self, method: str, route: str | None, context: RequestContext) -> None:
        """A request for ``route`` is here, ``None`` where there is no such path. Sets ``context.span``."""

    def finish(self, context: RequestContext, outcome: Outcome) -> float | None:
        """A request is over; what it cost in USD, where that is known."""


class Outcome:
    """How a request ended: ``answer`` is what the client got, empty where it was too large or nobody looks at it."""

    __slots__ = ("answer", "answer_bytes", "duration_s", "first_byte_s", "route", "status", "stream")

    def __init__(self, route: str | None) -> None:
        self.route = route
        self.status = 0
        self.stream = False
        self.duration_s = 0.0
        self.first_byte_s: float | None = None
        self.answer: list[bytes] = []
        self.answer_bytes = 0

    def keep(self, data: bytes) -> None:
        """Keep a piece of the answer, as long as it is not too large."""
        self.answer_bytes += len(data)
        if self.answer_bytes <= MAX_ANSWER_BYTES:
            self.answer.append(data)
        elif self.answer:
            self.answer.clear()


@dataclass(frozen=True, slots=True)
class Recording:
    """What is recorded of requests.

    ``sampling`` is the share of them that is traced (0 to 1). With ``conversations``, they and their answers are handed
    to the telemetry process, each message once. With ``stream_usage`` the tokens of streams are counted, whoever relies
    on them. ``header_prefixes`` are those of request headers that become attributes of all spans: ``x-acme-`` makes
    ``tenant.id`` of ``x-acme-tenant-id``; ``headers`` are recorded as they are, on the request's own span.
    """

    sampling: float = 1.0
    conversations: bool = True
    stream_usage: bool = False
    header_prefixes: Sequence[str] = ()
    headers: Sequence[str] = ()


class RequestRecorder:
    """Records to ``metrics`` and, where there is one, to ``sink``."""

    def __init__(
        self, metrics: Metrics, prices: PriceTable, sink: Sink | None = None, recording: Recording | None = None
    ) -> None:
        recording = recording or Recording()
        self._metrics = metrics
        self._prices = prices
        self._sink = sink
        self._unsampled = Sampler(0.0)
        self._sampler = Sampler(recording.sampling if sink is not None else 0.0)
        self._conversations = recording.conversations and sink is not None
        self._stream_usage = recording.stream_usage
        self._header_prefixes = tuple(prefix.lower() for prefix in recording.header_prefixes)
        self._headers = tuple(recording.headers)
        self._seen: OrderedDict[str, int] = OrderedDict()
        self.wants_answers = sink is not None

    def begin(self, method: str, route: str | None, context: RequestContext) -> None:
        """See ``Recorder``."""
        self._metrics.request_started(context.listener)
        context.counts_usage = self._stream_usage
        if route in _UNTRACED_PATHS:
            return
        if self._sink is not None and not self._sink.wants():
            context.is_told_of = False
            context.span = self._unsampled.begin("", context.headers)
            return
        attributes: dict[str, AttributeValue] = {
            semconv.HTTP_METHOD: method,
            semconv.URL_PATH: context.path,
            semconv.LISTENER: context.listener,
            semconv.REQUEST_ID: context.request_id,
        }
        name = method
        if route is not None:
            attributes[semconv.HTTP_ROUTE] = route
            name = f"{method} {route}"
        context.span = self._sampler.begin(name, context.headers, attributes)

    def finish(self, context: RequestContext, outcome: Outcome) -> float | None:
        """See ``Recorder``."""
        cost_usd = self._count(context, outcome)
        if (
            self._sink is None
            or not context.is_told_of
            or (not context.span.recording and not (self._conversations and context.conversation))
        ):
            return cost_usd
        if context.span.recording:
            self._complete_span(context, outcome, cost_usd)
        message = {
            "type": "request",
            "trace": frames.trace_fields(context.span.trace) if context.span.recording else None,
            "exchange": self._told_exchange(context, outcome),
            "dialect": context.dialect,
            "stream": outcome.stream,
        }
        looked_at = bool(context.conversation) and outcome.status == 200
        self._sink.request(message, outcome.answer if looked_at else ())
        return cost_usd

    def _count(self, context: RequestContext, outcome: Outcome) -> float | None:
        metrics, usage = self._metrics, context.usage
        listener, duration_s = context.listener, outcome.duration_s
        metrics.request_finished(listener, outcome.status, outcome.route or "other", duration_s)
        if context.conversation:
            operation = semconv.CHAT if context.decision is None else semconv.INVOKE_AGENT
            metrics.turn_finished(operation, listener, duration_s, outcome.first_byte_s)
        if usage is None:
            return None
        model = context.attempts[-1].full_model if context.attempts else ""
        cost_usd = self._prices.cost_usd(model, usage) if model else None
        key = context.identity.name if context.identity is not None else ""
        metrics.used(listener, key, model, {"input": usage.input, "output": usage.output}, cost_usd)
        return cost_usd

    def _complete_span(self, context: RequestContext, outcome: Outcome, cost_usd: float | None) -> None:
        span = context.span
        span.attributes.update(_context_attributes(context))
        span.set(semconv.HTTP_STATUS, outcome.status)
        span.set(semconv.TIME_TO_FIRST_CHUNK, outcome.first_byte_s)
        span.set(semconv.COST_USD, cost_usd)
        for name in self._headers:
            if (value := context.headers.get(name)) is not None:
                span.set(f"{semconv.REQUEST_HEADER}.{name.lower()}", [value[:_MAX_HEADER_CHARS]])
        if outcome.status >= _SERVER_ERROR:
            span.fail(str(outcome.status))
        elif outcome.stream and context.error_code is not None:
            span.fail(_BROKEN_STREAM)
        if (conversation := context.headers.get(_CONVERSATION_HEADER)) is not None:
            span.set(semconv.CONVERSATION_ID, conversation[:_MAX_HEADER_CHARS])
        if span.trace.dropped:
            span.set(semconv.SPANS_DROPPED, span.trace.dropped)
        span.end()
        if self._header_prefixes and (said := self._header_attributes(context.headers)):
            for each in span.trace.spans:
                each.attributes = {**said, **each.attributes}  # clients change nothing that is said here

    def _header_attributes(self, headers: Mapping[str, str]) -> dict[str, AttributeValue]:
        named = {
            name[len(prefix) :].lower().replace("-", "."): value[:_MAX_HEADER_CHARS]
            for name, value in headers.items()
            for prefix in self._header_prefixes
            if name.lower().startswith(prefix) and len(name) > len(prefix)
        }
        return {name: value for name, value in named.items() if not name.startswith(_SAID_HERE)}

    def _told_exchange(self, context: RequestContext, outcome: Outcome) -> dict[str, Any] | None:
        if not (self._conversations and context.conversation):
            return None
        try:
            return self._exchange(context, outcome)
        except (TypeError, ValueError):  # nested deeper than JSON is written here
            self._metrics.registry.sum(catalogue.TELEMETRY_DROPPED).add(1, "exchanges")
            return None

    def _exchange(self, context: RequestContext, outcome: Outcome) -> dict[str, Any]:
        messages = context.conversation
        key = _conversation_key(context)
        # The newest message that was shipped before comes along again: it tells two conversations with one beginning
        # apart.
        start = max(0, self._seen.pop(key, 0) - 1, len(messages) - _MAX_MESSAGES)
        if start >= len(messages):
            start = max(0, len(messages) - _MAX_MESSAGES)
        self._seen[key] = len(messages)
        if len(self._seen) > _MAX_CONVERSATIONS:
            self._seen.popitem(last=False)
        return {
            "key": key,
            "start": start,
            "messages": _bounded(messages[start:]),
            "status": outcome.status,
            "attempts": [attempt.outcome for attempt in context.attempts],
            "listener": context.listener,
            "error_code": context.error_code,
        }


def _context_attributes(context: RequestContext) -> dict[str, AttributeValue]:
    said: dict[str, AttributeValue] = {}
    if context.identity is not None:
        said[semconv.API_KEY] = context.identity.name
    if context.decision is not None:
        said[semconv.ROUTES] = list(context.decision.routes)
        said[semconv.ROUTE_REASON] = context.decision.reason
    if context.degraded:
        said[semconv.DEGRADED_PARTS] = list(context.degraded)
    if context.attempts:
        said[semconv.ATTEMPTS] = len(context.attempts)
        said[semconv.UPSTREAM] = context.attempts[-1].upstream
    if context.usage is not None:
        said.update(usage_attributes(context.usage))
    return said


def _conversation_key(context: RequestContext) -> str:
    """Which conversation this is, as far as the beginning of it and whose it is tell."""
    first = next((message for message in context.conversation if message.get("role") == "user"), {}).get("content")
    said = first.encode("utf-8", "replace") if isinstance(first, str) else orjson.dumps(first, default=str)
    digest = hashlib.blake2b(said, digest_size=12)
    whose = context.identity.name if context.identity is not None else ""
    digest.update(f"\0{whose}\0{context.listener}".encode("utf-8", "replace"))
    return digest.hexdigest()


def _bounded(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]] | orjson.Fragment:
    """``messages``, or as JSON; only their texts, shortened, where there is too much of them."""
    if len(messages) <= _FEW_MESSAGES and all(_is_short(message) for message in messages):
        return messages
    encoded = orjson.dumps(list(messages), default=str)
    if len(encoded) <= _MAX_MESSAGES_BYTES:
        return orjson.Fragment(encoded)
    return orjson.Fragment(
        orjson.dumps([{"role": each.get("role"), "content": _text(each)[:_MAX_TEXT_CHARS]} for each in messages])
    )


def _is_short(message: Mapping[str, Any]) -> bool:
    """Whether a message is text, and nothing that could be large."""
    content = message.get("content")
    return len(message) == _ROLE_AND_CONTENT and isinstance(content, str) and len(content) <= _SHORT_CHARS


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "\n".join([part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)])

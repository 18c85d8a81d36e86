"""Traces: what a request did, as spans that its parts start and end, for a fraction of what an SDK's spans cost.

Only the shape of a span is OpenTelemetry's; encoding, batching and sending are the work of another process
(``router.observer``). Times are nanoseconds since the epoch. Propagation is that of W3C Trace Context
(https://www.w3.org/TR/trace-context/).

Code that has no request at hand finds the span that it works for with ``current_span``.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Literal, TypeAlias

from router.telemetry import semconv

SpanKind: TypeAlias = Literal["internal", "server", "client"]
AttributeValue: TypeAlias = str | bool | int | float | list[str]

MAX_SPANS = 256  # of one trace; those after them are not recorded
MAX_EVENTS = 64  # of one span

# Version ff and ids of zeros only are invalid; later versions may have more behind what version 00 has.
_TRACEPARENT = re.compile(
    r"(?!ff)(?:00(?!.{54})|(?!00)[0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
_NO_TRACE = "0" * 32
_RANDOM_BITS = 63


class Trace:
    """The spans of one request in one process, in the order in which they began."""

    __slots__ = ("dropped", "spans", "trace_id", "tracestate")

    def __init__(self, trace_id: str, tracestate: str = "") -> None:
        self.trace_id = trace_id
        self.tracestate = tracestate
        self.spans: list[Span] = []
        self.dropped = 0


class Span:
    """One piece of work. ``end`` it once; ending it again changes nothing."""

    __slots__ = (
        "attributes",
        "ended_ns",
        "error",
        "events",
        "kind",
        "name",
        "parent_id",
        "span_id",
        "started_ns",
        "trace",
    )
    recording = True

    def __init__(
        self,
        trace: Trace,
        name: str,
        kind: SpanKind,
        parent_id: str,
        attributes: dict[str, AttributeValue] | None = None,
    ) -> None:
        self.trace = trace
        self.name = name
        self.kind = kind
        self.parent_id = parent_id
        self.span_id = f"{random.getrandbits(64) or 1:016x}"
        self.attributes: dict[str, AttributeValue] = {} if attributes is None else attributes
        self.events: list[tuple[int, str, Mapping[str, AttributeValue]]] = []
        self.error: str | None = None
        self.started_ns = time.time_ns()
        self.ended_ns = 0

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return self.trace.trace_id

    @property
    def traceparent(self) -> str | None:
        """What whoever is called for this span gets to see; ``None`` where there is nothing to say."""
        return f"00-{self.trace.trace_id}-{self.span_id}-01"

    def child(
        self, name: str, kind: SpanKind = "internal", attributes: dict[str, AttributeValue] | None = None
    ) -> Span:
        """Begin a piece of this work."""
        trace = self.trace
        if len(trace.spans) >= MAX_SPANS:
            trace.dropped += 1
            return Unrecorded(f"00-{trace.trace_id}-{self.span_id}-01")
        span = Span(trace, name, kind, self.span_id, attributes)
        trace.spans.append(span)
        return span

    def set(self, name: str, value: AttributeValue | None) -> None:
        """Set an attribute; ``None`` is nothing to say."""
        if value is not None:
            self.attributes[name] = value

    def event(self, name: str, attributes: Mapping[str, AttributeValue]) -> None:
        """Note that something happened now."""
        if len(self.events) < MAX_EVENTS:
            self.events.append((time.time_ns(), name, attributes))

    def fail(self, error: str) -> None:
        """Say that the work failed; ``error`` is a code of a closed set, never a message."""
        self.error = error
        self.attributes[semconv.ERROR_TYPE] = error

    def end(self) -> None:
        """The work is done."""
        if not self.ended_ns:
            self.ended_ns = time.time_ns()

    def __enter__(self) -> Span:
        """Make it the current span, until the block ends it. For coroutines; never in a generator."""
        _ENTERED.set((self, _ENTERED.get()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entered = _ENTERED.get()
        _ENTERED.set(None if entered is None else entered[1])
        if exc is not None and self.error is None:
            self.fail(error_of(exc))
        self.end()


class Unrecorded(Span):
    """A span that nobody keeps; what it is told is forgotten. It passes the client's trace context on."""

    __slots__ = ("_traceparent",)
    recording = False

    def __init__(self, traceparent: str | None = None) -> None:
        # None of a span's own state: there is one of these for all requests without a trace.
        self._traceparent = traceparent

    @property
    def trace_id(self) -> str:
        """The client's, all zeros where it sent none."""
        return _NO_TRACE if self._traceparent is None else self._traceparent[3:35]

    @property
    def traceparent(self) -> str | None:
        return self._traceparent

    def child(
        self, name: str, kind: SpanKind = "internal", attributes: dict[str, AttributeValue] | None = None
    ) -> Span:
        return self

    def set(self, name: str, value: AttributeValue | None) -> None:
        pass

    def event(self, name: str, attributes: Mapping[str, AttributeValue]) -> None:
        pass

    def fail(self, error: str) -> None:
        pass

    def end(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entered = _ENTERED.get()
        _ENTERED.set(None if entered is None else entered[1])


NOT_TRACED = Unrecorded()


def error_of(exc: BaseException) -> str:
    """What an exception is called on a span: the code of its class, which are a closed set, else its class.

    What an upstream says in an error of its own is no part of it.
    """
    code = getattr(type(exc), "code", None)
    return code if isinstance(code, str) else type(exc).__name__


def trace_headers(span: Span, headers: Mapping[str, str]) -> dict[str, str]:
    """What whoever is called for ``span`` gets to see of the trace, for a client that sent ``headers``.

    ``tracestate`` goes along where the trace is the client's own: it says nothing about any other.
    """
    traceparent = span.traceparent
    if traceparent is None:
        return {}
    given, state = headers.get("traceparent"), headers.get("tracestate")
    if given is None or state is None or given[3:35] != traceparent[3:35]:
        return {"traceparent": traceparent}
    return {"traceparent": traceparent, "tracestate": state}


# The span that is entered, and what was entered around it.
_ENTERED: ContextVar[tuple[Span, Any] | None] = ContextVar("entered spans", default=None)


def current_span() -> Span:
    """The span whose block this code runs in, ``NOT_TRACED`` outside of all."""
    entered = _ENTERED.get()
    return NOT_TRACED if entered is None else entered[0]


class Sampler:
    """Which requests are traced: what the client's trace context says, else ``ratio`` (0 to 1) of them, by trace id.

    Deciding by the id makes all who sample the same way agree (OpenTelemetry's TraceIdRatioBased).
    """

    def __init__(self, ratio: float) -> None:
        self._below = round(ratio * 2**_RANDOM_BITS)

    def begin(self, name: str, headers: Mapping[str, str], attributes: dict[str, AttributeValue] | None = None) -> Span:
        """The span of a request with these headers, recorded or not."""
        given = headers.get("traceparent")
        match = None if given is None else _TRACEPARENT.fullmatch(given)
        if match is None:
            if not self._below:
                return NOT_TRACED
            trace_id = os.urandom(16).hex()
            if int(trace_id[16:], 16) >> 1 >= self._below:
                return Unrecorded(f"00-{trace_id}-{trace_id[:16]}-00")
            return _root(Trace(trace_id), name, "", attributes)
        trace_id, parent_id, flags = match.groups()
        if not int(flags, 16) & 1 or not self._below:
            return Unrecorded(f"00-{trace_id}-{parent_id}-{flags}")
        return _root(Trace(trace_id, headers.get("tracestate", "")[:512]), name, parent_id, attributes)


def _root(trace: Trace, name: str, parent_id: str, attributes: dict[str, AttributeValue] | None) -> Span:
    span = Span(trace, name, "server", parent_id, attributes)
    trace.spans.append(span)
    return span

"""Spans as workers send them, checked and completed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from router.observer.spans import FinishedSpan
from router.telemetry import semconv
from router.telemetry.tracing import MAX_EVENTS, MAX_SPANS

_KINDS = frozenset({"internal", "server", "client"})
_FIELDS = 9


def read_spans(trace: object, static: Mapping[str, str], service: str) -> list[FinishedSpan]:
    """The spans of a ``trace`` (``telemetry.frames``), in its order; what is none is left out.

    ``static`` attributes are on all of them, except where the span says otherwise.
    """
    if not isinstance(trace, dict):
        return []
    trace_id, state, spans = trace.get("id"), trace.get("state"), trace.get("spans")
    if not isinstance(trace_id, str) or not isinstance(spans, list):
        return []
    tracestate = state if isinstance(state, str) else ""
    found = []
    for fields in spans[:MAX_SPANS]:
        span = _read_span(fields, static)
        if span is not None:
            span.trace_id, span.tracestate, span.service = trace_id, tracestate, service
            found.append(span)
    return found


def answering_span(spans: Sequence[FinishedSpan]) -> FinishedSpan | None:
    """The span of the upstream whose answer the client got: the last one that was asked and did not fail."""
    for span in reversed(spans):
        if span.kind == "client" and span.error is None and semconv.OPERATION in span.attributes:
            return span
    return None


def add_event(span: FinishedSpan, at_ns: int, name: str, attributes: Mapping[str, Any]) -> None:
    """Add an event, where there is room for one."""
    if len(span.events) < MAX_EVENTS:
        span.events.append((at_ns, name, attributes))


def _read_span(fields: object, static: Mapping[str, str]) -> FinishedSpan | None:
    if not isinstance(fields, list) or len(fields) != _FIELDS:
        return None
    name, kind, span_id, parent_id, started_ns, ended_ns, error, attributes, events = fields
    texts_are = all(isinstance(text, str) for text in (name, span_id, parent_id))
    times_are = all(isinstance(time, int) for time in (started_ns, ended_ns))
    if not texts_are or not times_are or kind not in _KINDS or not isinstance(attributes, dict):
        return None
    return FinishedSpan(
        trace_id="",
        span_id=span_id,
        parent_id=parent_id,
        name=name,
        kind=kind,
        started_ns=started_ns,
        ended_ns=max(started_ns, ended_ns),
        attributes={**static, **attributes},
        events=[
            (event[0], event[1], event[2])
            for event in (events if isinstance(events, list) else ())[:MAX_EVENTS]
            if isinstance(event, list) and len(event) == 3 and isinstance(event[0], int) and isinstance(event[2], dict)
        ],
        error=error if isinstance(error, str) else None,
    )

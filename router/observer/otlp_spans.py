"""Spans on their way to collectors of OTLP: encoded once for all of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from router.observer.export_queue import ExportQueue
from router.observer.otlp_encoding import OtlpEncoder
from router.observer.spans import FinishedSpan
from router.telemetry import catalogue, semconv
from router.telemetry.instruments import Registry

logger = logging.getLogger(__name__)

# What prompts, answers and tools say.
CONTENT_ATTRIBUTES = frozenset(
    {semconv.INPUT_MESSAGES, semconv.OUTPUT_MESSAGES, semconv.TOOL_CALL_ARGUMENTS, semconv.TOOL_CALL_RESULT}
)


class OtlpSpans:
    """A ``SpanTaker`` that hands spans to ``queues``. Without ``with_content`` nothing that was said goes along."""

    def __init__(
        self, encoder: OtlpEncoder, queues: Sequence[ExportQueue], own: Registry, *, with_content: bool
    ) -> None:
        self._encoder = encoder
        self._queues = tuple(queues)
        self._dropped = own.sum(catalogue.TELEMETRY_DROPPED)
        self._with_content = with_content

    def take(self, spans: Sequence[FinishedSpan]) -> None:
        """See ``SpanTaker``."""
        encoded = []
        for span in spans:
            try:
                encoded.append(self._encoder.span(span if self._with_content else _without_content(span)))
            except ValueError:  # an id that is none, or half a surrogate pair
                logger.debug("span cannot be encoded", extra={"span": span.name})
                self._dropped.add(1, "spans")
        for queue in self._queues:
            queue.put(encoded)


def _without_content(span: FinishedSpan) -> FinishedSpan:
    says = not CONTENT_ATTRIBUTES.isdisjoint(span.attributes)
    if not says and all(CONTENT_ATTRIBUTES.isdisjoint(attributes) for _, _, attributes in span.events):
        return span
    return FinishedSpan(
        span.trace_id,
        span.span_id,
        span.parent_id,
        span.name,
        span.kind,
        span.started_ns,
        span.ended_ns,
        {name: value for name, value in span.attributes.items() if name not in CONTENT_ATTRIBUTES},
        [
            (at, name, {key: value for key, value in attributes.items() if key not in CONTENT_ATTRIBUTES})
            for at, name, attributes in span.events
        ],
        span.error,
        span.tracestate,
        span.service,
    )

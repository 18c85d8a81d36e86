"""Spans and metrics as OTLP's protobuf messages: https://opentelemetry.io/docs/specs/otlp/.

A span is encoded once, by the generated messages; requests are put together from encoded spans, so that a batch can be
cut anywhere and sent to several collectors. https://protobuf.dev/programming-guides/encoding/ says how that works.
"""

from __future__ import annotations

import platform
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Metric,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from router import __version__
from router.observer.metrics import Family, HistogramValue
from router.observer.spans import FinishedSpan

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

_SCOPE = "trident"
_SAMPLED = 0x01  # W3C Trace Context, section 3.2.2.5.1
_MAX_POINTS = 4000  # of one request

_KINDS = {
    "internal": Span.SPAN_KIND_INTERNAL,
    "server": Span.SPAN_KIND_SERVER,
    "client": Span.SPAN_KIND_CLIENT,
    "producer": Span.SPAN_KIND_PRODUCER,
    "consumer": Span.SPAN_KIND_CONSUMER,
}

# Tags of the fields that requests are put together from: number << 3 | 2, which is "has a length".
_RESOURCE_SPANS = b"\x0a"  # ExportTraceServiceRequest.resource_spans = 1
_RESOURCE = b"\x0a"  # ResourceSpans.resource = 1
_SCOPE_SPANS = b"\x12"  # ResourceSpans.scope_spans = 2
_SCOPE_TAG = b"\x0a"  # ScopeSpans.scope = 1
_SPAN = b"\x12"  # ScopeSpans.spans = 2


def resource_attributes(service_name: str, given: Mapping[str, str]) -> dict[str, str]:
    """What says who sends: ``given`` wins. Each call makes another instance."""
    return {
        "service.name": service_name,
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid4()),
        "host.name": socket.gethostname(),
        "telemetry.sdk.name": "trident",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": __version__,
        "process.runtime.name": platform.python_implementation().lower(),
        "process.runtime.version": platform.python_version(),
        **given,
    }


class OtlpEncoder:
    """Encodes for one resource."""

    def __init__(self, resource: Mapping[str, str]) -> None:
        self._resource = Resource()
        _add_attributes(self._resource.attributes, resource)
        scope = InstrumentationScope(name=_SCOPE, version=__version__)
        self._scope = scope
        self._resource_field = _field(_RESOURCE, self._resource.SerializeToString())
        self._scope_field = _field(_SCOPE_TAG, scope.SerializeToString())

    def span(self, span: FinishedSpan) -> bytes:
        """One span, for ``trace_request``. Raises ``ValueError`` where its ids are none, or its texts not Unicode."""
        message = Span(
            trace_id=bytes.fromhex(span.trace_id),
            span_id=bytes.fromhex(span.span_id),
            parent_span_id=bytes.fromhex(span.parent_id),
            trace_state=span.tracestate,
            flags=_SAMPLED,
            name=span.name,
            kind=_KINDS.get(span.kind, Span.SPAN_KIND_INTERNAL),
            start_time_unix_nano=span.started_ns,
            end_time_unix_nano=span.ended_ns,
        )
        _add_attributes(message.attributes, span.attributes)
        for at_ns, name, attributes in span.events:
            _add_attributes(message.events.add(time_unix_nano=at_ns, name=name).attributes, attributes)
        if span.error is not None:
            message.status.code = Status.STATUS_CODE_ERROR
            message.status.message = span.error
        return message.SerializeToString()

    def trace_request(self, spans: Sequence[bytes]) -> bytes:
        """An ``ExportTraceServiceRequest`` with these spans."""
        listed = b"".join([_SPAN + _varint(len(span)) + span for span in spans])
        scope_spans = _field(_SCOPE_SPANS, self._scope_field + listed)
        return _field(_RESOURCE_SPANS, self._resource_field + scope_spans)

    def metrics_requests(self, families: Sequence[Family], started_ns: int, now_ns: int) -> Iterator[tuple[bytes, int]]:
        """The bodies of ``ExportMetricsServiceRequest`` for all of it, each with its number of points.

        Cumulative: ``started_ns`` is when counting began.
        """
        metrics: list[Metric] = []
        points = 0
        for family in families:
            if points and points + len(family.series) > _MAX_POINTS:
                yield self._metrics_request(metrics), points
                metrics, points = [], 0
            metrics.append(_metric(family, started_ns, now_ns))
            points += len(family.series)
        if metrics:
            yield self._metrics_request(metrics), points

    def _metrics_request(self, metrics: list[Metric]) -> bytes:
        scoped = ScopeMetrics(scope=self._scope, metrics=metrics)
        return _field(
            _RESOURCE_SPANS,  # ExportMetricsServiceRequest.resource_metrics has the same number
            ResourceMetrics(resource=self._resource, scope_metrics=[scoped]).SerializeToString(),
        )


def _metric(family: Family, started_ns: int, now_ns: int) -> Metric:
    definition = family.definition
    metric = Metric(name=definition.name, description=definition.description, unit=definition.unit)
    if definition.kind == "histogram":
        metric.histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
        for labels, value in family.series:
            if isinstance(value, HistogramValue):
                point = metric.histogram.data_points.add(
                    start_time_unix_nano=started_ns,
                    time_unix_nano=now_ns,
                    count=value.count,
                    sum=value.sum,
                    bucket_counts=value.counts,
                    explicit_bounds=definition.bounds,
                )
                _add_attributes(point.attributes, _labels(definition.labels, labels))
        return metric
    is_gauge = definition.kind == "gauge"
    if not is_gauge:
        metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
        metric.sum.is_monotonic = definition.kind == "counter"
    points = metric.gauge.data_points if is_gauge else metric.sum.data_points
    for labels, value in family.series:
        if not isinstance(value, HistogramValue):
            number = points.add(time_unix_nano=now_ns, as_double=value)
            if not is_gauge:
                number.start_time_unix_nano = started_ns
            _add_attributes(number.attributes, _labels(definition.labels, labels))
    return metric


def _labels(names: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    """An empty value is a label that the series does not have."""
    return {name: value for name, value in zip(names, values, strict=True) if value}


def _add_attributes(field: RepeatedCompositeFieldContainer[KeyValue], attributes: Mapping[str, Any]) -> None:
    # Filled in place: messages that are made first and copied then take three times as long.
    add = field.add
    for key, value in attributes.items():
        if value is not None:
            _set_value(add(key=key).value, value)


def _set_value(target: AnyValue, value: Any) -> None:
    kind = value.__class__
    if kind is str:
        target.string_value = value
    elif kind is bool:
        target.bool_value = value
    elif kind is int and -(2**63) <= value < 2**63:
        target.int_value = value
    elif kind is float:
        target.double_value = value
    elif isinstance(value, list | tuple):
        target.array_value.SetInParent()
        for item in value:
            _set_value(target.array_value.values.add(), item)
    else:
        target.string_value = str(value)


def _field(tag: bytes, value: bytes) -> bytes:
    return tag + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)

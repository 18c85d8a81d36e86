"""Spans of OTLP's requests, protobuf and JSON (https://opentelemetry.io/docs/specs/otlp/), bounded.

What one span may have is cut, what is no span is counted: senders are not ours.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from router.observer.spans import FinishedSpan

MAX_SPANS = 10_000  # of one request
MAX_ATTRIBUTES = 128
MAX_EVENTS = 128
MAX_VALUE_CHARS = 16 * 1024
MAX_NAME_CHARS = 256

_MAX_ITEMS = 64
_MAX_ITEM_CHARS = 2048
_MAX_DEPTH = 8
_KINDS = ("internal", "internal", "server", "client", "producer", "consumer")  # by number; 0 is unspecified
_ERROR = Status.STATUS_CODE_ERROR
_UNKNOWN_SERVICE = "unknown_service"


class NotOtlp(ValueError):
    """The bytes are no request of OTLP."""


@dataclass(slots=True)
class Delivery:
    """What a request brought: spans, and how many more there were that are none or too many."""

    spans: list[FinishedSpan] = field(default_factory=list)
    rejected: int = 0

    def add(self, span: FinishedSpan | None) -> None:
        """Take one; ``None`` is one that is none."""
        if span is None or len(self.spans) >= MAX_SPANS:
            self.rejected += 1
        else:
            self.spans.append(span)


def decode_protobuf(body: bytes) -> Delivery:
    """The spans of an ``ExportTraceServiceRequest``. Raises ``NotOtlp``."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as exc:
        raise NotOtlp("The body is no ExportTraceServiceRequest.") from exc
    delivery = Delivery()
    for resource_spans in request.resource_spans:
        service = _service(_attributes(resource_spans.resource.attributes))
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                delivery.add(_span(span, service))
    return delivery


def decode_json(body: bytes) -> Delivery:
    """The same in JSON. Raises ``NotOtlp``."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise NotOtlp("The body is not valid JSON.") from exc
    if not isinstance(request, dict):
        raise NotOtlp("The body is no object.")
    delivery = Delivery()
    for resource_spans in _objects(request, "resourceSpans"):
        resource = resource_spans.get("resource")
        service = _service(_json_attributes(resource if isinstance(resource, dict) else {}))
        for scope_spans in _objects(resource_spans, "scopeSpans"):
            for span in _objects(scope_spans, "spans"):
                delivery.add(_json_span(span, service))
    return delivery


def _span(span: Span, service: str) -> FinishedSpan | None:
    if len(span.trace_id) != 16 or len(span.span_id) != 8 or not any(span.trace_id) or not any(span.span_id):
        return None
    error = None
    if span.status.code == _ERROR:
        error = span.status.message[:MAX_NAME_CHARS] or "error"
    return FinishedSpan(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex() if len(span.parent_span_id) == 8 else "",
        name=span.name[:MAX_NAME_CHARS],
        kind=_KINDS[span.kind] if 0 <= span.kind < len(_KINDS) else "internal",
        started_ns=span.start_time_unix_nano,
        ended_ns=max(span.start_time_unix_nano, span.end_time_unix_nano),
        attributes=_attributes(span.attributes),
        events=[
            (event.time_unix_nano, event.name[:MAX_NAME_CHARS], _attributes(event.attributes))
            for event in span.events[:MAX_EVENTS]
        ],
        error=error,
        tracestate=span.trace_state[:512],
        service=service,
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        if len(found) >= MAX_ATTRIBUTES:
            break
        value = _value(pair.value, 0)
        if value is not None:
            found[pair.key[:MAX_NAME_CHARS]] = _flat(value)
    return found


def _value(value: AnyValue, depth: int) -> Any:
    kind = value.WhichOneof("value")
    if kind is None or depth > _MAX_DEPTH:
        return None
    if kind == "array_value":
        return [_value(item, depth + 1) for item in value.array_value.values[:_MAX_ITEMS]]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value, depth + 1) for pair in value.kvlist_value.values[:_MAX_ITEMS]}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value[:MAX_VALUE_CHARS]).decode()
    return getattr(value, kind)


def _json_span(span: Mapping[str, Any], service: str) -> FinishedSpan | None:
    """Ids are hexadecimal here, enumerations are numbers, and whole numbers of 64 bits may be texts."""
    trace_id, span_id = _id(span.get("traceId"), 32), _id(span.get("spanId"), 16)
    if not trace_id or not span_id:
        return None
    status = span.get("status")
    error = None
    if isinstance(status, dict) and _whole(status.get("code")) == _ERROR:
        error = str(status.get("message") or "error")[:MAX_NAME_CHARS]
    started_ns = _whole(span.get("startTimeUnixNano"))
    kind = _whole(span.get("kind"))
    events = list(_objects(span, "events"))[:MAX_EVENTS]
    return FinishedSpan(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=_id(span.get("parentSpanId"), 16),
        name=str(span.get("name") or "")[:MAX_NAME_CHARS],
        kind=_KINDS[kind] if kind < len(_KINDS) else "internal",
        started_ns=started_ns,
        ended_ns=max(started_ns, _whole(span.get("endTimeUnixNano"))),
        attributes=_json_attributes(span),
        events=[
            (_whole(event.get("timeUnixNano")), str(event.get("name") or "")[:MAX_NAME_CHARS], _json_attributes(event))
            for event in events
        ],
        error=error,
        tracestate=str(span.get("traceState") or "")[:512],
        service=service,
    )


def _json_attributes(of: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in _objects(of, "attributes"):
        if len(found) >= MAX_ATTRIBUTES:
            break
        value = _json_value(pair.get("value"), 0)
        if value is not None and isinstance(pair.get("key"), str):
            found[pair["key"][:MAX_NAME_CHARS]] = _flat(value)
    return found


def _json_value(value: object, depth: int) -> Any:
    if not isinstance(value, dict) or len(value) != 1 or depth > _MAX_DEPTH:
        return None
    kind, said = next(iter(value.items()))
    found: Any = None
    match kind, said:
        case ("stringValue" | "bytesValue", str()) | ("boolValue", bool()):
            found = said
        case "intValue", _:
            found = _whole(said, signed=True)
        case "doubleValue", int() | float() if not isinstance(said, bool):
            found = float(said)
        case "arrayValue", dict():
            found = [_json_value(item, depth + 1) for item in list(_objects(said, "values"))[:_MAX_ITEMS]]
        case "kvlistValue", dict():
            pairs = list(_objects(said, "values"))[:_MAX_ITEMS]
            found = {str(pair.get("key")): _json_value(pair.get("value"), depth + 1) for pair in pairs}
    return found


def _flat(value: Any) -> Any:
    """A value as ``FinishedSpan`` has it: lists are of texts, and what is deeper than that is JSON."""
    if isinstance(value, str):
        return value[:MAX_VALUE_CHARS]
    if isinstance(value, dict):
        return orjson.dumps(value, default=str).decode()[:MAX_VALUE_CHARS]
    if isinstance(value, list):
        texts = (item if isinstance(item, str) else orjson.dumps(item, default=str).decode() for item in value)
        return [text[:_MAX_ITEM_CHARS] for text in texts]
    return value


def _service(resource: Mapping[str, Any]) -> str:
    return str(resource.get("service.name") or _UNKNOWN_SERVICE)[:MAX_NAME_CHARS]


def _objects(of: Mapping[str, Any], key: str) -> Iterator[dict[str, Any]]:
    items = of.get(key)
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            yield item


def _id(value: object, digits: int) -> str:
    """The id in lower case, empty where it is none."""
    if not isinstance(value, str) or len(value) != digits:
        return ""
    try:
        return value.lower() if any(binascii.unhexlify(value)) else ""
    except ValueError:
        return ""


def _whole(value: object, *, signed: bool = False) -> int:
    """A number of 64 bits, 0 where it is none."""
    if isinstance(value, str) and len(value) <= 20:
        try:
            value = int(value)
        except ValueError:
            return 0
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if (-(2**63) if signed else 0) <= value < 2**63 else 0

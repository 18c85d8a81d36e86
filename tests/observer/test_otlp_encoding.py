"""Spans and metrics as OTLP, and back."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE, Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from router import __version__
from router.observer import otlp_decoding
from router.observer.metrics import Family, HistogramValue
from router.observer.otlp_decoding import Delivery, NotOtlp, decode_json, decode_protobuf
from router.observer.otlp_encoding import OtlpEncoder, resource_attributes
from router.telemetry.instruments import Definition
from tests.fakes.collector import plain
from tests.observer.spans import START_NS, TRACE, span

ENCODER = OtlpEncoder(resource_attributes("front-door", {"team": "travel"}))
VALUES = {"text": "ä€", "flag": True, "count": 7, "ratio": 0.5, "list": ["a", "b"]}


def full_span():
    return span(
        "chat gpt-4o",
        span_id="00f067aa0ba902b7",
        parent="1111111111111111",
        kind="client",
        attributes=VALUES,
        events=[(START_NS + 5, "tool", {"name": "weather"})],
        error="timeout",
        ms=2.5,
    )


def request_of(*spans) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(ENCODER.trace_request([ENCODER.span(each) for each in spans]))


def test_a_span_says_all_that_it_is() -> None:
    (encoded,) = request_of(full_span()).resource_spans[0].scope_spans[0].spans
    assert (encoded.trace_id.hex(), encoded.span_id.hex()) == (TRACE, "00f067aa0ba902b7")
    assert (encoded.parent_span_id.hex(), encoded.name, encoded.kind) == (
        "1" * 16,
        "chat gpt-4o",
        Span.SPAN_KIND_CLIENT,
    )
    assert (encoded.start_time_unix_nano, encoded.end_time_unix_nano) == (START_NS, START_NS + 2_500_000)
    assert plain(encoded.attributes) == VALUES
    assert (encoded.status.code, encoded.status.message) == (Status.STATUS_CODE_ERROR, "timeout")
    (event,) = encoded.events
    assert (event.time_unix_nano, event.name, plain(event.attributes)) == (START_NS + 5, "tool", {"name": "weather"})


def test_a_span_that_went_well_has_no_status_and_a_root_no_parent() -> None:
    (encoded,) = request_of(span()).resource_spans[0].scope_spans[0].spans
    assert (encoded.HasField("status"), encoded.parent_span_id, encoded.kind) == (False, b"", Span.SPAN_KIND_SERVER)


def test_a_request_says_who_sends_it() -> None:
    request = request_of(span(), span("second"))
    (resource_spans,) = request.resource_spans
    resource = plain(resource_spans.resource.attributes)
    assert (resource["service.name"], resource["service.version"]) == ("front-door", __version__)
    assert resource["team"] == "travel"
    assert {"host.name", "service.instance.id", "telemetry.sdk.language"} <= resource.keys()
    (scope_spans,) = resource_spans.scope_spans
    assert (scope_spans.scope.name, [each.name for each in scope_spans.spans][1]) == ("trident", "second")


def test_values_that_otlp_has_no_room_for_are_told_as_text() -> None:
    attributes = {"huge": 2**70, "none": None, "empty": [], "other": {"a": 1}}
    (encoded,) = request_of(span(attributes=attributes)).resource_spans[0].scope_spans[0].spans
    assert plain(encoded.attributes) == {"huge": str(2**70), "empty": [], "other": "{'a': 1}"}


@pytest.mark.parametrize("wrong", [span(trace="no id"), span(attributes={"text": "\ud800"})])
def test_what_cannot_be_encoded_is_an_error(wrong) -> None:
    with pytest.raises(ValueError):
        ENCODER.span(wrong)


def test_requests_of_any_size_are_what_the_generated_messages_make_of_them() -> None:
    for number in (0, 1, 200):
        request = request_of(*(span(str(index), attributes={"text": "x" * 300}) for index in range(number)))
        assert [each.name for each in request.resource_spans[0].scope_spans[0].spans] == list(map(str, range(number)))


COUNTER = Definition("requests", "counter", "Requests.", "{request}", ("listener", "error"))
ACTIVE = Definition("active", "up_down_counter", "Requests in flight.", "{request}", ("listener",))
INFO = Definition("info", "gauge", "Always 1.", "1", ("version",))
TIMES = Definition("duration", "histogram", "Times.", "s", ("listener",), (0.1, 1.0))


def metrics_of(*families: Family) -> dict[str, Metric]:
    ((body, _),) = ENCODER.metrics_requests(families, START_NS, START_NS + 10)
    request = ExportMetricsServiceRequest.FromString(body)
    (scope_metrics,) = request.resource_metrics[0].scope_metrics
    assert plain(request.resource_metrics[0].resource.attributes)["service.name"] == "front-door"
    return {metric.name: metric for metric in scope_metrics.metrics}


def test_counters_are_monotonic_sums_from_the_start() -> None:
    metric = metrics_of(Family(COUNTER, [(("models", ""), 3.0), (("models", "timeout"), 1.0)]))["requests"]
    assert (metric.description, metric.unit) == ("Requests.", "{request}")
    assert (metric.sum.is_monotonic, metric.sum.aggregation_temporality) == (True, AGGREGATION_TEMPORALITY_CUMULATIVE)
    first, second = metric.sum.data_points
    assert (first.start_time_unix_nano, first.time_unix_nano, first.as_double) == (START_NS, START_NS + 10, 3.0)
    assert plain(first.attributes) == {"listener": "models"}
    assert plain(second.attributes) == {"listener": "models", "error": "timeout"}


def test_what_goes_up_and_down_is_not_monotonic_and_a_gauge_has_no_start() -> None:
    metrics = metrics_of(Family(ACTIVE, [(("models",), 2.0)]), Family(INFO, [(("1.0",), 1.0)]))
    assert metrics["active"].sum.is_monotonic is False
    (point,) = metrics["info"].gauge.data_points
    assert (point.as_double, point.start_time_unix_nano) == (1.0, 0)


def test_histograms_have_explicit_bounds() -> None:
    value = HistogramValue((1, 2, 3), 7.5)
    metric = metrics_of(Family(TIMES, [(("models",), value)]))["duration"]
    assert metric.histogram.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    (point,) = metric.histogram.data_points
    assert (list(point.bucket_counts), list(point.explicit_bounds)) == ([1, 2, 3], [0.1, 1.0])
    assert (point.count, point.sum, point.start_time_unix_nano) == (6, 7.5, START_NS)


def test_many_points_become_several_requests() -> None:
    families = [Family(COUNTER, [((f"l{index}", ""), 1.0) for index in range(2000)]) for _ in range(5)]
    bodies = list(ENCODER.metrics_requests(families, START_NS, START_NS))
    assert [points for _, points in bodies] == [4000, 4000, 2000]
    assert list(ENCODER.metrics_requests([], START_NS, START_NS)) == []


# What senders deliver


def delivery_of(*spans, service: str = "weather") -> ExportTraceServiceRequest:
    encoder = OtlpEncoder({"service.name": service})
    return ExportTraceServiceRequest.FromString(encoder.trace_request([encoder.span(each) for each in spans]))


def as_json(request: ExportTraceServiceRequest) -> bytes:
    """OTLP's own JSON: as protobuf's, but for ids in hexadecimal and enumerations as numbers."""
    fields = MessageToDict(request, use_integers_for_enums=True)
    for resource_spans in fields["resourceSpans"]:
        for each, original in zip(
            resource_spans["scopeSpans"][0]["spans"], request.resource_spans[0].scope_spans[0].spans, strict=True
        ):
            each["traceId"], each["spanId"] = original.trace_id.hex(), original.span_id.hex()
            each["parentSpanId"] = original.parent_span_id.hex()
    return json.dumps(fields).encode()


def decode(form: str, request: ExportTraceServiceRequest) -> Delivery:
    return decode_json(as_json(request)) if form == "json" else decode_protobuf(request.SerializeToString())


@pytest.mark.parametrize("form", ["protobuf", "json"])
def test_what_is_delivered_is_read_as_it_was(form: str) -> None:
    request = delivery_of(full_span(), span(span_id="2" * 16))
    delivery = decode(form, request)
    first, second = delivery.spans
    expected = full_span()
    expected.service = "weather"
    assert first == expected
    assert (second.error, second.parent_id, second.kind, delivery.rejected) == (None, "", "server", 0)


@pytest.mark.parametrize("form", ["protobuf", "json"])
def test_nested_values_become_text(form: str) -> None:
    request = delivery_of(span())
    attributes = request.resource_spans[0].scope_spans[0].spans[0].attributes
    pairs = attributes.add(key="map").value.kvlist_value.values
    pairs.add(key="a").value.int_value = 1
    attributes.add(key="bytes").value.bytes_value = b"\x00\xff"
    attributes.add(key="numbers").value.array_value.values.add().int_value = 5
    attributes.add(key="nothing")
    (read,) = decode(form, request).spans
    assert read.attributes == {"map": '{"a":1}', "bytes": "AP8=", "numbers": ["5"]}


@pytest.mark.parametrize("form", ["protobuf", "json"])
def test_spans_without_ids_are_rejected_and_the_others_taken(form: str) -> None:
    request = delivery_of(span(), span("bad"), span("worse"))
    good, bad, worse = request.resource_spans[0].scope_spans[0].spans
    bad.trace_id, worse.span_id = bytes(16), b"short"
    delivery = decode(form, request)
    assert ([each.name for each in delivery.spans], delivery.rejected) == ([good.name], 2)


def test_what_one_span_may_have_is_cut() -> None:
    attributes = {f"key {index}": "x" for index in range(500)} | {"key 0": "y" * 100_000}
    (read,) = decode_protobuf(
        delivery_of(span("n" * 5000, attributes=attributes, events=[(1, "e", {})] * 500)).SerializeToString()
    ).spans
    assert (len(read.name), len(read.attributes), len(read.events)) == (
        otlp_decoding.MAX_NAME_CHARS,
        otlp_decoding.MAX_ATTRIBUTES,
        otlp_decoding.MAX_EVENTS,
    )
    assert len(read.attributes["key 0"]) == otlp_decoding.MAX_VALUE_CHARS


def test_a_sender_that_does_not_say_who_it_is_is_unknown() -> None:
    request = delivery_of(span())
    del request.resource_spans[0].resource.attributes[:]
    assert decode_protobuf(request.SerializeToString()).spans[0].service == "unknown_service"


@pytest.mark.parametrize("body", [b"\xff\xff", b"\x0a\x05ab"])
def test_what_is_no_protobuf_is_refused(body: bytes) -> None:
    with pytest.raises(NotOtlp):
        decode_protobuf(body)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"1"])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(NotOtlp):
        decode_json(body)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["key", "value", "values", "stringValue", "arrayValue", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


FIELDS = ("name", "kind", "parentSpanId", "startTimeUnixNano", "endTimeUnixNano", "status", "attributes", "events")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON)))
def test_json_of_any_shape_is_read_or_rejected(fields) -> None:
    ids = {"traceId": TRACE, "spanId": "1" * 16}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{**ids, **fields}]}]}]}).encode()
    (read,) = decode_json(body).spans
    assert read.ended_ns >= read.started_ns >= 0


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_read_or_refused(body: bytes) -> None:
    for decoder in (decode_protobuf, decode_json):
        with suppress(NotOtlp):
            decoder(body)

"""The collector, driven by OpenTelemetry's own stubs and by hand."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
import grpc
import grpc.aio
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from router.config.tracing import Tracing
from router.errors import OperatorError
from router.observer.collector import Collector
from router.observer.metrics import MergedMetrics
from router.observer.otlp_encoding import OtlpEncoder
from router.observer.outlets import Outlets
from router.observer.spans import FinishedSpan
from router.telemetry.instruments import Registry
from tests.observer.spans import TRACE, span

PROTOBUF = "application/x-protobuf"


class Taken:
    """Keeps spans."""

    def __init__(self) -> None:
        self.spans: list[FinishedSpan] = []

    def take(self, spans: Sequence[FinishedSpan]) -> None:
        self.spans += spans


@asynccontextmanager
async def collecting() -> AsyncIterator[tuple[Collector, Taken]]:
    taken = Taken()
    collector = Collector([taken])
    await collector.open("127.0.0.1", grpc_port=0, http_port=0)
    try:
        yield collector, taken
    finally:
        await collector.close()


def request_of(*spans: FinishedSpan, service: str = "weather") -> bytes:
    encoder = OtlpEncoder({"service.name": service})
    return encoder.trace_request([encoder.span(each) for each in spans])


@asynccontextmanager
async def stub_channel(collector: Collector) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{collector.grpc_port}") as channel:
        yield channel


async def post(
    collector: Collector, body: bytes, content_type: str = PROTOBUF, path: str = "/v1/traces", **headers: str
) -> tuple[int, str, bytes]:
    async with aiohttp.ClientSession() as session:
        sent = {"Content-Type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"http://127.0.0.1:{collector.http_port}{path}"
        async with session.post(url, data=io.BytesIO(body), headers=sent) as response:
            return response.status, response.content_type, await response.read()


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_spans_are_taken_over_grpc(compression: grpc.Compression) -> None:
    async with collecting() as (collector, taken), stub_channel(collector) as channel:
        request = ExportTraceServiceRequest.FromString(request_of(span("plan"), span("call")))
        response = await TraceServiceStub(channel).Export(request, timeout=5, compression=compression)
        assert not response.HasField("partial_success")
        assert [(each.name, each.service, each.trace_id) for each in taken.spans] == [
            ("plan", "weather", TRACE),
            ("call", "weather", TRACE),
        ]


async def test_what_is_no_span_is_reported_over_grpc() -> None:
    async with collecting() as (collector, taken), stub_channel(collector) as channel:
        request = ExportTraceServiceRequest.FromString(request_of(span("good"), span("bad")))
        request.resource_spans[0].scope_spans[0].spans[1].trace_id = b""
        response = await TraceServiceStub(channel).Export(request, timeout=5)
        assert (response.partial_success.rejected_spans, len(taken.spans)) == (1, 1)
        raw = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(b"\xff\xff", timeout=5)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_metrics_and_logs_are_accepted_and_thrown_away() -> None:
    async with collecting() as (collector, taken), stub_channel(collector) as channel:
        await MetricsServiceStub(channel).Export(ExportMetricsServiceRequest(), timeout=5)
        response = await LogsServiceStub(channel).Export(ExportLogsServiceRequest(), timeout=5)
        assert response == ExportLogsServiceResponse()
        for path in ("/v1/metrics", "/v1/logs"):
            assert await post(collector, b"", path=path) == (200, PROTOBUF, b"")
            assert await post(collector, b"{}", "application/json", path) == (200, "application/json", b"{}")
        assert taken.spans == []


async def test_messages_that_are_too_large_are_refused_over_grpc() -> None:
    async with collecting() as (collector, taken), stub_channel(collector) as channel:
        big = span(attributes={f"key {index}": "x" * 100_000 for index in range(50)})
        request = ExportTraceServiceRequest.FromString(request_of(big))
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await TraceServiceStub(channel).Export(request, timeout=5, compression=compression)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert taken.spans == []


async def test_spans_are_taken_over_http() -> None:
    async with collecting() as (collector, taken):
        assert await post(collector, request_of(span("plan"))) == (200, PROTOBUF, b"")
        packed = gzip.compress(request_of(span("packed")))
        assert (await post(collector, packed, Content_Encoding="gzip"))[0] == 200
        assert [each.name for each in taken.spans] == ["plan", "packed"]


async def test_spans_are_taken_as_json() -> None:
    fields = {"traceId": TRACE, "spanId": "00f067aa0ba902b7", "name": "plan", "kind": 2}
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [fields, {**fields, "traceId": ""}]}]}]}
    async with collecting() as (collector, taken):
        status, form, answer = await post(collector, json.dumps(body).encode(), "application/json; charset=utf-8")
        assert (status, form) == (200, "application/json")
        assert json.loads(answer)["partialSuccess"]["rejectedSpans"] == "1"
        assert [(each.name, each.kind, each.span_id) for each in taken.spans] == [
            ("plan", "server", "00f067aa0ba902b7")
        ]
        partly = ExportTraceServiceRequest.FromString(request_of(span()))
        partly.resource_spans[0].scope_spans[0].spans.add(name="no ids")
        _, _, answer = await post(collector, partly.SerializeToString())
        assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 1


@pytest.mark.parametrize(
    ("body", "content_type", "path", "encoding", "status"),
    [
        (b"\xff\xff", PROTOBUF, "/v1/traces", "", 400),
        (b"{", "application/json", "/v1/traces", "", 400),
        (b"no gzip", PROTOBUF, "/v1/traces", "gzip", 400),
        (b"", PROTOBUF, "/v1/traces", "br", 400),
        (b"x", "text/plain", "/v1/traces", "", 415),
        (b"", PROTOBUF, "/v2/traces", "", 404),
        (b"x" * (5 * 1024 * 1024), PROTOBUF, "/v1/traces", "", 413),
        (gzip.compress(b"\0" * (20 * 1024 * 1024)), PROTOBUF, "/v1/traces", "gzip", 413),
    ],
    ids=["protobuf", "json", "gzip", "coding", "type", "path", "size", "unpacked"],
)
async def test_what_cannot_be_taken_is_refused(
    body: bytes, content_type: str, path: str, encoding: str, status: int
) -> None:
    async with collecting() as (collector, taken):
        body = body or b"x"
        answered, form, answer = await post(collector, body, content_type, path, Content_Encoding=encoding)
        assert answered == status
        assert form == (PROTOBUF if content_type == PROTOBUF else "application/json")
        assert answer
        assert taken.spans == []


async def test_only_posts_are_taken() -> None:
    async with (
        collecting() as (collector, _),
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{collector.http_port}/v1/traces") as response,
    ):
        assert response.status == 405


async def test_a_port_that_is_taken_is_the_operators_to_free() -> None:
    async with collecting() as (first, _):
        for ports in (
            {"http_port": first.http_port, "grpc_port": None},
            {"grpc_port": first.grpc_port, "http_port": 0},
        ):
            second = Collector([])
            with pytest.raises(OperatorError, match="cannot listen on 127"):
                await second.open("127.0.0.1", **ports)


async def test_spans_of_others_join_those_of_the_gateway() -> None:
    own = Registry()
    outlets = Outlets(Tracing(), MergedMetrics(own), own)
    collector = Collector([outlets.store])
    await collector.open("127.0.0.1", grpc_port=None, http_port=0)
    gateway = span()
    for taker in outlets.takers:
        taker.take([gateway])
    await post(collector, request_of(span("plan", parent=gateway.span_id)))
    await collector.close()
    trace = outlets.store.get(TRACE)
    assert trace is not None
    assert sorted(each.service for each in trace.spans.values()) == ["trident", "weather"]


async def test_a_sender_that_stays_connected_does_not_keep_the_end() -> None:
    async with collecting() as (collector, _), aiohttp.ClientSession() as session, stub_channel(collector) as channel:
        await MetricsServiceStub(channel).Export(ExportMetricsServiceRequest(), timeout=5)
        url = f"http://127.0.0.1:{collector.http_port}/v1/traces"
        async with session.post(url, data=request_of(span()), headers={"Content-Type": PROTOBUF}) as response:
            assert response.status == 200
        await asyncio.wait_for(collector.close(), 10)

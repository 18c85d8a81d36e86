"""A collector of OTLP that keeps what it gets: gRPC by the generated services, HTTP by aiohttp, both on port 0.

It can be told to fail. What it keeps are OpenTelemetry's own messages, decoded by nothing of ours.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import grpc
import grpc.aio
from aiohttp import web
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from router.aio import timeout

_MAX_BYTES = 16 * 1024 * 1024
_PROTOBUF = "application/x-protobuf"
_JSON = "application/json"


@dataclass(frozen=True)
class Failure:
    """What the collector answers instead: an HTTP status or a gRPC code. ``after_s`` says when to come back."""

    status: int = 503
    code: str = "UNAVAILABLE"
    after_s: float | None = None


@dataclass(frozen=True)
class Delivery:
    """One request that was taken, or refused with a failure."""

    way: Literal["grpc", "http"]
    signal: Literal["traces", "metrics"]
    headers: Mapping[str, str]
    size: int


@dataclass(frozen=True)
class ReceivedSpan:
    """A span and the service that it is from, with attributes as plain values."""

    span: Span
    resource: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def service(self) -> str:
        return str(self.resource.get("service.name"))

    @property
    def trace_id(self) -> str:
        return self.span.trace_id.hex()

    @property
    def span_id(self) -> str:
        return self.span.span_id.hex()

    @property
    def parent_id(self) -> str:
        return self.span.parent_span_id.hex()

    @property
    def attributes(self) -> dict[str, Any]:
        return plain(self.span.attributes)


@dataclass
class FakeCollector:
    """``async with FakeCollector() as collector``. ``failures`` answer the next deliveries, one each.

    ``rejects`` is how many items of each delivery it says it has refused; ``hold`` keeps all answers back until it is
    set; with ``tls`` both ports are behind TLS: a key and a certificate, as PEM in one file.
    """

    tls: str | None = None
    spans: list[ReceivedSpan] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    resource: dict[str, Any] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    rejects: int = 0
    hold: asyncio.Event | None = None
    grpc_port: int = 0
    http_port: int = 0

    @property
    def grpc_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://localhost:{self.grpc_port}"

    @property
    def http_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://localhost:{self.http_port}"

    async def __aenter__(self) -> FakeCollector:
        self._server = grpc.aio.server(options=(("grpc.max_receive_message_length", _MAX_BYTES),))
        add_TraceServiceServicer_to_server(_Traces(self), self._server)
        add_MetricsServiceServicer_to_server(_Metrics(self), self._server)
        context: ssl.SSLContext | None = None
        if self.tls is None:
            self.grpc_port = self._server.add_insecure_port("localhost:0")
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls)
            pem = Path(self.tls).read_bytes()
            self.grpc_port = self._server.add_secure_port("localhost:0", grpc.ssl_server_credentials([(pem, pem)]))
        await self._server.start()
        app = web.Application(client_max_size=_MAX_BYTES)
        app.router.add_post("/{path:.*}", self._posted)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "localhost", 0, ssl_context=context)
        await site.start()
        self.http_port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.hold is not None:
            self.hold.set()
        await self._server.stop(0)
        await self._runner.cleanup()

    async def wait_until(self, is_true: Callable[[FakeCollector], bool], within_s: float = 15.0) -> None:
        """Wait for something to be true of this collector."""
        async with timeout(within_s):
            while not is_true(self):
                await asyncio.sleep(0.01)

    async def wait_for_spans(self, number: int, within_s: float = 15.0) -> list[ReceivedSpan]:
        """Wait for as many spans."""
        await self.wait_until(lambda collector: len(collector.spans) >= number, within_s)
        return self.spans

    def trace(self, trace_id: str) -> list[ReceivedSpan]:
        """The spans of one trace, by start."""
        found = [span for span in self.spans if span.trace_id == trace_id]
        return sorted(found, key=lambda span: span.span.start_time_unix_nano)

    def points(self, metric: str) -> dict[tuple[str, ...], Any]:
        """The newest points of one metric by the values of their labels, sorted by label."""
        found = self.metrics[metric]
        data = getattr(found, found.WhichOneof("data") or "")
        return {
            tuple(value for _, value in sorted(plain(point.attributes).items())): point for point in data.data_points
        }

    def take_traces(self, request: ExportTraceServiceRequest) -> ExportTraceServiceResponse:
        for resource_spans in request.resource_spans:
            self.resource = plain(resource_spans.resource.attributes)
            for scope_spans in resource_spans.scope_spans:
                self.spans += [ReceivedSpan(span, self.resource) for span in scope_spans.spans]
        response = ExportTraceServiceResponse()
        if self.rejects:
            response.partial_success.rejected_spans = self.rejects
            response.partial_success.error_message = "not these"
        return response

    def take_metrics(self, request: ExportMetricsServiceRequest) -> ExportMetricsServiceResponse:
        for resource_metrics in request.resource_metrics:
            self.resource = plain(resource_metrics.resource.attributes)
            for scope_metrics in resource_metrics.scope_metrics:
                self.metrics |= {metric.name: metric for metric in scope_metrics.metrics}
        response = ExportMetricsServiceResponse()
        if self.rejects:
            response.partial_success.rejected_data_points = self.rejects
        return response

    async def next_failure(self) -> Failure | None:
        if self.hold is not None:
            await self.hold.wait()
        return self.failures.pop(0) if self.failures else None

    async def _posted(self, request: web.Request) -> web.Response:
        body = await request.read()  # aiohttp has undone the compression
        signal: Literal["traces", "metrics"] = "metrics" if request.path.endswith("metrics") else "traces"
        self.deliveries.append(Delivery("http", signal, dict(request.headers), len(body)))
        if request.content_type not in (_PROTOBUF, _JSON):
            return web.Response(status=415)
        failure = await self.next_failure()
        if failure is not None:
            headers = {} if failure.after_s is None else {"Retry-After": f"{failure.after_s:g}"}
            return web.Response(status=failure.status, headers=headers)
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        if request.content_type == _JSON:
            self.take_traces(_from_json(body))
            return web.json_response({})
        if signal == "traces":
            response = self.take_traces(ExportTraceServiceRequest.FromString(body)).SerializeToString()
        else:
            response = self.take_metrics(ExportMetricsServiceRequest.FromString(body)).SerializeToString()
        return web.Response(body=response, content_type=_PROTOBUF)


def _from_json(body: bytes) -> ExportTraceServiceRequest:
    """OTLP/JSON is protobuf's JSON, but for its ids: hexadecimal, where protobuf has base64."""

    def with_base64_ids(fields: dict[str, Any]) -> dict[str, Any]:
        ids = ("traceId", "spanId", "parentSpanId")
        return {
            name: base64.b64encode(bytes.fromhex(value)).decode() if name in ids else value
            for name, value in fields.items()
        }

    return json_format.ParseDict(json.loads(body, object_hook=with_base64_ids), ExportTraceServiceRequest())


class _Traces(TraceServiceServicer):  # type: ignore[misc]
    def __init__(self, collector: FakeCollector) -> None:
        self._collector = collector

    async def Export(  # noqa: N802
        self, request: ExportTraceServiceRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ExportTraceServiceResponse:
        await _note(self._collector, "traces", request.ByteSize(), context)
        return self._collector.take_traces(request)


class _Metrics(MetricsServiceServicer):  # type: ignore[misc]
    def __init__(self, collector: FakeCollector) -> None:
        self._collector = collector

    async def Export(  # noqa: N802
        self, request: ExportMetricsServiceRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ExportMetricsServiceResponse:
        await _note(self._collector, "metrics", request.ByteSize(), context)
        return self._collector.take_metrics(request)


async def _note(
    collector: FakeCollector,
    signal: Literal["traces", "metrics"],
    size: int,
    context: grpc.aio.ServicerContext[Any, Any],
) -> None:
    metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
    collector.deliveries.append(Delivery("grpc", signal, metadata, size))
    failure = await collector.next_failure()
    if failure is None:
        return
    if failure.after_s is not None:
        seconds, rest = divmod(failure.after_s, 1)
        detail = AnyMessage()
        detail.Pack(RetryInfo(retry_delay=Duration(seconds=int(seconds), nanos=int(rest * 1e9))))
        status = RpcStatus(code=14, message="busy", details=[detail])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    await context.abort(grpc.StatusCode[failure.code], "told to fail")


def plain(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    """Attributes as plain values."""
    return {pair.key: _plain(pair.value) for pair in attributes}


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return plain(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)

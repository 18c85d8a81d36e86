"""Spans and metrics on their way to a real collector, and what becomes of them when it is slow, or gone."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from router.config.tracing import OtlpExporter, Tracing
from router.errors import OperatorError
from router.observer.export_queue import ExportQueue, FailedForNow, QueueLimits, Refused
from router.observer.grpc_status import retry_delay_s
from router.observer.metrics import MergedMetrics
from router.observer.metrics_export import MetricsExport
from router.observer.otlp_encoding import OtlpEncoder
from router.observer.otlp_export import destination, retry_after_s
from router.observer.outlets import Outlets
from router.telemetry import catalogue, semconv
from router.telemetry.instruments import Registry
from router.upstream.retry import Backoff
from tests.fakes.collector import Failure, FakeCollector
from tests.observer.spans import span
from tests.observer.waiting import until

FAST = QueueLimits(batch_after_s=0.01, backoff=Backoff(0.01, 0.02), retry_for_s=10)
PROTOCOLS = ("grpc", "http/protobuf")


def exporter(collector: FakeCollector, protocol: str, **more: object) -> OtlpExporter:
    url = collector.grpc_url if protocol == "grpc" else collector.http_url
    return OtlpExporter.model_validate({"endpoint": url, "protocol": protocol, "timeout": 5, **more})


@asynccontextmanager
async def span_queue(
    collector: FakeCollector, protocol: str, limits: QueueLimits = FAST, **more: object
) -> AsyncIterator[tuple[ExportQueue, list[int]]]:
    encoder = OtlpEncoder({"service.name": "trident"})
    lost: list[int] = []
    way = destination(exporter(collector, protocol, **more), "traces")
    queue = ExportQueue(way, encoder.trace_request, lost.append, limits)
    queue.open()
    try:
        yield queue, lost
    finally:
        await queue.close(5)


def encoded(number: int, size: int = 0) -> list[bytes]:
    encoder = OtlpEncoder({})
    return [encoder.span(span(str(index), attributes={"text": "x" * size})) for index in range(number)]


@asynccontextmanager
async def outlets_of(tracing: dict[str, object]) -> AsyncIterator[tuple[Outlets, Registry, MergedMetrics]]:
    own = Registry()
    merged = MergedMetrics(own)
    outlets = Outlets(Tracing.model_validate(tracing), merged, own)
    await outlets.open()
    try:
        yield outlets, own, merged
    finally:
        await outlets.close(5)


def dropped(own: Registry) -> dict[tuple[str, ...], float]:
    return own.sum(catalogue.TELEMETRY_DROPPED).series


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_spans_arrive_with_who_sends_them_and_what_the_configuration_adds(protocol: str) -> None:
    async with FakeCollector() as collector:
        url = collector.grpc_url if protocol == "grpc" else collector.http_url
        otlp = {"endpoint": url, "protocol": protocol, "metrics": False, "headers": {"x-key": "secret"}}
        tracing = {"otlp": [otlp], "service_name": "front-door", "resource": {"team": "travel"}}
        async with outlets_of(tracing) as (outlets, own, _):
            root = span()
            for taker in outlets.takers:
                taker.take([root, span("chat", parent=root.span_id)])
            assert len(outlets.store) == 1
        assert [each.name for each in collector.spans] == ["POST /v1/chat/completions", "chat"]
        assert collector.spans[1].parent_id == root.span_id
        assert (collector.spans[0].service, collector.spans[0].resource["team"]) == ("front-door", "travel")
        assert collector.deliveries[0].headers.get("x-key", collector.deliveries[0].headers.get("X-Key")) == "secret"
        assert dropped(own) == {}


async def test_planos_key_sends_spans_by_grpc() -> None:
    async with FakeCollector() as collector:
        async with outlets_of({"opentracing_grpc_endpoint": collector.grpc_url}) as (outlets, _, _):
            for taker in outlets.takers:
                taker.take([span()])
        assert len(collector.spans) == 1
        assert {(delivery.way, delivery.signal) for delivery in collector.deliveries} == {("grpc", "traces")}


@pytest.mark.parametrize("capture_content", [False, True])
async def test_what_was_said_leaves_only_when_it_may(capture_content: bool) -> None:
    attributes = {semconv.INPUT_MESSAGES: "[secret]", semconv.REQUEST_MODEL: "gpt-4o"}
    event = (1, "execute_tool", {semconv.TOOL_NAME: "weather", semconv.TOOL_CALL_ARGUMENTS: "secret"})
    async with FakeCollector() as collector:
        tracing = {"opentracing_grpc_endpoint": collector.grpc_url, "capture_content": capture_content}
        async with outlets_of(tracing) as (outlets, _, _):
            for taker in outlets.takers:
                taker.take([span(attributes=attributes, events=[event])])
        text = str(collector.spans[0].span)
        assert ("secret" in text) is capture_content
        assert "gpt-4o" in text
        assert "weather" in text


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("compression", ["gzip", "none"])
async def test_bodies_are_compressed_when_that_is_wanted(protocol: str, compression: str) -> None:
    async with FakeCollector() as collector:
        async with span_queue(collector, protocol, compression=compression) as (queue, _):
            queue.put(encoded(300, size=500))
        assert len(collector.spans) == 300
        headers = {name.lower(): value for name, value in collector.deliveries[0].headers.items()}
        if protocol == "http/protobuf":
            assert headers.get("content-encoding") == ("gzip" if compression == "gzip" else None)
            assert headers["content-type"] == "application/x-protobuf"


async def test_batches_are_cut_by_number_and_by_bytes() -> None:
    by_number = QueueLimits(batch_items=10, batch_after_s=60, concurrency=1)
    by_bytes = QueueLimits(batch_bytes=5000, batch_after_s=60, concurrency=1)
    async with FakeCollector() as collector:
        async with span_queue(collector, "http/protobuf", by_number, compression="none") as (queue, _):
            queue.put(encoded(25))
            await collector.wait_for_spans(20)
            assert len(collector.deliveries) == 2
        assert [len(collector.deliveries), len(collector.spans)] == [3, 25]
        async with span_queue(collector, "http/protobuf", by_bytes, compression="none") as (queue, _):
            queue.put(encoded(10, size=1000))
        assert all(delivery.size < 6000 for delivery in collector.deliveries)
        assert len(collector.spans) == 35


async def test_a_span_does_not_wait_long_for_others() -> None:
    async with FakeCollector() as collector, span_queue(collector, "grpc") as (queue, _):
        queue.put(encoded(1))
        await collector.wait_for_spans(1)


@pytest.mark.parametrize(
    ("protocol", "failure"),
    [
        ("http/protobuf", Failure(status=429)),
        ("http/protobuf", Failure(status=503, after_s=0)),
        ("http/protobuf", Failure(status=504)),
        ("grpc", Failure(code="UNAVAILABLE")),
        ("grpc", Failure(code="UNAVAILABLE", after_s=0.01)),
        ("grpc", Failure(code="RESOURCE_EXHAUSTED", after_s=0.01)),
        ("grpc", Failure(code="DEADLINE_EXCEEDED")),
    ],
)
async def test_what_fails_for_now_is_sent_again(protocol: str, failure: Failure) -> None:
    async with FakeCollector(failures=[failure, failure]) as collector:
        async with span_queue(collector, protocol) as (queue, lost):
            queue.put(encoded(3))
            await collector.wait_for_spans(3)
        assert (len(collector.deliveries), len(collector.spans), lost) == (3, 3, [])


@pytest.mark.parametrize(
    ("protocol", "failure"),
    [
        ("http/protobuf", Failure(status=400)),
        ("http/protobuf", Failure(status=401)),
        ("http/protobuf", Failure(status=500)),
        ("grpc", Failure(code="INVALID_ARGUMENT")),
        ("grpc", Failure(code="UNAUTHENTICATED")),
        ("grpc", Failure(code="RESOURCE_EXHAUSTED")),
    ],
)
async def test_what_is_refused_is_dropped_and_counted(protocol: str, failure: Failure) -> None:
    async with FakeCollector(failures=[failure]) as collector:
        async with span_queue(collector, protocol) as (queue, lost):
            queue.put(encoded(3))
            await until(lambda: lost)
            queue.put(encoded(1))
        assert (lost, len(collector.deliveries), len(collector.spans)) == ([3], 2, 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_a_collector_rejects_of_a_delivery_is_counted_and_not_sent_again(protocol: str) -> None:
    async with FakeCollector(rejects=2) as collector:
        async with span_queue(collector, protocol) as (queue, lost):
            queue.put(encoded(5))
        assert (lost, len(collector.deliveries)) == ([2], 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_collector_that_does_not_answer_in_time_is_asked_again(protocol: str) -> None:
    collector = FakeCollector(hold=asyncio.Event())
    async with collector, span_queue(collector, protocol, timeout=0.1) as (queue, lost):
        queue.put(encoded(2))
        await collector.wait_until(lambda each: len(each.deliveries) >= 2)
        assert collector.hold is not None
        collector.hold.set()
        await collector.wait_until(lambda each: len(each.spans) >= 2)
        assert lost == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_collector_that_is_gone_costs_bounded_memory_and_the_loss_is_counted(protocol: str) -> None:
    with socket.socket() as endpoint:  # bound and not listening: nobody else gets the port
        endpoint.bind(("127.0.0.1", 0))
        gone = FakeCollector(grpc_port=endpoint.getsockname()[1], http_port=endpoint.getsockname()[1])
        limits = QueueLimits(
            queue_items=100, batch_items=10, batch_after_s=0.01, concurrency=2, backoff=Backoff(5, 5), retry_for_s=60
        )
        encoder = OtlpEncoder({})
        lost: list[int] = []
        queue = ExportQueue(destination(exporter(gone, protocol), "traces"), encoder.trace_request, lost.append, limits)
        queue.open()
        spans = encoded(100)
        for _ in range(10):
            queue.put(spans)
            await asyncio.sleep(0)
        # At most the queue, and the batches that are on their way.
        assert 1000 - sum(lost) <= 100 + 2 * 10
        await queue.close(0.1)
        assert sum(lost) == 1000


async def test_bytes_in_the_queue_are_bounded() -> None:
    collector = FakeCollector(hold=asyncio.Event())
    limits = QueueLimits(queue_bytes=50_000, batch_items=1, concurrency=1)
    async with collector, span_queue(collector, "grpc", limits) as (queue, lost):
        queue.put(encoded(200, size=1000))
        assert 140 <= sum(lost) <= 160
        assert collector.hold is not None
        collector.hold.set()


class Script:
    """A destination that answers as it is told, and notes when it was asked."""

    name = "script"

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.asked_at: list[float] = []

    async def send(self, body: bytes) -> int:
        self.asked_at.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0) if self.answers else 0
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        pass


def join(items: Sequence[bytes]) -> bytes:
    return b"".join(items)


async def test_nothing_is_sent_while_a_destination_wants_to_be_left_alone() -> None:
    script = Script(FailedForNow("busy", 0.3))
    limits = QueueLimits(batch_items=1, concurrency=4, batch_after_s=0.01)
    queue = ExportQueue(script, join, lambda lost: None, limits)
    queue.open()
    queue.put([b"a"])
    await until(lambda: script.asked_at)
    queue.put([b"b", b"c"])
    await until(lambda: len(script.asked_at) == 4)
    assert all(later - script.asked_at[0] >= 0.29 for later in script.asked_at[1:])
    await queue.close(1)


async def test_a_batch_is_given_up_after_a_while() -> None:
    script = Script(*[FailedForNow("busy")] * 1000)
    lost: list[int] = []
    limits = QueueLimits(batch_after_s=0.01, retry_for_s=0.05, backoff=Backoff(0.02, 0.02))
    queue = ExportQueue(script, join, lost.append, limits)
    queue.open()
    queue.put([b"a", b"b"])
    await until(lambda: lost == [2])
    assert len(script.asked_at) >= 2
    await queue.close(1)


async def test_a_defect_of_a_destination_does_not_stop_the_queue(caplog: pytest.LogCaptureFixture) -> None:
    script = Script(RuntimeError("broken"), Refused("no"))
    lost: list[int] = []
    queue = ExportQueue(script, join, lost.append, QueueLimits(batch_after_s=0.01))
    queue.open()
    for number in range(1, 4):
        queue.put([b"a"])
        await until(lambda number=number: len(script.asked_at) == number)
    await queue.close(1)
    assert lost == [1, 1]
    assert "telemetry not exported" in caplog.text


async def test_a_failing_destination_is_logged_once_and_its_recovery_too(caplog: pytest.LogCaptureFixture) -> None:
    script = Script(FailedForNow("busy"), FailedForNow("busy"), FailedForNow("busy"))
    queue = ExportQueue(script, join, lambda lost: None, FAST)
    with caplog.at_level("INFO"):
        queue.open()
        queue.put([b"a"])
        await until(lambda: len(script.asked_at) == 4)
        await queue.close(1)
    messages = [record.getMessage() for record in caplog.records if record.name == "router.observer.export_queue"]
    assert messages == ["telemetry is not taken, and dropped if that goes on", "telemetry is taken again"]


async def test_what_comes_after_the_end_is_counted() -> None:
    lost: list[int] = []
    queue = ExportQueue(Script(), join, lost.append, FAST)
    queue.open()
    await queue.close(1)
    queue.put([b"a", b"b"])
    assert lost == [2]


# Metrics


@asynccontextmanager
async def metrics_export(
    collector: FakeCollector, protocol: str, merged: MergedMetrics, interval_s: float
) -> AsyncIterator[list[int]]:
    lost: list[int] = []
    export = MetricsExport(
        merged,
        OtlpEncoder({"service.name": "trident"}),
        destination(exporter(collector, protocol), "metrics"),
        lost.append,
        interval_s=interval_s,
        backoff=Backoff(0.01, 0.02),
    )
    export.open()
    try:
        yield lost
    finally:
        await export.close(5)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_metrics_arrive_every_so_often_and_once_at_the_end(protocol: str) -> None:
    own = Registry()
    requests = own.sum(catalogue.REQUESTS)
    async with FakeCollector() as collector:
        async with metrics_export(collector, protocol, MergedMetrics(own), 0.05):
            requests.add(3, "models", "2xx")
            await collector.wait_until(lambda each: semconv.REQUESTS in each.metrics)
            own.histogram(catalogue.TIME_TO_FIRST_TOKEN).record(0.2, "chat", "models")
            requests.add(1, "models", "2xx")
        points = collector.points(semconv.REQUESTS)
        assert [point.as_double for point in points.values()] == [4.0]
        (histogram,) = collector.points(semconv.GEN_AI_SERVER_TIME_TO_FIRST_TOKEN).values()
        assert (histogram.count, histogram.sum) == (1, 0.2)
        assert collector.resource["service.name"] == "trident"


async def test_metrics_are_sent_again_and_what_is_rejected_is_counted() -> None:
    own = Registry()
    own.sum(catalogue.REQUESTS).add(1, "models", "2xx")
    failure = Failure(status=503)
    async with FakeCollector(failures=[failure, failure], rejects=1) as collector:
        async with metrics_export(collector, "http/protobuf", MergedMetrics(own), 60) as lost:
            pass
        assert (len(collector.deliveries), lost) == (3, [1])


async def test_metrics_that_nobody_takes_are_counted_and_the_end_does_not_wait_for_them() -> None:
    own = Registry()
    own.sum(catalogue.REQUESTS).add(1, "models", "2xx")
    collector = FakeCollector(hold=asyncio.Event())
    async with collector:
        lost: list[int] = []
        way = destination(exporter(collector, "http/protobuf"), "metrics")
        export = MetricsExport(MergedMetrics(own), OtlpEncoder({}), way, lost.append, interval_s=60)
        export.open()
        await export.close(0.1)
        assert sum(lost) >= 1


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost and its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed, so there is no certificate to test with")
    folder = tmp_path_factory.mktemp("tls")
    command = f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key -out cert"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=DNS:localhost"], cwd=folder, check=True, capture_output=True
    )
    both = folder / "both.pem"
    both.write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return both


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_collectors_behind_tls_are_verified(protocol: str, certificate: Path) -> None:
    ca_file = certificate.with_name("cert")
    async with FakeCollector(tls=str(certificate)) as collector:
        async with span_queue(collector, protocol, ca_file=ca_file) as (queue, lost):
            queue.put(encoded(1))
        assert (len(collector.spans), lost) == (1, [])
        distrustful = QueueLimits(batch_after_s=0.01, retry_for_s=0.2, backoff=Backoff(0.05, 0.05))
        async with span_queue(collector, protocol, distrustful, timeout=2) as (queue, lost):
            queue.put(encoded(1))
            await until(lambda: lost == [1])
        assert len(collector.spans) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("field", ["ca_file", "client_certificate"])
async def test_certificates_that_are_none_are_found_at_the_start(protocol: str, field: str, tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    file.write_text("no certificate")
    for path in (file, tmp_path / "missing.pem"):
        wrong = OtlpExporter.model_validate({"endpoint": "https://localhost:1", "protocol": protocol, field: path})
        with pytest.raises(OperatorError, match="collector"):
            destination(wrong, "traces")


# What servers say about when to come back


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:10 GMT", 10.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_in_both_of_its_forms(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, 1445412480.0) == seconds


@pytest.mark.parametrize(
    "status", [b"", b"\x08\x0e", b"\x1a\x05abc", b"\xff", b"\x1a\x03abc", b"\x0b", b"\x1a\x02\x0a\x00", b"\x80" * 20]
)
def test_a_status_that_says_nothing_about_it_is_no_delay(status: bytes) -> None:
    assert retry_delay_s(status) is None

"""Collectors as destinations: OTLP over HTTP, and what both ways have in common (https://opentelemetry.io/docs/specs/otlp/)."""

from __future__ import annotations

import asyncio
import gzip
import math
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal, TypeAlias

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from yarl import URL

from router.aio import timeout
from router.config.tracing import OtlpExporter
from router.errors import OperatorError, UpstreamError
from router.observer.export_queue import Destination, FailedForNow, Refused
from router.upstream.http import Endpoint, HttpClient, UpstreamResponse

Signal: TypeAlias = Literal["traces", "metrics"]

CONTENT_TYPE = "application/x-protobuf"

_MAX_ANSWER_BYTES = 64 * 1024
_GZIP_AT_ONCE_BYTES = 64 * 1024
_GZIP_LEVEL = 1  # spans are repetitive: more costs time and saves next to nothing
_RETRYABLE_STATUS = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Tls:
    """Whom to trust and what to show, as PEM; ``None`` for the system's certificates, and for showing nothing."""

    ca: bytes | None = None
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def of(cls, exporter: OtlpExporter) -> Tls:
        """What ``exporter`` says. Raises ``OperatorError`` for files that cannot be read."""
        try:
            ca = None if exporter.ca_file is None else exporter.ca_file.read_bytes()
            for file in (exporter.client_certificate, exporter.client_key):
                if file is not None:
                    file.read_bytes()
        except OSError as exc:
            raise OperatorError(
                f"The file {exc.filename} for the collector cannot be read.", fix="Check `tracing.otlp`."
            ) from exc
        return cls(ca, exporter.client_certificate, exporter.client_key)

    def context(self) -> ssl.SSLContext:
        """For HTTP. Raises ``OperatorError``."""
        try:
            context = ssl.create_default_context(cadata=None if self.ca is None else self.ca.decode("ascii"))
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (ssl.SSLError, UnicodeDecodeError) as exc:
            raise OperatorError("A certificate for the collector is none.", fix="Check `tracing.otlp`.") from exc
        return context


def destination(exporter: OtlpExporter, signal: Signal) -> Destination:
    """Where ``signal`` goes. Raises ``OperatorError`` for certificates that are none."""
    if exporter.protocol == "grpc":
        # Megabytes that a gateway without such a collector does without.
        from router.observer.otlp_grpc import GrpcDestination

        return GrpcDestination(exporter, signal)
    return HttpDestination(exporter, signal)


class HttpDestination:
    """OTLP over HTTP, in protobuf."""

    def __init__(self, exporter: OtlpExporter, signal: Signal) -> None:
        path = exporter.traces_path if signal == "traces" else exporter.metrics_path
        self.name = f"{signal} by HTTP to {URL(exporter.endpoint).host}"
        self._signal = signal
        self._timeout_s = exporter.timeout
        self._compress = exporter.compression == "gzip"
        coding = {"content-encoding": "gzip"} if self._compress else {}
        headers = {"content-type": CONTENT_TYPE, "accept": CONTENT_TYPE, **coding, **exporter.headers}
        url = exporter.endpoint.rstrip("/") + "/" + path.lstrip("/")
        self._endpoint = Endpoint("collector", URL(url), exporter.timeout, headers)
        self._client = HttpClient(connect_timeout_s=exporter.timeout, tls=Tls.of(exporter).context())

    async def send(self, body: bytes) -> int:
        """See ``Destination``."""
        if self._compress:
            body = await _gzipped(body)
        try:
            async with timeout(self._timeout_s), self._client.post(self._endpoint, body, {}) as response:
                if response.status >= 300:
                    raise _failure(response)
                return rejected_items(self._signal, await response.read(_MAX_ANSWER_BYTES))
        except (asyncio.TimeoutError, TimeoutError) as exc:
            raise FailedForNow("no answer in time") from exc
        except UpstreamError as exc:
            raise FailedForNow(exc.code) from exc

    async def close(self) -> None:
        """See ``Destination``."""
        await self._client.close()


async def _gzipped(body: bytes) -> bytes:
    if len(body) <= _GZIP_AT_ONCE_BYTES:
        return gzip.compress(body, _GZIP_LEVEL)
    return await asyncio.to_thread(gzip.compress, body, _GZIP_LEVEL)


def _failure(response: UpstreamResponse) -> Refused | FailedForNow:
    cause = f"status {response.status}"
    if response.status in _RETRYABLE_STATUS:
        return FailedForNow(cause, retry_delay_of(response))
    return Refused(cause)


def retry_delay_of(response: UpstreamResponse) -> float | None:
    """After how many seconds ``response`` asks to be asked again."""
    return retry_after_s(response.header("retry-after"), time.time())


def retry_after_s(value: str | None, now: float) -> float | None:
    """Seconds of a ``Retry-After`` (RFC 9110, section 10.2.3) at ``now`` since the epoch, ``None`` for nonsense."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def rejected_items(signal: Signal, answer: bytes) -> int:
    """How much of a delivery was refused. What is no answer of OTLP says nothing about it."""
    try:
        if signal == "traces":
            return max(0, ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans)
        return max(0, ExportMetricsServiceResponse.FromString(answer).partial_success.rejected_data_points)
    except DecodeError:
        return 0

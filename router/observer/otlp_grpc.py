"""Collectors as destinations: OTLP over gRPC (https://opentelemetry.io/docs/specs/otlp/)."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
import grpc.aio
from yarl import URL

from router.config.tracing import OtlpExporter
from router.observer.export_queue import FailedForNow, Refused
from router.observer.grpc_status import retry_delay_s
from router.observer.otlp_export import Signal, Tls, rejected_items

METHODS: Mapping[Signal, str] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}

_DEFAULT_PORTS = {"http": 4317, "https": 443}
_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 15_000))
_RETRYABLE = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


class GrpcDestination:
    """OTLP over gRPC. The connection is made with the first delivery, and again whenever it is lost."""

    def __init__(self, exporter: OtlpExporter, signal: Signal) -> None:
        url = URL(exporter.endpoint)
        self.name = f"{signal} by gRPC to {url.host}"
        self._signal = signal
        self._target = f"{url.host_subcomponent}:{url.explicit_port or _DEFAULT_PORTS[url.scheme]}"
        self._tls = Tls.of(exporter) if url.scheme == "https" else None
        if self._tls is not None:
            self._tls.context()  # gRPC itself does not say what is wrong with a certificate
        self._timeout_s = exporter.timeout
        self._compress = exporter.compression == "gzip"
        self._metadata = tuple((name.lower(), value) for name, value in exporter.headers.items())
        self._channel: grpc.aio.Channel | None = None

    async def send(self, body: bytes) -> int:
        """See ``Destination``."""
        try:
            answer = await self._export()(
                body,
                timeout=self._timeout_s,
                metadata=self._metadata,
                compression=grpc.Compression.Gzip if self._compress else grpc.Compression.NoCompression,
            )
        except grpc.aio.AioRpcError as exc:
            raise _failure(exc) from exc
        return rejected_items(self._signal, answer)

    async def close(self) -> None:
        """See ``Destination``."""
        if self._channel is not None:
            await self._channel.close()

    def _export(self) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
        if self._channel is None:
            if self._tls is None:
                self._channel = grpc.aio.insecure_channel(self._target, _OPTIONS)
            else:
                self._channel = grpc.aio.secure_channel(self._target, _credentials(self._tls), _OPTIONS)
        return self._channel.unary_unary(METHODS[self._signal])


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    certificate = None if tls.certificate is None else tls.certificate.read_bytes()
    key_file = tls.key or tls.certificate
    key = None if certificate is None or key_file is None else key_file.read_bytes()
    return grpc.ssl_channel_credentials(tls.ca, key, certificate)


def _failure(error: grpc.aio.AioRpcError) -> Refused | FailedForNow:
    code = error.code()
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    asked_s = retry_delay_s(details) if isinstance(details, bytes) else None
    if code in _RETRYABLE or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and asked_s is not None):
        return FailedForNow(code.name, asked_s)
    return Refused(code.name)

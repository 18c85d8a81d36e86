"""The gRPC server: binds, bounds what clients may do, drains."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from router.errors import OperatorError
from router.services.calls import Calls
from router.services.health import Health
from router.services.servicers import ServiceSet

logger = logging.getLogger(__name__)

_MAX_METADATA_BYTES = 16 * 1024
_CONNECTION_GRACE_S = 3600.0  # for streams that are on a connection when it is told to end


@dataclass(frozen=True, slots=True)
class ServerTls:
    """PEM files: the server's certificate chain and key; with ``client_ca``, clients need a certificate of that CA."""

    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where the server binds and what connections may do.

    Connections that say nothing for ``keepalive_s`` are asked whether they are there; after ``max_connection_age_s``
    clients are told to connect again, which is what spreads them over servers that came later.
    """

    address: str
    port: int
    tls: ServerTls | None = None
    max_message_bytes: int = 4 * 1024 * 1024
    max_streams_per_connection: int = 1000
    keepalive_s: float = 60.0
    keepalive_timeout_s: float = 20.0
    max_connection_age_s: float = 1800.0
    drain_timeout_s: float = 30.0


class GrpcServer:
    """One listening socket with the services of ``services``. ``start`` it inside the event loop, then ``drain`` it."""

    def __init__(
        self,
        options: ServerOptions,
        services: ServiceSet,
        calls: Calls,
        not_ready: Callable[[], Awaitable[Sequence[str]]],
    ) -> None:
        self.options = options
        self._services = services
        self._calls = calls
        self._health = Health(services.names, not_ready)
        self._server: grpc.aio.Server | None = None
        self._port = options.port

    @property
    def port(self) -> int:
        """The port in use, also where the options said 0."""
        return self._port

    async def start(self, *, reuse_port: bool = False) -> None:
        """Bind and accept. Raises ``OperatorError`` when the address or the certificate cannot be used."""
        options = self.options
        credentials = None if options.tls is None else _credentials(options.tls)
        server = grpc.aio.server(options=_channel_options(options, reuse_port=reuse_port))
        self._services.register(server, self._calls)
        await self._health.start(server)
        host = f"[{options.address}]" if ":" in options.address.strip("[]") else options.address
        target = f"{host}:{options.port}"
        try:
            if credentials is None:
                self._port = server.add_insecure_port(target)
            else:
                self._port = server.add_secure_port(target, credentials)
            await server.start()
        except RuntimeError as exc:
            await self._health.leave()
            raise OperatorError(
                f"The gRPC services cannot bind {target}.",
                fix="Stop what uses the port, or change `grpc.port`; with `grpc.tls`, check its files.",
            ) from exc
        self._server = server

    async def drain(self) -> None:
        """Say that nothing is served any more, let calls in flight finish for ``drain_timeout_s``, cut off the rest."""
        if self._server is not None:
            server, self._server = self._server, None
            await self._health.leave()
            # A stop that is cancelled half-way leaves the core in pieces.
            await asyncio.shield(server.stop(self.options.drain_timeout_s))
        await self._services.close()


def _channel_options(options: ServerOptions, *, reuse_port: bool) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", int(reuse_port)),
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", options.max_message_bytes),
        ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.max_concurrent_streams", options.max_streams_per_connection),
        ("grpc.keepalive_time_ms", round(options.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", round(options.keepalive_timeout_s * 1000)),
        # Clients may ask whether we are here as often as we ask them.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.max_connection_age_ms", round(options.max_connection_age_s * 1000)),
        ("grpc.max_connection_age_grace_ms", round(_CONNECTION_GRACE_S * 1000)),
    ]


def _credentials(tls: ServerTls) -> grpc.ServerCredentials:
    chain, key = _read(tls.cert), _read(tls.key)
    roots = None if tls.client_ca is None else _read(tls.client_ca)
    return grpc.ssl_server_credentials([(key, chain)], roots, require_client_auth=roots is not None)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise OperatorError(
            f"{path} cannot be read: {exc.strerror}.", fix="Check the paths below `grpc.tls`, and who may read them."
        ) from exc

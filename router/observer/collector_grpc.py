"""The collector's gRPC server: the services of OTLP over raw bytes."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import grpc.aio

from router.observer.otlp_decoding import NotOtlp

_SERVICES = "opentelemetry.proto.collector.{0}.v1.{1}Service"
_MAX_CONCURRENT_RPCS = 64


async def open_server(
    export: Callable[[bytes], bytes], host: str, port: int, max_bytes: int
) -> tuple[grpc.aio.Server, int]:
    """A server that listens, and its port. ``export`` takes traces; raises ``OSError`` where the port is taken."""

    async def take(body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        try:
            return export(body)
        except NotOtlp as exc:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(exc))

    async def ignore(body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return b""

    server = grpc.aio.server(
        options=(("grpc.max_receive_message_length", max_bytes), ("grpc.so_reuseport", 0)),
        maximum_concurrent_rpcs=_MAX_CONCURRENT_RPCS,
        compression=grpc.Compression.NoCompression,
    )
    for signal, name, behaviour in (("trace", "Trace", take), ("metrics", "Metrics", ignore), ("logs", "Logs", ignore)):
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(behaviour)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICES.format(signal, name), {"Export": handler}),)
        )
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as exc:  # what gRPC raises, behind a line of its own on standard error
        raise OSError(f"port {port} cannot be had") from exc
    if not bound:
        raise OSError(f"port {port} cannot be had")
    await server.start()
    return server, bound

"""gRPC below ``TritonClient``: the channel, its calls, and what their failures mean.

gRPC, and the NumPy that tritonclient brings along, take some 30 MB and a third of a second to load, so nothing but the
client imports this module, and only once there is somebody to ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from router.errors import ModelUnavailable
from router.telemetry.tracing import current_span

MAX_MESSAGE_BYTES = 16 * 1024 * 1024

_CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A server that was killed is back within a second or two: look again soon. The minimum is also the time that one
    # attempt to connect is given.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Pings only while a call waits, and less often than Triton's default policy punishes. With keep-alive on, gRPC also
    # gives unacknowledged bytes no longer than the timeout (TCP_USER_TIMEOUT), which is what notices a vanished host.
    ("grpc.keepalive_time_ms", 300_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # Clients must not share a connection, and with it the back-off of another one.
    ("grpc.use_local_subchannel_pool", 1),
    # Model traffic is loopback or inside the cluster; an http_proxy in the environment is not meant for it.
    ("grpc.enable_http_proxy", 0),
    # All addresses behind a headless service are used, and a lost connection is rebuilt without waiting for a call.
    ("grpc.service_config", '{"loadBalancingConfig":[{"round_robin":{}}]}'),
)


class Rpc:
    """One channel. ``stub`` has the methods of Triton's service, ``messages`` the types of their requests."""

    def __init__(self, url: str) -> None:
        self._closed = False
        self._channel = _open_channel(url)
        self.stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self.messages: Any = service_pb2

    async def close(self, grace_s: float | None) -> None:
        """Close the channel; calls still running get ``grace_s`` to finish and then fail."""
        self._closed = True
        await self._channel.close(grace_s)

    async def call(self, method: Any, request: Any, timeout_s: float, subject: str) -> Any:
        """The answer of ``method``. Raises ``ModelUnavailable`` whose message begins with ``subject``."""
        if timeout_s <= 0:
            raise ModelUnavailable(f"{subject} was not asked because no time was left.")
        try:
            return await method(request, timeout=timeout_s, metadata=_metadata(current_span().traceparent))
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.CancelledError) as exc:
            raise self._failure(exc, subject) from exc

    async def stream(
        self, method: Any, request: Any, timeout_s: float, subject: str, traceparent: str | None
    ) -> AsyncGenerator[Any, None]:
        """What ``method`` answers to one ``request``, until it has said all; closing the generator cancels the call.

        Raises ``ModelUnavailable`` whose message begins with ``subject``.
        """
        if timeout_s <= 0:
            raise ModelUnavailable(f"{subject} was not asked because no time was left.")
        call: Any = None
        try:
            call = method([request], timeout=timeout_s, metadata=_metadata(traceparent))
            async for answer in call:
                yield answer
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.CancelledError) as exc:
            raise self._failure(exc, subject) from exc
        finally:
            if call is not None:
                call.cancel()

    def _failure(self, exc: BaseException, subject: str) -> BaseException:
        """What to raise for what gRPC raised."""
        if isinstance(exc, grpc.aio.AioRpcError):
            return ModelUnavailable(_public_message(subject, exc.code()))
        # Closing the channel ends its calls with the same exception as cancelling the caller.
        if isinstance(exc, asyncio.CancelledError) and (not self._closed or _caller_is_cancelled()):
            return asyncio.CancelledError(*exc.args)
        return ModelUnavailable(f"{subject} cannot be reached.")


def is_unimplemented(failure: ModelUnavailable) -> bool:
    """Whether the server has no such method."""
    cause = failure.__cause__
    return isinstance(cause, grpc.aio.AioRpcError) and cause.code() is grpc.StatusCode.UNIMPLEMENTED


def _open_channel(url: str) -> Any:
    scheme, separator, target = url.partition("://")
    if separator and scheme == "grpcs":
        return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=_CHANNEL_OPTIONS)
    return grpc.aio.insecure_channel(target if scheme == "grpc" else url, options=_CHANNEL_OPTIONS)


def _metadata(traceparent: str | None) -> tuple[tuple[str, str], ...] | None:
    return None if traceparent is None else (("traceparent", traceparent),)


def _public_message(subject: str, code: grpc.StatusCode) -> str:
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{subject} did not answer in time."
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return f"{subject} cannot be reached."
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return f"{subject} is overloaded, or the request is too large for it."
    if code is grpc.StatusCode.NOT_FOUND:
        return f"{subject} is not being served."
    return f"{subject} failed."


def _caller_is_cancelled() -> bool:
    """Whether the current task was asked to stop. Python 3.10 cannot tell; there a cancellation is taken as one."""
    task = asyncio.current_task()
    cancelling = getattr(task, "cancelling", None)
    return cancelling is None or cancelling() > 0

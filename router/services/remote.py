"""A service of ours on other machines: one channel to each address, the one with the least to do is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar, cast

import grpc
import grpc.aio

from router.errors import ModelUnavailable, OperatorError
from router.services.statuses import DETAILS_KEY
from router.telemetry.tracing import current_span

Stub = TypeVar("Stub")
Request = TypeVar("Request")
Response = TypeVar("Response")

_SHUNNED_S = 1.0  # an address that could not be reached, while there are others
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024

_CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # Traffic of the cluster; an http_proxy in the environment is not meant for it.
    ("grpc.enable_http_proxy", 0),
    # All addresses behind one name are used.
    ("grpc.service_config", '{"loadBalancingConfig":[{"round_robin":{}}]}'),
)


@dataclass(frozen=True, slots=True)
class ClientTls:
    """PEM files: ``ca`` instead of the system's roots, ``cert`` and ``key`` where the server wants to know the client.

    ``server_name`` is what the server's certificate has to be for, where that is not the host of the address.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """Where a service is and how it is asked. ``name`` stands in messages; each address is ``host:port``."""

    name: str
    addresses: tuple[str, ...]
    tls: ClientTls | None = None
    api_key: str | None = field(default=None, repr=False)
    timeout_s: float = 2.0


@dataclass(eq=False, slots=True)
class _Endpoint(Generic[Stub]):
    channel: grpc.aio.Channel
    stub: Stub
    running: int = 0
    shunned_until: float = float("-inf")


class RemoteService(Generic[Stub]):
    """Calls to one service. Make it inside the event loop that uses it; whoever makes it calls ``close``.

    Its methods have to be such that asking twice does no harm: where one address cannot be reached, the next is asked,
    each once. All failures are ``ModelUnavailable``.
    """

    def __init__(self, options: RemoteOptions, stub: Callable[[grpc.aio.Channel], Stub]) -> None:
        self.options = options
        self._metadata = (("authorization", f"Bearer {options.api_key}"),) if options.api_key is not None else ()
        credentials = None if options.tls is None else _credentials(options.tls)
        channels = [_channel(address, options.tls, credentials) for address in options.addresses]
        self._endpoints = [_Endpoint(channel, stub(channel)) for channel in channels]
        self._turn = 0

    async def close(self) -> None:
        """Close the channels; calls that still run fail."""
        await asyncio.gather(*(endpoint.channel.close() for endpoint in self._endpoints))

    async def call(
        self,
        method: Callable[[Stub], grpc.aio.UnaryUnaryMultiCallable[Request, Response]],
        request: Request,
        *,
        timeout_s: float,
    ) -> Response:
        """The answer of ``method``. Raises ``ModelUnavailable``; cancelling the caller cancels the call."""
        name = self.options.name
        traceparent = current_span().traceparent
        metadata = self._metadata if traceparent is None else (*self._metadata, ("traceparent", traceparent))
        deadline = time.monotonic() + min(timeout_s, self.options.timeout_s)
        failure: grpc.aio.AioRpcError | None = None
        for endpoint in self._in_order():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            endpoint.running += 1
            try:
                answer = method(endpoint.stub)(request, timeout=left_s, metadata=metadata)
                return await cast("Awaitable[Response]", answer)
            except grpc.aio.AioRpcError as exc:
                failure = exc
                if exc.code() is not grpc.StatusCode.UNAVAILABLE:
                    break
                if not _is_answer(exc):
                    endpoint.shunned_until = time.monotonic() + _SHUNNED_S
            except grpc.aio.UsageError as exc:  # the channel was closed
                raise ModelUnavailable(f"The {name} cannot be reached.") from exc
            finally:
                endpoint.running -= 1
        raise ModelUnavailable(_public_message(name, failure)) from failure

    def _in_order(self) -> Sequence[_Endpoint[Stub]]:
        """All endpoints: those first that can be reached and have the least to do, equals in turn."""
        if len(self._endpoints) == 1:
            return self._endpoints
        now = time.monotonic()
        self._turn = (self._turn + 1) % len(self._endpoints)
        turned = self._endpoints[self._turn :] + self._endpoints[: self._turn]
        return sorted(turned, key=lambda endpoint: (endpoint.shunned_until > now, endpoint.running))


def _is_answer(error: grpc.aio.AioRpcError) -> bool:
    """Whether the service itself said so, and not what is between."""
    return any(name == DETAILS_KEY for name, _ in error.trailing_metadata() or ())


def _public_message(name: str, failure: grpc.aio.AioRpcError | None) -> str:
    if failure is None or failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"The {name} did not answer in time."
    if failure.code() is grpc.StatusCode.UNAVAILABLE:
        return f"The {name} cannot be reached."
    return f"The {name} failed."


def _channel(address: str, tls: ClientTls | None, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    options = list(_CHANNEL_OPTIONS)
    if tls is None or credentials is None:
        return grpc.aio.insecure_channel(address, options=options)
    if tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return grpc.aio.secure_channel(address, credentials, options=options)


def _credentials(tls: ClientTls) -> grpc.ChannelCredentials:
    ca, cert, key = (None if path is None else _read(path) for path in (tls.ca, tls.cert, tls.key))
    return grpc.ssl_channel_credentials(ca, key, cert)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise OperatorError(
            f"{path} cannot be read: {exc.strerror}.", fix="Check the paths below `services`, and who may read them."
        ) from exc

"""The gRPC client for Triton: one channel, requests built directly, every failure a ``ModelUnavailable``.

tritonclient's own client goes through NumPy, which costs more than the call for short texts, and lets several kinds of
exception escape; this one uses only the messages and stubs that the package ships.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from router.errors import ModelUnavailable
from router.triton.metadata import (
    IndexEntry,
    ModelConfig,
    ModelMetadata,
    ServerMetadata,
    from_index,
    from_model_config,
    from_model_metadata,
)
from router.triton.tensors import InferResult, Tensor

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


class TritonClient:
    """Calls to one Triton, over one channel that lives as long as the client.

    Make it inside the event loop that uses it; whoever makes it calls ``close``. ``url`` is ``host:port``, any gRPC
    target, or either with the prefix ``grpc://`` (plain text) or ``grpcs://`` (TLS with the system's roots).

    Every call has a deadline and fails fast while the server is away: there is no queue and no retry here. All failures
    are ``ModelUnavailable`` with a message for clients; the foreign exception is its cause. Cancelling the caller
    cancels the call.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._closed = False
        self._channel = _open_channel(url)
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def infer(
        self, model: str, inputs: Sequence[Tensor], outputs: Sequence[str], *, timeout_s: float, version: str = ""
    ) -> InferResult:
        """Ask ``model`` for ``outputs``; without ``version`` Triton takes the newest that is served.

        All outputs that came back are in the result; whether they are what the contract says is for the caller.
        """
        request = service_pb2.ModelInferRequest(model_name=model, model_version=version)
        for tensor in inputs:
            request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            request.raw_input_contents.append(tensor.raw)
        for name in outputs:
            request.outputs.add(name=name)
        answer = await self._call(self._stub.ModelInfer, request, timeout_s, f"The model {model!r}")
        if len(answer.raw_output_contents) != len(answer.outputs):
            raise ModelUnavailable(f"The model {model!r} gave an answer that cannot be read.")
        return InferResult(
            answer.model_name,
            answer.model_version,
            {
                output.name: Tensor(output.name, output.datatype, tuple(output.shape), raw)
                for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
            },
        )

    async def server_live(self, timeout_s: float) -> bool:
        """Whether a server answers at all."""
        return await self._ask(self._stub.ServerLive, service_pb2.ServerLiveRequest(), "live", timeout_s)

    async def server_ready(self, timeout_s: float) -> bool:
        """Whether the server answers and says that it is ready."""
        return await self._ask(self._stub.ServerReady, service_pb2.ServerReadyRequest(), "ready", timeout_s)

    async def model_ready(self, model: str, timeout_s: float, *, version: str = "") -> bool:
        """Whether the server answers and serves ``model``."""
        request = service_pb2.ModelReadyRequest(name=model, version=version)
        return await self._ask(self._stub.ModelReady, request, "ready", timeout_s)

    async def server_metadata(self, timeout_s: float) -> ServerMetadata:
        """The server's name and version."""
        request = service_pb2.ServerMetadataRequest()
        answer = await self._call(self._stub.ServerMetadata, request, timeout_s, "The model server")
        return ServerMetadata(answer.name, answer.version)

    async def model_metadata(self, model: str, timeout_s: float, *, version: str = "") -> ModelMetadata:
        """Inputs, outputs and served versions of a loaded model."""
        request = service_pb2.ModelMetadataRequest(name=model, version=version)
        return from_model_metadata(
            await self._call(self._stub.ModelMetadata, request, timeout_s, f"The model {model!r}")
        )

    async def model_config(self, model: str, timeout_s: float, *, version: str = "") -> ModelConfig:
        """The configuration of a loaded model as Triton runs it."""
        request = service_pb2.ModelConfigRequest(name=model, version=version)
        answer = await self._call(self._stub.ModelConfig, request, timeout_s, f"The model {model!r}")
        return from_model_config(answer.config)

    async def index(self, timeout_s: float = 5.0, *, ready_only: bool = False) -> tuple[IndexEntry, ...]:
        """All models of the repositories with the state of each version."""
        request = service_pb2.RepositoryIndexRequest(ready=ready_only)
        return from_index(await self._call(self._stub.RepositoryIndex, request, timeout_s, "The model server"))

    async def load(self, model: str, timeout_s: float = 60.0) -> None:
        """Load a model, or replace it by what the repository holds now; when that fails the old one goes on serving."""
        request = service_pb2.RepositoryModelLoadRequest(model_name=model)
        await self._call(self._stub.RepositoryModelLoad, request, timeout_s, f"The model {model!r}")

    async def unload(self, model: str, timeout_s: float = 60.0) -> None:
        """Stop serving a model; requests that are running may finish."""
        request = service_pb2.RepositoryModelUnloadRequest(model_name=model)
        await self._call(self._stub.RepositoryModelUnload, request, timeout_s, f"The model {model!r}")

    async def close(self, grace_s: float | None = None) -> None:
        """Close the channel; calls still running get ``grace_s`` to finish and then fail."""
        self._closed = True
        await self._channel.close(grace_s)

    async def _ask(self, method: Any, request: Any, field: str, timeout_s: float) -> bool:
        try:
            return bool(getattr(await self._call(method, request, timeout_s, "The model server"), field))
        except ModelUnavailable:
            return False

    async def _call(self, method: Any, request: Any, timeout_s: float, subject: str) -> Any:
        if timeout_s <= 0:
            raise ModelUnavailable(f"{subject} was not asked because no time was left.")
        try:
            return await method(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as exc:
            raise ModelUnavailable(_public_message(subject, exc.code())) from exc
        except grpc.aio.UsageError as exc:
            raise ModelUnavailable(f"{subject} cannot be reached.") from exc
        except asyncio.CancelledError as exc:
            # Closing the channel ends its calls with the same exception as cancelling the caller.
            if self._closed and not _caller_is_cancelled():
                raise ModelUnavailable(f"{subject} cannot be reached.") from exc
            raise


def _open_channel(url: str) -> Any:
    scheme, separator, target = url.partition("://")
    if separator and scheme == "grpcs":
        return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=_CHANNEL_OPTIONS)
    return grpc.aio.insecure_channel(target if scheme == "grpc" else url, options=_CHANNEL_OPTIONS)


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

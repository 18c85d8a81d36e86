"""The gRPC client for Triton: one channel, requests built directly, every failure a ``ModelUnavailable``.

tritonclient's own client goes through NumPy, which costs more than the call for short texts, and lets several kinds of
exception escape; this one uses only the messages and stubs that the package ships.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from router.errors import ModelUnavailable
from router.telemetry import semconv
from router.telemetry.tracing import AttributeValue, current_span, error_of
from router.triton.metadata import (
    IndexEntry,
    ModelConfig,
    ModelMetadata,
    ModelStatistics,
    ServerMetadata,
    from_index,
    from_model_config,
    from_model_metadata,
    from_statistics,
    signature_only,
)
from router.triton.tensors import InferResult, Tensor

if TYPE_CHECKING:
    from router.triton.rpc import Rpc


_INFER = "ModelInfer"
_STREAM = "ModelStreamInfer"

# Triton's own parameters of a streamed request and its answers: the last answer says that it is, even when it has
# nothing else to say (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/decoupled_models.md).
_WANT_FINAL = "triton_enable_empty_final_response"
_IS_FINAL = "triton_final_response"

# All answers of one streamed request together.
MAX_STREAM_BYTES = 1024 * 1024

_MAX_REASON_CHARS = 500


class ModelFailure(Exception):
    """What a model said of its own failure, within a stream; the text is for logs, not for clients."""


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
        self._opened: Rpc | None = None

    def open(self) -> None:
        """Load gRPC and open the channel. The first call does it otherwise, and keeps the event loop for that long."""
        if self._opened is None:
            from router.triton.rpc import Rpc  # what it imports is large, and many gateways never ask a model

            self._opened = Rpc(self.url)

    async def infer(
        self, model: str, inputs: Sequence[Tensor], outputs: Sequence[str], *, timeout_s: float, version: str = ""
    ) -> InferResult:
        """Ask ``model`` for ``outputs``; without ``version`` Triton takes the newest that is served.

        All outputs that came back are in the result; whether they are what the contract says is for the caller.
        """
        request = self._request(model, version, inputs, outputs)
        with current_span().child(_span_name(_INFER), "client", _attributes(_INFER, model)) as span:
            answer = await self._call(self._rpc.stub.ModelInfer, request, timeout_s, _subject(model))
            span.set(semconv.MODEL_VERSION, answer.model_version)
        return _result(model, answer)

    async def stream_infer(
        self,
        model: str,
        inputs: Sequence[Tensor],
        outputs: Sequence[str],
        *,
        timeout_s: float,
        version: str = "",
        max_bytes: int = MAX_STREAM_BYTES,
    ) -> AsyncGenerator[InferResult, None]:
        """Ask ``model`` for ``outputs`` and yield its answers as they come: decoupled models give any number of them.

        Use it under ``contextlib.aclosing``: who stops before the end cancels the request, which frees the model. Also
        ``ModelUnavailable``: a model that reports a failure, at any time, and one that says more than ``max_bytes``.
        """
        request = self._request(model, version, inputs, outputs)
        request.parameters[_WANT_FINAL].bool_param = True
        span = current_span().child(_span_name(_STREAM), "client", _attributes(_STREAM, model))
        left = max_bytes
        stub = self._rpc.stub.ModelStreamInfer
        try:
            async with aclosing(
                self._rpc.stream(stub, request, timeout_s, _subject(model), span.traceparent)
            ) as messages:
                async for message in messages:
                    if message.error_message:
                        reason = ModelFailure(message.error_message[:_MAX_REASON_CHARS])
                        raise ModelUnavailable(f"{_subject(model)} failed.") from reason
                    answer = message.infer_response
                    left -= sum(map(len, answer.raw_output_contents))
                    if left < 0:
                        raise ModelUnavailable(f"{_subject(model)} gave an answer that is too long.")
                    if answer.outputs:
                        span.set(semconv.MODEL_VERSION, answer.model_version)
                        yield _result(model, answer)
                    if answer.parameters[_IS_FINAL].bool_param:
                        return
        except (ModelUnavailable, asyncio.CancelledError) as exc:
            span.fail(error_of(exc))
            raise
        finally:
            span.end()

    async def server_live(self, timeout_s: float) -> bool:
        """Whether a server answers at all."""
        return await self._ask("ServerLive", "live", timeout_s)

    async def server_ready(self, timeout_s: float) -> bool:
        """Whether the server answers and says that it is ready."""
        return await self._ask("ServerReady", "ready", timeout_s)

    async def model_ready(self, model: str, timeout_s: float, *, version: str = "") -> bool:
        """Whether the server answers and serves ``model``."""
        return await self._ask("ModelReady", "ready", timeout_s, name=model, version=version)

    async def server_metadata(self, timeout_s: float) -> ServerMetadata:
        """The server's name and version."""
        request = self._rpc.messages.ServerMetadataRequest()
        answer = await self._call(self._rpc.stub.ServerMetadata, request, timeout_s, "The model server")
        return ServerMetadata(answer.name, answer.version)

    async def model_metadata(self, model: str, timeout_s: float, *, version: str = "") -> ModelMetadata:
        """Inputs, outputs and served versions of a loaded model."""
        request = self._rpc.messages.ModelMetadataRequest(name=model, version=version)
        return from_model_metadata(await self._call(self._rpc.stub.ModelMetadata, request, timeout_s, _subject(model)))

    async def model_config(self, model: str, timeout_s: float, *, version: str = "") -> ModelConfig:
        """The configuration of a loaded model as Triton runs it.

        It is Triton's extension of the KServe protocol; of another server's model, only the signature is known.
        """
        deadline = time.monotonic() + timeout_s
        request = self._rpc.messages.ModelConfigRequest(name=model, version=version)
        try:
            answer = await self._call(self._rpc.stub.ModelConfig, request, timeout_s, _subject(model))
        except ModelUnavailable as exc:
            from router.triton.rpc import is_unimplemented  # already loaded: somebody has been asked

            if not is_unimplemented(exc):
                raise
            return signature_only(await self.model_metadata(model, deadline - time.monotonic(), version=version))
        return from_model_config(answer.config)

    async def index(self, timeout_s: float = 5.0, *, ready_only: bool = False) -> tuple[IndexEntry, ...]:
        """All models of the repositories with the state of each version."""
        request = self._rpc.messages.RepositoryIndexRequest(ready=ready_only)
        return from_index(await self._call(self._rpc.stub.RepositoryIndex, request, timeout_s, "The model server"))

    async def statistics(self, timeout_s: float) -> tuple[ModelStatistics, ...]:
        """What the server has counted since it loaded each version of each of its models."""
        request = self._rpc.messages.ModelStatisticsRequest()
        return from_statistics(await self._call(self._rpc.stub.ModelStatistics, request, timeout_s, "The model server"))

    async def load(self, model: str, timeout_s: float = 60.0) -> None:
        """Load a model, or replace it by what the repository holds now; when that fails the old one goes on serving."""
        request = self._rpc.messages.RepositoryModelLoadRequest(model_name=model)
        await self._call(self._rpc.stub.RepositoryModelLoad, request, timeout_s, _subject(model))

    async def unload(self, model: str, timeout_s: float = 60.0) -> None:
        """Stop serving a model; requests that are running may finish."""
        request = self._rpc.messages.RepositoryModelUnloadRequest(model_name=model)
        await self._call(self._rpc.stub.RepositoryModelUnload, request, timeout_s, _subject(model))

    async def close(self, grace_s: float | None = None) -> None:
        """Close the channel; calls still running get ``grace_s`` to finish and then fail."""
        self._closed = True
        if self._opened is not None:
            await self._opened.close(grace_s)

    def _request(self, model: str, version: str, inputs: Sequence[Tensor], outputs: Sequence[str]) -> Any:
        request = self._rpc.messages.ModelInferRequest(model_name=model, model_version=version)
        for tensor in inputs:
            request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            request.raw_input_contents.append(tensor.raw)
        for name in outputs:
            request.outputs.add(name=name)
        return request

    async def _ask(self, method: str, field: str, timeout_s: float, **fields: str) -> bool:
        try:
            request = getattr(self._rpc.messages, f"{method}Request")(**fields)
            answer = await self._call(getattr(self._rpc.stub, method), request, timeout_s, "The model server")
        except ModelUnavailable:
            return False
        return bool(getattr(answer, field))

    async def _call(self, method: Any, request: Any, timeout_s: float, subject: str) -> Any:
        return await self._rpc.call(method, request, timeout_s, subject)

    @property
    def _rpc(self) -> Rpc:
        if self._opened is None:
            if self._closed:
                raise ModelUnavailable("The model server cannot be reached.")
            self.open()
        return cast("Rpc", self._opened)


def _subject(model: str) -> str:
    return f"The model {model!r}"


def _span_name(method: str) -> str:
    return f"{semconv.TRITON_SERVICE}/{method}"


def _attributes(method: str, model: str) -> dict[str, AttributeValue]:
    return {
        semconv.RPC_SYSTEM: "grpc",
        semconv.RPC_METHOD: _span_name(method),
        semconv.MODEL: model,
    }


def _result(model: str, answer: Any) -> InferResult:
    if len(answer.raw_output_contents) != len(answer.outputs):
        raise ModelUnavailable(f"{_subject(model)} gave an answer that cannot be read.")
    return InferResult(
        answer.model_name,
        answer.model_version,
        {
            output.name: Tensor(output.name, output.datatype, tuple(output.shape), raw)
            for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
        },
    )

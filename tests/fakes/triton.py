"""A scriptable Triton: a real ``grpc.aio`` server with the real service descriptors, on a free loopback port.

async with FakeTriton() as triton:
    triton.orchestrator(lambda conversation, routes: [0.9, 0.1])
    guard = triton.classifier("jailbreak", ["benign", "jailbreak"], lambda text: [0.2, 0.8])
    client = TritonClient(triton.address)
    ...
    guard.delay_s = 5                                # slow
    guard.error = grpc.StatusCode.RESOURCE_EXHAUSTED # refuses
    guard.hang = True                                # never answers
    guard.answer = [Tensor.from_floats("SCORES", [7.0], (1, 1))]  # breaks its contract
    guard.ready = False                              # exists, but is not served
    triton.generator(lambda prompt, parameters: ['{"route": ', '["flights"]}'])  # decoupled, in two pieces
    await triton.kill()                              # connections break, nobody listens
    await triton.revive()                            # back at the same address
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from router.triton.launch import reserve_port
from router.triton.tensors import Tensor

Handler = Callable[[Mapping[str, Tensor]], Sequence[Tensor]]
Scores = Sequence[float]
# What a decoupled model answers, one after the other: tensors, or the message of an error.
Stream = Callable[[Mapping[str, Tensor]], Iterable[Sequence[Tensor] | str]]
Texts = Callable[[str, dict[str, Any]], str | Sequence[str]]

# Tensors of generating models, as (name, datatype, shape without the batch dimension).
VLLM_INPUTS = (
    ("text_input", "BYTES", [1]),
    ("stream", "BOOL", [1]),
    ("sampling_parameters", "BYTES", [1]),
    ("exclude_input_in_output", "BOOL", [1]),
)
TENSORRT_LLM_INPUTS = (
    ("text_input", "BYTES", [-1]),
    ("max_tokens", "INT32", [-1]),
    ("top_k", "INT32", [1]),
    ("temperature", "FP32", [1]),
    ("stream", "BOOL", [1]),
    ("exclude_input_in_output", "BOOL", [1]),
    ("guided_decoding_guide_type", "BYTES", [1]),
    ("guided_decoding_guide", "BYTES", [1]),
)


@dataclass
class FakeModel:
    """One model and what it does next; change the fields at any time.

    ``inputs`` and ``outputs`` are (name, datatype, shape without the batch dimension). ``answer`` replaces the
    handler's tensors as they are, broken or not. ``stream`` makes the model decoupled: ``delay_s`` is then before each
    answer, and with ``final_flag`` off the end of the stream alone says that it was the last.
    ``loads`` and ``unloads`` count the repository calls, ``succeeded`` and what follows are its statistics.
    """

    name: str
    inputs: Sequence[tuple[str, str, Sequence[int]]]
    outputs: Sequence[tuple[str, str, Sequence[int]]]
    handler: Handler
    version: str = "1"
    max_batch_size: int = 8
    parameters: dict[str, str] = field(default_factory=dict)
    ready: bool = True
    delay_s: float = 0.0
    hang: bool = False
    error: grpc.StatusCode | None = None
    answer: Sequence[Tensor] | None = None
    stream: Stream | None = None
    final_flag: bool = True
    load_error: str | None = None
    loads: int = 0
    unloads: int = 0
    succeeded: int = 0
    failed: int = 0
    queue_ns: int = 0
    compute_ns: int = 0


@dataclass(frozen=True)
class FakeRequest:
    """One recorded inference request: decoded elements by input name, and the shapes they came in."""

    model: str
    version: str
    inputs: Mapping[str, Sequence[bytes]]
    shapes: Mapping[str, tuple[int, ...]]
    outputs: Sequence[str]
    timeout_s: float

    def json(self, name: str) -> Any:
        """The first element of an input as JSON."""
        return json.loads(self.inputs[name][0])


class FakeTriton:
    """A Triton whose models do what the test says; ``requests`` has every inference request in order of arrival."""

    def __init__(self) -> None:
        self.models: dict[str, FakeModel] = {}
        self.requests: list[FakeRequest] = []
        self.live = True
        self.hang = False
        self.cancelled = 0
        self.config_reads = 0
        self._server: grpc.aio.Server | None = None
        self._port = reserve_port()

    @property
    def address(self) -> str:
        """``127.0.0.1:port``, the same for the whole life of the fake."""
        return f"127.0.0.1:{self._port.getsockname()[1]}"

    async def __aenter__(self) -> FakeTriton:
        await self.revive()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
        self._port.close()

    async def kill(self) -> None:
        """Break all connections and stop listening."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)

    async def revive(self) -> None:
        """Listen again after ``kill``."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Service(self), self._server)
        self._server.add_insecure_port(self.address)
        await self._server.start()

    def orchestrator(
        self,
        score: Callable[[list[dict[str, str]], list[dict[str, str]]], Scores | tuple[Scores, Sequence[int]]],
        *,
        name: str = "orchestrator",
        version: str = "1",
    ) -> FakeModel:
        """A model of the scoring contract. ``score(conversation, routes)`` returns scores, or (scores, order).

        Without an order, routes run from the highest score to the lowest.
        """

        def handle(inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
            conversation, routes = (json.loads(inputs[n].byte_strings()[0]) for n in ("CONVERSATION", "ROUTES"))
            result = score(conversation, routes)
            scores, order = result if isinstance(result, tuple) else (result, None)
            if order is None:
                ranking = sorted(range(len(scores)), key=lambda i: -scores[i])
                order = [ranking.index(i) for i in range(len(scores))]
            shape = (1, len(scores))
            return [Tensor.from_floats("SCORES", scores, shape), Tensor.from_ints("ORDER", order, shape)]

        inputs = [("CONVERSATION", "BYTES", [1]), ("ROUTES", "BYTES", [1])]
        outputs = [("SCORES", "FP32", [-1]), ("ORDER", "INT32", [-1])]
        return self.add(FakeModel(name, inputs, outputs, handle, version=version))

    def classifier(
        self,
        name: str,
        labels: Sequence[str],
        score: Callable[[str], Scores],
        *,
        version: str = "1",
        max_batch_size: int = 8,
    ) -> FakeModel:
        """A model of the classifier contract. ``score(text)`` returns one probability per label."""

        def handle(inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
            rows = [score(text.decode()) for text in inputs["TEXT"].byte_strings()]
            return [Tensor.from_floats("SCORES", [v for row in rows for v in row], (len(rows), len(rows[0])))]

        model = FakeModel(name, [("TEXT", "BYTES", [1])], [("SCORES", "FP32", [len(labels)])], handle, version=version)
        model.max_batch_size = max_batch_size
        model.parameters["labels"] = ",".join(labels)
        return self.add(model)

    def generator(
        self,
        generate: Texts,
        *,
        name: str = "orchestrator",
        version: str = "1",
        inputs: Sequence[tuple[str, str, Sequence[int]]] = VLLM_INPUTS,
        max_batch_size: int = 0,
    ) -> FakeModel:
        """A decoupled model of the generation contract, by default with the tensors of the vLLM backend.

        ``generate(prompt, sampling_parameters)`` returns the text, or its pieces.
        """

        def stream(tensors: Mapping[str, Tensor]) -> Iterable[Sequence[Tensor]]:
            prompt = tensors["text_input"].byte_strings()[0].decode()
            parameters = json.loads(tensors["sampling_parameters"].byte_strings()[0]) if inputs is VLLM_INPUTS else {}
            text = generate(prompt, parameters)
            shape = (1, 1) if max_batch_size else (1,)
            for piece in [text] if isinstance(text, str) else text:
                yield [Tensor.from_bytes("text_output", [piece.encode()], shape)]

        model = FakeModel(name, inputs, [("text_output", "BYTES", [-1])], lambda tensors: [], version=version)
        model.max_batch_size, model.stream = max_batch_size, stream
        return self.add(model)

    def add(self, model: FakeModel) -> FakeModel:
        """Serve ``model``, instead of one with the same name."""
        self.models[model.name] = model
        return model


class _Service(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    def __init__(self, triton: FakeTriton) -> None:
        self._triton = triton

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._maybe_hang()
        return service_pb2.ServerLiveResponse(live=self._triton.live)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._maybe_hang()
        return service_pb2.ServerReadyResponse(ready=all(model.ready for model in self._triton.models.values()))

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._maybe_hang()
        model = self._triton.models.get(request.name)
        return service_pb2.ModelReadyResponse(ready=model is not None and model.ready)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._maybe_hang()
        return service_pb2.ServerMetadataResponse(name="triton", version="2.51.0")

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        model = await self._served(request.name, context)
        batch = [-1] if model.max_batch_size else []
        answer = service_pb2.ModelMetadataResponse(name=model.name, versions=[model.version], platform="python")
        for declared, tensors in ((answer.inputs, model.inputs), (answer.outputs, model.outputs)):
            for name, datatype, shape in tensors:
                declared.add(name=name, datatype=datatype, shape=[*batch, *shape])
        return answer

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._triton.config_reads += 1
        model = await self._served(request.name, context)
        config = model_config_pb2.ModelConfig(name=model.name, backend="python", max_batch_size=model.max_batch_size)
        for declared, tensors in ((config.input, model.inputs), (config.output, model.outputs)):
            for name, datatype, shape in tensors:
                number = model_config_pb2.DataType.Value(f"TYPE_{'STRING' if datatype == 'BYTES' else datatype}")
                declared.add(name=name, data_type=number, dims=shape)
        for key, value in model.parameters.items():
            config.parameters[key].string_value = value
        return service_pb2.ModelConfigResponse(config=config)

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        inputs = _inputs(request)
        self._record(request, inputs, context)
        try:
            model = await self._served(request.model_name, context)
            await asyncio.sleep(model.delay_s)
            if model.hang:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self._triton.cancelled += 1
            raise
        if model.stream is not None:
            reason = "ModelInfer RPC doesn't support models with decoupled transaction policy"
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, reason)
        if model.error is not None:
            await context.abort(model.error, "scripted failure with internals: /srv/models, 10.0.0.7")
        sizes = {tensor.shape[0] for tensor in inputs.values()}
        if model.max_batch_size and max(sizes) > model.max_batch_size:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"batch-size must be <= {model.max_batch_size}")
        return _answer(model, model.handler(inputs) if model.answer is None else model.answer)

    async def ModelStreamInfer(self, requests: Any, context: Any) -> Any:  # noqa: N802
        try:
            async for request in requests:
                async for message in self._stream(request, context):
                    yield message
        except (asyncio.CancelledError, GeneratorExit):  # while it works, or while it sends
            self._triton.cancelled += 1
            raise

    async def _stream(self, request: Any, context: Any) -> Any:
        inputs = _inputs(request)
        self._record(request, inputs, context)
        await self._maybe_hang()
        model = self._triton.models.get(request.model_name)
        if model is None or not model.ready:
            yield _stream_error(f"Request for unknown model: '{request.model_name}' is not found")
            return
        unexpected = set(inputs) - {name for name, _, _ in model.inputs}
        if unexpected:
            yield _stream_error(f"unexpected inference input '{min(unexpected)}' for model '{model.name}'")
            return
        if model.error is not None:
            await context.abort(model.error, "scripted failure with internals: /srv/models, 10.0.0.7")
        for answer in (model.handler(inputs),) if model.stream is None else model.stream(inputs):
            await asyncio.sleep(model.delay_s)
            if isinstance(answer, str):
                yield _stream_error(answer)
            else:
                yield service_pb2.ModelStreamInferResponse(infer_response=_answer(model, answer))
        if model.hang:
            await asyncio.Event().wait()
        if model.final_flag and request.parameters["triton_enable_empty_final_response"].bool_param:
            final = service_pb2.ModelInferResponse(model_name=model.name)
            final.parameters["triton_final_response"].bool_param = True
            yield service_pb2.ModelStreamInferResponse(infer_response=final)

    async def ModelStatistics(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._maybe_hang()
        answer = service_pb2.ModelStatisticsResponse()
        for model in self._triton.models.values():
            if model.ready and request.name in ("", model.name):
                counted = answer.model_stats.add(name=model.name, version=model.version).inference_stats
                counted.success.count, counted.fail.count = model.succeeded, model.failed
                counted.queue.ns = model.queue_ns
                counted.compute_input.ns = counted.compute_output.ns = model.compute_ns // 4
                counted.compute_infer.ns = model.compute_ns // 2
        return answer

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._maybe_hang()
        answer = service_pb2.RepositoryIndexResponse()
        for model in self._triton.models.values():
            if model.ready:
                answer.models.add(name=model.name, version=model.version, state="READY")
            elif not request.ready:
                answer.models.add(name=model.name, version=model.version, state="UNAVAILABLE", reason="unloaded")
        return answer

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:  # noqa: N802
        model = self._triton.models.get(request.model_name)
        if model is None or model.load_error is not None:
            reason = "failed to poll from model repository" if model is None else model.load_error
            await context.abort(grpc.StatusCode.INTERNAL, f"failed to load '{request.model_name}', {reason}")
        model.loads, model.ready = model.loads + 1, True
        return service_pb2.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:  # noqa: N802
        model = await self._served(request.model_name, context)
        model.unloads, model.ready = model.unloads + 1, False
        return service_pb2.RepositoryModelUnloadResponse()

    async def _served(self, name: str, context: Any) -> FakeModel:
        await self._maybe_hang()
        model = self._triton.models.get(name)
        if model is None or not model.ready:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
        return model

    async def _maybe_hang(self) -> None:
        if self._triton.hang:
            await asyncio.Event().wait()

    def _record(self, request: Any, inputs: Mapping[str, Tensor], context: Any) -> None:
        self._triton.requests.append(
            FakeRequest(
                model=request.model_name,
                version=request.model_version,
                inputs={n: t.byte_strings() if t.datatype == "BYTES" else (t.raw,) for n, t in inputs.items()},
                shapes={name: tensor.shape for name, tensor in inputs.items()},
                outputs=[output.name for output in request.outputs],
                timeout_s=context.time_remaining(),
            )
        )


def _inputs(request: Any) -> dict[str, Tensor]:
    return {
        declared.name: Tensor(declared.name, declared.datatype, tuple(declared.shape), raw)
        for declared, raw in zip(request.inputs, request.raw_input_contents, strict=True)
    }


def _answer(model: FakeModel, tensors: Sequence[Tensor]) -> Any:
    answer = service_pb2.ModelInferResponse(model_name=model.name, model_version=model.version)
    for tensor in tensors:
        answer.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        answer.raw_output_contents.append(tensor.raw)
    return answer


def _stream_error(message: str) -> Any:
    return service_pb2.ModelStreamInferResponse(error_message=message)

"""What the real Triton counts of the models that it serves, and of those that it has stopped serving."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.errors import ModelUnavailable
from router.observer.triton_statistics import TritonStatistics
from router.telemetry import catalogue
from router.telemetry.instruments import Definition, Registry
from router.triton.client import TritonClient
from router.triton.server import EmbeddedTriton
from router.triton.tensors import Tensor

pytestmark = pytest.mark.triton

CONFIG = """
backend: "python"
max_batch_size: 8
input [{ name: "TEXT" data_type: TYPE_STRING dims: [1] }]
output [{ name: "SCORES" data_type: TYPE_FP32 dims: [1] }]
instance_group [{ kind: KIND_CPU count: 1 }]
"""
LENGTHS = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        texts = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy()
        if any(text[0] == b"break" for text in texts):
            raise ValueError("broken")
        scores = np.array([[len(text[0])] for text in texts], dtype=np.float32)
        return pb_utils.InferenceResponse([pb_utils.Tensor("SCORES", scores)])
"""


async def infer(client: TritonClient, text: bytes) -> None:
    await client.infer("lengths", [Tensor.from_bytes("TEXT", [text], (1, 1))], ["SCORES"], timeout_s=10.0)


async def test_inferences_are_counted_as_the_server_counts_them(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "lengths"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "1" / "model.py").write_text(LENGTHS)
    registry = Registry()

    def values(definition: Definition) -> dict[tuple[str, ...], float]:
        return {tuple(labels): value for labels, value in registry.snapshot().get(definition.name, [])}

    async with EmbeddedTriton([tmp_path / "models"], ["lengths"], tmp_path / "state") as server:
        client = TritonClient(server.grpc_address)
        statistics = TritonStatistics(client, ("lengths",), registry)
        await statistics.read()
        assert values(catalogue.TRITON_REQUESTS) == {("lengths", "1", "ok"): 0, ("lengths", "1", "error"): 0}
        for text in (b"one", b"two", b"three"):
            await infer(client, text)
        with pytest.raises(ModelUnavailable):
            await infer(client, b"break")
        await statistics.read()
        assert values(catalogue.TRITON_REQUESTS) == {("lengths", "1", "ok"): 3, ("lengths", "1", "error"): 1}
        assert values(catalogue.TRITON_COMPUTE_TIME)[("lengths", "1")] > 0
        assert values(catalogue.TRITON_QUEUE_TIME)[("lengths", "1")] > 0
        assert values(catalogue.MODEL_INFO) == {("lengths", "1"): 1}
        assert statistics.missing == []
        await client.unload("lengths")
        await statistics.read()
        assert statistics.missing == ["lengths"]
        assert values(catalogue.TRITON_UP) == {(): 1}
        await client.close()

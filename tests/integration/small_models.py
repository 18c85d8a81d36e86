"""Small Python models for the real tritonserver, good and broken."""

from __future__ import annotations

from pathlib import Path

CONFIG = """
backend: "python"
max_batch_size: 8
input [{ name: "TEXT" data_type: TYPE_STRING dims: [1] }]
output [{ name: "SCORES" data_type: TYPE_FP32 dims: [2] }]
instance_group [{ kind: KIND_CPU count: 1 }]
parameters { key: "labels" value { string_value: "benign,jailbreak" } }
"""

ECHO = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        texts = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy()
        return pb_utils.InferenceResponse([pb_utils.Tensor("SCORES", np.array([[0.9, 0.1]] * len(texts), np.float32))])
"""

BROKEN = """
class TritonPythonModel:
    def initialize(self, args):
        raise ValueError("the weights are missing")
"""

HANGING = """
import time

class TritonPythonModel:
    def initialize(self, args):
        time.sleep(3600)
"""


def write_model(repository: Path, name: str, code: str, config: str = CONFIG, version: int = 1) -> Path:
    """Write one version of a model; its folder."""
    folder = repository / name
    (folder / str(version)).mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config)
    (folder / str(version) / "model.py").write_text(code)
    return folder

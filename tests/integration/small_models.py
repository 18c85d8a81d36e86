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

ORCHESTRATOR_CONFIG = """
backend: "python"
max_batch_size: 8
input [
  { name: "CONVERSATION" data_type: TYPE_STRING dims: [1] },
  { name: "ROUTES" data_type: TYPE_STRING dims: [1] }
]
output [{ name: "SCORES" data_type: TYPE_FP32 dims: [-1] }, { name: "ORDER" data_type: TYPE_INT32 dims: [-1] }]
instance_group [{ kind: KIND_CPU count: 1 }]
parameters { key: "threshold" value { string_value: "%s" } }
"""

# The route whose place it is, and no other; version 2 has another scale, which its threshold knows.
ORCHESTRATOR = """
import json
import numpy as np
import triton_python_backend_utils as pb_utils

PLACE, HIGH, LOW = %d, %f, %f

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        rows = pb_utils.get_input_tensor_by_name(request, "ROUTES").as_numpy()
        count = len(json.loads(rows[0][0]))
        scores = np.full((len(rows), count), LOW, np.float32)
        scores[:, PLACE] = HIGH
        order = np.tile(np.arange(count, dtype=np.int32), (len(rows), 1))
        return pb_utils.InferenceResponse([pb_utils.Tensor("SCORES", scores), pb_utils.Tensor("ORDER", order)])
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


def write_orchestrator(
    repository: Path, version: int, *, place: int = 0, threshold: float = 0.5, high: float = 0.9, low: float = 0.1
) -> Path:
    """A version that needs the route at ``place`` for everything; its folder. What is below ``threshold`` is a no."""
    code = ORCHESTRATOR % (place, high, low)
    return write_model(repository, "orchestrator", code, ORCHESTRATOR_CONFIG % threshold, version)

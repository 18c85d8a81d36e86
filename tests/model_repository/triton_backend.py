"""A stand-in for ``triton_python_backend_utils``, and the way to run a ``model.py`` with it outside Triton.

Only what the models use: tensors, responses, errors. The real server runs the same files in the ``triton`` tests.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"


class TritonError(Exception):
    INVALID_ARG = 3

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Tensor:
    name: str
    values: np.ndarray[Any, Any]

    def as_numpy(self) -> np.ndarray[Any, Any]:
        return self.values


@dataclass
class InferenceResponse:
    output_tensors: Sequence[Tensor] = ()
    error: TritonError | None = None

    def array(self, name: str) -> np.ndarray[Any, Any]:
        return next(tensor.values for tensor in self.output_tensors if tensor.name == name)


@dataclass
class Request:
    tensors: dict[str, Tensor] = field(default_factory=dict)


def request(**inputs: Sequence[bytes] | bytes) -> Request:
    """A request with one BYTES tensor ``[batch, 1]`` per argument."""
    rows = {name: [value] if isinstance(value, bytes) else list(value) for name, value in inputs.items()}
    return Request({name: Tensor(name, np.array([[row] for row in value], object)) for name, value in rows.items()})


def model_config(folder: Path) -> Any:
    """``config.pbtxt`` as Triton reads it."""
    config = model_config_pb2.ModelConfig()
    text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), config)
    return config


def load_model(folder: Path, **parameters: str) -> Any:
    """An initialised ``TritonPythonModel`` of ``folder``; ``parameters`` override those of its configuration."""
    config = model_config(folder)
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    module = _import(folder / "1" / "model.py")
    model = module.TritonPythonModel()
    model.initialize({"model_config": json_format.MessageToJson(config, preserving_proto_field_name=True)})
    return model


def _import(path: Path) -> ModuleType:
    backend = ModuleType("triton_python_backend_utils")
    backend.__dict__.update(
        Tensor=Tensor,
        InferenceResponse=InferenceResponse,
        TritonError=TritonError,
        get_input_tensor_by_name=lambda request, name: request.tensors[name],
    )
    spec = importlib.util.spec_from_file_location(f"{path.parents[1].name}_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get("triton_python_backend_utils")
    search = list(sys.path)
    sys.modules["triton_python_backend_utils"] = backend
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = search
        if before is None:
            del sys.modules["triton_python_backend_utils"]
        else:
            sys.modules["triton_python_backend_utils"] = before
    return module

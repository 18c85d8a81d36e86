"""Sentence encoder: TEXT in, EMBEDDING out, a vector of unit length.

A text longer than ``max_tokens`` is cut: its vector is that of its beginning. A text that is not UTF-8 gets an error of
its own and leaves the other requests alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent

# Hardly any text has fewer tokens than one for 64 characters; what is beyond is not even tokenised.
CHARS_PER_TOKEN = 64


class TritonPythonModel:
    """One instance: its own session and tokenizer; Triton calls it from one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(parameters["intra_op_threads"]["string_value"])
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(HERE / "model.onnx"), options, ["CPUExecutionProvider"])
        max_tokens = int(parameters["max_tokens"]["string_value"])
        self._tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
        self._tokenizer.enable_truncation(max_tokens)
        self._max_chars = max_tokens * CHARS_PER_TOKEN

    def execute(self, requests: list[Any]) -> list[Any]:
        decoded = [_decoded(request) for request in requests]
        groups = [texts for texts in decoded if not isinstance(texts, str)]
        distinct = list(dict.fromkeys(text for texts in groups for text in texts))
        encoded = dict(zip(distinct, self._encode(distinct), strict=True))
        return [
            _failure(texts) if isinstance(texts, str) else _response([encoded[text] for text in texts])
            for texts in decoded
        ]

    def _encode(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """One text per run: int8 activations are scaled per run, so in a batch a text's vector would depend on its
        neighbours. On one thread a batch is no faster than its texts one by one.
        """
        vectors = []
        for encoding in self._tokenizer.encode_batch([text[: self._max_chars] for text in texts]):
            ids = np.array([encoding.ids], dtype=np.int64)
            vectors.append(self._session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0])
        return vectors


def _decoded(request: Any) -> list[str] | str:
    """The texts of a request, or what is wrong with them."""
    raw = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().reshape(-1)
    try:
        return [bytes(text).decode("utf-8") for text in raw]
    except UnicodeDecodeError as exc:
        return f"TEXT is not UTF-8: {exc.reason} at byte {exc.start}"


def _failure(message: str) -> Any:
    return pb_utils.InferenceResponse([], error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))


def _response(vectors: list[NDArray[np.float32]]) -> Any:
    return pb_utils.InferenceResponse([pb_utils.Tensor("EMBEDDING", np.stack(vectors))])

"""Moderation classifier, classifier contract: TEXT in, SCORES out, one independent probability per label.

A text is judged in every reading of it (attack_text.py) and in overlapping windows; each label has the score of its
worst window. Nothing of a text is left out: one that needs more windows than ``max_windows`` gets an error instead of
scores.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import attack_text  # noqa: E402

# No language has fewer tokens than one for 16 letters on average; longer texts are refused before any work is done.
CHARS_PER_TOKEN = 16


class TritonPythonModel:
    """One instance: its own session and tokenizer; Triton calls it from one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        given = json.loads(args["model_config"])["parameters"]
        parameters = {name: value["string_value"] for name, value in given.items()}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(parameters["intra_op_threads"])
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(HERE / "model.onnx"), options, ["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
        self._first, self._last = (self._tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
        self._window, self._stride = int(parameters["window_tokens"]), int(parameters["stride_tokens"])
        self._max_windows = int(parameters["max_windows"])

    def execute(self, requests: list[Any]) -> list[Any]:
        responses = []
        for request in requests:
            try:
                scores = np.stack([self._score(raw) for raw in _texts(request)])
            except ValueError as exc:
                error = pb_utils.TritonError(str(exc), pb_utils.TritonError.INVALID_ARG)
                responses.append(pb_utils.InferenceResponse([], error=error))
            else:
                responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("SCORES", scores)]))
        return responses

    def _score(self, raw: bytes) -> NDArray[np.float32]:
        """The probability of each label, that of the window where it is highest.

        One window per run: int8 activations are scaled per run, so in a batch the scores of a text would depend on its
        neighbours. On one thread a batch is no faster than its windows one by one, and padding costs.
        """
        logits = []
        for window in self._windows(raw):
            ids = np.array([window], dtype=np.int64)
            logits.append(self._session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0])
        return np.asarray(1.0 / (1.0 + np.exp(-np.max(logits, axis=0))), dtype=np.float32)

    def _windows(self, raw: bytes) -> list[list[int]]:
        """The windows of all readings of a text. Raises ``ValueError``."""
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise ValueError(f"TEXT is not UTF-8: {exc.reason} at byte {exc.start}") from exc
        found: list[list[int]] = []
        if len(text) <= self._max_windows * self._window * CHARS_PER_TOKEN:
            for reading in attack_text.views(text):
                ids = self._tokenizer.encode(reading, add_special_tokens=False).ids
                starts = attack_text.window_starts(len(ids), self._window, self._stride)
                found += ([self._first, *ids[start : start + self._window], self._last] for start in starts)
        if not 0 < len(found) <= self._max_windows:
            raise ValueError(f"TEXT is too long to be judged: it takes more than {self._max_windows} windows")
        return found


def _texts(request: Any) -> list[bytes]:
    return [bytes(raw) for raw in pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().reshape(-1)]

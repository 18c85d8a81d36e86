"""Jailbreak and prompt-injection classifier, classifier contract: TEXT in, SCORES out.

A text is judged in every reading of it (attack_text.py) and in overlapping windows; its scores are those of its worst
window. Nothing of a text is left out: one that needs more windows than ``max_windows`` gets an error instead of scores.
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

# No alphabet has fewer tokens than one for 64 letters on average; longer texts are refused before any work is done.
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
        self._tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
        self._first, self._last = (self._tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
        self._max_windows = int(parameters["max_windows"]["string_value"])

    def execute(self, requests: list[Any]) -> list[Any]:
        windows: list[list[int]] = []
        plans: list[list[slice] | str] = []
        for request in requests:
            try:
                plans.append([self._cut(raw, windows) for raw in _texts(request)])
            except ValueError as exc:
                plans.append(str(exc))
        scores = self._judge(windows)
        return [_failure(plan) if isinstance(plan, str) else _response(scores, plan) for plan in plans]

    def _cut(self, raw: bytes, windows: list[list[int]]) -> slice:
        """Append the windows of one text to ``windows`` and say where they are."""
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise ValueError(f"TEXT is not UTF-8: {exc.reason} at byte {exc.start}") from exc
        found: list[list[int]] = []
        if len(text) <= self._max_windows * attack_text.WINDOW * CHARS_PER_TOKEN:
            for reading in attack_text.views(text):
                ids = self._tokenizer.encode(reading, add_special_tokens=False).ids
                starts = attack_text.window_starts(len(ids), attack_text.WINDOW, attack_text.STRIDE)
                found += ([self._first, *ids[start : start + attack_text.WINDOW], self._last] for start in starts)
        if not 0 < len(found) <= self._max_windows:
            raise ValueError(f"TEXT is too long to be judged: it takes more than {self._max_windows} windows")
        windows += found
        return slice(len(windows) - len(found), len(windows))

    def _judge(self, windows: list[list[int]]) -> NDArray[np.float32]:
        """Label probabilities ``[n, n_labels]``.

        One window per run: int8 activations are scaled per run, so in a batch the scores of a text would depend on its
        neighbours. On one thread a batch is no faster than its windows one by one, and padding costs.
        """
        logits = np.empty((len(windows), 3), dtype=np.float32)
        for row, window in enumerate(windows):
            ids = np.array([window], dtype=np.int64)
            logits[row] = self._session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), dtype=np.float32)


def _texts(request: Any) -> list[bytes]:
    return [bytes(raw) for raw in pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().reshape(-1)]


def _failure(message: str) -> Any:
    return pb_utils.InferenceResponse([], error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))


def _response(scores: NDArray[np.float32], plan: list[slice]) -> Any:
    """For each text the scores of the window that looks least benign."""
    worst = np.stack([scores[part][scores[part][:, 0].argmin()] for part in plan])
    return pb_utils.InferenceResponse([pb_utils.Tensor("SCORES", worst)])

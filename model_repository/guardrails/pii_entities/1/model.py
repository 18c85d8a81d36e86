"""Finds names, addresses and numbers of people, token classifier contract: TEXT in, SPANS and SCORES out.

A text is cut into overlapping windows; a token in two windows is judged where it is farther from the edge. The parts of
a word share one label, and neighbouring words of one label are one part. Nothing of a text is left out: one that needs
more windows than ``max_windows`` gets an error.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent

# No language has fewer tokens than one for 16 letters on average; longer texts are refused before any work is done.
CHARS_PER_TOKEN = 16
PADDING = (-1, -1, -1)


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
        # "[SEP]" in a text is text.
        self._tokenizer.encode_special_tokens = True
        self._first, self._last = (self._tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
        self._window, self._stride = int(parameters["window_tokens"]), int(parameters["stride_tokens"])
        self._max_windows = int(parameters["max_windows"])

    def execute(self, requests: list[Any]) -> list[Any]:
        responses = []
        for request in requests:
            try:
                found = [self._find(raw) for raw in _texts(request)]
            except ValueError as exc:
                error = pb_utils.TritonError(str(exc), pb_utils.TritonError.INVALID_ARG)
                responses.append(pb_utils.InferenceResponse([], error=error))
            else:
                responses.append(_response(found))
        return responses

    def _find(self, raw: bytes) -> list[tuple[tuple[int, int, int], float]]:
        """The labelled parts of one text with their scores. Raises ``ValueError``."""
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise ValueError(f"TEXT is not UTF-8: {exc.reason} at byte {exc.start}") from exc
        encoding = self._tokenizer.encode(text[: self._most_chars() + 1], add_special_tokens=False)
        starts = range(0, max(1, len(encoding.ids) - self._window + self._stride), self._stride)
        if len(text) > self._most_chars() or len(starts) > self._max_windows:
            raise ValueError(f"TEXT is too long to be judged: it takes more than {self._max_windows} windows")
        if not encoding.ids:
            return []
        words = _words(encoding, self._judge(encoding.ids, starts))
        return _joined(text, words)

    def _most_chars(self) -> int:
        return self._max_windows * self._window * CHARS_PER_TOKEN

    def _judge(self, ids: list[int], starts: range) -> NDArray[np.float32]:
        """Label probabilities of every token ``[n, n_labels + 1]``, the last column for none.

        One window per run: int8 activations are scaled per run, so in a batch the answer for a text would depend on its
        neighbours. On one thread a batch is no faster than its windows one by one, and padding costs.
        """
        judged = []
        for start in starts:
            window = np.array([[self._first, *ids[start : start + self._window], self._last]], dtype=np.int64)
            inputs = {"input_ids": window, "attention_mask": np.ones_like(window), "token_type_ids": window * 0}
            logits = self._session.run(None, inputs)[0][0][1:-1]
            # Half of what two windows share belongs to each of them.
            shared = self._window - self._stride
            first = 0 if start == 0 else shared // 2
            last = len(logits) if start == starts[-1] else len(logits) - (shared - shared // 2)
            judged.append(logits[first:last])
        logits = np.concatenate(judged)
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = exponents / exponents.sum(axis=1, keepdims=True)
        # Column 0 is none; then come, for each label, its first and its further tokens.
        return np.column_stack([scores[:, 1::2] + scores[:, 2::2], scores[:, 0]])


def _words(encoding: Any, scores: NDArray[np.float32]) -> list[tuple[int, int, int, float]]:
    """(start, end, label, score) of the words that have a label; the tokens of a word decide together."""
    found = []
    offsets, word_ids = encoding.offsets, encoding.word_ids
    for _, group in itertools.groupby(range(len(word_ids)), key=word_ids.__getitem__):
        tokens = list(group)
        mean = scores[tokens].mean(axis=0)
        label = int(mean.argmax())
        if label < len(mean) - 1:
            found.append((offsets[tokens[0]][0], offsets[tokens[-1]][1], label, float(mean[label])))
    return found


def _joined(text: str, words: list[tuple[int, int, int, float]]) -> list[tuple[tuple[int, int, int], float]]:
    """Words of one label with nothing but spaces between them as one part; its score is their mean."""
    parts: list[tuple[tuple[int, int, int], list[float]]] = []
    for start, end, label, score in words:
        if parts:
            (before, middle, same), scores = parts[-1]
            if label == same and not text[middle:start].strip(" \t\u00a0"):
                parts[-1] = ((before, end, label), [*scores, score])
                continue
        parts.append(((start, end, label), [score]))
    return [(part, sum(scores) / len(scores)) for part, scores in parts]


def _texts(request: Any) -> list[bytes]:
    return [bytes(raw) for raw in pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().reshape(-1)]


def _response(found: list[list[tuple[tuple[int, int, int], float]]]) -> Any:
    rows = max(1, *map(len, found))
    spans = np.full((len(found), rows, 3), PADDING, dtype=np.int32)
    scores = np.zeros((len(found), rows), dtype=np.float32)
    for place, parts in enumerate(found):
        for row, (part, score) in enumerate(parts):
            spans[place, row], scores[place, row] = part, score
    return pb_utils.InferenceResponse([pb_utils.Tensor("SPANS", spans), pb_utils.Tensor("SCORES", scores)])

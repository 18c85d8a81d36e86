"""Texts to vectors with the int8 ONNX model, exactly as it is served: one text per run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from matcher import MAX_TOKENS
from numpy.typing import NDArray
from tokenizers import Tokenizer


class ServedEncoder:
    """Encodes each distinct text once and keeps it."""

    def __init__(self, model: Path, tokenizer: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model), options, ["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(MAX_TOKENS, direction="left")
        self._kept: dict[str, NDArray[np.float32]] = {}

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        fresh = [text for text in dict.fromkeys(texts) if text not in self._kept]
        for text, encoding in zip(fresh, self._tokenizer.encode_batch(fresh), strict=True):
            ids = np.array([encoding.ids], dtype=np.int64)
            self._kept[text] = self._session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
        return np.stack([self._kept[text] for text in texts]) if texts else np.zeros((0, 384), dtype=np.float32)

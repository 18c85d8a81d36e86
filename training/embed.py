"""The served models outside Triton: the same files, the same texts, one text per run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from serving import attack_text, matching
from tokenizers import Tokenizer


class ServedOrchestrator:
    """``matching.Matching`` of a folder; each distinct text is encoded once and kept."""

    def __init__(self, folder: Path) -> None:
        self.matching = matching.Matching(folder)
        self._kept: dict[str, Any] = {}

    def encode(self, texts: Sequence[str]) -> list[Any]:
        fresh = [text for text in dict.fromkeys(texts) if text not in self._kept]
        self._kept.update(zip(fresh, self.matching.encode(fresh), strict=True))
        return [self._kept[text] for text in texts]

    def forget(self) -> None:
        """Texts of one roster are of no use to the next."""
        self._kept.clear()


class ServedGuard:
    """The jailbreak classifier: the probability that a text is not benign, that of its worst window."""

    def __init__(self, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, ["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def __call__(self, text: str) -> float:
        first, last = self._tokenizer.token_to_id("[CLS]"), self._tokenizer.token_to_id("[SEP]")
        worst = 0.0
        for reading in attack_text.views(text):
            ids = self._tokenizer.encode(reading, add_special_tokens=False).ids
            for start in attack_text.window_starts(len(ids), attack_text.WINDOW, attack_text.STRIDE):
                window = np.array([[first, *ids[start : start + attack_text.WINDOW], last]], dtype=np.int64)
                feed = {"input_ids": window, "attention_mask": np.ones_like(window)}
                logits = self._session.run(None, feed)[0][0].astype(np.float64)
                odds = np.exp(logits - logits.max())
                worst = max(worst, float(1.0 - odds[0] / odds.sum()))
        return worst

"""The served models outside Triton: the same files, the same texts, one text per run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from serving import MODERATION, attack_text, matching, window_size
from tokenizers import Tokenizer
from windows import Cutter


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


class _ServedClassifier:
    """A classifier's logits for each window of a text."""

    def __init__(self, folder: Path, window: int, stride: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, ["CPUExecutionProvider"])
        self._cutter = Cutter(Tokenizer.from_file(str(folder / "tokenizer.json")), window, stride)

    def logits(self, text: str) -> NDArray[np.float64]:
        rows = []
        for window in self._cutter.cut(text):
            ids = np.array([window], dtype=np.int64)
            rows.append(self._session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0])
        return np.array(rows, dtype=np.float64)


class ServedGuard(_ServedClassifier):
    """The jailbreak classifier: the probability that a text is not benign, that of its worst window."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, attack_text.WINDOW, attack_text.STRIDE)

    def __call__(self, text: str) -> float:
        logits = self.logits(text)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return float((1.0 - odds[:, 0] / odds.sum(axis=1)).max())


class ServedModeration(_ServedClassifier):
    """The moderation classifier: the probability of each label, that of the window where it is highest."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, *window_size(MODERATION))

    def __call__(self, text: str) -> NDArray[np.float64]:
        return np.asarray(1.0 / (1.0 + np.exp(-self.logits(text).max(axis=0))))

"""The windows of a text, as the served classifiers cut them. Needs no PyTorch."""

from __future__ import annotations

import random

from serving import attack_text
from tokenizers import Tokenizer


class Cutter:
    """The windows of all readings of a text, as served."""

    def __init__(self, tokenizer: Tokenizer, window: int, stride: int) -> None:
        self._tokenizer = tokenizer
        self._ends = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
        self._window, self._stride = window, stride

    def cut(self, text: str, most: int | None = None, rng: random.Random | None = None) -> list[list[int]]:
        """Token ids of each window; beyond ``most`` a sample of them, or the first ones without ``rng``."""
        first, last = self._ends
        found = []
        for reading in attack_text.views(text):
            ids = self._tokenizer.encode(reading, add_special_tokens=False).ids
            starts = attack_text.window_starts(len(ids), self._window, self._stride)
            found += [[first, *ids[start : start + self._window], last] for start in starts]
        if most is not None and len(found) > most:
            found = rng.sample(found, most) if rng else found[:most]
        return found

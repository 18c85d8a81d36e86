"""A scriptable sentence encoder for ``FakeTriton``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from router.triton.tensors import Tensor
from tests.fakes.triton import FakeModel, FakeTriton


def add_encoder(triton: FakeTriton, vector: Callable[[str], Sequence[float]], *, name: str = "encoder") -> FakeModel:
    """A model of the encoder contract. ``vector(text)`` returns a vector of unit length, the same width for all."""

    def handle(inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        rows = [vector(text.decode()) for text in inputs["TEXT"].byte_strings()]
        return [Tensor.from_floats("EMBEDDING", [v for row in rows for v in row], (len(rows), len(rows[0])))]

    return triton.add(FakeModel(name, [("TEXT", "BYTES", [1])], [("EMBEDDING", "FP32", [-1])], handle))


def word_vector(text: str, *, width: int = 64) -> Sequence[float]:
    """Texts that share words are similar: each word adds to one number, whichever its letters come to."""
    counts = [0.0] * width
    for word in text.lower().replace(".", " ").replace("?", " ").replace(",", " ").split():
        counts[sum(map(ord, word)) % width] += 1.0
    length = math.hypot(*counts)
    return [count / length for count in counts] if length else [1.0, *counts[1:]]

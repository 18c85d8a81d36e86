"""What a user message means, by a sentence encoder: for what no phrase list has.

The encoder is asked by the caller, who hands its vectors in: :func:`prototype_texts` once, ``analyzer.texts_to_embed``
for each exchange.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from router.signals.lexicon import lexicon
from router.signals.report import SignalType

Vector: TypeAlias = Sequence[float]

# How near to a prototype of a type a message has to be, and how much nearer than to any that says nothing.
MIN_SIMILARITY = 0.62
MIN_MARGIN = 0.22
# From which similarity two messages of a user ask the same.
SAME_MEANING = 0.86
MAX_WORDS = 40  # longer messages say several things


class Similarity(Protocol):
    """Says what a vector is near to."""

    def nearest(self, vector: Vector) -> tuple[SignalType, float] | None:
        """The type that a message with this unit vector says, and how similar it is; ``None`` where it says none."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the encoder says about one exchange: the unit vectors of its user texts, and what to compare them with."""

    embeddings: Mapping[str, Vector]
    similarity: Similarity


class Prototypes:
    """The bundled prototypes with their vectors."""

    def __init__(self, vectors: Mapping[str, Vector]) -> None:
        """``vectors`` are the unit vectors of :func:`prototype_texts`; raises ``KeyError`` when one is missing."""
        self._vectors = [
            (kind, [tuple(vectors[text]) for text in texts]) for kind, texts in lexicon().prototypes.items()
        ]

    def nearest(self, vector: Vector) -> tuple[SignalType, float] | None:
        best = {kind: max(cosine(vector, one) for one in prototypes) for kind, prototypes in self._vectors}
        nothing = best.pop(None, -1.0)
        kind = max(best, key=lambda each: best[each])
        if kind is None or best[kind] < MIN_SIMILARITY or best[kind] - nothing < MIN_MARGIN:
            return None
        return kind, best[kind]


def prototype_texts() -> tuple[str, ...]:
    """The texts whose vectors :class:`Prototypes` wants."""
    return tuple(text for texts in lexicon().prototypes.values() for text in texts)


def cosine(mine: Vector, theirs: Vector) -> float:
    """Of two unit vectors; 0 where they cannot be compared."""
    if len(mine) != len(theirs):
        return 0.0
    value = math.fsum(map(operator.mul, mine, theirs))
    return value if math.isfinite(value) else 0.0

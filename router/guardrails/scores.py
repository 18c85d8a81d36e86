"""Scores of texts by a classifier: each text is judged once, long ones in pieces, all that are new in one call."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

from cachetools import TTLCache

PIECE_CHARS = 8_000  # classifiers bound the length of a text; longer ones are judged in pieces
OVERLAP_CHARS = 400  # so that what stands at a cut is seen whole in one of the pieces
_CACHE_ENTRIES = 20_000
_CACHE_TTL_S = 600.0

Scores: TypeAlias = Mapping[str, float]


class TextClassifier(Protocol):
    """A model that scores texts by label."""

    async def classify(self, texts: Sequence[str], *, timeout_s: float) -> Sequence[Scores]:
        """For each text, a score between 0 and 1 per label."""

    async def threshold(self, *, timeout_s: float) -> float:
        """The score from which the model's makers take a text to be what it looks for."""

    async def thresholds(self, *, timeout_s: float) -> Mapping[str, float]:
        """The same for each label."""


class ScoredModel:
    """One classifier with the scores that it gave, kept by content hash for ten minutes: old turns are not asked again.

    All guards on one model share one of these.
    """

    def __init__(self, classifier: TextClassifier) -> None:
        self.classifier = classifier
        self._known: TTLCache[bytes, Scores] = TTLCache(_CACHE_ENTRIES, _CACHE_TTL_S)

    async def scores(self, texts: Iterable[str], *, timeout_s: float) -> Mapping[str, Sequence[Scores]]:
        """The scores of every piece of each text; all or nothing. Raises what the classifier raises."""
        cut = {text: [(_digest(piece), piece) for piece in pieces(text)] for text in texts}
        known: dict[bytes, Scores] = {}
        asked: dict[bytes, str] = {}
        for digest, piece in (each for found in cut.values() for each in found):
            kept = self._known.get(digest)
            if kept is None:
                asked[digest] = piece
            else:
                known[digest] = kept
        if asked:
            answers = await self.classifier.classify(list(asked.values()), timeout_s=timeout_s)
            for digest, scores in zip(asked, answers, strict=True):
                known[digest] = self._known[digest] = scores
        return {text: [known[digest] for digest, _ in found] for text, found in cut.items()}


def pieces(text: str) -> Iterator[str]:
    """The whole of ``text`` in pieces of bounded length that overlap: a text is as bad as its worst piece."""
    yield text[:PIECE_CHARS]
    for start in range(PIECE_CHARS - OVERLAP_CHARS, len(text) - OVERLAP_CHARS, PIECE_CHARS - OVERLAP_CHARS):
        yield text[start : start + PIECE_CHARS]


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

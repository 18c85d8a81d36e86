"""Recall and remember: facts of one key, compared by what they mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from router.memories.base import Fact, MemoryBounds, MemoryKey, MemoryStore
from router.triton.models import Embedding


class TextEncoder(Protocol):
    """Texts to vectors of unit length. ``router.triton.models.Encoder`` is one."""

    async def encode(self, texts: Sequence[str], *, timeout_s: float) -> list[Embedding]:
        """One vector for each text. Raises ``ModelUnavailable``."""


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """``min_similarity`` is that of what is recalled to what is asked; a fact that is at least ``same_similarity`` to
    another is the same, said anew, and takes its place.
    """

    max_recalled: int = 5
    min_similarity: float = 0.3
    same_similarity: float = 0.92
    ttl_s: float = 90 * 86400.0
    bounds: MemoryBounds = field(default_factory=MemoryBounds)


class Memories:
    """What one filter remembers. Raises ``ModelUnavailable`` and ``StateUnavailable``."""

    def __init__(
        self,
        store: MemoryStore,
        encoder: TextEncoder,
        settings: MemorySettings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._encoder = encoder
        self._settings = settings
        self._clock = clock

    async def recall(self, key: MemoryKey, text: str, *, timeout_s: float) -> list[Fact]:
        """The facts of ``key`` that are nearest to ``text``, oldest first. Asks no model where there are none."""
        facts = await self._store.facts(key)
        if not facts or not text.strip():
            return []
        deadline = time.monotonic() + timeout_s
        [asked] = await self._encoder.encode([text], timeout_s=timeout_s)
        facts = await self._comparable(key, facts, asked.encoder, deadline)
        if not facts:
            return []
        similarities = _matrix(facts) @ _vector(asked)
        nearest = np.argsort(-similarities, kind="stable")[: self._settings.max_recalled]
        near_enough = sorted(int(each) for each in nearest if similarities[each] >= self._settings.min_similarity)
        return [facts[position] for position in near_enough]

    async def remember(self, key: MemoryKey, texts: Sequence[str], *, timeout_s: float) -> None:
        """Keep ``texts`` (none twice), each in the place of what said the same before."""
        if not texts:
            return
        deadline = time.monotonic() + timeout_s
        vectors = await self._encoder.encode(texts, timeout_s=timeout_s)
        there = await self._store.facts(key)
        there = await self._comparable(key, there, vectors[0].encoder, deadline)
        now = self._clock()
        fresh = [
            Fact(text, vector, now, now + self._settings.ttl_s) for text, vector in zip(texts, vectors, strict=True)
        ]
        fresh = self._latest(fresh)
        same: Sequence[str] = ()
        if there:
            nearest = (_matrix(there) @ _matrix(fresh).T).max(axis=1)
            same = [
                fact.text
                for fact, similarity in zip(there, nearest, strict=True)
                if similarity >= self._settings.same_similarity
            ]
        await self._store.keep(key, fresh, replaces=same, bounds=self._settings.bounds)

    def _latest(self, facts: Sequence[Fact]) -> list[Fact]:
        """``facts`` without those that a later one says again."""
        matrix = _matrix(facts)
        similar = matrix @ matrix.T >= self._settings.same_similarity
        return [fact for position, fact in enumerate(facts) if not similar[position, position + 1 :].any()]

    async def _comparable(self, key: MemoryKey, facts: list[Fact], encoder: str, deadline: float) -> list[Fact]:
        """``facts`` with vectors of ``encoder``: those of another one are encoded again, and kept so."""
        stale = [position for position, fact in enumerate(facts) if fact.embedding.encoder != encoder]
        if not stale:
            return facts
        texts = [facts[position].text for position in stale]
        vectors = await self._encoder.encode(texts, timeout_s=deadline - time.monotonic())
        facts = list(facts)
        for position, vector in zip(stale, vectors, strict=True):
            facts[position] = replace(facts[position], embedding=vector)
        await self._store.renew(key, [facts[position] for position in stale])
        return [fact for fact in facts if fact.embedding.encoder == encoder]


def _vector(embedding: Embedding) -> NDArray[np.float32]:
    return np.frombuffer(embedding.raw, dtype="<f4")


def _matrix(facts: Sequence[Fact]) -> NDArray[np.float32]:
    raw = b"".join([fact.embedding.raw for fact in facts])
    return np.frombuffer(raw, dtype="<f4").reshape(len(facts), -1)

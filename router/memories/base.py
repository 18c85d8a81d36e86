"""The store protocol: facts with a time to live, each under one key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from router.triton.models import Embedding


@dataclass(frozen=True, slots=True)
class MemoryKey:
    """Whose memory: ``key`` is the user or session, ``owner`` the API key that the request came with ("" without one).

    ``space`` is the filter that remembers. Nothing is ever shared between two keys.
    """

    space: str
    owner: str
    key: str


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that was said. ``said_at`` and ``expires_at`` are seconds since the epoch."""

    text: str = field(repr=False)
    embedding: Embedding
    said_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class MemoryBounds:
    """How many facts there may be under one key, and how many keys in one space; those not used longest go first."""

    facts: int = 200
    keys: int = 10_000


@dataclass(frozen=True, slots=True)
class MemorySummary:
    """One key, how many facts it has, and when the newest was said."""

    key: MemoryKey
    facts: int
    newest_at: float


class MemoryStore(Protocol):
    """Facts by key. Every method raises ``StateUnavailable`` when the store does not answer in time."""

    async def facts(self, key: MemoryKey) -> list[Fact]:
        """What is remembered under ``key``, oldest first."""

    async def keep(
        self, key: MemoryKey, facts: Sequence[Fact], *, replaces: Sequence[str] = (), bounds: MemoryBounds
    ) -> None:
        """Add ``facts``, in the place of those of the same text and of the texts ``replaces``. Atomic.

        Where there are more than ``bounds`` allow then, the oldest facts of the key go, and the keys of its space to
        which nothing was added for longest.
        """

    async def renew(self, key: MemoryKey, facts: Sequence[Fact]) -> None:
        """Put new vectors in the place of old ones; what was forgotten meanwhile stays forgotten."""

    async def summaries(self, *, space: str | None = None, limit: int = 1000) -> list[MemorySummary]:
        """Who is remembered, whose newest fact is newest first."""

    async def forget(self, key: str, *, space: str | None = None, owner: str | None = None) -> int:
        """Remove everything under ``key``, of every space and owner that is not said; how many facts there were."""

    async def close(self) -> None:
        """Finish what was asked, and let go of the store."""

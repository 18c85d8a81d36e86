"""Conversations as their signals need them: what is remembered of each, and what the encoder says of new texts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from router.errors import ModelUnavailable
from router.signals.analyzer import texts_to_embed
from router.signals.exchange import Exchange
from router.signals.lexicon import lexicon
from router.signals.report import SignalReport
from router.signals.semantics import Meaning, Prototypes, prototype_texts
from router.signals.tracker import ConversationTracker, TrackerBounds
from router.triton.models import Embedding

logger = logging.getLogger(__name__)

_TIMEOUT_S = 2.0
_RETRY_AFTER_S = 30.0


class Encoder(Protocol):
    """Texts to vectors of unit length."""

    async def encode(self, texts: Sequence[str], *, timeout_s: float) -> list[Embedding]:
        """The vector of each text, all or nothing. Raises ``ModelUnavailable``."""


class Meanings:
    """Asks the encoder; while it is away, phrases have to do, and it is asked again half a minute later."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._prototypes: Prototypes | None = None
        self._of_encoder = ""
        self._not_before = 0.0

    async def of(self, texts: Sequence[str]) -> Meaning | None:
        """What the encoder says of ``texts``; ``None`` where there is nothing to ask, or nobody."""
        if not texts or time.monotonic() < self._not_before:
            return None
        try:
            return await self._ask(texts)
        except ModelUnavailable as exc:
            self._not_before = time.monotonic() + _RETRY_AFTER_S
            logger.warning("signals are looked for by phrases only", extra={"cause": repr(exc.__cause__ or exc)})
            return None

    async def _ask(self, texts: Sequence[str]) -> Meaning:
        found = await self._encoder.encode(texts, timeout_s=_TIMEOUT_S)
        if self._prototypes is None or found[0].encoder != self._of_encoder:
            known = prototype_texts()
            vectors = await self._encoder.encode(known, timeout_s=5 * _TIMEOUT_S)
            self._prototypes = Prototypes({text: one.vector for text, one in zip(known, vectors, strict=True)})
            self._of_encoder = vectors[0].encoder
        return Meaning({text: one.vector for text, one in zip(texts, found, strict=True)}, self._prototypes)


class Conversations:
    """Analyses exchanges one after the other; how many conversations are remembered, and how long, is ``bounds``."""

    def __init__(self, meanings: Meanings | None = None, bounds: TrackerBounds | None = None) -> None:
        self._meanings = meanings
        self._tracker = ConversationTracker(bounds)

    def __len__(self) -> int:
        return len(self._tracker)

    async def warm_up(self) -> None:
        """Read the phrase lists, which takes a moment, beside the event loop."""
        await asyncio.to_thread(lexicon)

    async def analyse(self, key: str, exchange: Exchange) -> SignalReport:
        """What ``exchange`` says after what was known of the conversation ``key``."""
        meaning = None
        if self._meanings is not None:
            state = self._tracker.state_of(key, exchange, time.monotonic())
            meaning = await self._meanings.of(texts_to_embed(exchange, state))
        return self._tracker.observe(key, exchange, time.monotonic(), meaning)

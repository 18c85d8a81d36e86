"""Guards: a classifier, the labels it must not find, a threshold, what happens without the model -> Verdict."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from cachetools import TTLCache

from router.dialects.canonical import message_text
from router.errors import GatewayError, PayloadTooLarge
from router.telemetry.metrics import GuardOutcome, Metrics

logger = logging.getLogger(__name__)

_JUDGED_ROLES = frozenset({"user", "tool", "function"})
_MAX_TEXTS = 64  # one request's messages are judged one by one up to here; beyond, the oldest are packed together
_PACK_CHARS = 4_000
_PIECE_CHARS = 8_000  # classifiers bound the length of a text; longer ones are judged in pieces
_OVERLAP_CHARS = 400  # so that what stands at a cut is seen whole in one of the pieces
_CHARS_PER_S = 10_000.0  # what a classifier on one busy core reads, the time that long texts get on top
_CACHE_ENTRIES = 20_000
_CACHE_TTL_S = 600.0


class TextClassifier(Protocol):
    """A model that scores texts by label."""

    async def classify(self, texts: Sequence[str], *, timeout_s: float) -> Sequence[Mapping[str, float]]:
        """For each text, a score between 0 and 1 per label."""

    async def threshold(self, *, timeout_s: float) -> float:
        """The score from which the model's makers take a text to be what it looks for."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a guard says about a request; ``label`` and ``score`` belong to the worst text, where there was one."""

    guard: str
    outcome: GuardOutcome
    label: str | None = None
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """When a guard blocks: ``labels``, which exclude each other, sum up to ``threshold`` or more.

    ``threshold`` ``None`` leaves it to the model; ``on_error`` is what happens to requests while the model is gone.
    """

    name: str
    labels: frozenset[str]
    threshold: float | None
    message: str
    on_error: Literal["deny", "allow"] = "deny"
    timeout_s: float = 10.0


class Guard:
    """One policy over one classifier. Scores are kept by content hash: old turns are not judged again."""

    def __init__(self, policy: GuardPolicy, classifier: TextClassifier, metrics: Metrics) -> None:
        self.policy = policy
        self._classifier = classifier
        self._metrics = metrics
        self._scores: TTLCache[bytes, tuple[str, float]] = TTLCache(_CACHE_ENTRIES, _CACHE_TTL_S)

    async def judge(self, texts: Sequence[str], *, timeout_s: float) -> Verdict:
        """The verdict on all of ``texts``: the worst one counts. Never fails: a model that is gone is a verdict."""
        try:
            reading_s = sum(map(len, texts)) / _CHARS_PER_S
            timeout_s = min(timeout_s, self.policy.timeout_s + reading_s)
            label, score = await self._worst(texts, timeout_s)
            threshold = self.policy.threshold
            if threshold is None:
                threshold = await self._classifier.threshold(timeout_s=timeout_s)
        except GatewayError as exc:
            return self._unavailable(exc)
        outcome: GuardOutcome = "block" if score >= threshold else "pass"
        self._metrics.guard_judged(self.policy.name, outcome)
        return Verdict(self.policy.name, outcome, label, score)

    async def _worst(self, texts: Sequence[str], timeout_s: float) -> tuple[str | None, float]:
        keys = {_digest(piece): piece for text in texts for piece in pieces(text)}
        known = {key: found for key in keys if (found := self._scores.get(key)) is not None}
        unknown = [key for key in keys if key not in known]
        if unknown:
            answers = await self._classifier.classify([keys[key] for key in unknown], timeout_s=timeout_s)
            for key, scores in zip(unknown, answers, strict=True):
                known[key] = self._scores[key] = _bad(scores, self.policy.labels)
        return max(known.values(), key=lambda found: found[1], default=(None, 0.0))

    def _unavailable(self, exc: GatewayError) -> Verdict:
        allowed = self.policy.on_error == "allow"
        outcome: GuardOutcome = "allowed_unchecked" if allowed else "unavailable"
        self._metrics.guard_judged(self.policy.name, outcome)
        self._metrics.degraded("guardrail")
        logger.warning(
            "guard unavailable",
            extra={"guard": self.policy.name, "outcome": outcome, "cause": repr(exc.__cause__ or exc)},
        )
        return Verdict(self.policy.name, outcome)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def pieces(text: str) -> Iterator[str]:
    """The whole of ``text`` in pieces of bounded length that overlap: a text is as bad as its worst piece."""
    yield text[:_PIECE_CHARS]
    for start in range(_PIECE_CHARS - _OVERLAP_CHARS, len(text) - _OVERLAP_CHARS, _PIECE_CHARS - _OVERLAP_CHARS):
        yield text[start : start + _PIECE_CHARS]


def _bad(scores: Mapping[str, float], labels: frozenset[str]) -> tuple[str, float]:
    """The worst of ``labels`` and how probable all of them are together."""
    worst = max(labels, key=lambda label: scores[label])
    return worst, min(1.0, sum(scores[label] for label in labels))


def judged_texts(messages: Sequence[Mapping[str, Any]], *, max_chars: int) -> list[str]:
    """The texts of a request that guards read: what users and tools said, every message of the conversation.

    A very long conversation is packed from its oldest message on, so that its cost is bounded by its characters, and so
    that the packs stay the same while it grows. Raises ``PayloadTooLarge`` over ``max_chars``: what cannot be judged is
    not passed on.
    """
    texts = [
        text for message in messages if message["role"] in _JUDGED_ROLES and (text := message_text(message).strip())
    ]
    if sum(map(len, texts)) > max_chars:
        raise PayloadTooLarge(
            f"The conversation has more than {max_chars} characters for the guards to read (limits.max_guard_chars).",
            param="messages",
        )
    if len(texts) <= _MAX_TEXTS:
        return texts
    packs: list[str] = []
    pack: list[str] = []
    size = 0
    for text in texts[:-1]:
        if pack and size + len(text) > _PACK_CHARS:
            packs.append("\n".join(pack))
            pack, size = [], 0
        pack.append(text)
        size += len(text)
    packs.append("\n".join(pack))
    return [*packs, texts[-1]]

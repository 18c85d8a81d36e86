"""What guards look for: labels of a classifier, topics that are not allowed, sizes that are too large."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson
from cachetools import TTLCache

from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable
from router.guardrails.scores import ScoredModel, Scores
from router.guardrails.texts import Passage, Subject

# A classifier with such a label says what a text is, one of all labels; one without says what there is in it.
_NOTHING_FOUND = frozenset({"benign", "safe"})
_KEPT_ANSWERS = 5_000
_ANSWERS_KEPT_S = 600.0


@dataclass(frozen=True, slots=True)
class Finding:
    """The worst that there is, ``score`` between 0 and 1, and the passages that are over the threshold."""

    label: str | None = None
    score: float = 0.0
    hits: tuple[Passage, ...] = ()


class Check(Protocol):
    """Looks at a subject. ``model`` is the classifier that has to score its passages first, where there is one."""

    @property
    def model(self) -> ScoredModel | None: ...

    async def find(self, subject: Subject, scores: Mapping[str, Sequence[Scores]], *, timeout_s: float) -> Finding:
        """What there is in ``subject``; ``scores`` has those of every passage. Raises ``GatewayError``."""


class LabelCheck:
    """Looks for labels of a classifier: each from its own threshold on, or all of them together from one.

    ``labels`` maps the labels to look for to their thresholds, a ``None`` among which leaves it to the model; without
    ``labels``, all are looked for that say that something was found. ``threshold`` takes the place of the model's own.
    Labels of a model that also has one for nothing exclude each other, so that they count together, unless they have
    thresholds of their own.
    """

    def __init__(
        self, model: ScoredModel, labels: Mapping[str, float | None] | None = None, threshold: float | None = None
    ) -> None:
        self.model = model
        self._labels = labels
        self._threshold = threshold
        self._each = labels is not None and any(value is not None for value in labels.values())

    async def find(self, subject: Subject, scores: Mapping[str, Sequence[Scores]], *, timeout_s: float) -> Finding:
        """The worst piece of the worst passage, and every passage with a piece over its threshold."""
        worst = Finding()
        margin = float("-inf")
        hits = []
        for passage in subject.passages:
            found = [await self._judge(piece, timeout_s) for piece in scores[passage.text]]
            label, score, over = max(found, key=lambda each: each[2])
            if over > margin:
                worst, margin = Finding(label, score), over
            if over >= 0:
                hits.append(passage)
        return Finding(worst.label, worst.score, tuple(hits))

    async def _judge(self, scores: Scores, timeout_s: float) -> tuple[str, float, float]:
        """The worst label of one piece, its score, and by how much that is over the threshold."""
        labels = [label for label in self._labels or scores if self._labels or label not in _NOTHING_FOUND]
        if not labels or not scores.keys() >= set(labels):
            raise ModelUnavailable(f"The model has none of the labels that were asked for, or not all: {labels}.")
        if not self._each and not _NOTHING_FOUND.isdisjoint(scores):
            worst = max(labels, key=scores.__getitem__)
            score = min(1.0, sum(scores[label] for label in labels))
            return worst, score, score - await self._limit(timeout_s)
        limits = await self._limits(labels, timeout_s)
        worst = max(labels, key=lambda label: scores[label] - limits[label])
        return worst, scores[worst], scores[worst] - limits[worst]

    async def _limit(self, timeout_s: float) -> float:
        if self._threshold is not None:
            return self._threshold
        return await self.model.classifier.threshold(timeout_s=timeout_s)

    async def _limits(self, labels: Sequence[str], timeout_s: float) -> Mapping[str, float]:
        own: dict[str, float | None] = {label: (self._labels or {}).get(label) for label in labels}
        if self._threshold is not None:
            return {label: self._threshold if value is None else value for label, value in own.items()}
        if None not in own.values():
            return {label: value for label, value in own.items() if value is not None}
        models = await self.model.classifier.thresholds(timeout_s=timeout_s)
        return {label: models.get(label, 0.5) if value is None else value for label, value in own.items()}


class RouteScores(Protocol):
    """An orchestrator's scores of routes, in their order, and its own threshold."""

    @property
    def scores(self) -> Sequence[float]: ...

    @property
    def threshold(self) -> float: ...


class TopicScorer(Protocol):
    """An orchestrator of the scoring contract."""

    async def score(
        self, conversation: Sequence[Turn], routes: Sequence[RouteDescription], *, timeout_s: float
    ) -> RouteScores:
        """For each route the probability that the newest user turn is for it."""


class TopicCheck:
    """Finds newest user messages that are about none of ``topics``, in the light of what was said before."""

    model: ScoredModel | None = None

    def __init__(self, scorer: TopicScorer, topics: Sequence[RouteDescription], threshold: float | None = None) -> None:
        self._scorer = scorer
        self._topics = tuple(topics)
        self._threshold = threshold
        self._known: TTLCache[bytes, Finding] = TTLCache(_KEPT_ANSWERS, _ANSWERS_KEPT_S)

    async def find(self, subject: Subject, scores: Mapping[str, Sequence[Scores]], *, timeout_s: float) -> Finding:
        """The label ``off_topic`` with how sure that is."""
        if not subject.turns:
            return Finding()
        key = _turns_digest(subject.turns)
        known = self._known.get(key)
        if known is None:
            answer = await self._scorer.score(subject.turns, self._topics, timeout_s=timeout_s)
            best = max(answer.scores)
            threshold = answer.threshold if self._threshold is None else self._threshold
            hits = (Passage(subject.turns[-1].content),) if best < threshold else ()
            known = self._known[key] = Finding("off_topic", 1.0 - best, hits)
        return known


class SizeCheck:
    """Finds requests with more than ``max_chars`` characters of text or more than ``max_messages`` messages."""

    model: ScoredModel | None = None

    def __init__(self, max_chars: int | None = None, max_messages: int | None = None) -> None:
        self._max_chars = max_chars
        self._max_messages = max_messages

    async def find(self, subject: Subject, scores: Mapping[str, Sequence[Scores]], *, timeout_s: float) -> Finding:
        """The label ``chars`` or ``messages``."""
        if self._max_messages is not None and subject.messages > self._max_messages:
            return Finding("messages", 1.0, subject.passages or (Passage(""),))
        if self._max_chars is not None and subject.chars > self._max_chars:
            return Finding("chars", 1.0, subject.passages)
        return Finding()


def _turns_digest(turns: Sequence[Turn]) -> bytes:
    said = [part.encode("utf-8", "replace").decode() for turn in turns for part in (turn.role, turn.content)]
    return hashlib.blake2b(orjson.dumps(said), digest_size=16).digest()

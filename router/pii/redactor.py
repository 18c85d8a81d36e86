"""Finds personal data in texts and puts placeholders in its place."""

from __future__ import annotations

import asyncio
import fnmatch
import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from router.pii.findings import DEFAULT_ENTITIES, Entity, Finding, resolve_overlaps
from router.pii.named_entities import EntityModel, NamedEntities
from router.pii.placeholders import MARK, Placeholders, marked
from router.pii.recognisers import Recognisers

# Texts longer than this are searched beside the event loop, not in it.
_LONG_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class DetectionPolicy:
    """What counts as personal data.

    ``allow`` are texts that are none, letter case aside, where ``*`` stands for anything: ``*@example.com``.
    ``phone_regions`` are the countries (ISO 3166) whose numbers are known without a country code.
    """

    entities: Collection[Entity] = DEFAULT_ENTITIES
    min_score: float = 0.5
    allow: Sequence[str] = ()
    phone_regions: Sequence[str] = ("US", "GB")


class Redactor:
    """Finds and replaces; without a model, by patterns only. Has no state but what the model said, and may be shared.

    The synchronous methods never ask the model.
    """

    def __init__(self, policy: DetectionPolicy, model: EntityModel | None = None) -> None:
        """Raises ``ValueError`` for a phone region that has no telephone numbers."""
        self._recognisers = Recognisers(frozenset(policy.entities), policy.phone_regions)
        self._named = None if model is None else NamedEntities(model, policy.entities)
        self._min_score = policy.min_score
        self._allowed = _any_of(policy.allow)

    def find(self, text: str) -> list[Finding]:
        """What patterns find in ``text``, in its order, without overlaps."""
        return self._accept(self._recognisers.find(text), text)

    def redact(self, text: str) -> str:
        """``text`` with ``<PERSON>`` and the like for what patterns find; there is no way back."""
        return marked(text, self.find(text))

    async def find_all(self, texts: Sequence[str], *, timeout_s: float) -> list[list[Finding]]:
        """What patterns and the model find in each text. Raises ``ModelUnavailable``; without a model, nothing."""
        if self._named is None:
            return await self.find_patterns(texts)
        named, found = await asyncio.gather(self._named.find(texts, timeout_s=timeout_s), self.find_patterns(texts))
        return [
            self._accept([*by_pattern, *by_model], text)
            for by_pattern, by_model, text in zip(found, named, texts, strict=True)
        ]

    async def redact_all(self, texts: Sequence[str], *, timeout_s: float) -> list[str]:
        """As ``redact``, for what patterns and the model find. Raises ``ModelUnavailable``."""
        found = await self.find_all(texts, timeout_s=timeout_s)
        return [marked(text, findings) for text, findings in zip(texts, found, strict=True)]

    async def pseudonymise(
        self, texts: Sequence[str], found: Sequence[Sequence[Finding]], placeholders: Placeholders
    ) -> list[str]:
        """Each text with placeholders for what was ``found`` in it, and for what was found in any other of them."""
        if sum(map(len, texts)) > _LONG_CHARS:
            return await asyncio.to_thread(_pseudonymised, texts, found, placeholders)
        return _pseudonymised(texts, found, placeholders)

    async def find_patterns(self, texts: Sequence[str]) -> list[list[Finding]]:
        """What patterns find in each text; long ones are searched beside the event loop."""
        return [
            await asyncio.to_thread(self.find, text) if len(text) > _LONG_CHARS else self.find(text) for text in texts
        ]

    def _accept(self, findings: Iterable[Finding], text: str) -> list[Finding]:
        """Those of ``findings`` that count, without overlaps; a placeholder is no personal data."""
        likely = [finding for finding in findings if finding.score >= self._min_score]
        if not likely:
            return []
        marks = [match.span() for match in MARK.finditer(text)]
        return [
            finding
            for finding in resolve_overlaps(likely, text)
            if not (self._allowed is not None and self._allowed.fullmatch(finding.text))
            and not _touches_any(finding, marks)
        ]


def _pseudonymised(texts: Sequence[str], found: Sequence[Sequence[Finding]], placeholders: Placeholders) -> list[str]:
    for findings in found:
        placeholders.add(findings)
    everywhere = [
        resolve_overlaps([*findings, *placeholders.mentions(text)], text)
        for text, findings in zip(texts, found, strict=True)
    ]
    return [placeholders.replace(text, findings) for text, findings in zip(texts, everywhere, strict=True)]


def _touches_any(finding: Finding, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether ``finding`` overlaps one of ``spans``, which are in order and do not overlap."""
    behind = bisect_left(spans, (finding.end, 0))
    return behind > 0 and spans[behind - 1][1] > finding.start


def _any_of(allow: Sequence[str]) -> re.Pattern[str] | None:
    """One expression for all allowed texts."""
    if not allow:
        return None
    return re.compile("|".join([fnmatch.translate(one.strip()) for one in allow]), re.IGNORECASE)

"""What was found in a text, and how findings that overlap become ones that do not."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from router.config.pii import DEFAULT_ENTITIES, ENTITIES, Entity

__all__ = ["DEFAULT_ENTITIES", "ENTITIES", "Entity", "Finding", "resolve_overlaps"]


@dataclass(frozen=True, slots=True)
class Finding:
    """``text[start:end]`` is an ``entity``, with a score between 0 and 1; offsets count characters."""

    entity: Entity
    start: int
    end: int
    score: float
    text: str = field(repr=False)


def resolve_overlaps(findings: Iterable[Finding], text: str) -> list[Finding]:
    """Findings in the order of ``text`` that do not overlap and cover all that ``findings`` cover.

    Overlapping findings of one entity become one. Among different entities the higher score wins, then the longer one;
    what sticks out of the winner stays with the loser where it has a letter or digit.
    """
    kept: list[Finding] = []  # in the order of the text, without overlaps
    for finding in sorted(_united(findings, text), key=lambda one: (-one.score, one.start - one.end, one.start)):
        for start, end in _uncovered(finding, kept):
            part = text[start:end]
            if any(map(str.isalnum, part)):
                insort(kept, replace(finding, start=start, end=end, text=part), key=_start_of)
    return kept


def _start_of(finding: Finding) -> int:
    return finding.start


def _united(findings: Iterable[Finding], text: str) -> list[Finding]:
    """Overlapping findings of the same entity as one, with the best of their scores."""
    united: list[Finding] = []
    newest: dict[Entity, int] = {}
    for finding in sorted(findings, key=lambda one: (one.start, one.end)):
        place = newest.get(finding.entity)
        if place is not None and finding.start < united[place].end:
            before = united[place]
            end = max(before.end, finding.end)
            united[place] = Finding(
                finding.entity, before.start, end, max(before.score, finding.score), text[before.start : end]
            )
        else:
            newest[finding.entity] = len(united)
            united.append(finding)
    return united


def _uncovered(finding: Finding, kept: Sequence[Finding]) -> list[tuple[int, int]]:
    """The parts of ``finding`` that none of ``kept``, which are in order, covers."""
    parts = []
    start = finding.start
    first = max(0, bisect_right(kept, finding.start, key=_start_of) - 1)
    for one in kept[first : bisect_left(kept, finding.end, key=_start_of)]:
        if one.end <= start:
            continue
        if start < one.start:
            parts.append((start, one.start))
        start = max(start, one.end)
    if start < finding.end:
        parts.append((start, finding.end))
    return parts

"""Values that stand side by side: iot, edge and finance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from router.functions.extraction.candidates import Candidate
from router.functions.extraction.reading import Reading
from router.functions.extraction.vocabulary import AND, ARTICLES

MOST_VALUES = 20
_LISTED = AND | {","}
_INTRODUCED = 0.7  # the score of a name that something introduces
_MOST_BETWEEN = 5  # tokens, such as ", and in the"


def introduced_row(found: Sequence[Candidate], reading: Reading) -> list[Candidate]:
    """The row of names behind the array's own word: "tags: iot, edge", "tagged finance and nightly"."""
    heads = [each for each in found if each.score >= _INTRODUCED]
    if not heads:
        return []
    row = [max(heads, key=lambda each: (each.score, -each.first))]
    while (following := _next_in_row(row[-1], found, reading)) is not None and len(row) < MOST_VALUES:
        row.append(following)
    return row


def _next_in_row(candidate: Candidate, found: Sequence[Candidate], reading: Reading) -> Candidate | None:
    behind = [each for each in found if each.first > candidate.last and each.first - candidate.last <= _MOST_BETWEEN]
    for each in sorted(behind, key=lambda one: (one.first, -one.last)):
        if each.value != candidate.value and _coordinated(reading, candidate, each):
            return each
    return None


def all_in_row(candidate: Candidate, found: Sequence[Candidate], reading: Reading) -> list[Candidate]:
    """The others of the row that a candidate is in, in order; no row without an "and" or "or" in it."""
    row = [candidate]
    capital = reading.tokens[candidate.first].is_capitalised
    found = [each for each in found if reading.tokens[each.first].is_capitalised or not capital]
    while (following := _next_in_row(row[-1], found, reading)) is not None and len(row) < MOST_VALUES:
        row.append(following)
    while (before := _before_in_row(row[0], found, reading)) is not None and len(row) < MOST_VALUES:
        row.insert(0, before)
    between = {each.folded for one, other in pairwise(row) for each in reading.tokens[one.last : other.first]}
    return row if not between.isdisjoint(AND) else []


def _before_in_row(candidate: Candidate, found: Sequence[Candidate], reading: Reading) -> Candidate | None:
    ahead = [each for each in found if each.last < candidate.first and candidate.first - each.last <= _MOST_BETWEEN]
    for each in sorted(ahead, key=lambda one: (-one.last, one.first)):
        if each.value != candidate.value and _coordinated(reading, each, candidate):
            return each
    return None


def _coordinated(reading: Reading, one: Candidate, other: Candidate) -> bool:
    """Whether two candidates stand side by side: only "and", "or" or a comma between them, and the first one's cue."""
    between = reading.tokens[one.last : other.first]
    if not between or not any(each.folded in _LISTED for each in between):
        return False
    opening = reading.word(one.first - 1) or ""
    rest = [each for each in between if each.folded not in _LISTED | ARTICLES and reading.word(one.last) != opening]
    return all(each.folded == opening or each.folded in ARTICLES for each in rest) and len(between) <= 4

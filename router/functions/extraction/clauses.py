"""Where a turn falls into two that may each ask for a call."""

from __future__ import annotations

from collections.abc import Iterator

from router.functions.extraction.reading import Reading

_SPLITTING = frozenset({"and", "then", "und", "et", "y", ";", "also", "plus"})
_MOST_SPLITS = 4


def clauses(reading: Reading) -> Iterator[tuple[str, str]]:
    """The texts before each word that joins clauses, and from it on; of the first four such words."""
    count = 0
    for index, token in enumerate(reading.tokens[1:-1], start=1):
        if token.folded in _SPLITTING and index not in reading.taken and count < _MOST_SPLITS:
            count += 1
            yield reading.text[: token.start], reading.text[token.start :]

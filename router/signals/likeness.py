"""How alike two texts are: the same again, the same in other words, or the same about something else."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Likeness: TypeAlias = Literal["same", "reworded", "other"]

MAX_WORDS = 200
SAME_WORDS = 4  # shorter texts are said again all the time
_SHINGLE_WORDS = 3
_SAME_SHARE = 0.6  # of the shingles of both, where they are about the same
_REWORDED_SHARE = 0.62  # of the content words of both
_MIN_CONTENT = 3
_STEM_CHARS = 5  # a crude stem that works alike in all of the languages


@dataclass(frozen=True, slots=True)
class Digest:
    """What is kept of a text: its words in order, and those that say what it is about."""

    words: tuple[str, ...]
    content: frozenset[str]

    @property
    def shingles(self) -> frozenset[tuple[str, ...]]:
        size = min(_SHINGLE_WORDS, len(self.words))
        return frozenset(self.words[place : place + size] for place in range(len(self.words) - size + 1))


def digest_words(plain: str, stopwords: Collection[str]) -> Digest:
    """The digest of a text in its normal form."""
    words = tuple(word for word in plain.split() if word[0].isalnum())[:MAX_WORDS]
    return Digest(words, frozenset(_stem(word) for word in words if word not in stopwords))


def compare(new: Digest, old: Digest) -> tuple[Likeness, float]:
    """How alike ``new`` is to ``old``, and the share of what they have in common."""
    if new.words == old.words:
        return "same", 1.0
    same = _share(new.shingles, old.shingles)
    if new.content == old.content and same >= _SAME_SHARE:
        return "same", same
    share = _share(new.content, old.content)
    if min(len(new.content), len(old.content)) < _MIN_CONTENT or share < _REWORDED_SHARE:
        return "other", share
    if _numbers(new) != _numbers(old) or is_substitution(new, old):
        return "other", share
    return "reworded", share


def content_share(new: Digest, old: Digest) -> float:
    """The share of content words that two texts have in common."""
    return _share(new.content, old.content)


def is_part(words: Sequence[str], whole: Sequence[str]) -> bool:
    """Whether ``words`` stand in this order in ``whole``, next to each other, and are not all of it."""
    size = len(words)
    return size < len(whole) and any(whole[place : place + size] == words for place in range(len(whole) - size + 1))


def is_substitution(new: Digest, old: Digest) -> bool:
    """Whether ``new`` asks what ``old`` asked of something else: only one place differs, where both name something."""
    before = 0
    for mine, theirs in zip(new.words, old.words, strict=False):
        if mine != theirs:
            break
        before += 1
    behind = 0
    shortest = min(len(new.words), len(old.words)) - before
    while behind < shortest and new.words[-1 - behind] == old.words[-1 - behind]:
        behind += 1
    if 2 * (before + behind) < max(len(new.words), len(old.words)):
        return False
    mine_there = {_stem(word) for word in new.words[before : len(new.words) - behind]} & new.content
    theirs_there = {_stem(word) for word in old.words[before : len(old.words) - behind]} & old.content
    return bool(mine_there - theirs_there) and bool(theirs_there - mine_there)


def _numbers(digest: Digest) -> set[str]:
    return {word for word in digest.words if word[0].isdigit()}


def _stem(word: str) -> str:
    return word if word[0].isdigit() else word[:_STEM_CHARS]


def _share(mine: Collection[object], theirs: Collection[object]) -> float:
    both = len(set(mine) & set(theirs))
    return both / (len(mine) + len(theirs) - both) if both else 0.0

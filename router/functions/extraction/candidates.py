"""What a candidate is, and what its surroundings say about it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from router.functions.extraction.profiles import Profile
from router.functions.extraction.reading import Reading
from router.functions.extraction.vocabulary import ARTICLES
from router.functions.extraction.words import Token
from router.functions.targets import JsonValue

_NEGATIONS = frozenset({"not", "without", "nicht", "pas", "ohne", "sans", "kein", "keine", "no", "sin"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value that a parameter may have, with the tokens that it takes up (none where ``first`` is ``last``).

    ``score`` is between 0 and 1. ``day`` or ``clock``: the value is only that half of a date with a time.
    ``later_days``: the value is so many days after a day that was named before. ``sure`` is false where the text can be
    read in two ways.
    """

    value: JsonValue
    score: float
    first: int
    last: int
    sure: bool = True
    day: datetime.date | None = None
    clock: datetime.time | None = None
    later_days: int | None = None

    def overlaps(self, other: Candidate) -> bool:
        return self.first < other.last and other.first < self.last


def label_before(profile: Profile, reading: Reading, first: int, reach: int = 4) -> bool:
    """Whether a word of the parameter's name stands shortly before: "policy number is", "volume to"."""
    return _names(profile, reading.tokens[max(0, first - reach) : first])


def label_after(profile: Profile, reading: Reading, last: int) -> bool:
    """Whether a word of the parameter's name stands right behind: "kitchen *speaker*"."""
    return _names(profile, reading.tokens[last : last + 1])


def _names(profile: Profile, tokens: tuple[Token, ...]) -> bool:
    return any(each.stem in profile.label for each in tokens)


def negated(reading: Reading, first: int) -> bool:
    """Whether a "not" or "instead of" stands before the place."""
    place = first - 1
    while place >= 0 and (
        reading.tokens[place].folded in ARTICLES or reading.word(place) in {"in", "to", "from", "by", "at", "of"}
    ):
        if reading.word(place) == "of" and reading.word(place - 1) in {"instead", "rather"}:
            return True
        place -= 1
    return place >= 0 and reading.word(place) in _NEGATIONS


def cue_of(reading: Reading, first: int, reach: int = 3) -> str:
    """The nearest word before the place that is no article and not the word that a name is made of."""
    for place in range(first - 1, max(-1, first - 1 - reach), -1):
        token = reading.tokens[place]
        if token.folded not in ARTICLES and token.is_word:
            return reading.word(place)
        if token.text in ".;!?":
            break
    return ""


def trimmed(text: str) -> str:
    """A free text without what only separates it."""
    return text.strip().strip("\"“”'\u2018\u2019«» ").rstrip(".,;:!").strip()

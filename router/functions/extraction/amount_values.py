"""Candidates of numbers and of lengths of time."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from router.functions.extraction.amounts import Amount
from router.functions.extraction.candidates import Candidate, label_before, negated
from router.functions.extraction.profiles import Profile
from router.functions.extraction.reading import Reading
from router.functions.extraction.words import akin, stem, word_set

_DAY_S = 86_400.0
_PEOPLE = word_set(
    "people person persons guest guests adult adults passenger passengers traveller travellers traveler",
    "travelers pax seat seats kids children us party family personen gaste leute personnes invites",
    "personas huespedes adultos adultes",
)
_PEOPLE_STEMS = frozenset(stem(each) for each in _PEOPLE) | {"participant", "attendee", "headcount", "size"}
_LIMITS = word_set("under below max maximum top limit up most than within budget first unter hochstens")
_FLOORS = frozenset({"least", "over", "above", "minimum", "min", "more", "mindestens", "from"})
_FINALLY = frozenset({"so", "wait", "total", "altogether", "rather", "make"})
# Of a bare number: alone and required, required, alone, else.
_ALONE, _FAIR, _ONLY, _WEAK = 0.65, 0.55, 0.52, 0.42
_GOOD = 0.95
_TOLERANCE = 1e-9


def numbers(profile: Profile, reading: Reading, others: Sequence[Profile]) -> Iterator[Candidate]:
    """Amounts in the unit of the parameter; bare numbers with less confidence."""
    for amount in reading.amounts:
        found = _measured(profile, reading, amount, others)
        if found is None:
            continue
        value, score = found
        number = _as_typed(profile, value)
        if number is not None and not negated(reading, amount.first):
            yield Candidate(number, min(score, 1.0), amount.first, amount.last)
    yield from _days_between(profile, reading)


def _measured(
    profile: Profile, reading: Reading, amount: Amount, others: Sequence[Profile]
) -> tuple[float, float] | None:
    unit = profile.unit
    if unit is not None and unit.dimension == "money":
        if amount.currency is not None:
            return amount.value, _GOOD + _limit(profile, reading, amount)
        if amount.units:
            return None
    elif unit is not None:
        own = amount.unit(unit.dimension)
        if own is not None:
            return amount.value * own.per(unit), _GOOD + 0.04 * _counts(profile, amount)
        if amount.units or amount.currency is not None:
            return None
    elif amount.currency is not None or (amount.units and not _counts(profile, amount)):
        return None
    return amount.value, _bare(profile, reading, amount, others)


def _bare(profile: Profile, reading: Reading, amount: Amount, others: Sequence[Profile]) -> float:
    """A number without a unit: by what it counts, and by the words before it."""
    if _counts(profile, amount):
        return _GOOD
    if any(other is not profile and other.kind == "number" and _counts(other, amount) for other in others):
        return 0.0
    rivals = any(each is not profile and each.kind == "number" for each in others)
    if profile.required:
        score = _FAIR if rivals else _ALONE
    else:
        score = _WEAK if rivals or profile.unit is not None else _ONLY
    score += _limit(profile, reading, amount)
    if label_before(profile, reading, amount.first):
        score += 0.35
    score += 0.3 * _is_party(profile, reading, amount)
    score += 0.2 * (not _FINALLY.isdisjoint(reading.words_before(amount.first, 2)))
    return score - 0.35 * amount.weak - 0.3 * _before_name(reading, amount)


def _before_name(reading: Reading, amount: Amount) -> bool:
    """9 Harbour Road, 221B: the number is part of a name."""
    following = reading.tokens[amount.last] if amount.last < len(reading.tokens) else None
    if following is None or not following.is_word:
        return False
    glued = following.start == reading.tokens[amount.last - 1].end
    return following.is_capitalised and (glued or not following.text.isupper())


def _limit(profile: Profile, reading: Reading, amount: Amount) -> float:
    """What "at most" and "at least" say for parameters that are bounds."""
    before = reading.words_before(amount.first, 3)
    if not _LIMITS.isdisjoint(before):
        return 0.2 if profile.bound == "most" else -0.15
    if not _FLOORS.isdisjoint(before):
        return 0.2 if profile.bound == "least" else 0.0
    return 0.0


def _counts(profile: Profile, amount: Amount) -> bool:
    word = amount.counted
    if not word:
        return False
    if stem(word) in profile.words or any(
        akin(word, each) or (len(each) > 2 and stem(word).endswith(each)) for each in profile.words
    ):
        return True
    if word == "times" and not {"often", "use"}.isdisjoint(profile.words | profile.label):
        return True
    return word in _PEOPLE and not _PEOPLE_STEMS.isdisjoint(profile.words)


def _is_party(profile: Profile, reading: Reading, amount: Amount) -> bool:
    """Party of five, table for two, we are three."""
    if _PEOPLE_STEMS.isdisjoint(profile.words):
        return False
    before = reading.words_before(amount.first, 2)
    return before[-1:] in (("for",), ("fur",), ("pour",), ("para",)) or before in (
        ("party", "of"),
        ("family", "of"),
        ("group", "of"),
        ("we", "are"),
        ("be", "of"),
    )


def _as_typed(profile: Profile, value: float) -> int | float | None:
    if not math.isfinite(value):
        return None
    whole = abs(value - round(value)) < _TOLERANCE
    if profile.parameter.type == "integer" and not whole:
        return None
    if profile.least is not None and value < profile.least:
        return None
    if profile.most is not None and value > profile.most:
        return None
    return round(value) if whole else round(value, 6)


def _days_between(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    """From Friday to Monday is three nights; how many days it is depends on who counts."""
    if profile.unit is None or profile.unit.dimension != "time" or profile.unit.factor != _DAY_S:
        return
    for start, end in pairwise(reading.dates):
        if start.side == "start" and end.side == "end":
            days = (end.ahead - start.ahead).days
            if days > 0:
                yield Candidate(days, 0.7, start.first, start.first, sure="night" in profile.words)


def durations(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    """Amounts of time as ISO 8601 writes them."""
    for amount in reading.amounts:
        unit = amount.unit("time")
        if unit is not None and not negated(reading, amount.first):
            seconds = amount.value * unit.factor
            if 0 < seconds < 36_600 * _DAY_S and not (amount.currency or _per_unit(reading, amount)):
                yield Candidate(iso_duration(datetime.timedelta(seconds=seconds)), 0.9, amount.first, amount.end)


def _per_unit(reading: Reading, amount: Amount) -> bool:
    return reading.word(amount.first) in {"per", "every"}


def iso_duration(length: datetime.timedelta) -> str:
    """``PT1H30M``, ``P10D``."""
    minutes, seconds = divmod(round(length.total_seconds()) - 86_400 * length.days, 60)
    hours, minutes = divmod(minutes, 60)
    days = f"{length.days}D" if length.days else ""
    clock = "".join(f"{count}{letter}" for count, letter in ((hours, "H"), (minutes, "M"), (seconds, "S")) if count)
    return f"P{days}T{clock}" if clock else f"P{days or '0D'}"

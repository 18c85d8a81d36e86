"""Candidates of numbers, dates, times, durations and of what stands in a text as it is."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from router.functions.extraction.amounts import Amount
from router.functions.extraction.candidates import Candidate, cue_of, label_after, label_before, negated
from router.functions.extraction.dates import DateSpan
from router.functions.extraction.profiles import Profile
from router.functions.extraction.reading import Reading
from router.functions.extraction.times import TimeSpan
from router.functions.extraction.vocabulary import ARTICLES
from router.functions.extraction.words import akin, stem

_DAY_S = 86_400.0
_PEOPLE = frozenset(
    "people person persons guest guests adult adults passenger passengers traveller travellers traveler travelers pax seat seats "
    "kids children us party family personen gaste leute personnes invites personas huespedes adultos adultes".split()
)
_PEOPLE_STEMS = frozenset(stem(each) for each in _PEOPLE) | {"participant", "attendee", "headcount", "size"}
_LIMITS = frozenset(
    {
        "under",
        "below",
        "max",
        "maximum",
        "top",
        "limit",
        "up",
        "most",
        "than",
        "within",
        "budget",
        "first",
        "unter",
        "hochstens",
    }
)
_START_PREPOSITIONS = frozenset("from starting beginning since vom ab desde depuis du del after".split())
_END_PREPOSITIONS = frozenset("until till til to through thru bis jusqu'au au al hasta before by".split())
_START_VERBS = frozenset(
    "starting start starts begin beginning leaving leave depart departing arriving check checkin pickup pick picked outbound".split()
)
_END_VERBS = frozenset(
    "returning return returned back ending end ends last out checkout due dropped drop dropoff".split()
)
_NEUTRAL = frozenset({"on", "in", "at", "am", "the"})
_FINALLY = frozenset({"so", "wait", "total", "altogether", "rather", "make"})
_GOOD, _FAIR, _WEAK = 0.95, 0.55, 0.42
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
            return amount.value * own.factor / unit.factor, _GOOD + 0.04 * _counts(profile, amount)
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
    score = _FAIR if profile.required else _WEAK
    score += _limit(profile, reading, amount)
    if label_before(profile, reading, amount.first):
        score += 0.35
    score += 0.3 * _is_party(profile, reading, amount)
    score += 0.2 * (not _FINALLY.isdisjoint(reading.words_before(amount.first, 2)))
    return score - 0.35 * amount.weak


def _limit(profile: Profile, reading: Reading, amount: Amount) -> float:
    limited = not _LIMITS.isdisjoint(reading.words_before(amount.first, 3))
    return (0.2 if profile.limiting else -0.15) if limited else 0.0


def _counts(profile: Profile, amount: Amount) -> bool:
    word = amount.counted
    if not word:
        return False
    if stem(word) in profile.words or any(
        akin(word, each) or (len(each) > 2 and stem(word).endswith(each)) for each in profile.words
    ):  # noqa: PLR2004
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
    for start, end in zip(reading.dates, reading.dates[1:], strict=False):
        if start.side == "start" and end.side == "end":
            days = (end.ahead - start.ahead).days
            if days > 0:
                yield Candidate(days, 0.7, start.first, start.first, sure="night" in profile.words)


def dates(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    """Days, with the side of a range that the parameter is for."""
    for order, span in enumerate(reading.dates):
        day = span.behind if profile.past else span.ahead
        score = _date_score(profile, reading, span, order)
        first = span.last if order and reading.dates[order - 1].first == span.first else span.first
        yield Candidate(day.isoformat(), score, first, span.last, sure=span.sure, day=day, later_days=span.later_days)


def _date_score(profile: Profile, reading: Reading, span: DateSpan, order: int) -> float:
    if negated(reading, span.first):
        return 0.0
    side = span.side or side_of(reading.words_before(span.first, 3))
    if profile.role is None:
        score = 0.9 if side != "end" else 0.7
    elif side is None:
        score = 0.85 if profile.role == "start" else 0.3 + 0.25 * (order > 0)
        score -= 0.02 * order if profile.role == "start" else 0.0
    else:
        score = 0.95 if side == profile.role else 0.1
    before = {stem(each) for each in reading.words_before(span.first, 5)}
    own = profile.words - {"damage"}
    return min(1.0, score + 0.1 * len(before & own))


def side_of(before: Sequence[str]) -> Literal["start", "end"] | None:
    """Which end of a journey or of a range the words before a value speak of."""
    nearest = next((word for word in reversed(before) if word not in ARTICLES and word not in _NEUTRAL), "")
    if nearest in _START_PREPOSITIONS | _END_PREPOSITIONS:
        return "start" if nearest in _START_PREPOSITIONS else "end"
    for word in reversed(before):
        if word in _START_VERBS | _END_VERBS:
            return "start" if word in _START_VERBS else "end"
        if word in {"and", ",", ";"}:
            break
    return None


def date_times(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    """Days with times; a day alone and a time alone are halves that another turn may complete."""
    clocks = reading.times
    for order, span in enumerate(reading.dates):
        day = span.behind if profile.past else span.ahead
        score = _date_score(profile, reading, span, order)
        clock = min(clocks, key=lambda each: abs(each.first - span.last), default=None)
        yield Candidate(
            None,
            score,
            span.first,
            span.last,
            span.sure,
            day=day,
            later_days=span.later_days,
            clock=clock.time if clock else None,
        )
    if not reading.dates:
        for each in clocks:
            yield Candidate(None, 0.85, each.first, each.last, each.sure, clock=each.time)


def clocks(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    for order, span in enumerate(reading.times):
        yield Candidate(
            span.time.isoformat(), _clock_score(profile, reading, span, order), span.first, span.last, span.sure
        )


def _clock_score(profile: Profile, reading: Reading, span: TimeSpan, order: int) -> float:
    if profile.role == "end":
        return 0.9 if order or cue_of(reading, span.first) in _END_PREPOSITIONS else 0.4
    return 0.9 - 0.1 * order


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


_SCHEMES: Mapping[str, str] = {"www.": "https://www."}


def verbatim(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    """E-mail and web addresses, telephone numbers, IBANs, UUIDs, IP addresses."""
    for each in reading.literals:
        if each.kind != profile.kind:
            continue
        first, last = reading.first_token(each.start), reading.first_token(each.end - 1) + 1
        score = 0.9 + 0.05 * label_before(profile, reading, first)
        value = each.value
        if profile.kind == "uri" and value[:4].casefold() == "www.":
            value = f"https://{value}"
        if not negated(reading, first):
            yield Candidate(value, score, first, last)


def codes(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    """Identifiers: by the example in the description, else by what stands before them."""
    if profile.pattern is not None:
        yield from _patterned(profile, reading)
        return
    for each in reading.literals:
        if each.kind in {"code", "quoted"}:
            first, last = reading.first_token(each.start), reading.first_token(each.end - 1) + 1
            named = label_before(profile, reading, first, 3) or cue_of(reading, first) in {"named", "called"}
            yield Candidate(each.value, 0.95 if named else 0.55, first, last)
    for index, token in enumerate(reading.tokens[1:], start=1):
        if token.text.isupper() and len(token.text) > 2 and token.is_word and label_before(profile, reading, index, 2):  # noqa: PLR2004
            yield Candidate(token.text, 0.9, index, index + 1)


def _patterned(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    if profile.pattern is None:
        return
    upper = profile.sample.upper() == profile.sample
    prefix = profile.sample.rstrip("0123456789").casefold()
    for match in profile.pattern.finditer(reading.text):
        first, last = reading.first_token(match.start()), reading.first_token(match.end() - 1) + 1
        alike = match[0].casefold().startswith(prefix)
        score = 0.98 if alike else 0.8
        if label_after(profile, reading, last):
            score -= 0.05
        if not negated(reading, first):
            yield Candidate(match[0].upper() if upper else match[0], score, first, last)


def postcodes(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    """What has digits in it, behind a word for postcode."""
    labels = {"postcode", "zip", "postal", "plz", "postleitzahl", "zipcode"}
    for index, token in enumerate(reading.tokens):
        if not any(each.isdigit() for each in token.text) or labels.isdisjoint(reading.words_before(index, 4)):
            continue
        last = index + 1
        while (
            last < len(reading.tokens)
            and last - index < 4
            and (
                reading.tokens[last].text.isupper()
                or reading.tokens[last].is_digits
                or reading.tokens[last].text == "-"
            )
        ):  # noqa: PLR2004
            last += 1
        yield Candidate(reading.said(index, last), 0.95, index, last)
        return

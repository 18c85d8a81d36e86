"""Candidates of days, of times of day, and of both together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from router.functions.extraction.calendar_days import DateSpan
from router.functions.extraction.candidates import Candidate, cue_of, negated
from router.functions.extraction.profiles import Profile, Role
from router.functions.extraction.reading import Reading
from router.functions.extraction.times import TimeSpan
from router.functions.extraction.vocabulary import ARTICLES
from router.functions.extraction.words import stem, word_set

_START_PREPOSITIONS = word_set("from starting beginning since vom ab desde depuis du del after")
_END_PREPOSITIONS = word_set("until till til to through thru bis jusqu'au au al hasta before by")
_START_VERBS = word_set(
    "starting start starts begin beginning leaving leave depart departing arriving check checkin pickup",
    "pick picked outbound",
)
_END_VERBS = word_set("returning return returned back ending end ends last out checkout due dropped drop dropoff")
_NEUTRAL = frozenset({"on", "in", "at", "am", "the"})


def dates(profile: Profile, reading: Reading, others: Sequence[Profile]) -> Iterator[Candidate]:
    """Days, with the side of a range that the parameter is for."""
    alone = not any(each.role == "start" and each.kind in {"date", "date-time"} for each in others)
    for order, span in enumerate(reading.dates):
        day = span.behind if profile.past else span.ahead
        score = _date_score(profile, reading, span, order, alone=alone)
        first = span.last if order and reading.dates[order - 1].first == span.first else span.first
        yield Candidate(day.isoformat(), score, first, span.last, sure=span.sure, day=day, later_days=span.later_days)


def _date_score(profile: Profile, reading: Reading, span: DateSpan, order: int, *, alone: bool) -> float:
    if negated(reading, span.first):
        return 0.0
    side = span.side or side_of(reading.words_before(span.first, 5))
    if profile.role is None:
        score = 0.9 if side != "end" else 0.7
    elif side is None:
        score = 0.85 if profile.role == "start" or alone else 0.3 + 0.25 * (order > 0)
        score -= 0.02 * order if profile.role == "start" else 0.0
    else:
        score = 0.95 if side == profile.role else 0.1
    before = {stem(each) for each in reading.words_before(span.first, 5)}
    own = profile.words - {"damage"}
    return min(1.0, score + 0.1 * len(before & own))


def side_of(before: Sequence[str]) -> Role | None:
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


def date_times(profile: Profile, reading: Reading, others: Sequence[Profile]) -> Iterator[Candidate]:
    """Days with times; a day alone and a time alone are halves that another turn may complete."""
    alone = not any(each.role == "start" and each.kind in {"date", "date-time"} for each in others)
    clocks = reading.times
    for order, span in enumerate(reading.dates):
        day = span.behind if profile.past else span.ahead
        score = _date_score(profile, reading, span, order, alone=alone)
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

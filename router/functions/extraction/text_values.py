"""Candidates of free texts: what is quoted, and what follows "saying", "because" or a colon."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from router.functions.extraction.candidates import Candidate, label_before, trimmed
from router.functions.extraction.profiles import Profile
from router.functions.extraction.reading import Reading
from router.functions.extraction.words import stem

_SAYING = re.compile(
    r"\b(?:remind (?:me|us|him|her|them)(?! (?:on|at|in|tomorrow|today|every|about tomorrow)\b)(?: to| of| about)?"
    r"|saying|says|tell (?:them|him|her|everyone|the team)|telling (?:them|him|her)|that reads|reading)(?: that)?:?\s",
    re.IGNORECASE,
)
_BECAUSE = re.compile(r"\b(?:because(?: of)?|due to|weil|wegen|parce que?|porque)\s", re.IGNORECASE)
_IS = frozenset({"is", "ist", "est", "es"})
_SENTENCE_END = re.compile(r"[.!?;](?=\s|$)|\n")
_REST = re.compile(r":\s")
_BODY = frozenset(stem(each) for each in ("text", "message", "body", "content"))
_MAX_TEXT = 2000
_WHEN_WORDS = frozenset({"on", "at", "by", "the", ".", "!", ",", "please", "um", "am"})
_QUOTE_MARKS = "\"“„«'\u2018"


def texts(profile: Profile, reading: Reading, others: Sequence[Profile]) -> Iterator[Candidate]:
    """Quotations, and what follows "saying", "because", the parameter's own name or a colon."""
    for each in reading.literals:
        if each.kind == "quoted":
            first, last = reading.first_token(each.start), reading.first_token(each.end - 1) + 1
            score = 0.9 if profile.required else 0.6
            if _is_named(profile, reading, first):
                score += 0.1
            elif any(
                other is not profile and other.kind in {"text", "name"} and label_before(other, reading, first, 3)
                for other in others
            ):
                score -= 0.4
            yield Candidate(each.value, min(score, 1.0), first, last)
    yield from labelled(profile, reading)
    for start, score in _beginnings(profile, reading):
        candidate = _from(
            reading, start, score, timed=any(each.kind in {"date", "date-time", "time"} for each in others)
        )
        if candidate is not None:
            yield candidate


def _is_named(profile: Profile, reading: Reading, first: int) -> bool:
    before = {each.stem for each in reading.tokens[max(0, first - 4) : first]}
    return not before.isdisjoint(profile.words)


def labelled(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    """What follows the parameter's own name and a colon or "is", to the end of the sentence."""
    own = profile.label if profile.required else profile.label | profile.words
    for index, token in enumerate(reading.tokens[:-1]):
        following = reading.tokens[index + 1]
        if token.is_word and token.stem in own and (following.text in ":=" or following.folded in _IS):
            end = _SENTENCE_END.search(reading.text, following.end)
            candidate = _from(reading, following.end, 0.93, timed=False, end=end.start() if end else None)
            if candidate is not None:
                yield candidate


def _beginnings(profile: Profile, reading: Reading) -> Iterator[tuple[int, float]]:
    """Where a free text may begin, and how sure that is."""
    reason = "reason" in profile.words or "caus" in profile.words
    if reason or profile.required or not profile.label.isdisjoint(_BODY):
        match = (_BECAUSE if reason else _SAYING).search(reading.text)
        if match is not None:
            yield match.end(), 0.92
    if profile.required:
        rest = next((match for match in _REST.finditer(reading.text) if not _in_literal(reading, match.start())), None)
        if rest is not None:
            yield rest.end(), 0.8


def _in_literal(reading: Reading, place: int) -> bool:
    return any(each.start <= place < each.end for each in reading.literals)


def _from(reading: Reading, start: int, score: float, *, timed: bool, end: int | None = None) -> Candidate | None:
    """The text from ``start`` to ``end`` or else that of the turn; ``timed``: without a date or time at the end."""
    rest = reading.text[start : start + _MAX_TEXT]
    first = reading.first_token(start)
    if first >= len(reading.tokens) or rest.lstrip()[:1] in _QUOTE_MARKS:
        return None
    last = len(reading.tokens) if end is None else reading.first_token(end)
    last = _before_when(reading, first) if timed else last
    value = trimmed(reading.text[start : reading.tokens[last - 1].end][:_MAX_TEXT]) if last > first else ""
    return Candidate(value, score, first, last) if value else None


def _before_when(reading: Reading, first: int) -> int:
    """Behind the last token that is not part of a date or time at the end of the turn."""
    spans = [(each.first, each.last) for each in reading.dates] + [(each.first, each.last) for each in reading.times]
    when = {place for begin, end in spans for place in range(begin, end)}
    last = len(reading.tokens)
    place = last
    while place > first and (place - 1 in when or reading.word(place - 1) in _WHEN_WORDS):
        place -= 1
    return place if any(each in when for each in range(place, last)) else last

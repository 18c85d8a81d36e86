"""Candidates of names and free texts: no list says what they may be, so what stands around them has to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from types import MappingProxyType

from router.functions.extraction.candidates import Candidate, label_after, label_before, negated, trimmed
from router.functions.extraction.literals import Verbatim
from router.functions.extraction.phrases import Phrase
from router.functions.extraction.profiles import Kind, Profile, Role
from router.functions.extraction.reading import Reading
from router.functions.extraction.typed_values import side_of
from router.functions.extraction.words import fold, stem

_Cues = Mapping[str, float]


def _cues(*groups: tuple[float, str]) -> _Cues:
    return MappingProxyType({word: score for score, words in groups for word in words.split()})


_PLACE = _cues(
    (0.95, "in near around within inside"),
    (0.85, "at a en pres bei"),
    (0.75, "for to nach visiting reach uber fur"),
    (0.6, "from of de von aus on"),
)
_LEFT = _cues((0.95, "from von ab desde depuis leaving departing leave depart"), (0.85, "aus de"), (0.6, "in at en"))
_REACHED = _cues(
    (0.95, "to into nach vers hacia towards reach visit"),
    (0.85, "a reaching for"),
    (0.6, "in at en"),
)
_PERSON = _cues(
    (0.85, "for with named called fur mit pour avec para con patient"),
    (0.75, "by to of von de an owe pay"),
    (0.7, "is at from"),
)
_RECEIVER = _cues((0.95, "to an a"), (0.85, "pay owe send fur for para pour beneficiary"), (0.6, "of from"))
_MAKER = _cues((0.98, "by von"), (0.65, "from of de par hear listen play"))
_NAMED = _cues((0.98, "named called titled name nombre"), (0.88, "at chez bei"), (0.5, "for in try reserve"))
_ABOUT = _cues(
    (0.95, "about regarding concerning mentioning containing uber sobre"),
    (0.85, "mention mentions contain matching like"),
    (0.6, "for on with"),
)
_LISTED = _cues((0.85, "with using of including containing mit avec con"))
_OPEN = _cues((0.8, "in on at"), (0.6, "to for from"), (0.5, "the of"))
_BY_KIND: Mapping[Kind, _Cues] = MappingProxyType(
    {"place": _PLACE, "person": _PERSON, "creator": _MAKER, "name": _NAMED, "topic": _ABOUT, "open": _OPEN}
)
_BY_ROLE: Mapping[tuple[Kind, Role], _Cues] = MappingProxyType(
    {("place", "start"): _LEFT, ("place", "end"): _REACHED, ("person", "end"): _RECEIVER}
)
# What a name without any introduction is worth: written as one, and in lower case.
_ALONE: Mapping[Kind, tuple[float, float]] = MappingProxyType(
    {
        "place": (0.6, 0.4),
        "person": (0.58, 0.35),
        "creator": (0.4, 0.3),
        "name": (0.45, 0.3),
        "topic": (0.3, 0.3),
        "open": (0.42, 0.4),
    }
)
_SAYING = re.compile(
    r"\b(?:remind (?:me|us|him|her|them)(?! (?:on|at|in|tomorrow|today|every|about tomorrow)\b)(?: to| of| about)?|saying|says|tell (?:them|him|her|everyone|the team)|telling (?:them|him|her)|that reads|reading)(?: that)?:?\s",
    re.IGNORECASE,
)
_BECAUSE = re.compile(r"\b(?:because(?: of)?|due to|weil|wegen|parce que?|porque)\s", re.IGNORECASE)
_REST = re.compile(r":\s")
_BODY = frozenset(stem(each) for each in ("text", "message", "body", "content"))
_MAX_TEXT = 2000
_WHEN_WORDS = frozenset({"on", "at", "by", "the", ".", "!", ",", "please", "um", "am"})
_QUOTE_MARKS = "\"“„«'‘"


def names(profile: Profile, reading: Reading, found: Sequence[Phrase], domain: Set[str]) -> Iterator[Candidate]:
    """Phrases, quotations and identifiers, by the words before and behind them."""
    cues = _cues_of(profile)
    for phrase in found:
        widened = _with_label(profile, reading, phrase)
        score = _name_score(profile, reading, phrase, cues, domain)
        if negated(reading, phrase.first):
            continue
        value = _written(reading, phrase.first, widened)
        if value:
            yield Candidate(value, min(score, 1.0), phrase.first, widened)
        if profile.kind == "place" and (last := _with_state(reading, phrase, found)) is not None:
            yield Candidate(_written(reading, phrase.first, last), min(score, 1.0) + 0.01, phrase.first, last)
    if profile.kind in {"name", "open", "topic", "creator", "person"}:
        yield from _literal_names(profile, reading, cues, domain)


def _cues_of(profile: Profile) -> _Cues:
    if profile.role is not None and (profile.kind, profile.role) in _BY_ROLE:
        return _BY_ROLE[profile.kind, profile.role]
    if profile.many:
        return _LISTED
    return _BY_KIND.get(profile.kind, _OPEN)


def _written(reading: Reading, first: int, last: int) -> str:
    value = reading.said(first, last).strip(" .,;:!?")
    return value.removesuffix("'s").removesuffix("’s") if " " in value and value.endswith(("'s", "’s")) else value


def _with_state(reading: Reading, phrase: Phrase, found: Sequence[Phrase]) -> int | None:
    """Behind what narrows a place down: Portland, *Oregon*. A comma in a list of places does not."""
    if not (phrase.proper and phrase.cue) or reading.word(phrase.last) != ",":
        return None
    following = next((each for each in found if each.first == phrase.last + 1 and each.proper), None)
    listed = following is not None and reading.word(following.last) in {",", "and", "or", "und", "et", "y"}
    return None if following is None or listed else following.last


def _with_label(profile: Profile, reading: Reading, phrase: Phrase) -> int:
    """Behind the word that says what it is, where that is part of the name: dining *room*, kitchen *speaker*."""
    if profile.kind not in {"open", "name"} or phrase.last >= len(reading.tokens) or phrase.last in reading.taken:
        return phrase.last
    following = reading.tokens[phrase.last]
    spoken = profile.label | profile.words if profile.kind == "open" else profile.label
    return phrase.last + (following.is_word and stem(following.folded) in spoken)


def _name_score(profile: Profile, reading: Reading, phrase: Phrase, cues: _Cues, domain: Set[str]) -> float:
    proper, plain = _ALONE.get(profile.kind, (0.4, 0.4))
    first_word = phrase.first == 0 and phrase.last == 1
    score = proper if phrase.proper and not first_word else plain
    cue = reading.word(phrase.first - 1) if not phrase.article else _unaccented_cue(reading, phrase)
    if phrase.cue and cue in cues:
        score = cues[cue] - (0.0 if phrase.proper or profile.kind in {"place", "topic", "open"} else 0.08)
    elif phrase.cue and stem(phrase.cue) in domain:
        followed = reading.word(phrase.last) in _PLACE
        score += 0.15 if phrase.proper or (profile.required and not followed) else 0.0
    if (
        profile.role == "start"
        and profile.kind == "place"
        and not (phrase.cue and cue in cues)
        and reading.word(phrase.last) in {"to", "nach", "-", "–", "→"}
    ):
        score = 0.85
    if profile.role is not None and cue in {"in", "at", "en", "a"}:
        side = side_of(reading.words_before(phrase.first, 4))
        score = score if side is None else 0.95 if side == profile.role else 0.2
    score -= 0.4 * (phrase.mixed and profile.kind in {"place", "person", "creator", "name"})
    return score + _extra(profile, reading, phrase)


def _unaccented_cue(reading: Reading, phrase: Phrase) -> str:
    place = phrase.first - 1
    while place >= 0 and reading.tokens[place].folded != phrase.cue:
        place -= 1
    return reading.word(place)


def _extra(profile: Profile, reading: Reading, phrase: Phrase) -> float:
    said = fold(reading.said(phrase.first, phrase.last))
    words = [stem(each.folded) for each in reading.tokens[phrase.first : phrase.last] if each.is_word]
    extra = 0.08 if profile.required else 0.0
    if profile.examples and said in profile.examples:
        extra += 0.4
    elif profile.kind == "open" and words and any(len(each) > 3 and words[-1].endswith(each) for each in profile.label):  # noqa: PLR2004
        extra += 0.35
    if phrase.cue and label_before(profile, reading, phrase.first, 2):
        extra += 0.35
    if label_after(profile, reading, phrase.last) and profile.kind in {"open", "name"}:
        extra += 0.3
    if profile.kind == "open" and not profile.examples and phrase.proper and extra < 0.1:  # noqa: PLR2004
        extra -= 0.1
    if profile.kind == "person" and phrase.proper and phrase.last - phrase.first > 1:
        extra += 0.04
    return extra


def _literal_names(profile: Profile, reading: Reading, cues: _Cues, domain: Set[str]) -> Iterator[Candidate]:
    for each in reading.literals:
        if each.kind not in {"quoted", "code"}:
            continue
        first, last = reading.first_token(each.start), reading.first_token(each.end - 1) + 1
        score = _literal_score(profile, reading, each, first, cues, domain)
        if score and not negated(reading, first):
            yield Candidate(each.value, min(score, 1.0), first, last)


def _literal_score(
    profile: Profile, reading: Reading, literal: Verbatim, first: int, cues: _Cues, domain: Set[str]
) -> float:
    cue = reading.word(first - 1) or reading.word(first - 2)
    if cue == ":":
        cue = reading.word(first - 2)
    score = cues.get(cue, 0.0) if profile.kind != "person" else 0.0
    if label_before(profile, reading, first, 3):
        score = max(score, 0.95)
    if literal.kind == "quoted" and profile.kind in {"name", "topic"}:
        score = max(score, 0.9)
    if literal.kind == "code" and profile.kind == "name":
        score = max(score, 0.72 if stem(cue) in domain else 0.6)
    return score


def texts(profile: Profile, reading: Reading, others: Sequence[Profile]) -> Iterator[Candidate]:
    """Quotations, and what follows "saying", "because", the parameter's own name or a colon."""
    for each in reading.literals:
        if each.kind == "quoted":
            first, last = reading.first_token(each.start), reading.first_token(each.end - 1) + 1
            score = 0.9 if profile.required else 0.6
            if label_before(profile, reading, first, 4):
                score += 0.1
            elif any(
                other is not profile and other.kind in {"text", "name"} and label_before(other, reading, first, 3)
                for other in others
            ):
                score -= 0.4
            yield Candidate(each.value, min(score, 1.0), first, last)
    for start, score in _beginnings(profile, reading):
        candidate = _from(reading, start, score, timed=any(each.kind in {"date", "date-time", "time"} for each in others))
        if candidate is not None:
            yield candidate


def _beginnings(profile: Profile, reading: Reading) -> Iterator[tuple[int, float]]:
    """Where a free text may begin, and how sure that is."""
    reason = "reason" in profile.words or "caus" in profile.words
    pattern = _BECAUSE if reason else _SAYING
    match = pattern.search(reading.text) if reason or profile.required or not profile.label.isdisjoint(_BODY) else None
    if match is not None:
        yield match.end(), 0.92
    for index, token in enumerate(reading.tokens[:-1]):
        if not token.is_word or stem(token.folded) not in profile.label | (
            profile.words if not profile.required else frozenset()
        ):
            continue
        following = reading.tokens[index + 1]
        if following.text in ":=" or following.folded in {"is", "ist", "est", "es"}:
            yield following.end, 0.93
    if profile.required:
        rest = next((match for match in _REST.finditer(reading.text) if not _in_literal(reading, match.start())), None)
        if rest is not None:
            yield rest.end(), 0.8


def _in_literal(reading: Reading, place: int) -> bool:
    return any(each.start <= place < each.end for each in reading.literals)


def _from(reading: Reading, start: int, score: float, *, timed: bool) -> Candidate | None:
    """The text from ``start`` to the end of the turn; ``timed``: without a date or time at the end of it."""
    rest = reading.text[start : start + _MAX_TEXT]
    first = reading.first_token(start)
    if first >= len(reading.tokens) or rest.lstrip()[:1] in _QUOTE_MARKS:
        return None
    last = _before_when(reading, first) if timed else len(reading.tokens)
    value = trimmed(reading.text[start : reading.tokens[last - 1].end][:_MAX_TEXT]) if last > first else ""
    return Candidate(value, score, first, last) if value else None


def _before_when(reading: Reading, first: int) -> int:
    """Behind the last token that is not part of a date or time at the end of the turn."""
    when = {place for each in (*reading.dates, *reading.times) for place in range(each.first, each.last)}
    last = len(reading.tokens)
    place = last
    while place > first and (place - 1 in when or reading.word(place - 1) in _WHEN_WORDS):
        place -= 1
    return place if any(each in when for each in range(place, last)) else last

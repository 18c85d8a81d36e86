"""Candidates of names: no list says what they may be, so the words around them have to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from types import MappingProxyType

from router.functions.extraction.candidates import Candidate, cue_of, label_after, label_before, negated
from router.functions.extraction.date_values import side_of
from router.functions.extraction.kinds import Kind
from router.functions.extraction.literals import Verbatim
from router.functions.extraction.phrases import Phrase
from router.functions.extraction.profiles import Profile, Role
from router.functions.extraction.reading import Reading
from router.functions.extraction.words import fold, stem, unaccented, word_set

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
_NAMED = _cues(
    (0.98, "named called titled name nombre"), (0.88, "at chez bei"), (0.62, "for in to see join try reserve")
)
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
    {
        ("place", "start"): _LEFT,
        ("place", "end"): _REACHED,
        ("open", "start"): _LEFT,
        ("open", "end"): _REACHED,
        ("person", "end"): _RECEIVER,
    }
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
_DASHES = frozenset({"-", "\u2013", "\u2192"})
_ONWARDS = _DASHES | {"to", "nach"}
_NEUTRAL = frozenset({"in", "at", "en", "a"})
_WANTING = word_set("like want wants need needs have going how try love able wish plan ready hope prefer you us i way")
_HOUSE_DIGITS = 5
_STREETS = frozenset({stem("address"), stem("street")})


def names(profile: Profile, reading: Reading, found: Sequence[Phrase], domain: Set[str]) -> Iterator[Candidate]:
    """Phrases, quotations and identifiers, by the words before and behind them."""
    cues = _cues_of(profile)
    for phrase in [*found, *_with_numbers(profile, reading, found)]:
        widened = _with_label(profile, reading, phrase)
        score = _name_score(profile, reading, phrase, cues, domain)
        if negated(reading, phrase.first):
            continue
        value = _written(reading, phrase.first, widened)
        if value:
            yield Candidate(value, min(score, 1.0), phrase.first, widened)
        if profile.kind == "place" and (last := _with_state(reading, phrase, found)) is not None:
            yield Candidate(_written(reading, phrase.first, last), min(score, 1.0) + 0.01, phrase.first, last)
    yield from _examples(profile, reading)
    if profile.kind in {"name", "open", "topic", "creator", "person"}:
        yield from _literal_names(profile, reading, cues, domain)


def _examples(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    """The values that the description gives as examples."""
    examples = {unaccented("".join(each.split())) for each in profile.examples}
    for window in reading.windows if examples else ():
        if window.joined in examples and reading.taken.isdisjoint(range(window.first, window.last)):
            yield Candidate(reading.said(window.first, window.last), 0.93, window.first, window.last)


def _cues_of(profile: Profile) -> _Cues:
    if profile.role is not None and not profile.many:
        return _BY_ROLE.get((profile.kind, profile.role)) or _BY_KIND.get(profile.kind, _OPEN)
    if profile.many:
        return _LISTED
    return _BY_KIND.get(profile.kind, _OPEN)


def _written(reading: Reading, first: int, last: int) -> str:
    value = reading.said(first, last).strip(" .,;:!?")
    owned = " " in value and value.endswith(("'s", "\u2019s"))  # of one word it may be part of the name: Luigi's
    return value[:-2] if owned else value


def _with_numbers(profile: Profile, reading: Reading, found: Sequence[Phrase]) -> Iterator[Phrase]:
    """For addresses: the number before the street."""
    if profile.kind != "place" or _STREETS.isdisjoint(profile.words):
        return
    for phrase in found:
        before = reading.tokens[phrase.first - 1] if phrase.first else None
        if phrase.proper and before is not None and before.is_digits and len(before.text) <= _HOUSE_DIGITS:
            yield replace(phrase, first=phrase.first - 1, cue=cue_of(reading, phrase.first - 1, 2), article="")


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
    return phrase.last + (following.is_word and following.stem in spoken)


def _name_score(profile: Profile, reading: Reading, phrase: Phrase, cues: _Cues, domain: Set[str]) -> float:
    cue = _unaccented_cue(reading, phrase) if phrase.cue else ""
    if not phrase.proper and _is_verb(reading, phrase, cue):
        return 0.0
    score = _introduced(profile, reading, phrase, cues if _counts(profile, reading, phrase, cue) else {}, domain)
    if profile.role is not None and profile.kind in {"place", "open"}:
        score = _on_its_side(profile, reading, phrase, cue, score, introduced=cue in cues)
    if phrase.article in {"a", "an"} and not phrase.proper and profile.kind in {"place", "person"}:
        score -= 0.3
    before_domain = profile.required and not phrase.proper and _stands_before(reading, phrase, domain)
    score += 0.2 * (before_domain and profile.kind in {"name", "topic"})
    score -= 0.4 * (phrase.mixed and profile.kind in {"place", "person", "creator", "name"})
    return score + _extra(profile, reading, phrase)


def _introduced(profile: Profile, reading: Reading, phrase: Phrase, cues: _Cues, domain: Set[str]) -> float:
    """By the word before the phrase, else by how it is written."""
    cue = _unaccented_cue(reading, phrase) if phrase.cue else ""
    if cue in cues:
        return cues[cue] - (0.0 if phrase.proper or profile.kind in {"place", "topic", "open"} else 0.08)
    proper, plain = _ALONE.get(profile.kind, (0.4, 0.4))
    first_word = phrase.first == 0 and phrase.last == 1
    score = proper if phrase.proper and not first_word else plain
    if phrase.cue and stem(phrase.cue) in domain:
        followed = reading.word(phrase.last) in _PLACE
        score += 0.15 if phrase.proper or (profile.required and not followed) else 0.0
    return score


def _counts(profile: Profile, reading: Reading, phrase: Phrase, cue: str) -> bool:
    """Whether the word before says anything: "is" only does behind the word for a name."""
    return cue != "is" or phrase.proper or label_before(profile, reading, phrase.first)


def _is_verb(reading: Reading, phrase: Phrase, cue: str) -> bool:
    """I'd like to *extend*: what one wants to do is no place to go to."""
    if cue != "to" or phrase.article:
        return False
    return reading.word(phrase.first - 2) in _WANTING


def _on_its_side(
    profile: Profile, reading: Reading, phrase: Phrase, cue: str, score: float, *, introduced: bool
) -> float:
    """The score of a name that may be either end of a journey: Kiel - Oslo, picked up in Nice, returned in Cork."""
    if cue in _NEUTRAL:
        side = side_of(reading.words_before(phrase.first, 4))
        return score if side is None else 0.95 if side == profile.role else 0.2
    if not introduced and profile.role == "start" and reading.word(phrase.last) in _ONWARDS:
        return 0.85
    dashed = phrase.first > 1 and reading.word(phrase.first - 1) in _DASHES and reading.tokens[phrase.first - 2].is_word
    return 0.85 if dashed and profile.role == "end" else score


def _stands_before(reading: Reading, phrase: Phrase, domain: Set[str]) -> bool:
    """Right before what the target is about: *data engineer* jobs."""
    return phrase.last < len(reading.tokens) and reading.tokens[phrase.last].stem in domain


def _unaccented_cue(reading: Reading, phrase: Phrase) -> str:
    place = phrase.first - 1
    while place >= 0 and reading.tokens[place].folded != phrase.cue:
        place -= 1
    return reading.word(place)


def _extra(profile: Profile, reading: Reading, phrase: Phrase) -> float:
    said = fold(reading.said(phrase.first, phrase.last))
    words = [each.stem for each in reading.tokens[phrase.first : phrase.last] if each.is_word]
    extra = 0.08 if profile.required else 0.0
    if profile.examples and said in profile.examples:
        extra += 0.4
    elif profile.kind == "open" and words and any(len(each) > 3 and words[-1].endswith(each) for each in profile.label):
        extra += 0.35
    if phrase.cue and label_before(profile, reading, phrase.first, 2):
        extra += 0.35
    if label_after(profile, reading, phrase.last) and profile.kind in {"open", "name"}:
        extra += 0.3
    if profile.kind == "open" and not profile.examples and phrase.proper and extra < 0.1:
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

"""Candidates of enums, of yes and no, and of what has a code of its own: countries, languages, currencies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from router.functions.extraction.candidates import Candidate, label_before, negated
from router.functions.extraction.names import Mention
from router.functions.extraction.profiles import Profile, Role, Way
from router.functions.extraction.reading import Reading, Window
from router.functions.extraction.vocabulary import FUNCTION_WORDS, NEGATIONS, REQUEST_WORDS
from router.functions.extraction.words import akin, stem, word_set, words_of

_MIN_STEMMED = 2
_MIN_AKIN = 3
_MIN_SYNONYM = 4
_SWITCHES = frozenset(
    {"turn", "turned", "switch", "power", "put", "it", "them", "lights", "light", "lamp", "everything", "all"}
)
_UNSPOKEN = frozenset(
    stem(each) for each in word_set("is has have include included use only allow with be enable want mark need")
)
_POSITIVE = frozenset({"yes", "yeah", "yep", "sure", "ja", "oui", "si", "true", "definitely", "absolutely", "correct"})
_NEGATIVE = frozenset({"no", "nope", "nah", "nein", "non", "false", "never"})
_FROM = frozenset({"from", "von", "aus", "de", "desde", "depuis", "out"})
_TO = frozenset({"to", "into", "in", "nach", "en", "a", "vers", "hacia", "auf", "ins", "for", "towards", "zu"})


def chosen(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    """The values of an enum that are said, in whatever form."""
    for window in reading.windows:
        best: Candidate | None = None
        for way in profile.ways:
            score = _alike(way, window)
            if score and (best is None or score > best.score):
                best = Candidate(way.value, score, window.first, window.last)
        if best is not None and _is_meant(reading, best):
            yield replace(best, score=best.score + _support(profile, reading, best))
    codes = {str(each).upper(): each for each in profile.parameter.enum or ()}
    for mention in reading.currencies:
        if mention.code in codes:
            yield Candidate(codes[mention.code], 0.9, mention.first, mention.last)


def _alike(way: Way, window: Window) -> float:
    if window.joined == way.joined:
        return 0.95
    if window.stem == way.stem and len(window.joined) > _MIN_STEMMED:
        return 0.93
    if len(window.words) == 1 and window.joined == way.head:
        return 0.85
    if len(window.words) == len(way.words) and all(map(akin, window.words, way.words)):
        return 0.87 if len(window.joined) > _MIN_AKIN else 0.0
    return 0.0


def _is_meant(reading: Reading, found: Candidate) -> bool:
    places = range(found.first, found.last)
    if not reading.taken.isdisjoint(places) and any(
        each in reading.taken for each in places if reading.tokens[each].is_word
    ):
        return _is_code(reading, found)
    word = reading.tokens[found.first].folded
    if found.last - found.first == 1 and word in FUNCTION_WORDS:
        following = reading.tokens[found.last] if found.last < len(reading.tokens) else None
        ends = following is None or not following.is_word or following.folded in {"please", "in", "and", "at", "for"}
        return bool(_SWITCHES.intersection(reading.words_before(found.first, 1))) or ends
    return not negated(reading, found.first)


def _is_code(reading: Reading, found: Candidate) -> bool:
    """A value such as eu-west-1 is a literal; one inside a quotation or a date is not meant."""
    start, end = reading.tokens[found.first].start, reading.tokens[found.last - 1].end
    return any(each.kind == "code" and each.start == start and each.end == end for each in reading.literals)


def _support(profile: Profile, reading: Reading, found: Candidate) -> float:
    following = [each.stem for each in reading.tokens[found.last : found.last + 1]]
    bonus = (
        0.04 if any(each in profile.words for each in following) or label_before(profile, reading, found.first) else 0.0
    )
    common = found.last - found.first == 1 and reading.tokens[found.first].folded in REQUEST_WORDS
    return bonus - (0.1 if common and not bonus else 0.0)


def yes_or_no(profile: Profile, reading: Reading, *, asked: bool) -> Iterator[Candidate]:
    """Whether what the parameter is about is mentioned, and whether with a no."""
    for words in _spoken(profile):
        place = _mentioned(reading, words)
        if place is not None:
            before = reading.words_before(place, 3)
            after = reading.words_after(place + 1, 1)
            says_no = not NEGATIONS.isdisjoint(before) or after == ("off",)
            yield Candidate(not says_no, 0.9, place, place)
            return
    if asked:
        for index, word in enumerate(reading.folded[:6]):
            if word in _POSITIVE | _NEGATIVE:
                yield Candidate(word in _POSITIVE, 0.95, index, index)
                return


def _spoken(profile: Profile) -> list[frozenset[str]]:
    """What has to be said together: the words of the name, or those of one synonym."""
    name = frozenset(stem(each) for each in words_of(profile.name))
    ways = [name - _UNSPOKEN or name]
    ways += [frozenset(stem(each) for each in words_of(way)) for way in profile.synonyms]
    return [each for each in ways if each]


def _mentioned(reading: Reading, words: frozenset[str]) -> int | None:
    stems = [each.stem for each in reading.tokens]
    for index, each in enumerate(stems):
        if each in words and index not in reading.taken:
            window = set(stems[index : index + 4])
            if words <= window:
                return index
        elif len(words) == 1 and reading.tokens[index].is_word and index not in reading.taken:
            [word] = words
            if len(word) >= _MIN_SYNONYM and akin(each, word):
                return index
    return None


def named_by_code(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    """Countries, languages and currencies; their codes where the description asks for codes."""
    mentions = {"country": reading.countries, "language": reading.languages}.get(profile.kind, reading.currencies)
    for order, mention in enumerate(mentions):
        score = _role_score(profile, reading, mention, order, mentions)
        if score > 0 and not negated(reading, mention.first):
            value = (
                mention.code
                if profile.coded or profile.kind == "currency"
                else reading.said(mention.first, mention.last)
            )
            yield Candidate(value, score, mention.first, mention.last)


def _role_score(profile: Profile, reading: Reading, mention: Mention, order: int, mentions: Sequence[Mention]) -> float:
    """How well a mention fits the side that the parameter is: what it comes from, or what it becomes."""
    if profile.role is None:
        return 0.9
    side, score = _side(profile, reading, mention, several=len(mentions) > 1)
    if side is None:
        attached = any(each.currency is not None for each in reading.amounts)
        if len(mentions) == 1 and not attached:
            return 0.55 if profile.role == "end" else 0.5
        side, score = ("start" if order == 0 else "end"), 0.6
        return score if side == profile.role else 0.45
    return score if side == profile.role else 0.3


def _side(profile: Profile, reading: Reading, mention: Mention, *, several: bool) -> tuple[Role | None, float]:
    if profile.kind == "currency" and _is_attached(reading, mention):
        return "start", 0.94
    cue = next((word for word in reversed(reading.words_before(mention.first, 3)) if word in _FROM | _TO), "")
    if cue:
        return ("start", 0.95) if cue in _FROM else ("end", 0.93)
    followed = reading.word(mention.last) in {"to", "into", "in", "nach", "en", "-", "\u2013"}
    return ("start", 0.9) if followed and several else (None, 0.0)


def _is_attached(reading: Reading, mention: Mention) -> bool:
    return any(
        each.currency == mention.code and (each.last <= mention.first <= each.last + 1 or mention.last == each.first)
        for each in reading.amounts
    )

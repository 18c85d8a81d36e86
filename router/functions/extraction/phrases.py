"""Runs of words that may be a name, and the words that introduce them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from router.functions.extraction.vocabulary import ARTICLES, REQUEST_WORDS
from router.functions.extraction.words import Token, stem

_INNER = frozenset(
    {
        "de",
        "del",
        "la",
        "las",
        "los",
        "le",
        "of",
        "the",
        "da",
        "do",
        "di",
        "du",
        "van",
        "von",
        "den",
        "der",
        "y",
        "al",
        "el",
        "and",
        "&",
        "on",
        "upon",
        "in",
        "sur",
        "am",
    }
)
_TITLED = frozenset({"Without", "With", "And", "The", "Of", "For", "Over", "Under"})
_GLUE = frozenset({"-", "'", "\u2019", "&", "."})
_ABBREVIATED = frozenset({"st", "dr", "mr", "mrs", "ms", "ft", "mt", "jr", "sr"})
_MAX_WORDS = 7


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words between two tokens, ``last`` not included.

    ``cue`` is the word that introduces it, articles left out; empty at the beginning and behind a punctuation mark.
    ``proper``: written as a name is; ``mixed``: so is a part
    of it.
    """

    first: int
    last: int
    cue: str
    proper: bool
    article: str = ""
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class _Words:
    domain: Set[str]
    small: Set[str]


def phrases(tokens: Sequence[Token], taken: Set[int], domain: Set[str], small: Set[str]) -> tuple[Phrase, ...]:
    """The phrases of a turn, in order, those in others included.

    ``taken`` are tokens that are part of something else; ``domain`` the stems that the target's own description
    has, ``small`` the words that no name is made of.
    """
    found: dict[tuple[int, int], Phrase] = {}
    for first, last in _runs(tokens, taken, _Words(domain, small)):
        for phrase in _read(tokens, first, last):
            found.setdefault((phrase.first, phrase.last), phrase)
    return tuple(sorted(found.values(), key=lambda each: (each.first, -each.last)))


def _runs(tokens: Sequence[Token], taken: Set[int], words: _Words) -> Iterator[tuple[int, int]]:
    index = 0
    while index < len(tokens):
        if not _begins(tokens, index, taken, words):
            index += 1
            continue
        last = _end(tokens, index, taken, words)
        yield index, last
        index = last


def _begins(tokens: Sequence[Token], index: int, taken: Set[int], words: _Words) -> bool:
    token = tokens[index]
    if index in taken or not token.is_word:
        return False
    if _is_named_with_article(tokens, index, taken, words):
        return True
    return _may_be_named(token, index, words)


def _is_named_with_article(tokens: Sequence[Token], index: int, taken: Set[int], words: _Words) -> bool:
    """A capital The inside a sentence belongs to the name behind it."""
    following = tokens[index + 1] if index + 1 < len(tokens) else None
    return (
        tokens[index].text in {"The", "La", "Le", "El", "Los", "Las", "Les"}
        and following is not None
        and following.is_capitalised
        and index + 1 not in taken
        and (index > 0 or _may_be_named(following, index + 1, words))
    )


def _may_be_named(token: Token, index: int, words: _Words) -> bool:
    word = token.folded.removesuffix("'s")
    if word in words.small:
        return False
    if word in REQUEST_WORDS or stem(word) in words.domain:
        return (
            token.is_capitalised
            and index > 0
            and len(token.text) > 1
            and not token.text.isupper()
            and stem(word) not in words.domain
        )
    return True


def _end(tokens: Sequence[Token], first: int, taken: Set[int], words: _Words) -> int:
    last = first + 1
    place = last
    while place < len(tokens) and place not in taken and last - first < 2 * _MAX_WORDS:
        token, before = tokens[place], tokens[place - 1]
        glued = token.start == before.end
        if token.is_word and (_may_be_named(token, place, words) or glued or _is_label_of_name(token, before, words)):
            place = last = place + 1
        elif (
            token.text in _GLUE and (glued or token.text == "&") and place + 1 < len(tokens) and _goes_on(tokens, place)
        ):
            place += 1
        elif token.is_digits and (glued or tokens[first].is_capitalised):
            place = last = place + 1
        elif token.folded in _INNER and _is_inner(tokens, place, taken):
            place += 1
        else:
            break
    return last


def _is_label_of_name(token: Token, before: Token, words: _Words) -> bool:
    """Bay *Area*: what names the kind of thing is written as part of the name."""
    return token.is_capitalised and before.is_capitalised and (token.folded not in words.small or token.text in _TITLED)


def _goes_on(tokens: Sequence[Token], place: int) -> bool:
    if tokens[place].text == "&":
        return tokens[place + 1].is_word
    if tokens[place].text == ".":
        return tokens[place - 1].folded in _ABBREVIATED or len(tokens[place - 1].text) == 1
    return tokens[place + 1].start == tokens[place].end


def _is_inner(tokens: Sequence[Token], place: int, taken: Set[int]) -> bool:
    """Whether a small word stands inside a name: capitals on both sides of it."""
    if not tokens[place - 1].is_capitalised and tokens[place - 1].folded not in _INNER:
        return False
    following = tokens[place + 1] if place + 1 < len(tokens) else None
    if following is None or place + 1 in taken or tokens[place].folded in {"and", "in", "on", "y", "am", "von", "al"}:
        return False
    return following.is_capitalised or (following.folded in _INNER and _is_inner_end(tokens, place + 1))


def _is_inner_end(tokens: Sequence[Token], place: int) -> bool:
    return place + 1 < len(tokens) and tokens[place + 1].is_capitalised


def _read(tokens: Sequence[Token], first: int, last: int) -> Iterator[Phrase]:
    """The run itself, and the names in capitals inside a run that has other words too."""
    cue, article = _cue(tokens, first)
    capitals = list(_capitalised(tokens, first, last))
    whole = len(capitals) == 1 and capitals[0] == (first, last)
    yield Phrase(first, last, cue, proper=whole, article=article, mixed=bool(capitals) and not whole)
    if not whole:
        for start, end in capitals:
            yield Phrase(start, end, cue, proper=True, article=article or tokens[start - 1].folded * (start > first))


def _capitalised(tokens: Sequence[Token], first: int, last: int) -> Iterator[tuple[int, int]]:
    start = None
    for place in range(first, last):
        token = tokens[place]
        named = token.is_capitalised or token.is_digits or (start is not None and not token.is_word)
        named = (
            named
            or (start is not None and token.folded in _INNER)
            or (start is not None and token.start == tokens[place - 1].end)
        )
        if named and start is None and token.is_word:
            start = place
        elif not named and start is not None:
            yield start, place
            start = None
    if start is not None:
        yield start, last


def _cue(tokens: Sequence[Token], first: int) -> tuple[str, str]:
    place, article = first - 1, ""
    while place >= 0 and (tokens[place].folded in ARTICLES or tokens[place].text in {"'", '"'}):
        article = tokens[place].folded
        place -= 1
    if place < 0:
        return "", article
    if tokens[place].text == ":" and place > 0:
        return tokens[place - 1].folded, article
    return tokens[place].folded if tokens[place].is_word else "", article

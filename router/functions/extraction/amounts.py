"""Numbers together with what they count or measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace

from router.functions.extraction.names import Mention
from router.functions.extraction.numerals import Numeral
from router.functions.extraction.units import PAIRS, UNITS, Unit
from router.functions.extraction.vocabulary import AND
from router.functions.extraction.words import Token

_ARTICLES = frozenset({"a", "an", "another", "ein", "eine", "einer", "une", "un", "una", "every", "per"})
_MAX_DURATION_PARTS = 4


@dataclass(frozen=True, slots=True)
class Amount:
    """A number between two tokens, ``last`` not included; ``end`` is behind its unit too.

    ``counted`` is the word that follows in place of a unit. ``currency`` is an ISO 4217 code. ``weak``: the number is
    an article or a pronoun as likely as not.
    """

    value: float
    first: int
    last: int
    end: int
    units: tuple[Unit, ...] = ()
    currency: str | None = None
    counted: str = ""
    weak: bool = False

    def unit(self, dimension: str) -> Unit | None:
        return next((each for each in self.units if each.dimension == dimension), None)


def amounts(
    tokens: Sequence[Token], numbers: Sequence[Numeral], currencies: Sequence[Mention], taken: Set[int]
) -> tuple[Amount, ...]:
    """The amounts in order; numbers in ``taken`` tokens are part of something else."""
    begins = {each.first: each for each in currencies}
    ends = {each.last: each for each in currencies}
    free = [each for each in numbers if taken.isdisjoint(range(each.first, each.last))]
    found = [_measured(tokens, each, begins, ends) for each in free]
    places = {place for each in found for place in range(each.first, each.end)}
    found += _of_one(tokens, taken | places)
    return tuple(_summed(sorted(found, key=lambda each: each.first), tokens))


def _measured(tokens: Sequence[Token], number: Numeral, begins: dict[int, Mention], ends: dict[int, Mention]) -> Amount:
    last = number.last
    last += _hyphenated(tokens, last)
    mention = begins.get(last) or (ends.get(number.first))
    units, width = _units_at(tokens, last)
    counted = _counted(tokens, last)
    end = last + width if width else number.last
    if mention is not None:
        end = max(end, mention.last)
    return Amount(
        number.value,
        number.first,
        number.last,
        end,
        units,
        None if mention is None else mention.code,
        counted,
        number.weak,
    )


def _hyphenated(tokens: Sequence[Token], place: int) -> bool:
    return (
        place + 1 < len(tokens)
        and tokens[place].text == "-"
        and tokens[place + 1].is_word
        and tokens[place].start == tokens[place - 1].end
    )


def _units_at(tokens: Sequence[Token], place: int) -> tuple[tuple[Unit, ...], int]:
    words = [each.folded for each in tokens[place : place + 2]]
    if len(words) > 1 and (words[0], words[1]) in PAIRS:
        return (PAIRS[words[0], words[1]],), 2
    if words and words[0] in UNITS:
        return (UNITS[words[0]],), 1
    if words and words[0] in {"more", "full", "extra"} and len(words) > 1 and words[1] in UNITS:
        return (UNITS[words[1]],), 2
    return (), 0


def _counted(tokens: Sequence[Token], place: int) -> str:
    """The first word behind the number: four *vCPUs*, two *people*; "of us" counts people."""
    following = [each.folded for each in tokens[place : place + 2]]
    if following[:1] == ["of"]:
        return "people" if following[1:] and following[1] in {"us", "them"} else ""
    return following[0] if following and following[0][0].isalpha() else ""


def _of_one(tokens: Sequence[Token], taken: Set[int]) -> Iterator[Amount]:
    """An hour, every minute, hourly."""
    for place, token in enumerate(tokens):
        unit = UNITS.get(token.folded)
        if place in taken or unit is None or unit.dimension == "percent":
            continue
        before = tokens[place - 1] if place else None
        if (
            before is not None
            and before.folded in _ARTICLES
            and place - 1 not in taken
            and (place < 2 or place - 2 not in taken)
        ):
            yield Amount(1.0, place - 1, place, place + 1, (unit,))
        elif token.folded.endswith("ly") or (before is not None and before.folded in {"each", "every"}):
            yield Amount(1.0, place, place + 1, place + 1, (unit,))


def _summed(found: Sequence[Amount], tokens: Sequence[Token]) -> Iterator[Amount]:
    """One hour and 30 minutes is one amount, in the unit of its first part."""
    index = 0
    while index < len(found):
        total = found[index]
        parts = 1
        while parts < _MAX_DURATION_PARTS and index + parts < len(found):
            part = found[index + parts]
            whole, piece = total.unit("time"), part.unit("time")
            between = {each.folded for each in tokens[total.end : part.first]}
            if whole is None or piece is None or piece.factor >= whole.factor or not between <= AND:
                break
            total = replace(
                total, value=total.value + part.value * piece.factor / whole.factor, last=part.last, end=part.end
            )
            parts += 1
        yield total
        index += parts

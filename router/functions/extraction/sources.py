"""Where the candidates of a parameter come from, by its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from router.functions.extraction import amount_values, choices, date_values, literal_values, name_values, text_values
from router.functions.extraction.amounts import Amount
from router.functions.extraction.candidates import Candidate
from router.functions.extraction.kinds import Kind
from router.functions.extraction.phrases import phrases
from router.functions.extraction.profiles import Profile, TargetProfile
from router.functions.extraction.reading import Reading
from router.functions.extraction.vocabulary import function_words

_ASKED = 0.4  # what the question for a value adds to its score


def candidates_of(target: TargetProfile, reading: Reading, asked: Profile | None = None) -> dict[str, list[Candidate]]:
    """All candidates, by the name of the parameter."""
    shared = _Shared(target, reading, asked)
    found = {each.name: list(_SOURCES[each.kind](each, shared)) for each in target.parameters}
    if asked is not None:
        _prefer(asked.name, found)
    return found


def _prefer(asked: str, found: dict[str, list[Candidate]]) -> None:
    """What may answer the question does, whatever else it might be."""
    found[asked] = [replace(each, score=each.score + _ASKED) for each in found[asked]]
    best = max(found[asked], key=lambda each: each.score, default=None)
    for name, ones in found.items():
        if name != asked and best is not None:
            found[name] = [each for each in ones if not each.overlaps(best)]


class _Shared:
    """What the candidates of several parameters are made from."""

    def __init__(self, target: TargetProfile, reading: Reading, asked: Profile | None) -> None:
        self.target = target
        self.reading = reading
        self.asked = asked
        self.chosen = {
            each.name: list(choices.chosen(each, reading)) for each in target.parameters if each.kind == "enum"
        }
        mentioned = {
            place
            for each in target.parameters
            if each.kind == "enum"
            for one in self.chosen[each.name]
            for place in range(one.first, one.last)
        }
        measured = {
            place
            for each in reading.amounts
            if not each.weak and not _in_name(reading, each)
            for place in range(each.first, max(each.last, each.end))
        }
        coded = {
            place
            for kind, ones in (
                ("country", reading.countries),
                ("language", reading.languages),
                ("currency", reading.currencies),
            )
            if any(each.kind == kind for each in target.parameters)
            for one in ones
            for place in range(one.first, one.last)
        }
        self.phrases = phrases(
            reading.tokens,
            reading.taken | mentioned | measured | coded,
            target.domain | target.labels,
            function_words(reading.language),
        )


def _in_name(reading: Reading, amount: Amount) -> bool:
    """A bare number behind a capital, as in Bistro 21."""
    before = reading.tokens[amount.first - 1] if amount.first > 1 else None
    return (
        before is not None and before.is_word and before.is_capitalised and not amount.units and amount.currency is None
    )


def _names(profile: Profile, shared: _Shared) -> Iterator[Candidate]:
    yield from name_values.names(profile, shared.reading, shared.phrases, shared.target.domain)
    if profile.kind == "topic":
        yield from text_values.labelled(profile, shared.reading)


def _verbatim(profile: Profile, shared: _Shared) -> Iterator[Candidate]:
    return literal_values.verbatim(profile, shared.reading)


def _named_by_code(profile: Profile, shared: _Shared) -> Iterator[Candidate]:
    return choices.named_by_code(profile, shared.reading)


_Source = Callable[[Profile, _Shared], Iterator[Candidate]]
_SOURCES: Mapping[Kind, _Source] = {
    "enum": lambda profile, shared: iter(shared.chosen[profile.name]),
    "boolean": lambda profile, shared: choices.yes_or_no(profile, shared.reading, asked=profile is shared.asked),
    "number": lambda profile, shared: amount_values.numbers(profile, shared.reading, shared.target.parameters),
    "date": lambda profile, shared: date_values.dates(profile, shared.reading, shared.target.parameters),
    "date-time": lambda profile, shared: date_values.date_times(profile, shared.reading, shared.target.parameters),
    "time": lambda profile, shared: date_values.clocks(profile, shared.reading),
    "duration": lambda profile, shared: amount_values.durations(profile, shared.reading),
    "postcode": lambda profile, shared: literal_values.postcodes(profile, shared.reading),
    "code": lambda profile, shared: literal_values.codes(profile, shared.reading),
    "text": lambda profile, shared: text_values.texts(profile, shared.reading, shared.target.parameters),
    **dict.fromkeys(("email", "uri", "phone", "iban", "uuid", "ipv4"), _verbatim),
    **dict.fromkeys(("country", "language", "currency"), _named_by_code),
    **dict.fromkeys(("place", "person", "creator", "name", "topic", "open"), _names),
}  # fmt: skip

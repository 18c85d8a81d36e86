"""One turn read for one target: the values of its parameters, and further calls that the turn asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from router.functions.extraction import choices, open_values, typed_values
from router.functions.extraction.amounts import Amount
from router.functions.extraction.assignment import Assigned, assign
from router.functions.extraction.candidates import Candidate
from router.functions.extraction.phrases import phrases
from router.functions.extraction.profiles import Kind, Profile, TargetProfile
from router.functions.extraction.reading import Reading
from router.functions.extraction.vocabulary import AND, ARTICLES, function_words

LEAST = 0.5  # of a candidate's score in a turn that asks for something
LEAST_OF_FOLLOW_UP = 0.38  # in one that only changes or completes what was asked
_LISTED = AND | {","}
_ASKED = 0.4  # what the question for a value adds to its score
_MOST_VALUES = 20


@dataclass(frozen=True, slots=True)
class TurnValues:
    """What a turn says: candidates by parameter, those of arrays in order. ``row``: a parameter with the values of one call
    each, in order."""

    single: Mapping[str, Assigned] = field(default_factory=dict)
    lists: Mapping[str, Sequence[Candidate]] = field(default_factory=dict)
    row: tuple[str, Sequence[Candidate]] | None = None

    @property
    def empty(self) -> bool:
        return not self.single and not self.lists


def values_of(
    target: TargetProfile, reading: Reading, *, least: float = LEAST, asked: Profile | None = None
) -> TurnValues:
    """The values in a turn. ``asked`` is the parameter that the turn was asked for, if any."""
    found = candidates_of(target, reading, asked)
    lists = {each.name: _listed(each, found.pop(each.name), reading) for each in target.parameters if each.many}
    lists = {name: values for name, values in lists.items() if values}
    used = [each for values in lists.values() for each in values]
    free = {
        name: [each for each in ones if not any(each.overlaps(one) for one in used)] for name, ones in found.items()
    }
    single = assign(free, least)
    return TurnValues(single, lists, _row_of_calls(target, reading, free, single))


def candidates_of(target: TargetProfile, reading: Reading, asked: Profile | None = None) -> dict[str, list[Candidate]]:
    """All candidates, by the name of the parameter."""
    shared = _Shared(target, reading, asked)
    found = {each.name: list(_CANDIDATES[each.kind](each, shared)) for each in target.parameters}
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
        mentioned = {
            place
            for each in target.parameters
            if each.kind == "enum"
            for one in choices.chosen(each, reading)
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
    return open_values.names(profile, shared.reading, shared.phrases, shared.target.domain)


_Source = Callable[[Profile, _Shared], Iterator[Candidate]]
_CANDIDATES: Mapping[Kind, _Source] = {
    "enum": lambda profile, shared: choices.chosen(profile, shared.reading),
    "boolean": lambda profile, shared: choices.yes_or_no(profile, shared.reading, asked=profile is shared.asked),
    "number": lambda profile, shared: typed_values.numbers(profile, shared.reading, shared.target.parameters),
    "date": lambda profile, shared: typed_values.dates(profile, shared.reading),
    "date-time": lambda profile, shared: typed_values.date_times(profile, shared.reading),
    "time": lambda profile, shared: typed_values.clocks(profile, shared.reading),
    "duration": lambda profile, shared: typed_values.durations(profile, shared.reading),
    "postcode": lambda profile, shared: typed_values.postcodes(profile, shared.reading),
    "code": lambda profile, shared: typed_values.codes(profile, shared.reading),
    "text": lambda profile, shared: open_values.texts(profile, shared.reading, shared.target.parameters),
    **dict.fromkeys(("email", "uri", "phone", "iban", "uuid", "ipv4"), lambda profile, shared: typed_values.verbatim(profile, shared.reading)),
    **dict.fromkeys(("country", "language", "currency"), lambda profile, shared: choices.named_by_code(profile, shared.reading)),
    **dict.fromkeys(("place", "person", "creator", "name", "topic", "open"), _names),
}  # fmt: skip


def _listed(profile: Profile, found: Sequence[Candidate], reading: Reading) -> list[Candidate]:
    """The values of an array, in order: all that are sure, and those that stand in a row with one."""
    fit = sorted((each for each in found if each.score >= LEAST), key=lambda each: (each.first, -each.score))
    if profile.kind in {"person", "name", "open", "creator"}:
        fit = _row(profile, found, reading)
    kept: list[Candidate] = []
    for each in fit:
        if not any(each.overlaps(other) or each.value == other.value for other in kept):
            kept.append(each)
    return kept[:_MOST_VALUES]


def _row(profile: Profile, found: Sequence[Candidate], reading: Reading) -> list[Candidate]:
    """The row of names behind the array's own word: "tags: iot, edge", "tagged finance and nightly"."""
    heads = [each for each in found if each.score >= 0.7]  # noqa: PLR2004  # introduced by something
    if not heads:
        return []
    row = [max(heads, key=lambda each: (each.score, -each.first))]
    while (following := _next_in_row(row[-1], found, reading)) is not None and len(row) < _MOST_VALUES:
        row.append(following)
    return row


def _next_in_row(candidate: Candidate, found: Sequence[Candidate], reading: Reading) -> Candidate | None:
    behind = [each for each in found if each.first > candidate.last and each.first - candidate.last <= 5]  # noqa: PLR2004
    for each in sorted(behind, key=lambda one: (one.first, -one.last)):
        if each.value != candidate.value and coordinated(reading, candidate, each):
            return each
    return None


def _all_in_row(candidate: Candidate, found: Sequence[Candidate], reading: Reading) -> list[Candidate]:
    """The others of the row that a candidate is in, in order; no row without an "and" or "or" in it."""
    row = [candidate]
    capital = reading.tokens[candidate.first].is_capitalised
    found = [each for each in found if reading.tokens[each.first].is_capitalised or not capital]
    while (following := _next_in_row(row[-1], found, reading)) is not None and len(row) < _MOST_VALUES:
        row.append(following)
    while (before := _before_in_row(row[0], found, reading)) is not None and len(row) < _MOST_VALUES:
        row.insert(0, before)
    between = {
        each.folded for one, other in zip(row, row[1:], strict=False) for each in reading.tokens[one.last : other.first]
    }
    return row if not between.isdisjoint(AND) else []


def _before_in_row(candidate: Candidate, found: Sequence[Candidate], reading: Reading) -> Candidate | None:
    ahead = [each for each in found if each.last < candidate.first and candidate.first - each.last <= 5]  # noqa: PLR2004
    for each in sorted(ahead, key=lambda one: (-one.last, one.first)):
        if each.value != candidate.value and coordinated(reading, each, candidate):
            return each
    return None


def coordinated(reading: Reading, one: Candidate, other: Candidate) -> bool:
    """Whether two candidates stand side by side: only "and", "or" or a comma between them, and the first one's cue."""
    between = reading.tokens[one.last : other.first]
    if not between or not any(each.folded in _LISTED for each in between):
        return False
    opening = reading.word(one.first - 1) or ""
    rest = [each for each in between if each.folded not in _LISTED | ARTICLES and reading.word(one.last) != opening]
    return all(each.folded == opening or each.folded in ARTICLES for each in rest) and len(between) <= 4  # noqa: PLR2004


def _row_of_calls(
    target: TargetProfile, reading: Reading, free: Mapping[str, Sequence[Candidate]], single: Mapping[str, Assigned]
) -> tuple[str, Sequence[Candidate]] | None:
    """Values in a row with the one that a parameter got: each of them is for a call of its own."""
    for name, assigned in single.items():
        profile = target.parameter(name)
        if (
            profile is None
            or profile.kind in {"boolean", "text", "number", "topic"}
            or assigned.candidate.first == assigned.candidate.last
        ):
            continue
        if profile.kind in {"date", "date-time", "time"} and any(each.role == "end" for each in target.parameters):
            continue
        others = [each.candidate for each_name, each in single.items() if each_name != name]
        usable = [each for each in free[name] if not any(each.overlaps(other) for other in others)]
        found = _all_in_row(assigned.candidate, usable, reading)
        if found:
            return name, found
    return None

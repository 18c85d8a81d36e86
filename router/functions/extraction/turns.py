"""One turn read for one target: the values of its parameters, and further calls that the turn asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from router.functions.extraction.assignment import Assigned, assign
from router.functions.extraction.candidates import Candidate
from router.functions.extraction.profiles import Profile, TargetProfile
from router.functions.extraction.reading import Reading
from router.functions.extraction.rows import MOST_VALUES, all_in_row, introduced_row
from router.functions.extraction.sources import candidates_of

LEAST = 0.5  # of a candidate's score in a turn that asks for something
LEAST_OF_FOLLOW_UP = 0.38  # in one that only changes or completes what was asked


@dataclass(frozen=True, slots=True)
class TurnValues:
    """What a turn says: candidates by parameter, those of arrays in order.

    ``row``: a parameter with the values of one call each, in order.
    """

    single: Mapping[str, Assigned] = field(default_factory=dict)
    lists: Mapping[str, Sequence[Candidate]] = field(default_factory=dict)
    row: tuple[str, Sequence[Candidate]] | None = None


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


def _listed(profile: Profile, found: Sequence[Candidate], reading: Reading) -> list[Candidate]:
    """The values of an array, in order: all that are sure, and those that stand in a row with one."""
    fit = sorted((each for each in found if each.score >= LEAST), key=lambda each: (each.first, -each.score))
    if profile.kind in {"person", "name", "open", "creator"}:
        fit = introduced_row(found, reading)
    kept: list[Candidate] = []
    for each in fit:
        if not any(each.overlaps(other) or each.value == other.value for other in kept):
            kept.append(each)
    return kept[:MOST_VALUES]


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
        found = all_in_row(assigned.candidate, usable, reading)
        if found:
            return name, found
    return None

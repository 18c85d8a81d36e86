"""How the value of a parameter is recognised, found out once from all that its target says about it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from router.functions.extraction.kinds import Kind, is_format, kind_of
from router.functions.extraction.literals import pattern_of
from router.functions.extraction.units import Unit, unit_of
from router.functions.extraction.words import fold, stem, stems_of, unaccented, word_set, words_of
from router.functions.targets import JsonValue, Parameter, Target

Role: TypeAlias = Literal["start", "end"]

_START = word_set(
    "start starts begin from origin source departure depart departs departing leaving pickup pick",
    "check_in checkin arrival first outbound after since sender earliest onwards",
)
_END = word_set(
    "end ends until to destination target return returned returning last dropoff drop checkout due back",
    "through before into latest expiry expires recipient arrive receiver beneficiary payee",
)
_PREPOSITIONS = word_set("to from into through before after since until due")
_PAST = word_set(
    "happened happen incident occurred was were created since past birth born placed purchased bought", "accident"
)
_EXAMPLE = re.compile(
    r"(?:like|such as|e\.g\.,?|for example|example:|as in|format:?)\s+([A-Za-z0-9][\w./-]{2,40})", re.IGNORECASE
)
_EXAMPLES = re.compile(r"(?:such as|like|e\.g\.,?|for example)\s+([^.;()]{3,120})", re.IGNORECASE)
_SYNONYMS = re.compile(r"\(([^()]{1,200})\)")
_RANGE = re.compile(r"(?:from |between )?(-?\d+(?:\.\d+)?)\s*(?:to|and|-|\u2013)\s*(-?\d+(?:\.\d+)?)")
_OR = re.compile(r",|;|/|\bor\b|\band\b")
_MOST = word_set("max maximum highest most limit upper longest under cheaper largest")
_LEAST = frozenset(["min", "minimum", "lowest", "smallest", "least", "shortest"])
_MIN_HEAD = 4  # letters of what stands for a value with a version
_VAGUE = frozenset(
    stem(word)
    for word in word_set(
        "the a an of to for in on at by with from into and or is are be it its whether if use used using only",
        "include included includes allow allowed number name names type kind value text string date day time",
        "iso code format per this that which who what where when how many much maximum minimum max min",
        "highest smallest lowest least most must has have such as like each their they get gets place takes",
        "takes up they customer user want wants should all any play mark",
    )
)


@dataclass(frozen=True, slots=True)
class Way:
    """A way to say a value of an enum. ``head``: the word that a version stands behind, where it is enough."""

    value: JsonValue
    words: tuple[str, ...]
    joined: str
    stem: str
    head: str


@dataclass(frozen=True, slots=True)
class Profile:
    """How the value of a parameter is recognised.

    ``words`` are the stems of its name and description that say something; ``label`` those of its name. ``role``: of
    two that belong together, the one that is left or the one that is reached. ``ways`` are those to
    say the values of an enum. ``pattern`` is made from the example in the description. ``many``: an array.
    """

    parameter: Parameter
    kind: Kind
    words: frozenset[str]
    label: frozenset[str]
    role: Role | None = None
    past: bool = False
    many: bool = False
    unit: Unit | None = None
    least: float | None = None
    most: float | None = None
    bound: Literal["least", "most"] | None = None
    coded: bool = False
    ways: tuple[Way, ...] = ()
    examples: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None
    sample: str = ""

    @property
    def name(self) -> str:
        return self.parameter.name

    @property
    def required(self) -> bool:
        return (self.parameter.required or self.parameter.in_path) and self.parameter.default is None


@dataclass(frozen=True, slots=True)
class TargetProfile:
    """The profiles of a target's parameters.

    ``domain`` are the stems that the target itself is described with, ``labels`` those of the names of its parameters,
    and of all that is said about numbers and booleans.
    """

    name: str
    parameters: tuple[Profile, ...]
    domain: frozenset[str]
    labels: frozenset[str]

    def parameter(self, name: str) -> Profile | None:
        return next((each for each in self.parameters if each.name == name), None)


def profile_of(target: Target) -> TargetProfile:
    """The profile of a target; takes about a millisecond."""
    domain = (stems_of(target.name) | stems_of(target.description)) - _VAGUE
    parameters = tuple(_profile(each) for each in target.parameters)
    labels = [each.words if each.kind in {"number", "boolean"} else each.label for each in parameters]
    examples = frozenset(stem(word) for each in parameters for example in each.examples for word in words_of(example))
    return TargetProfile(target.name, parameters, domain, frozenset().union(*labels) - examples)


def _profile(parameter: Parameter) -> Profile:
    about = (
        parameter.description if is_format(parameter.format) else f"{parameter.description} {parameter.format or ''}"
    )
    name_words, said_words = words_of(parameter.name), words_of(parameter.description)
    sample = _EXAMPLE.search(about)
    pattern = pattern_of([sample[1].rstrip(".")]) if sample and any(each.isdigit() for each in sample[1]) else None
    kind = kind_of(parameter, name_words, said_words, has_pattern=pattern is not None)
    bounds = _RANGE.search(parameter.description) if kind == "number" else None
    return Profile(
        parameter=parameter,
        kind=kind,
        words=frozenset(stem(each) for each in (*name_words, *said_words)) - _VAGUE,
        label=frozenset(stem(each) for each in name_words) - _VAGUE or frozenset(stem(each) for each in name_words),
        role=_role(name_words, said_words),
        past=not _PAST.isdisjoint((*name_words, *said_words)),
        many=parameter.type == "array",
        unit=(unit_of(name_words) or unit_of(said_words)) if kind == "number" else None,
        least=float(bounds[1]) if bounds else None,
        most=float(bounds[2]) if bounds else None,
        bound=_bound((*name_words, *said_words)),
        coded="iso" in said_words or "code" in (*said_words, *name_words),
        ways=tuple(_ways(parameter)),
        examples=_listed(_EXAMPLES.search(about)),
        synonyms=tuple(word for match in _SYNONYMS.finditer(parameter.description) for word in _split(match[1])),
        pattern=pattern,
        sample=sample[1] if sample else "",
    )


def _role(name: Sequence[str], said: Sequence[str]) -> Role | None:
    """By the name, then by the description's words in order."""
    told = [word for word in said[:6] if word not in _PREPOSITIONS]
    for words in (name, ("_".join(name[:2]), "".join(name[:2])), told):
        for word in words:
            if word in _START:
                return "start"
            if word in _END:
                return "end"
    return None


def _bound(words: Sequence[str]) -> Literal["least", "most"] | None:
    if not _MOST.isdisjoint(words):
        return "most"
    return "least" if not _LEAST.isdisjoint(words) else None


def _ways(parameter: Parameter) -> Iterator[Way]:
    """Each value of an enum, and each synonym that stands behind it in the description: ``annual (vacation, PTO)``."""
    heads = Counter(next(iter(words_of(str(value))), "") for value in parameter.enum or ())
    for value in parameter.enum or ():
        said = str(value)
        head = next(iter(words_of(said)), "")
        alone = heads[head] == 1 and len(head) >= _MIN_HEAD and any(each.isdigit() for each in said)
        for way in dict.fromkeys((fold(said), *_synonyms(said, parameter.description))):
            joined = unaccented("".join(each for each in way if each.isalnum()))
            yield Way(value, words_of(way), joined, stem(joined), head if alone else "")


def _synonyms(value: str, description: str) -> list[str]:
    spelled = rf"(?<!\w){re.escape(value)}\s*(?:\(([^()]*)\)|(?:=|:|\u2013)\s*([^,;()]+))"
    match = re.search(spelled, description, re.IGNORECASE)
    return [] if match is None else _split(match[1] or match[2])


def _listed(match: re.Match[str] | None) -> tuple[str, ...]:
    return () if match is None else tuple(_split(match[1]))


def _split(text: str) -> list[str]:
    return [fold(each.strip()) for each in _OR.split(text) if each.strip()]

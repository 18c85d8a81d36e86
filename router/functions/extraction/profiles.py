"""What kind of value a parameter takes, found out once from its type, format, name and description."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from router.functions.extraction.literals import pattern_of
from router.functions.extraction.units import Unit, unit_of
from router.functions.extraction.words import fold, stem, stems_of, words_of
from router.functions.targets import JsonValue, Parameter, Target

Kind: TypeAlias = Literal[
    "enum", "boolean", "number", "date", "date-time", "time", "duration", "email", "uri", "phone", "iban", "uuid", "ipv4",
    "code", "country", "language", "currency", "postcode", "place", "person", "creator", "name", "text", "topic", "open",
]  # fmt: skip
Role: TypeAlias = Literal["start", "end"]

_FORMATS: Mapping[str, Kind] = MappingProxyType(
    {
        "date": "date", "date-time": "date-time", "datetime": "date-time", "time": "time", "duration": "duration",
        "email": "email", "idn-email": "email", "uri": "uri", "url": "uri", "phone": "phone", "tel": "phone",
        "iban": "iban", "uuid": "uuid", "ipv4": "ipv4", "ip": "ipv4",
    }
)  # fmt: skip
# Words of a parameter's name or, failing that, of its description, and what they make it. The first that fits counts.
_BY_WORD: tuple[tuple[Kind, frozenset[str]], ...] = tuple(
    (kind, frozenset(words.split()))
    for kind, words in (
        ("email", "email e-mail mail"),
        ("uri", "url uri link website webpage"),
        ("phone", "phone telephone mobile fax"),
        ("iban", "iban"),
        ("postcode", "postcode postal zip zipcode"),
        ("language", "language lang"),
        ("country", "country nation nationality"),
        ("currency", "currency"),
        ("date", "date day birthday deadline"),
        ("time", "time"),
        ("code", "id identifier code number sku reference ref serial barcode voucher coupon"),
        ("topic", "query topic keyword keywords search about issue problem term terms question"),
        ("text", "text message body content note notes comment memo reason subject description remark instructions"),
        ("creator", "artist band author singer director composer writer brand"),
        ("person", "person recipient assignee customer patient passenger contact driver employee user attendee owner "
                   "beneficiary manager sender colleague guest attendees participants payee"),
        ("place", "city location place town airport station address area neighbourhood neighborhood origin destination "
                  "region district village where"),
        ("name", "name title label song album movie film book"),
    )
)  # fmt: skip
_START = frozenset(
    "start starts begin from origin source departure depart departs departing leaving pickup pick check_in checkin arrival "
    "first outbound after since sender earliest onwards".split()
)
_END = frozenset(
    "end ends until to destination target return returned returning last dropoff drop checkout due back through before "
    "into latest expiry expires recipient arrive receiver beneficiary payee".split()
)
_PREPOSITIONS = frozenset("to from into through before after since until due".split())
_PAST = frozenset(
    "happened happen incident occurred was were created since past birth born placed purchased bought accident".split()
)
_EXAMPLE = re.compile(
    r"(?:like|such as|e\.g\.,?|for example|example:|as in|format:?)\s+([A-Za-z0-9][\w./-]{2,40})", re.IGNORECASE
)
_EXAMPLES = re.compile(r"(?:such as|like|e\.g\.,?|for example)\s+([^.;()]{3,120})", re.IGNORECASE)
_SYNONYMS = re.compile(r"\(([^()]{1,200})\)")
_RANGE = re.compile(r"(?:from |between )?(-?\d+(?:\.\d+)?)\s*(?:to|and|-|–)\s*(-?\d+(?:\.\d+)?)")
_OR = re.compile(r",|;|/|\bor\b|\band\b")
_LIMITING = re.compile(r"\b(?:max|maximum|highest|at most|up to|limit|upper)", re.IGNORECASE)
_VAGUE = frozenset(
    stem(word)
    for word in "the a an of to for in on at by with from into and or is are be it its whether if use used using only include "
    "included includes allow allowed number name names type kind value text string date day time iso code format per this "
    "that which who what where when how many much maximum minimum max min highest smallest lowest least most must has have "
    "such as like each their they get gets place takes takes up they customer user want wants should all any play mark".split()
)


@dataclass(frozen=True, slots=True)
class Profile:
    """How the value of a parameter is recognised.

    ``words`` are the stems of its name and description that say something; ``label`` those of its name. ``role``: of
    two that belong together, the one that is left or the one that is reached. ``choices`` maps the values of an enum to
    the ways to say them. ``pattern`` is made from the example in the description. ``many``: an array.
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
    limiting: bool = False
    coded: bool = False
    choices: tuple[tuple[JsonValue, tuple[str, ...]], ...] = ()
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
    """The profiles of a target's parameters. ``domain`` are stems that the target itself is described with, ``labels`` those of the
    names of its parameters, and of all that is said about those that are no names."""

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
    about = f"{parameter.description} {_hint(parameter)}"
    name_words, said_words = words_of(parameter.name), words_of(parameter.description)
    sample = _EXAMPLE.search(about)
    pattern = pattern_of([sample[1].rstrip(".")]) if sample and any(each.isdigit() for each in sample[1]) else None
    kind = _kind(parameter, name_words, said_words, pattern is not None)
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
        limiting=_LIMITING.search(about.replace("_", " ")) is not None or bool({"max", "limit"} & set(name_words)),
        coded="iso" in said_words or "code" in (*said_words, *name_words),
        choices=tuple((each, _ways_to_say(each, parameter.description)) for each in parameter.enum or ()),
        examples=_listed(_EXAMPLES.search(about)),
        synonyms=tuple(word for match in _SYNONYMS.finditer(parameter.description) for word in _split(match[1])),
        pattern=pattern,
        sample=sample[1] if sample else "",
    )


def _hint(parameter: Parameter) -> str:
    return "" if parameter.format is None or parameter.format in _FORMATS else parameter.format


def _kind(parameter: Parameter, name: Sequence[str], said: Sequence[str], has_pattern: bool) -> Kind:
    if parameter.enum is not None:
        return "enum"
    if parameter.type == "boolean":
        return "boolean"
    if parameter.type in {"integer", "number"}:
        return "number"
    if parameter.format in _FORMATS:
        return _FORMATS[parameter.format]
    if has_pattern:
        return "code"
    joined = {*name, "".join(name)}
    for kind, words in _BY_WORD:
        if not words.isdisjoint(joined):
            return _narrowed(kind, name, said)
    return _described(said)


def _narrowed(kind: Kind, name: Sequence[str], said: Sequence[str]) -> Kind:
    """What the description makes of a name that says little."""
    if kind == "name" and not {"person", "company", "patient", "customer", "employee", "full"}.isdisjoint(
        (*said, *name)
    ):
        return "person"
    if kind == "person" and not {"email", "e-mail", "mail"}.isdisjoint((*said, *name)):
        return "email"
    if kind in {"place", "person"} and "country" in said and "iso" in said:
        return "country"
    return kind


def _described(said: Sequence[str]) -> Kind:
    """By the first words of a description, which name the thing as a rule."""
    for kind, words in _BY_WORD:
        if not words.isdisjoint(said[:3]) and kind not in {"code", "time", "name"}:
            return kind
    if "name" in said[:3] and "person" in said:
        return "person"
    return "name" if said[:1] == ("name",) else "open"


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


def _ways_to_say(value: JsonValue, description: str) -> tuple[str, ...]:
    """The value in words, then the synonyms that the description gives behind it: ``annual (vacation, PTO)``."""
    said = fold(str(value))
    ways = [said]
    match = re.search(
        rf"(?<!\w){re.escape(str(value))}\s*(?:\(([^()]*)\)|(?:=|:|–)\s*([^,;()]+))", description, re.IGNORECASE
    )
    if match is not None:
        ways += _split(match[1] or match[2])
    return tuple(dict.fromkeys(ways))


def _listed(match: re.Match[str] | None) -> tuple[str, ...]:
    return () if match is None else tuple(_split(match[1]))


def _split(text: str) -> list[str]:
    return [fold(each.strip()) for each in _OR.split(text) if each.strip()]

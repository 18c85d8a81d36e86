"""What kind of value a parameter takes, by its type, format, name and description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, TypeAlias

from router.functions.extraction.words import word_set
from router.functions.targets import Parameter

Kind: TypeAlias = Literal[
    "enum", "boolean", "number", "date", "date-time", "time", "duration", "email", "uri", "phone", "iban", "uuid",
    "ipv4", "code", "country", "language", "currency", "postcode", "place", "person", "creator", "name", "text",
    "topic", "open",
]  # fmt: skip

_FORMATS: Mapping[str, Kind] = MappingProxyType(
    {
        "date": "date", "date-time": "date-time", "datetime": "date-time", "time": "time", "duration": "duration",
        "email": "email", "idn-email": "email", "uri": "uri", "url": "uri", "phone": "phone", "tel": "phone",
        "iban": "iban", "uuid": "uuid", "ipv4": "ipv4", "ip": "ipv4",
    }
)  # fmt: skip
_TYPES: Mapping[str, Kind] = MappingProxyType({"boolean": "boolean", "integer": "number", "number": "number"})
# Words of a parameter's name or, failing that, of its description, and what they make it. The first that fits counts.
_BY_WORD: tuple[tuple[Kind, frozenset[str]], ...] = (
    ("email", word_set("email e-mail mail")),
    ("uri", word_set("url uri link website webpage")),
    ("phone", word_set("phone telephone mobile fax")),
    ("iban", word_set("iban")),
    ("postcode", word_set("postcode postal zip zipcode")),
    ("language", word_set("language lang")),
    ("country", word_set("country nation nationality")),
    ("currency", word_set("currency")),
    ("date", word_set("date day birthday deadline")),
    ("time", word_set("time")),
    ("code", word_set("id identifier code number sku reference ref serial barcode voucher coupon")),
    ("topic", word_set("query topic keyword keywords search about issue problem term terms question")),
    (
        "text",
        word_set("text message body content note notes comment memo reason subject description remark instructions"),
    ),
    ("creator", word_set("artist band author singer director composer writer brand")),
    (
        "person",
        word_set(
            "person recipient assignee customer patient passenger contact driver employee user attendee owner",
            "beneficiary manager sender colleague guest attendees participants payee",
        ),
    ),
    (
        "place",
        word_set(
            "city location place town airport station address area neighbourhood neighborhood origin destination port",
            "region district village where harbour terminal stop gate depot branch office pickup dropoff",
        ),
    ),
    ("name", word_set("name title label song album movie film book")),
)
_PEOPLE = frozenset({"person", "company", "patient", "customer", "employee", "full"})
_MAIL = frozenset({"email", "e-mail", "mail"})
_NOT_BY_DESCRIPTION = frozenset({"code", "time", "name"})
_FIRST_WORDS = 3  # of a description, which name the thing as a rule


def is_format(name: str | None) -> bool:
    """Whether a format says what kind of value it is; any other is a hint in words."""
    return name in _FORMATS


def kind_of(parameter: Parameter, name: Sequence[str], said: Sequence[str], *, has_pattern: bool) -> Kind:
    """The kind by the words of its name and its description; ``has_pattern``: there is an example of a code in it."""
    if parameter.enum is not None:
        return "enum"
    if parameter.type in _TYPES:
        return _TYPES[parameter.type]
    if parameter.format is not None and parameter.format in _FORMATS:
        return _FORMATS[parameter.format]
    if has_pattern:
        return "code"
    spelled = {*name, "".join(name)}
    kind = next((kind for kind, words in _BY_WORD if not words.isdisjoint(spelled)), None)
    return _described(said) if kind is None else _narrowed(kind, {*name, *said})


def _narrowed(kind: Kind, words: set[str]) -> Kind:
    """What the description makes of a name that says little."""
    if kind == "name" and not _PEOPLE.isdisjoint(words):
        return "person"
    if kind == "person" and not _MAIL.isdisjoint(words):
        return "email"
    if kind in {"place", "person"} and {"country", "iso"} <= words:
        return "country"
    return kind


def _described(said: Sequence[str]) -> Kind:
    for kind, words in _BY_WORD:
        if not words.isdisjoint(said[:_FIRST_WORDS]) and kind not in _NOT_BY_DESCRIPTION:
            return kind
    if "name" in said[:_FIRST_WORDS] and "person" in said:
        return "person"
    return "name" if said[:1] == ("name",) else "open"

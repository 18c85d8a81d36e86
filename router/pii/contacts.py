"""Recognisers of how somebody can be reached, and of when they were born."""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Iterator, Sequence

import phonenumbers

from router.pii.findings import Finding
from router.pii.patterns import Pattern, near, words

_EMAIL = re.compile(
    r"(?<![\w.!#$%&'*+/=?^`{|}~-])(?P<value>[\w!#$%&'*+=?^`{|}~-][\w.!#$%&'*+=?^`{|}~-]{0,63}"
    r"@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24})(?![\w@-]|:[\w/~])"
)

_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:]|\.\d)")
_MAC = re.compile(r"(?<![\w:.-])[0-9A-Fa-f]{2}(?:([:-])[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}(?![\w:-])")

_MONTHS = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?|januar|februar|märz|mai|juni|juli|oktober|dezember|janvier|février|mars|avril|juin"
    "|juillet|août|septembre|octobre|novembre|décembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre"
    "|octubre|noviembre|diciembre"
)
_DATES_OF_DIGITS = (
    re.compile(r"(?<![\w./-])(?P<value>\d{1,2}([./-])\d{1,2}\2(?:(?:19|20)\d\d|\d\d))(?![\w/-]|\.\d)"),
    re.compile(r"(?<![\w./-])(?P<value>(?:19|20)\d\d([./-])\d{1,2}\2\d{1,2})(?![\w/-]|\.\d)"),
)
_DATES_IN_WORDS = (
    re.compile(
        rf"(?<![\w./-])(?P<value>\d{{1,2}}(?:st|nd|rd|th|er|\.)?(?: de| of)? (?:{_MONTHS})\.?,?(?: de)? (?:19|20)\d\d)"
        r"(?!\w)",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?<!\w)(?P<value>(?:{_MONTHS})\.? \d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d\d)(?!\w)",
        re.IGNORECASE,
    ),
)
_BIRTH = words(
    *("born", "dob", "d.o.b", "date of birth", "birth-date", "birthday", "date-of-birth", "birthdate"),
    *("geboren", "geb", "geburtsdatum", "geburtstag", "né", "née", "né le", "née le", "date de naissance"),
    *("nacido", "nacida", "fecha de nacimiento", "nacimiento", "nato", "nata", "data di nascita", "geboortedatum"),
)
_SEPARATOR = re.compile(r"[./-]")

_ADDRESS_WORDS = words("ip", "ips", "ip-address", "ipv4", "ipv6", "host", "server", "client", "login from", "source ip")
_VERSION_WORDS = words("v", "version", "versions", "release", "build", "upgrade", "section", "chapter")
_MAC_WORDS = words("mac", "mac-address", "hardware address", "ethernet", "wifi", "bluetooth")

_PHONE = re.compile(
    r"(?<![\w.@/#$€£%:=-])(?P<value>(?:\+|00)?\(?\d(?:[ .\-/()\u00a0]{0,3}\d){6,16})(?![\w@%€$£]|[.\-/,:]\d|-[A-Za-z])"
)
PHONE_WORDS = words(
    *("phone", "telephone", "tel", "mobile", "cell", "call", "fax", "whatsapp", "sms", "dial", "ring", "reach", "ph"),
    *("contact", "cell-phone"),
    *("number is", "text me", "telefon", "handy", "mobil", "anrufen", "rufnummer", "téléphone", "portable", "appelez"),
    *("teléfono", "móvil", "llamar", "telefono", "cellulare", "telefoon", "telefone", "celular"),
)
_SEPARATED = re.compile(r"\d[ .\-/()\u00a0]{1,3}(?=\d)")
_MIN_DIGITS = 9  # of a number that is known by nothing but the way it is written
_GROUPED_BY_POINTS = re.compile(r"\d{1,3}(?:\.\d{3})+|\d+\.\d+")
_DATE_LIKE = re.compile(
    r"(?:19|20)\d\d[-./ ]\d{1,2}[-./ ]\d{1,2}(?:\D.*)?|\d{1,2}[-./ ]\d{1,2}[-./ ](?:19|20)\d\d(?:\D.*)?"
)


def _is_plausible(value: str) -> bool:
    """Whether a date of digits is one of the calendar, day or month first."""
    first, second, third = map(int, _SEPARATOR.split(value))
    year, months = (first, ((second, third),)) if first > 31 else (third, ((second, first), (first, second)))
    year = year if year > 99 else 1900 + year
    return any(_is_date(year, month, day) for month, day in months)


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        datetime.date(year, month, day)
    except ValueError:
        return False
    return True


def _has_two_labels(value: str) -> bool:
    """Whether an address is one of a person, not the account that version control shares."""
    return not value.lower().startswith("git@")


EMAILS = (Pattern("EMAIL_ADDRESS", _EMAIL, 0.95, check=_has_two_labels),)
BIRTH_DATES = tuple(Pattern("DATE_OF_BIRTH", date, 0.1, _BIRTH, 0.85, _is_plausible) for date in _DATES_OF_DIGITS)
BIRTH_DATES_IN_WORDS = tuple(Pattern("DATE_OF_BIRTH", date, 0.1, _BIRTH, 0.85) for date in _DATES_IN_WORDS)
MAC_ADDRESSES = (Pattern("MAC_ADDRESS", _MAC, 0.7, _MAC_WORDS, 0.9),)


def find_ip_addresses(text: str, start: int, end: int) -> Iterator[Finding]:
    """Addresses of machines; not those that mean no machine or every one, and not what looks like a version."""
    for regex in (_IPV4, _IPV6):
        for match in regex.finditer(text, start, end):
            try:
                address = ipaddress.ip_address(match[0])
            except ValueError:
                continue
            if address.is_loopback or address.is_unspecified or address.is_multicast or match[0] == "255.255.255.255":
                continue
            yield Finding("IP_ADDRESS", *match.span(), _ip_score(text, match, address), match[0])


def _ip_score(text: str, match: re.Match[str], address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> float:
    if near(_ADDRESS_WORDS, text, match.start(), match.end()):
        return 0.9
    if address.version == 4 and near(_VERSION_WORDS, text, match.start(), match.end()):
        return 0.1
    if address.version == 6 and match[0].count(":") < 4 and not any(map(str.isdigit, match[0])):
        return 0.1
    return 0.6


class PhoneNumbers:
    """Telephone numbers: those with a country code anywhere, others when a country of ``regions`` numbers that way."""

    def __init__(self, regions: Sequence[str]) -> None:
        """``regions`` are ISO 3166 codes. Raises ``ValueError`` for one that has no telephone numbers."""
        unknown = sorted(set(regions) - phonenumbers.SUPPORTED_REGIONS)
        if unknown:
            raise ValueError(f"no telephone numbers are known for the region {unknown[0]!r}")
        self._regions = tuple(regions)

    def find(self, text: str, start: int, end: int) -> Iterator[Finding]:
        """What is found in ``text[start:end]``."""
        for match in _PHONE.finditer(text, start, end):
            called = near(PHONE_WORDS, text, match.start(), match.end())
            score = self._score(match["value"], called)
            if score:
                yield Finding("PHONE_NUMBER", *match.span("value"), min(1.0, score + 0.35 * called), match["value"])

    def _score(self, value: str, called: bool) -> float:
        """How likely ``value`` alone is a telephone number; 0 when no numbering plan has it.

        Numbering plans are asked last, being slow: not about what nobody has ``called`` a telephone number and what is
        not written like one either.
        """
        if value.startswith(("+", "00")):
            number = _parse("+" + value[2:] if value.startswith("00") else value, None)
            if number is not None and phonenumbers.is_valid_number(number):
                return 0.85
            return 0.3 if number is not None and phonenumbers.is_possible_number(number) else 0.0
        written = _is_written_as_phone(value)
        if not (called or written) or _DATE_LIKE.fullmatch(value) or _GROUPED_BY_POINTS.fullmatch(value):
            return 0.0
        numbers = [number for region in self._regions if (number := _parse(value, region)) is not None]
        if any(map(phonenumbers.is_valid_number, numbers)):
            return 0.55 if written else 0.3
        return 0.2 if any(map(phonenumbers.is_possible_number, numbers)) else 0.0


def _is_written_as_phone(value: str) -> bool:
    """Whether digits without a country code stand in groups as in telephone numbers."""
    groups = len(_SEPARATED.findall(value)) + 1
    digits = sum(map(str.isdigit, value))
    return digits >= _MIN_DIGITS and groups > 1 and (groups > 2 or value[0] in "0(")


def _parse(value: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return None

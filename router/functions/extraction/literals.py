"""What stands in a text as it is: quotations, e-mail and web addresses, telephone numbers, account numbers, UUIDs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import phonenumbers
from stdnum import iban

LiteralKind: TypeAlias = Literal["quoted", "email", "uri", "phone", "iban", "uuid", "ipv4", "code"]

_QUOTED = re.compile(
    r"\"(?P<a>[^\"\n]{1,2000})\"|“(?P<b>[^”\n]{1,2000})”|„(?P<c>[^“”\n]{1,2000})[“”]|«\s?(?P<d>[^»\n]{1,2000}?)\s?»"
    r"|(?<!\w)'(?P<e>[^'\n]{1,200}(?:'\w[^'\n]{0,200}){0,5})'(?!\w)|\u2018(?P<f>[^\u2019\n]{1,2000})\u2019"
)
_EMAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}[A-Za-z]{2,24}(?![\w@-])"
)
_URI = re.compile(r"(?<![\w@])(?:https?://|www\.)[^\s<>\"'`]{1,1000}", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\w.@/#$€£-])(?:\+|00)?\(?\d(?:[ .\-/()]{0,2}\d){6,16}(?![\w@%€$£]|[.\-/,:]\d)")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
_IBAN = re.compile(r"(?<!\w)[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{1,4}){3,9}(?!\w)")
_UUID = re.compile(r"(?<![\w-])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![\w-])")
_IPV4 = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w-]|\.\d)")
# A word with digits in it or with hyphens, as machines and codes are named; a lone number is none.
_CODE = re.compile(r"(?<![\w@./:-])(?=[\w-]{0,40}[A-Za-z_])[A-Za-z0-9]{1,24}(?:[-_][A-Za-z0-9]{1,24}){0,6}(?![\w@])")
_TRAILING = ".,;:!?)]}"
_MAX_FOUND = 50


@dataclass(frozen=True, slots=True)
class Verbatim:
    """A literal and the characters it takes up. ``value`` is what it says: a quotation without its marks."""

    kind: LiteralKind
    value: str
    start: int
    end: int


def literals(text: str) -> tuple[Verbatim, ...]:
    """The literals of a text, in order; those in quotations are parts of them."""
    found: list[Verbatim] = []
    for each in _all(text):
        if not any(each.start < other.end and other.start < each.end for other in found):
            found.append(each)
        if len(found) == _MAX_FOUND:
            break
    return tuple(sorted(found, key=lambda each: each.start))


def _all(text: str) -> Iterator[Verbatim]:
    for match in _QUOTED.finditer(text):
        value = next(part for part in match.groups() if part is not None)
        if value.strip():
            yield Verbatim("quoted", value.strip(), match.start(), match.end())
    for match in _URI.finditer(text):
        value = match[0].rstrip(_TRAILING)
        yield Verbatim("uri", value, match.start(), match.start() + len(value))
    for match in _EMAIL.finditer(text):
        yield Verbatim("email", match[0], match.start(), match.end())
    for match in _UUID.finditer(text):
        yield Verbatim("uuid", match[0].casefold(), match.start(), match.end())
    yield from _ibans(text)
    for match in _IPV4.finditer(text):
        yield Verbatim("ipv4", match[0], match.start(), match.end())
    yield from _phones(text)
    for match in _CODE.finditer(text):
        if _is_code(match[0]):
            yield Verbatim("code", match[0], match.start(), match.end())


def _is_code(word: str) -> bool:
    """A name such as web-01; ``3kg`` and ``4-star`` are amounts."""
    if _COUNTED.fullmatch(word):
        return False
    return "-" in word or "_" in word or any(each.isdigit() for each in word)


_COUNTED = re.compile(r"\d+(?:-?[A-Za-z]+)?")


def _ibans(text: str) -> Iterator[Verbatim]:
    for match in _IBAN.finditer(text):
        words = match[0].split(" ")
        for count in range(len(words), 0, -1):
            written = " ".join(words[:count])
            if iban.is_valid(written):
                yield Verbatim("iban", iban.compact(written), match.start(), match.start() + len(written))
                break


def _phones(text: str) -> Iterator[Verbatim]:
    for match in _PHONE.finditer(text):
        written = match[0].strip()
        if _DATE.match(written):
            continue
        value = phone_number(written)
        if value is not None:
            yield Verbatim("phone", value, match.start(), match.start() + len(written))


def phone_number(written: str) -> str | None:
    """An international number in E.164; a national one in its digits, since nothing says of which country it is."""
    international = written.startswith(("+", "00"))
    try:
        number = phonenumbers.parse(
            f"+{written[2:]}" if written.startswith("00") else written, None if international else "US"
        )
    except phonenumbers.NumberParseException:
        return None
    if not international:
        return "".join(each for each in written if each.isdigit())
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def pattern_of(examples: Sequence[str]) -> re.Pattern[str] | None:
    """What looks like one of ``examples``: letters for letters, about as many digits for digits, marks as they are."""
    shapes = [_shape(each) for each in examples]
    if not shapes:
        return None
    return re.compile(rf"(?<![\w-])(?:{'|'.join(shapes)})(?![\w-])", re.IGNORECASE)


_RUN = re.compile(r"[A-Za-z]+|\d+|.", re.DOTALL)


def _shape(example: str) -> str:
    parts = []
    for run in _RUN.findall(example):
        if run[0].isdigit():
            parts.append(rf"\d{{{len(run)}}}" if len(run) < 4 else rf"\d{{{len(run) - 1},{len(run) + 1}}}")
        elif run[0].isalpha():
            parts.append("[A-Za-z]" if len(run) == 1 else rf"[A-Za-z]{{1,{max(4, len(run))}}}")
        else:
            parts.append(re.escape(run))
    return "".join(parts)

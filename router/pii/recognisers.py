"""All recognisers that need no model, run where they can find something.

Most personal numbers have their digits close together, so the expressions for them see only such places: ordinary prose
costs one look for digits. Blobs of Base64 are left out: no number in them has the boundaries that all of them ask for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from router.pii import accounts, contacts, national_ids, secrets
from router.pii.findings import Entity, Finding
from router.pii.patterns import Pattern
from router.pii.plain_form import plain_form

_Find: TypeAlias = Callable[[str, int, int], Iterator[Finding]]

_DIGITS = re.compile(r"\d(?:\D{0,8}\d)*")
_BLOB = re.compile(r"[A-Za-z0-9+/]{200,}|[A-Za-z0-9_-]{200,}")
_MIN_DIGITS = 4
_BEFORE_CHARS = 12  # letters that a number may begin with
_BEHIND_CHARS = 12

# Dates with the month in words have few digits, but a year.
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_DATE_CHARS = 32

_NUMBERS = (
    *(*accounts.CARDS, *accounts.BANK_ACCOUNTS, *contacts.BIRTH_DATES, *contacts.MAC_ADDRESSES),
    *(*national_ids.NATIONAL_IDS, *national_ids.DOCUMENTS),
)
_SECRET_WORDS = ("pass", "pwd", "kennwort", "contras", "key", "secret", "token", "pin")


class Recognisers:
    """The recognisers of some kinds of personal data; has no state, and may be shared."""

    def __init__(self, entities: Collection[Entity], phone_regions: Sequence[str]) -> None:
        """Raises ``ValueError`` for a region that has no telephone numbers."""

        def of(entity: Entity, find: _Find) -> list[_Find]:
            return [find] if entity in entities else []

        def chosen(patterns: Sequence[Pattern]) -> list[Pattern]:
            return [pattern for pattern in patterns if pattern.entity in entities]

        self._numbers: list[tuple[int, _Find]] = [
            *[(pattern.min_digits, pattern.find) for pattern in chosen(_NUMBERS)],
            *[(10, find) for find in of("IBAN", accounts.find_ibans)],
            *[(7, find) for find in of("PHONE_NUMBER", contacts.PhoneNumbers(phone_regions).find)],
            *[(4, find) for find in of("IP_ADDRESS", contacts.find_ip_addresses)],
        ]
        self._dates = chosen(contacts.BIRTH_DATES_IN_WORDS)
        self._emails = chosen(contacts.EMAILS)
        self._anywhere = chosen([*accounts.WALLETS, *secrets.SECRETS])
        self._secrets = of("SECRET", secrets.find_named_secrets)

    def find(self, text: str) -> list[Finding]:
        """Everything that some recogniser takes ``text`` to have, in no order; findings may overlap."""
        plain, places = plain_form(text)
        found = [*self._find_anywhere(plain), *self._find_numbers(plain)]
        if plain is text:
            return found
        return [_moved(finding, text, places) for finding in found]

    def _find_anywhere(self, text: str) -> Iterator[Finding]:
        end = len(text)
        for pattern in self._anywhere:
            yield from pattern.find(text, 0, end)
        if "@" in text:
            for pattern in self._emails:
                yield from pattern.find(text, 0, end)
        if self._secrets:
            lower = text.lower()
            if any(word in lower for word in _SECRET_WORDS):
                for find in self._secrets:
                    yield from find(text, 0, end)

    def _find_numbers(self, text: str) -> Iterator[Finding]:
        for digits, start, end in _number_places(text):
            for min_digits, find in self._numbers:
                if digits >= min_digits:
                    yield from find(text, start, end)
        if self._dates:
            for year in _YEAR.finditer(text):
                for pattern in self._dates:
                    yield from pattern.find(text, max(0, year.start() - _DATE_CHARS), year.end())


def _moved(finding: Finding, text: str, places: Sequence[int]) -> Finding:
    """A finding in the plain form of ``text``, where it stands in ``text`` itself."""
    start, end = finding.start, finding.end
    if places:
        start, end = places[start], places[end - 1] + 1
    return replace(finding, start=start, end=end, text=text[start:end])


def _number_places(text: str) -> Iterator[tuple[int, int, int]]:
    """Where digits are close together: how many, and from where to where they and what may belong to them are."""
    start = 0
    for blob in [*_BLOB.finditer(text), None]:
        end = len(text) if blob is None else blob.start()
        for match in _DIGITS.finditer(text, start, end):
            digits = sum(map(str.isdigit, match[0]))
            if digits >= _MIN_DIGITS:
                yield digits, max(start, match.start() - _BEFORE_CHARS), min(end, match.end() + _BEHIND_CHARS)
        start = len(text) if blob is None else blob.end()

"""What a token classifier finds (names, addresses), as findings: its labels are parts, which are put together here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from cachetools import TTLCache

from router.pii.accounts import ACCOUNT_WORDS
from router.pii.contacts import PHONE_WORDS
from router.pii.findings import Entity, Finding
from router.pii.national_ids import ID_WORDS
from router.pii.patterns import near, words

_ENTITY_OF: Mapping[str, Entity] = {
    "GIVEN_NAME": "PERSON",
    "SURNAME": "PERSON",
    "BUILDING_NUMBER": "ADDRESS",
    "STREET_NAME": "ADDRESS",
    "SECONDARY_ADDRESS": "ADDRESS",
    "ZIP_CODE": "ADDRESS",
    "CITY": "LOCATION",
    "STATE": "LOCATION",
    "EMAIL": "EMAIL_ADDRESS",
    "PHONE": "PHONE_NUMBER",
    "TAX_ID": "TAX_ID",
    "BANK_ACCOUNT": "BANK_ACCOUNT",
    "ROUTING_NUMBER": "BANK_ACCOUNT",
    "GOVERNMENT_ID": "NATIONAL_ID",
    "PASSPORT": "PASSPORT",
    "DRIVERS_LICENSE": "DRIVERS_LICENSE",
}
_PLACES: frozenset[Entity] = frozenset({"ADDRESS", "LOCATION"})

# What may stand between two parts of one name, and of one address ("Avenue, Suite 4100").
_NAME_GAP = re.compile(r"[ \t\u00a0.'\u2019-]{0,3}")
_PLACE_GAP = re.compile(r"[\s,;.()-]{0,4}(?:[^\W\d_]{1,9}\.?[\s,]{1,3})?")
# A surname that the model has not seen, behind a given name that it has.
_SURNAME = re.compile(r" [^\W\d_a-zß-öø-ÿ][^\W\d_]*[a-zß-öø-ÿ][\w'\u2019-]*")

# The model takes many a number for one of a person's; it counts only where a word says that it is one.
_NUMBERS: Mapping[Entity, re.Pattern[str]] = {
    "PHONE_NUMBER": PHONE_WORDS,
    "TAX_ID": ID_WORDS,
    "NATIONAL_ID": ID_WORDS,
    "PASSPORT": ID_WORDS,
    "DRIVERS_LICENSE": ID_WORDS,
    "BANK_ACCOUNT": ACCOUNT_WORDS,
}
_FEWEST_DIGITS = 4
_NAMED_PLACES = frozenset({"STREET_NAME", "SECONDARY_ADDRESS", "CITY", "STATE"})
_ADDRESS_WORDS = words(
    *(
        "address",
        "live",
        "lives",
        "living",
        "ship",
        "deliver",
        "delivery",
        "zip",
        "zip-code",
        "postcode",
        "postal-code",
    ),
    *("moved", "mail to", "apartment", "apt", "adresse", "wohne", "wohnt", "plz", "dirección", "indirizzo", "street"),
)

_PIECE_CHARS = 4_000
_OVERLAP_CHARS = 200
_CHARS_PER_S = 4_000.0  # what the model on one busy core reads, the time that long texts get on top
_CACHE_ENTRIES = 20_000
_CACHE_TTL_S = 600.0


class LabelledSpan(Protocol):
    """``text[start:end]``, in characters, carries ``label``."""

    @property
    def label(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def score(self) -> float: ...


class EntityModel(Protocol):
    """A model that labels parts of texts."""

    async def find(self, texts: Sequence[str], *, timeout_s: float) -> Sequence[Sequence[LabelledSpan]]:
        """For each text its spans in the order of the text. Raises ``ModelUnavailable``."""


@dataclass(frozen=True, slots=True)
class _Part:
    entity: Entity
    label: str
    start: int
    end: int
    score: float


_Parts: TypeAlias = tuple[_Part, ...]


class NamedEntities:
    """Findings of a model. What it said about a text is kept for a while, by content hash and without the text."""

    def __init__(self, model: EntityModel, entities: Collection[Entity]) -> None:
        self._model = model
        self._entities = frozenset(entities)
        self._known: TTLCache[bytes, _Parts] = TTLCache(_CACHE_ENTRIES, _CACHE_TTL_S)

    async def find(self, texts: Sequence[str], *, timeout_s: float) -> list[list[Finding]]:
        """What the model finds in each text; findings where two pieces of a long text overlap may overlap too.

        Long texts get more than ``timeout_s``. Raises ``ModelUnavailable``.
        """
        pieces = [list(_pieces(text)) for text in texts]
        keys = {piece: _digest(piece) for parts in pieces for _, piece in parts if piece.strip()}
        said: dict[bytes, _Parts] = {}
        for key in keys.values():
            if (known := self._known.get(key)) is not None:
                said[key] = known
        unknown = [piece for piece, key in keys.items() if key not in said]
        if unknown:
            reading_s = sum(map(len, unknown)) / _CHARS_PER_S
            answers = await self._model.find(unknown, timeout_s=timeout_s + reading_s)
            for piece, spans in zip(unknown, answers, strict=True):
                said[keys[piece]] = self._known[keys[piece]] = tuple(_parts(spans, len(piece)))
        return [
            [
                finding
                for offset, piece in parts
                if piece in keys
                for finding in self._findings(said[keys[piece]], piece, offset)
            ]
            for parts in pieces
        ]

    def _findings(self, parts: _Parts, piece: str, offset: int) -> Iterator[Finding]:
        for group in _groups(parts, piece):
            entity: Entity = "ADDRESS" if any(part.entity == "ADDRESS" for part in group) else group[0].entity
            start, end = _trimmed(piece, group[0].start, group[-1].end)
            if entity not in self._entities or start >= end or not _is_likely(entity, group, piece, start, end):
                continue
            if entity == "PERSON" and all(part.label == "GIVEN_NAME" for part in group):
                surname = _SURNAME.match(piece, end)
                end = surname.end() if surname else end
            score = sum(part.score for part in group) / len(group)
            yield Finding(entity, offset + start, offset + end, score, piece[start:end])


def _is_likely(entity: Entity, group: Sequence[_Part], text: str, start: int, end: int) -> bool:
    """Whether the surroundings bear out what the model says."""
    if entity == "EMAIL_ADDRESS":
        # Where there is an @, the pattern has decided; without, it may be one that is spelt out.
        return "@" not in text[max(0, start - 1) : end + 1]
    if entity == "ADDRESS":
        named = any(part.label in _NAMED_PLACES for part in group)
        several = len(group) > 1 or (group[0].label == "STREET_NAME" and " " in text[start:end])
        return (named and several) or near(_ADDRESS_WORDS, text, start, end)
    if entity in _NUMBERS:
        digits = sum(map(str.isdigit, text[start:end]))
        return digits >= _FEWEST_DIGITS and near(_NUMBERS[entity], text, start, end)
    return True


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Without what is neither letter nor digit at both ends, but for the plus of a telephone number."""
    while start < end and not (text[start].isalnum() or text[start] in "+("):
        start += 1
    while start < end and not (text[end - 1].isalnum() or text[end - 1] in ".)"):
        end -= 1
    return start, end


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """``text`` in pieces of bounded length that overlap, each with its offset."""
    yield 0, text[:_PIECE_CHARS]
    step = _PIECE_CHARS - _OVERLAP_CHARS
    for start in range(step, len(text) - _OVERLAP_CHARS, step):
        yield start, text[start : start + _PIECE_CHARS]


def _parts(spans: Iterable[LabelledSpan], length: int) -> Iterator[_Part]:
    for span in spans:
        entity = _ENTITY_OF.get(span.label)
        if entity is not None and 0 <= span.start < span.end <= length:
            yield _Part(entity, span.label, span.start, span.end, span.score)


def _groups(parts: _Parts, text: str) -> Iterator[list[_Part]]:
    """Parts that stand next to each other and belong together: given name and surname, street and city."""
    group: list[_Part] = []
    for part in parts:
        if group and not _belongs(group[-1], part, text):
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _belongs(before: _Part, part: _Part, text: str) -> bool:
    gap = text[before.end : part.start]
    if before.entity in _PLACES and part.entity in _PLACES:
        return _PLACE_GAP.fullmatch(gap) is not None
    return before.entity == part.entity == "PERSON" and _NAME_GAP.fullmatch(gap) is not None

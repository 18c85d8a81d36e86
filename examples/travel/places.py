"""The gazetteer: finds cities and airports in plain language, and what looks like a place that nobody here knows."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

DATA = Path(__file__).parent / "data"


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


# Names and codes that are also everyday words: they count only in capitals or after a word such as "to" or "in".
WORDLIKE = words("add bos bud can cia del den gig ham la las lin mad man mel mia nap nice per san sea sin tos")
BEFORE_PLACE = words("from to in at for into near around between via about and or vs")
BEFORE_TO = words("flight flights fly flying go going travel travelling trip ticket tickets get")
FROM = words("from leaving departing")
TO = words("to into towards")
AFTER_PLACE = words("from to on in and today tomorrow next this")
# What may follow a preposition without being a place.
NOT_A_PLACE = words(
    """a about all an any anywhere april august autumn be bed book celsius check compare day december detail details do
    english fahrenheit fall february find fly friday general get go have help her here him home it its january
    july june know last least leave march may me monday month my next november now october once order our pack
    plan return sale saturday see september short spring summer sunday take tell that the their them there these
    this those thursday time today tomorrow tonight travel tuesday us vacation visit wear wednesday week weekend
    what winter work you your"""
)
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th"})
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class City:
    """A city with its climate normals: twelve values each, January first; degrees Celsius and days with rain."""

    name: str
    country: str
    high_c: tuple[int, ...]
    low_c: tuple[int, ...]
    rain_days: tuple[int, ...]

    @property
    def full_name(self) -> str:
        return self.name if self.name == self.country else f"{self.name}, {self.country}"


@dataclass(frozen=True, slots=True)
class Mention:
    """A city named in a text; ``airport`` when an airport was named, ``role`` when the wording says from or to."""

    city: City
    airport: str | None
    start: int
    """Index of its first word in the text."""
    end: int
    """Index of the word after its last one."""
    role: Literal["origin", "destination"] | None = None


class Text:
    """A text as words: as written, and folded so that case and accents do not matter."""

    def __init__(self, raw: str) -> None:
        self.raw = unicodedata.normalize("NFC", raw)
        matches = list(_WORD.finditer(self.raw))
        self.written = [match.group() for match in matches]
        self.words = [fold(word) for word in self.written]
        self._spans = [match.span() for match in matches]

    def between(self, left: int, right: int) -> str:
        """What is written between two words, the text's ends included."""
        start = self._spans[left][1] if left >= 0 else 0
        end = self._spans[right][0] if right < len(self._spans) else len(self.raw)
        return self.raw[start:end]

    def has(self, words: Iterable[str]) -> bool:
        return not set(words).isdisjoint(self.words)


class Gazetteer:
    """Every city of the bundled data by name, other name, airport name and IATA code."""

    def __init__(self, cities: Iterable[tuple[City, list[str]]], airports: Iterable[tuple[str, str, str]]) -> None:
        """``cities`` with their other names; ``airports`` as IATA code, name, city name."""
        self.cities: dict[str, City] = {}
        self.airports: dict[str, str] = {}
        self._names: dict[tuple[str, ...], tuple[City, str | None]] = {}
        for city, aliases in cities:
            self.cities[city.name] = city
            for name in [city.name, *aliases]:
                self._names[_key(name)] = (city, None)
        for iata, name, city_name in airports:
            city = self.cities[city_name]
            self.airports[iata] = city_name
            for key in (_key(iata), _key(f"{city_name} {name}"), _key(name)):
                if len(key) > 1 or key[0] not in {"capital", "city", "hobby", "metropolitan", "midway"}:
                    self._names.setdefault(key, (city, iata))
        self._longest = max(map(len, self._names))

    @classmethod
    def load(cls, folder: Path = DATA) -> Gazetteer:
        cities = [
            (
                City(
                    row["city"],
                    row["country"],
                    _numbers(row["high_c"]),
                    _numbers(row["low_c"]),
                    _numbers(row["rain_days"]),
                ),
                [alias for alias in row["aliases"].split("|") if alias],
            )
            for row in rows(folder / "cities.csv")
        ]
        return cls(cities, [(row["iata"], row["name"], row["city"]) for row in rows(folder / "airports.csv")])

    def find(self, text: Text) -> list[Mention]:
        """The cities named in the text, in order; the longest name wins where several fit."""
        mentions: list[Mention] = []
        position = 0
        while position < len(text.words):
            mention = self._at(text, position)
            if mention is None:
                position += 1
            else:
                mentions.append(mention)
                position = mention.end
        return [replace(mention, role=_role(text, mentions, i)) for i, mention in enumerate(mentions)]

    def unknown(self, text: Text) -> list[str]:
        """Phrases that stand where a place would ("weather in Atlantis") and are none that we know."""
        known = {i for mention in self.find(text) for i in range(mention.start, mention.end)}
        found: list[str] = []
        for i, word in enumerate(text.words[:-1]):
            if word in BEFORE_PLACE and i + 1 not in known and i not in known:
                end = _end_of_name(text, i + 1) or _end_of_lower_case_name(text, i + 1, known)
                if end > i + 1 and known.isdisjoint(range(i + 1, end)):
                    found.append(" ".join(text.written[i + 1 : end]))
        return found

    def cities_in(self, country: str) -> list[str]:
        """The names of the cities of a country, none when it is no country that we know."""
        wanted = fold(country)
        return [city.name for city in self.cities.values() if fold(city.country) == wanted]

    def _at(self, text: Text, position: int) -> Mention | None:
        for length in range(min(self._longest, len(text.words) - position), 0, -1):
            key = tuple(text.words[position : position + length])
            entry = self._names.get(key)
            if entry is not None and (length > 1 or _is_meant(text, position)):
                return Mention(*entry, start=position, end=position + length)
        return None


def fold(word: str) -> str:
    """Lower case without accents: ``Reykjavík`` and ``REYKJAVIK`` are the same."""
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).translate(_LETTERS)


def rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV file with a header line."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def listed(names: Iterable[str], *, last: str = "and") -> str:
    """``A, B and C``."""
    *head, tail = names
    return f"{', '.join(head)} {last} {tail}" if head else tail


def describe_unknown(gazetteer: Gazetteer, phrase: str) -> str:
    """What to say about a phrase of `Gazetteer.unknown`: a country gets a question, anything else a plain no."""
    cities = gazetteer.cities_in(phrase)
    if cities:
        return f"Which city in {phrase} do you mean? I know {listed(cities)}."
    return (
        f"I don't know {phrase}. I have data for {len(gazetteer.cities)} cities, Paris, Tokyo and Nairobi among them."
    )


def _key(name: str) -> tuple[str, ...]:
    return tuple(Text(name).words)


def _city(row: dict[str, str]) -> City:
    return City(
        row["city"], row["country"], _numbers(row["high_c"]), _numbers(row["low_c"]), _numbers(row["rain_days"])
    )


def _numbers(cell: str) -> tuple[int, ...]:
    return tuple(map(int, cell.split()))


def _is_meant(text: Text, position: int) -> bool:
    """Whether a single word that may be an everyday word ("can", "Nice") stands for a place here."""
    word, written = text.words[position], text.written[position]
    if word not in WORDLIKE:
        return True
    if position > 0 and text.words[position - 1] in BEFORE_PLACE - {"and", "or"}:
        return True
    shouted = text.raw.isupper()
    return not shouted and (written.isupper() if len(word) <= 3 else position > 0 and written.istitle())


def _role(text: Text, mentions: list[Mention], index: int) -> Literal["origin", "destination"] | None:
    """Reads "from X", "to X", "X to Y", "X - Y" and "between X and Y"."""
    mention = mentions[index]
    before = text.words[mention.start - 1] if mention.start else ""
    if before in FROM or before == "between" or text.words[max(mention.start - 2, 0) : mention.start] == ["out", "of"]:
        return "origin"
    if before in TO or (index and _joined(text, mentions[index - 1], mention)):
        return "destination"
    if index + 1 < len(mentions) and _joined(text, mention, mentions[index + 1]):
        return "origin"
    return None


def _joined(text: Text, first: Mention, second: Mention) -> bool:
    """Whether two mentions are a route: "X to Y", "X - Y", "between X and Y"."""
    gap = text.words[first.end : second.start]
    if gap == ["and"]:
        return first.start > 0 and text.words[first.start - 1] == "between"
    if gap:
        return len(gap) == 1 and gap[0] in TO
    return re.fullmatch(r"\s*(-+>?|[\u2013\u2014→>])\s*", text.between(first.end - 1, second.start)) is not None


def _end_of_name(text: Text, start: int) -> int:
    """The index after the capitalised words at ``start``, or 0 when there are none."""
    end = start
    while end < len(text.words) and text.written[end][0].isupper() and text.words[end] not in NOT_A_PLACE:
        if end > start and text.between(end - 1, end).strip(" .'\u2019-"):
            break
        end += 1
    return end if end > start else 0


def _end_of_lower_case_name(text: Text, start: int, known: Collection[int]) -> int:
    """The index after a single word written in lower case where hardly anything but a place makes sense, or 0."""
    before = text.words[start - 1]
    expected = before in {"in", "from"} or (
        before == "to" and (start - 2 in known or (start > 1 and text.words[start - 2] in BEFORE_TO))
    )
    if not expected or text.words[start] in NOT_A_PLACE or text.words[start].isdigit():
        return 0
    is_last = start + 1 == len(text.words) or text.between(start, start + 1).strip() != ""
    return start + 1 if is_last or text.words[start + 1] in AFTER_PLACE else 0

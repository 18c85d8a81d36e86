"""What languages, countries, currencies, months and weekdays are called, from the Unicode CLDR (by Babel)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from babel import Locale
from babel.numbers import get_currency_name

from router.functions.extraction.vocabulary import LANGUAGES, Language
from router.functions.extraction.words import Token, unaccented, word_set

_MAX_WORDS = 5
_COUNTRY_ALIASES = {
    "usa": "US", "america": "US", "the states": "US", "u s a": "US", "uk": "GB", "great britain": "GB",
    "britain": "GB", "england": "GB", "scotland": "GB", "wales": "GB", "holland": "NL", "czech republic": "CZ",
    "turkey": "TR", "burma": "MM", "ivory coast": "CI", "south korea": "KR", "north korea": "KP", "uae": "AE",
    "emirates": "AE", "macedonia": "MK", "hong kong": "HK", "macau": "MO",
}  # fmt: skip
_LANGUAGE_ALIASES = {"mandarin": "zh", "farsi": "fa", "norwegian": "no", "filipino": "fil"}
_CURRENCY_ALIASES = {
    "dollar": "USD", "dollars": "USD", "buck": "USD", "bucks": "USD", "us dollar": "USD", "us dollars": "USD",
    "pound": "GBP", "pounds": "GBP", "quid": "GBP", "sterling": "GBP", "pound sterling": "GBP",
    "pounds sterling": "GBP", "british pound": "GBP", "franc": "CHF", "francs": "CHF", "franken": "CHF",
    "yen": "JPY", "yuan": "CNY", "renminbi": "CNY", "rupee": "INR", "rupees": "INR", "krona": "SEK", "kronor": "SEK",
    "real": "BRL", "reais": "BRL", "rand": "ZAR", "won": "KRW", "lira": "TRY", "shekel": "ILS", "shekels": "ILS",
    "ruble": "RUB", "rubles": "RUB", "zloty": "PLN", "zlotys": "PLN", "forint": "HUF", "koruna": "CZK",
}  # fmt: skip
SYMBOLS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₩": "KRW", "₺": "TRY", "₽": "RUB", "₪": "ILS"}
# Words of everyday that CLDR has as names of rare languages or currencies.
_EVERYDAY = word_set(
    "bar den ga he is it no so to we yao even iron kom luba mon root sun fang dollar pound peso pesos",
    "real tai as do am an be in my or us me at id ie la de es se al na",
)
_CODE_CHARS = 3


@dataclass(frozen=True, slots=True)
class Mention:
    """A name between two tokens, ``last`` not included. ``code`` is ISO 3166-1, 639-1 or 4217."""

    code: str
    first: int
    last: int


class Lexicon:
    """Names of one kind to their codes, looked up in tokens."""

    def __init__(self, names: Mapping[str, str], codes: frozenset[str]) -> None:
        self._names = {unaccented(name): code for name, code in names.items()}
        self._codes = codes

    def code_of(self, name: str) -> str | None:
        return self._names.get(unaccented(name))

    def find(self, tokens: Sequence[Token]) -> tuple[Mention, ...]:
        """The mentions in order, the longest at each place; codes count in capitals only."""
        return tuple(self._mentions(tokens, [unaccented(each.text) for each in tokens]))

    def _mentions(self, tokens: Sequence[Token], folded: Sequence[str]) -> Iterator[Mention]:
        words = [each.text for each in tokens if each.is_word]
        shouted = len(words) > 1 and all(each.isupper() for each in words)
        index = 0
        while index < len(tokens):
            mention = self._longest(folded, index)
            word = tokens[index].text
            if mention is None and not shouted and word in self._codes:
                mention = Mention(word, index, index + 1)
            if mention is not None:
                yield mention
            index = index + 1 if mention is None else mention.last

    def _longest(self, folded: Sequence[str], index: int) -> Mention | None:
        for last in range(min(len(folded), index + _MAX_WORDS), index, -1):
            code = self._names.get(" ".join(folded[index:last]).replace(" - ", "-"))
            if code is not None:
                return Mention(code, index, last)
        return None


@dataclass(frozen=True, slots=True)
class CalendarNames:
    """Folded names of months (1 to 12) and weekdays (Monday is 0) of a language, English included."""

    months: Mapping[str, int]
    weekdays: Mapping[str, int]
    short_weekdays: frozenset[str]


def countries() -> Lexicon:
    names = {name: code for language in LANGUAGES for code, name in _territories(language)}
    codes = frozenset(names.values()) - {"IN", "IT", "NO", "AT", "BE", "DO", "IS", "SO", "TO", "ME", "MY", "ID", "AM"}
    return Lexicon(names | _COUNTRY_ALIASES, codes)


def languages() -> Lexicon:
    names: dict[str, str] = {}
    for language in reversed(LANGUAGES):
        table: Mapping[str, str] = Locale(language).languages
        names |= {name: code for code, name in table.items() if len(code) < _CODE_CHARS}
    names = {name: code for name, code in names.items() if unaccented(name) not in _EVERYDAY}
    return Lexicon(names | _LANGUAGE_ALIASES, frozenset())


def currencies() -> Lexicon:
    names: dict[str, str] = {}
    english: dict[str, str] = {}
    codes = set()
    for language in LANGUAGES:
        locale = Locale(language)
        for code, name in locale.currencies.items():
            if "(" not in name and name != code:
                codes.add(code)
                names |= dict.fromkeys((name, get_currency_name(code, count=2, locale=locale)), code)
        if language == "en":
            english = dict(names)
    last_words: dict[str, set[str]] = {}
    for name, code in english.items():
        last_words.setdefault(unaccented(name.split()[-1]), set()).add(code)
    alone = {
        word: next(iter(found)) for word, found in last_words.items() if len(found) == 1 and len(word) > _CODE_CHARS
    }
    short = {word: code for word, code in alone.items() if word not in _EVERYDAY}
    full = {name: code for name, code in names.items() if unaccented(name) not in _EVERYDAY}
    return Lexicon(short | full | _CURRENCY_ALIASES | {"euro": "EUR", "euros": "EUR"} | SYMBOLS, frozenset(codes))


def calendar_names(language: Language) -> CalendarNames:
    months: dict[str, int] = {}
    weekdays: dict[str, int] = {}
    short: set[str] = set()
    for each in dict.fromkeys((language, "en")):
        locale = Locale(each)
        for width in ("wide", "abbreviated"):
            for context in ("format", "stand-alone"):
                months |= {_bare(name): number for number, name in locale.months[context][width].items()}
                weekdays |= {_bare(name): number for number, name in locale.days[context][width].items()}
        short |= {_bare(name) for name in locale.days["format"]["abbreviated"].values()}
    months |= {"sept": 9, "june": 6, "july": 7}
    weekdays |= {"tues": 1, "weds": 2, "thur": 3, "thurs": 3, "sonnabend": 5}
    return CalendarNames(months, weekdays, frozenset(short))


def _territories(language: Language) -> Iterator[tuple[str, str]]:
    table: Mapping[str, str] = Locale(language).territories
    for code, name in table.items():
        if len(code) < _CODE_CHARS and code.isalpha() and code not in {"EU", "EZ", "UN", "ZZ", "QO"}:
            yield code, name


def _bare(name: str) -> str:
    return unaccented(name).rstrip(".")

"""What a user says in words of his own: sentences without quotes and code, written in one way.

Everything here takes time linear in the length of the text: texts come from strangers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import re2  # type: ignore[import-untyped]  # Google's own binding has no annotations

# Of a message with more sentences, only those at its ends are taken: what is between is mostly pasted.
MAX_SENTENCES = 12
_END_SENTENCES = 4
_MAX_SENTENCE_CHARS = 600

_MAX_REMEMBERED = 20_000
_MAX_REMEMBERED_CHARS = 32

# Stands for what was quoted, so that the words around it do not become neighbours.
_QUOTED = "\ue000"

_APOSTROPHES = {ord(mark): "'" for mark in "\u2018\u2019\u201b\u02bc\u00b4\uff07"}
_ALL_APOSTROPHES = {**_APOSTROPHES, ord("`"): "'"}  # a backtick is one where it is not around code
_FOREIGN = re2.compile(
    "|".join(
        (
            r"(?s:```.*?(?:```|\z))",
            r"(?s:~~~.*?(?:~~~|\z))",
            r"(?m:^[ \t]*>.*$)",
            r"`[^`\n]*`",
            r'"[^"\n]*"',
            r"“[^”\n]*”",
            r"„[^“”\n]*[“”]",
            r"«[^»\n]*»",
            r"»[^«\n]*«",
            r"(?:^|[\s(])'[^\s'](?:[^'\n]|'[\pL\pN])*'(?:[\s.,;:!?)]|$)",
            r"\b(?:https?|ftp)://\S+",
        )
    )
)
_SENTENCE = re.compile(r"[^.!?;…\n]+(?:[.!?;…](?=\d)[^.!?;…\n]*)*[.!?;…]*")
_TOKEN = re.compile(rf"[^\W_]+(?:'[^\W_]+)*|[,:()]|{_QUOTED}|(?<=\s)[-\u2013\u2014](?=\s)")
_LONG_RUN = re.compile(r"(.)\1{2,}")
_MARK = re.compile("[\u0300-\u036f]")
_ENGLISH_ENDINGS: Mapping[str, str] = {
    "n't": " not",
    "'re": " are",
    "'ve": " have",
    "'ll": " will",
    "'m": " am",
    "'d": " would",
}
_IS_AFTER = frozenset({"it", "that", "this", "what", "here", "there", "who", "how", "where", "he", "she", "which"})


@dataclass(frozen=True, slots=True)
class Sentence:
    """``plain`` is the normal form, words one space apart; ``raw`` is what was written."""

    plain: str
    raw: str
    question: bool


class Normalizer:
    """Writes words in one way: lower case, no accents, no apostrophes, nothing elongated, short forms in full.

    ``words`` says how a word (lower case, with its accents) is written instead; ``known`` are words that may have a
    letter twice, so that "gooood" is "good" and "soooo" is "so".
    """

    def __init__(self, words: Mapping[str, str], known: Collection[str] = ()) -> None:
        self._words = words
        self._known = frozenset(known)
        self._remembered: dict[str, str] = {}

    def normal(self, text: str) -> str:
        """The normal form of ``text``; commas, colons and dashes between words stay, as ``,``."""
        written = unicodedata.normalize("NFKC", text.translate(_ALL_APOSTROPHES)).casefold()
        known = self._remembered
        return " ".join([known[token] if token in known else self._learn(token) for token in _TOKEN.findall(written)])

    def _learn(self, token: str) -> str:
        """The normal form of a token, remembered: most words come again."""
        if len(self._remembered) >= _MAX_REMEMBERED:
            self._remembered.clear()
        word = self._word(token)
        if len(token) <= _MAX_REMEMBERED_CHARS:
            self._remembered[token] = word
        return word

    def _word(self, token: str) -> str:
        if not token[0].isalnum():
            return token if token == _QUOTED else ","
        if _LONG_RUN.search(token):
            token = self._shortened(token)
        if (known := self._words.get(token)) is not None:
            return known
        if "'" in token:
            token = _without_apostrophe(token)
        if token.isascii():
            return self._words.get(token, token)
        plain = unicodedata.normalize("NFC", _MARK.sub("", unicodedata.normalize("NFD", token)))
        return self._words.get(plain, plain)

    def _shortened(self, token: str) -> str:
        once, twice = _LONG_RUN.sub(r"\1", token), _LONG_RUN.sub(r"\1\1", token)
        return twice if twice in self._known else once


def own_words(text: str) -> str:
    """``text`` without code, quotations, block quotes and addresses."""
    return str(_FOREIGN.sub(f" {_QUOTED} ", text.translate(_APOSTROPHES)))


def sentences(text: str, normalizer: Normalizer) -> list[Sentence]:
    """The sentences of a message in its author's own words, at most :data:`MAX_SENTENCES`."""
    pieces = [piece for piece in _SENTENCE.findall(own_words(text)) if piece.strip(" .,!?;…\t")]
    if len(pieces) > MAX_SENTENCES:
        pieces = [*pieces[:_END_SENTENCES], *pieces[-_END_SENTENCES:]]
    return [_sentence(piece, normalizer) for piece in pieces]


def compile_words(pattern: str) -> Any:
    """An expression of RE2 over the normal form."""
    return re2.compile(pattern)


def _sentence(piece: str, normalizer: Normalizer) -> Sentence:
    raw = piece.replace(_QUOTED, "…").strip()
    plain = normalizer.normal(piece[:_MAX_SENTENCE_CHARS]).strip(", ")
    return Sentence(plain, raw, "?" in raw[-4:])


def _without_apostrophe(token: str) -> str:
    for ending, full in _ENGLISH_ENDINGS.items():
        if token.endswith(ending):
            return f"{token.removesuffix(ending)}{full}"
    head, _, tail = token.partition("'")
    if tail == "s" and head in _IS_AFTER:
        return f"{head} is"
    return token.replace("'", " ")

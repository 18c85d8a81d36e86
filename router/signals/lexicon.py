"""The phrase lists of ``data/``: how users say what a signal is about, in several languages, compiled once.

A file of ``data/languages`` has words and phrases of one language; ``data/interaction.yaml`` says of each type when its
phrases count. A phrase is written in plain words, with ``(a|b)`` for alternatives, ``(a )?`` for what may be left out,
``*`` for up to three words of any kind and ``{name}`` for a list of that name in the same file; classes, counts and
ends of expressions (``\\S+``, ``{1,4}``, ``$``) stay what they are. All are compiled for RE2, over the normal form of
``plain_text``: a comma may stand between any two words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, TypeAlias, get_args

import yaml

from router.signals.plain_text import Normalizer, compile_words
from router.signals.report import SignalType

# ``anywhere`` in a sentence, at the ``opening`` of a part of it, as the ``whole`` of it, or as a ``reply``: at its
# opening, where the assistant has asked nothing (else it is the answer).
Place: TypeAlias = Literal["anywhere", "opening", "whole", "reply"]

# Words that decide about what is said around them.
Guard: TypeAlias = Literal[
    "reported",
    "conditional",
    "task",
    "adversative",
    "request",
    "continuing",
    "weak_rephrase",
    "confirming",
    "additional",
]

# Any words; what is an expression already; plain words.
_PIECE = re.compile(r"(?<!\))\* |(\\[wSd]\+|\.\+|\$|\[[a-z]+\]|\{\d,\d\}|[()|?*+])|([^()|?*+$\\\[\]{}.]+)")
_LIST_NAME = re.compile(r"\{([a-z]+)\}")
_ANY_WORDS = "(?:[^ ]+ ){0,3}"
_GAP = "(?: ,)? "
_END = "(?:\\b|[ ,]|$)"  # also behind a comma that is part of the phrase


@dataclass(frozen=True, slots=True)
class Wording:
    """How one type is said. ``confidence`` is that of a phrase; a ``reply`` says it less surely.

    ``needs_answer``: only where the assistant has answered before. ``questions``: also in sentences that are questions.
    ``conditionals``: also behind an "if". ``adversatives``: also where a "but" follows in the sentence.
    """

    type: SignalType
    confidence: float
    needs_answer: bool
    questions: bool
    conditionals: bool
    adversatives: bool
    places: Mapping[Place, Any]
    exceptions: Any | None


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All languages together. ``guards`` are expressions of RE2; ``stopwords`` do not say what a text is about."""

    normalizer: Normalizer
    wordings: tuple[Wording, ...]
    guards: Mapping[Guard, Any]
    stopwords: frozenset[str]
    prototypes: Mapping[SignalType | None, tuple[str, ...]]


@cache
def lexicon() -> Lexicon:
    """The bundled lists, read at the first use."""
    folder = resources.files("router.signals") / "data"
    languages = [
        yaml.load(file.read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506 - gives strings only, also for `on`
        for file in sorted((folder / "languages").iterdir(), key=lambda file: file.name)
        if file.name.endswith(".yaml")
    ]
    kinds = yaml.safe_load((folder / "interaction.yaml").read_text(encoding="utf-8"))
    return build_lexicon(kinds, languages)


def build_lexicon(kinds: Mapping[str, Any], languages: Sequence[Mapping[str, Any]]) -> Lexicon:
    """``kinds`` says when phrases count, by type; each of ``languages`` has the lists of one language."""
    words = {word: full for language in languages for word, full in language.get("words", {}).items()}
    bare = Normalizer(words)
    expanded = [_Language(language, bare) for language in languages]
    known = {word for language in expanded for word in language.vocabulary()}
    wordings = tuple(_wording(kind, rules, expanded) for kind, rules in kinds["types"].items())
    guards = {name: _guard(name, expanded) for name in get_args(Guard)}
    empty = [word for each in languages for word in (*each.get("stopwords", ()), *each.get("fillers", ()))]
    stopwords = frozenset(bare.normal(" ".join(empty)).split())
    prototypes = {None if kind == "neutral" else kind: tuple(texts) for kind, texts in kinds["prototypes"].items()}
    return Lexicon(Normalizer(words, known), wordings, guards, stopwords, prototypes)


class _Language:
    """The lists of one language as expressions."""

    def __init__(self, lists: Mapping[str, Any], normalizer: Normalizer) -> None:
        self._lists = lists
        self._normalizer = normalizer
        self._named = {name: f"(?:{self._plain(phrase)})" for name, phrase in lists.get("lists", {}).items()}

    def guard(self, name: str) -> list[str]:
        return self._all(self._lists.get("guards", {}).get(name, ()))

    def fillers(self) -> list[str]:
        return self._all(self._lists.get("fillers", ()))

    def phrases(self, kind: str, place: str) -> list[str]:
        return self._all(self._lists.get("types", {}).get(kind, {}).get(place, ()))

    def vocabulary(self) -> Iterator[str]:
        """All words of the phrases, as they are written in the normal form."""
        types: Mapping[str, Mapping[str, Sequence[str]]] = self._lists.get("types", {})
        texts = [phrase for places in types.values() for phrases in places.values() for phrase in phrases]
        for text in (*texts, *self._lists.get("fillers", ())):
            yield from self._normalizer.normal(_PIECE.sub(lambda piece: piece[2] or " ", text)).split()

    def _all(self, phrases: Iterable[str]) -> list[str]:
        return [self._expression(phrase) for phrase in phrases]

    def _expression(self, phrase: str) -> str:
        parts = _LIST_NAME.split(phrase)
        written = [self._plain(part) if place % 2 == 0 else self._named[part] for place, part in enumerate(parts)]
        return "".join(written)

    def _plain(self, phrase: str) -> str:
        return _PIECE.sub(self._piece, phrase)

    def _piece(self, piece: re.Match[str]) -> str:
        if piece[2] is not None:
            return self._normal(piece[2])
        return piece[1] or _ANY_WORDS

    def _normal(self, chunk: str) -> str:
        """Words in their normal form, spaces at the ends kept."""
        inner = " ".join(map(re.escape, self._normalizer.normal(chunk).split()))
        spaced = f"{' ' * chunk.startswith(' ')}{inner}{' ' * (chunk.endswith(' ') and bool(inner))}"
        return spaced.replace(" ", _GAP)


def _wording(kind: SignalType, rules: Mapping[str, Any], languages: Sequence[_Language]) -> Wording:
    fillers = f"(?:{_alternatives(language.fillers() for language in languages)} (?:, )?)*"
    frames: Mapping[Place, tuple[str, str]] = {
        "anywhere": ("\\b", _END),
        "opening": (f"(?:^|, ){fillers}", _END),
        "reply": (f"^{fillers}", _END),
        "whole": (f"^{fillers}", f"(?: (?:, )?{_alternatives(language.fillers() for language in languages)})*$"),
    }
    places = {
        place: compile_words(f"{before}{body}{after}")
        for place, (before, after) in frames.items()
        if (body := _alternatives(language.phrases(kind, place) for language in languages))
    }
    exceptions = _alternatives(language.phrases(kind, "except") for language in languages)
    return Wording(
        kind,
        rules["confidence"],
        rules.get("needs_answer", True),
        rules.get("questions", False),
        rules.get("conditionals", False),
        rules.get("adversatives", True),
        places,
        compile_words(f"\\b{exceptions}\\b") if exceptions else None,
    )


def _guard(name: Guard, languages: Sequence[_Language]) -> Any:
    """A task is what a sentence begins with; the other guards may stand anywhere."""
    body = _alternatives(language.guard(name) for language in languages)
    if name != "task":
        return compile_words(f"\\b{body}\\b")
    return compile_words(f"^(?:{_alternatives(language.fillers() for language in languages)} (?:, )?)*{body}\\b")


def _alternatives(lists: Iterable[Sequence[str]]) -> str:
    """One expression for all; empty where there are none."""
    flat = [expression for expressions in lists for expression in expressions]
    return f"(?:{'|'.join(flat)})" if flat else ""

"""What a user message says outright: phrases that count where they stand, and do not where others are quoted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from router.signals.lexicon import Lexicon, Wording
from router.signals.plain_text import Sentence
from router.signals.report import SignalType

_REPLY_CONFIDENCE = 0.7
_SATISFIED = frozenset(
    {
        "interaction.satisfaction.gratitude",
        "interaction.satisfaction.confirmation",
        "interaction.satisfaction.success",
    }
)
_UNHAPPY = frozenset({"interaction.misalignment.correction", "interaction.disengagement.negative_stance"})


@dataclass(frozen=True, slots=True)
class Said:
    """Something that a sentence says."""

    type: SignalType
    confidence: float
    sentence: Sentence


@dataclass(frozen=True, slots=True)
class Situation:
    """What was before the message: ``answered`` by the assistant at all, and whether its last words ``asked``."""

    answered: bool
    asked: bool


def read_wording(message: Sequence[Sentence], situation: Situation, lexicon: Lexicon) -> list[Said]:
    """What the sentences of a user message say, each type once."""
    found: dict[SignalType, Said] = {}
    for place, sentence in enumerate(message):
        if _is_task(sentence, lexicon):
            if sentence.raw.rstrip().endswith(":"):
                break  # what follows is material
            continue
        for wording in lexicon.wordings:
            if wording.type not in found and (situation.answered or not wording.needs_answer):
                confidence = _confidence(wording, sentence, situation, lexicon)
                if confidence and not _is_politeness(wording, message, place, lexicon):
                    found[wording.type] = Said(wording.type, confidence, sentence)
    return _agreed(found, message, lexicon)


def _confidence(wording: Wording, sentence: Sentence, situation: Situation, lexicon: Lexicon) -> float:
    """How sure it is that the sentence says it; 0 where it does not."""
    if sentence.question and not wording.questions:
        return 0.0
    for place, pattern in wording.places.items():
        if place == "reply" and situation.asked:
            continue
        spans = list(_spans(pattern, sentence.plain))
        excepted = list(_spans(wording.exceptions, sentence.plain)) if spans and wording.exceptions is not None else []
        own = (span for span in spans if not any(first < span[1] and span[0] < last for first, last in excepted))
        if any(_counts(wording, sentence.plain, start, end, lexicon) for start, end in own):
            return min(wording.confidence, _REPLY_CONFIDENCE) if place == "reply" else wording.confidence
    return 0.0


def _counts(wording: Wording, text: str, start: int, end: int, lexicon: Lexicon) -> bool:
    """Whether what stands at ``text[start:end]`` is the user's own, said of what is, and not taken back."""
    before = text[:start]
    if lexicon.guards["reported"].search(before):
        return False
    if not wording.conditionals and lexicon.guards["conditional"].search(before):
        return False
    return wording.adversatives or not lexicon.guards["adversative"].search(text[end:])


def _is_task(sentence: Sentence, lexicon: Lexicon) -> bool:
    """Whether the sentence asks for work on something, so that its words are about that."""
    return lexicon.guards["task"].search(sentence.plain) is not None


def _is_politeness(wording: Wording, message: Sequence[Sentence], place: int, lexicon: Lexicon) -> bool:
    """Whether thanks are part of a request: behind one, with nothing after them."""
    if wording.type != "interaction.satisfaction.gratitude":
        return False
    own = message[place].plain
    thanks = min((start for pattern in wording.places.values() for start, _ in _spans(pattern, own)), default=0)
    before = [*(sentence.plain for sentence in message[:place]), own[:thanks]]
    asked = any(sentence.question for sentence in message[:place])
    return asked or any(lexicon.guards["request"].search(text) for text in before)


def _agreed(found: dict[SignalType, Said], message: Sequence[Sentence], lexicon: Lexicon) -> list[Said]:
    """``found`` without a satisfaction that the rest of the message takes back."""
    if _UNHAPPY.isdisjoint(found):
        return list(found.values())
    taken_back = any(lexicon.guards["adversative"].search(sentence.plain) for sentence in message)
    return [said for said in found.values() if not (taken_back and said.type in _SATISFIED)]


def _spans(pattern: Any, text: str) -> Iterator[tuple[int, int]]:
    """Where ``pattern`` matches, overlapping matches too."""
    start = 0
    while (match := pattern.search(text, start)) is not None:
        yield match.span()
        start = match.start() + 1

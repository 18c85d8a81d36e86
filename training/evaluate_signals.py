"""The signals section of the quality report: precision and recall of each type, on hand-written conversations.

``python evaluate_signals.py`` prints it; ``signals_section`` is for ``evaluate.py``. Conversations are fed exchange by
exchange, as the gateway sees them. What is measured is the gateway's own code (``router.signals``), with and without
the sentence encoder that Triton serves.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quality_table import Line, section
from retrieval_report import ServedEncoder
from serving import REPOSITORY

from router.signals.analyzer import analyze, texts_to_embed
from router.signals.exchange import Exchange
from router.signals.report import SIGNAL_TYPES, Signal, SignalType
from router.signals.semantics import Meaning, Prototypes, prototype_texts
from router.signals.state import ConversationState

ENCODER = REPOSITORY / "cpu" / "encoder" / "1"
DATA = Path(__file__).resolve().parent / "data" / "signals"
# Where in a conversation that it began to drag is said does not matter.
_OF_THE_WHOLE = frozenset({"interaction.stagnation.dragging"})


@dataclass(frozen=True)
class LabelledConversation:
    """``signals`` are all that there are, and ``hard`` what looks like one and is none: (message index, type)."""

    id: str
    messages: Sequence[dict[str, Any]]
    ending: Mapping[str, Any] | None
    signals: frozenset[tuple[int, str]]
    hard: frozenset[tuple[int, str]]

    def exchanges(self) -> Iterator[Exchange]:
        """One for each answer; the last has the conversation's ending."""
        ends = [index for index, message in enumerate(self.messages) if message["role"] == "assistant"]
        if self.messages[-1]["role"] != "assistant":
            ends.append(len(self.messages))
        for end in ends:
            last = end == ends[-1]
            ending = (self.ending if last else None) or {}
            yield Exchange(
                0,
                self.messages[:end],
                self.messages[end] if end < len(self.messages) else None,
                ending.get("status", 200),
                ending.get("error_code"),
                ending.get("attempts", ("ok",)),
                ending.get("finish_reason"),
            )


@dataclass(frozen=True)
class Judged:
    """What was found in one conversation, beside what is there."""

    conversation: LabelledConversation
    found: frozenset[tuple[int, str]]

    def pairs(self, kind: str) -> tuple[set[int], set[int]]:
        """Where ``kind`` was found, and where it is."""
        found = {index for index, name in self.found if name == kind}
        there = {index for index, name in self.conversation.signals if name == kind}
        return ({0 for _ in found}, {0 for _ in there}) if kind in _OF_THE_WHOLE else (found, there)


class KeptVectors:
    """The sentence encoder outside Triton; each text is encoded once."""

    def __init__(self) -> None:
        self._model = ServedEncoder(ENCODER)
        self._kept: dict[str, tuple[float, ...]] = {}
        self.prototypes = Prototypes(self.encode(prototype_texts()))

    def encode(self, texts: Sequence[str]) -> Mapping[str, tuple[float, ...]]:
        for text in texts:
            if text not in self._kept:
                self._kept[text] = tuple(map(float, self._model([text])[0]))
        return self._kept


def load_conversations(part: str) -> list[LabelledConversation]:
    """The conversations of ``dev`` or ``heldout``."""
    rows = [json.loads(line) for line in (DATA / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()]
    return [
        LabelledConversation(
            row["id"],
            row["messages"],
            row.get("exchange"),
            frozenset((index, kind) for index, kind in row["signals"]),
            frozenset((index, kind) for index, kind in row["hard"]),
        )
        for row in rows
    ]


def judge(conversation: LabelledConversation, encoder: KeptVectors | None = None) -> Judged:
    found: set[tuple[int, str]] = set()
    state: ConversationState | None = None
    for exchange in conversation.exchanges():
        meaning = None
        if encoder is not None:
            meaning = Meaning(encoder.encode(texts_to_embed(exchange, state)), encoder.prototypes)
        report, state = analyze(exchange, state, meaning)
        found |= {_place(signal) for signal in report.signals}
    return Judged(conversation, frozenset(found))


def _place(signal: Signal) -> tuple[int, SignalType]:
    return signal.message_index, signal.type


def signal_lines(judged: Sequence[Judged], name: str = "") -> list[Line]:
    """Precision and recall of all types, of each, and false alarms where something looks like a signal."""
    lines = _rates(judged, SIGNAL_TYPES, f"{name}all types")
    for kind in SIGNAL_TYPES:
        lines += _rates(judged, (kind,), f"{name}{kind}")
        alarmed = [place in one.found for one in judged for place in one.conversation.hard if place[1] == kind]
        lines.append(_line(f"{name}{kind}: false alarms, hard negatives", alarmed))
    return lines


def signals_section() -> str:
    """The section of ``benchmarks/quality.md``."""
    conversations = load_conversations("heldout")
    signals, hard = sum(len(one.signals) for one in conversations), sum(len(one.hard) for one in conversations)
    about = (
        f"{len(conversations)} hand-written conversations with {signals} signals and {hard} places that look like one "
        "and are none. They were written before the phrase lists and not looked at since, but by the same hand: other "
        "users will say things in ways that neither has. Everything that is found in any of them counts for precision; "
        "of the encoder, only what users say is asked."
    )
    plain = [judge(one) for one in conversations]
    encoder = KeptVectors()
    encoded = [judge(one, encoder) for one in conversations]
    lines = [*signal_lines(plain), *(line for line in signal_lines(encoded, "with the encoder, ") if _is_asked(line))]
    return section("Signals", about, lines)


def _rates(judged: Sequence[Judged], kinds: Sequence[str], label: str) -> list[Line]:
    """Of what was found, how much is there; and of what is there, how much was found."""
    pairs = [each.pairs(kind) for each in judged for kind in kinds]
    right = [index in there for found, there in pairs for index in found]
    caught = [index in found for found, there in pairs for index in there]
    return [_line(f"{label}: precision", right), _line(f"{label}: recall", caught)]


def _line(measure: str, outcomes: Sequence[bool]) -> Line:
    """A rate with its Wilson interval (95 %), which says something also about rates of 0 and 1."""
    count = len(outcomes)
    if not count:
        return Line(measure, 0, math.nan, None, None, "")
    rate, z = sum(outcomes) / count, 1.96
    middle = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    return Line(measure, count, rate, max(0.0, middle - half), min(1.0, middle + half), "")


def _is_asked(line: Line) -> bool:
    """Whether a line is about what the encoder may change."""
    return "hard negatives" not in line.measure and ("all types" in line.measure or "interaction." in line.measure)


def mistakes(judged: Sequence[Judged]) -> Iterator[str]:
    """What was missed and what was found for nothing, in words."""
    for each in judged:
        for kind in SIGNAL_TYPES:
            found, there = each.pairs(kind)
            for word, places in (("missed", there - found), ("wrong", found - there)):
                for index in sorted(places):
                    said = each.conversation.messages[index : index + 1]
                    text = json.dumps(said, ensure_ascii=False)[:220]
                    yield f"{word:7} {kind} {each.conversation.id}[{index}] {text}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("dev", "heldout"), default="heldout")
    parser.add_argument("--encoder", action="store_true", help="with the sentence encoder")
    parser.add_argument("--mistakes", action="store_true", help="what was missed and what was wrong; not of held-out")
    options = parser.parse_args()
    encoder = KeptVectors() if options.encoder else None
    judged = [judge(one, encoder) for one in load_conversations(options.part)]
    print(section("Signals", options.part, signal_lines(judged)))
    if options.mistakes and options.part == "dev":
        print("\n".join(mistakes(judged)))


if __name__ == "__main__":
    main()

"""Signals of conversations that arrive exchange by exchange, and what is said and counted of them."""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Sequence
from typing import Any

import pytest

from router.errors import ModelUnavailable
from router.observer.content import ContentCapture
from router.observer.conversations import Conversations, Meanings
from router.observer.requests import RequestPipeline
from router.observer.signal_reports import SignalReports
from router.signals.exchange import Exchange
from router.signals.report import SIGNAL_GROUPS, GroupSummary, Signal, SignalReport
from router.signals.semantics import prototype_texts
from router.signals.tracker import TrackerBounds
from router.telemetry import catalogue, semconv
from router.telemetry.instruments import Registry
from router.triton.models import Embedding
from tests.observer.telling import Taken, chat_answer, request_message, traced

CORRECTION: list[dict[str, Any]] = [
    {"role": "user", "content": "What is the weather in Oslo?"},
    {"role": "assistant", "content": "Bergen has rain today."},
    {"role": "user", "content": "No, that's wrong. I asked about Oslo, not Bergen."},
]


def exchange(messages: Sequence[dict[str, Any]], *, start: int = 0, answer: str = "Sunny.") -> Exchange:
    return Exchange(start, messages, {"role": "assistant", "content": answer}, 200, None, ["ok"], "stop")


def kinds(report: SignalReport) -> set[str]:
    return {signal.type for signal in report.signals}


async def test_conversations_go_on_where_they_were_left() -> None:
    conversations = Conversations()
    first = await conversations.analyse("a", exchange(CORRECTION[:1], answer="Bergen has rain today."))
    assert kinds(first) == set()
    second = await conversations.analyse("a", exchange(CORRECTION[1:], start=1))
    assert kinds(second) == {"interaction.misalignment.correction"}
    assert second.turns == 2


async def test_conversations_do_not_mix() -> None:
    conversations = Conversations()
    await conversations.analyse("a", exchange(CORRECTION))
    assert (await conversations.analyse("b", exchange(CORRECTION[:1]))).turns == 1
    assert len(conversations) == 2


async def test_only_the_newest_conversations_are_remembered() -> None:
    conversations = Conversations(bounds=TrackerBounds(conversations=3))
    for number in range(10):
        await conversations.analyse(str(number), exchange(CORRECTION[:1]))
    assert len(conversations) == 3


class FakeEncoder:
    """Knows the bundled texts apart; every other text is what ``means`` says. Away while ``away``."""

    def __init__(self, means: str) -> None:
        self._known = {text: place for place, text in enumerate(prototype_texts())}
        self._means = means
        self.away = False
        self.version = "1"
        self.asked: list[tuple[str, ...]] = []

    async def encode(self, texts: Sequence[str], *, timeout_s: float) -> list[Embedding]:
        self.asked.append(tuple(texts))
        if self.away:
            raise ModelUnavailable("The model 'encoder' cannot be reached.")
        return [self._vector(self._known.get(text, self._known[self._means])) for text in texts]

    def _vector(self, place: int) -> Embedding:
        width = len(self._known)
        values = [1.0 if each == place else 0.0 for each in range(width)]
        assert math.isclose(math.hypot(*values), 1.0)
        return Embedding(struct.pack(f"<{width}f", *values), f"encoder/{self.version}")


def said_by(kind: str) -> str:
    """A bundled text that says a signal of this type."""
    from router.signals.lexicon import lexicon

    return next(texts[0] for each, texts in lexicon().prototypes.items() if each is not None and each.endswith(kind))


# What no phrase list has, behind an answer.
UNSAID = [*CORRECTION[:2], {"role": "user", "content": "Flibber gromp."}]


async def test_the_encoder_finds_what_no_phrase_says() -> None:
    assert kinds(await Conversations().analyse("a", exchange(UNSAID))) == set()
    encoder = FakeEncoder(said_by("correction"))
    found = await Conversations(Meanings(encoder)).analyse("a", exchange(UNSAID))
    assert "interaction.misalignment.correction" in kinds(found)


async def test_prototypes_are_encoded_once_for_each_version_of_the_encoder() -> None:
    encoder = FakeEncoder(said_by("correction"))
    meanings = Meanings(encoder)
    for text in ("one", "two"):
        assert await meanings.of([text]) is not None
    assert encoder.asked == [("one",), prototype_texts(), ("two",)]
    encoder.version = "2"
    await meanings.of(["three"])
    assert encoder.asked[3:] == [("three",), prototype_texts()]


async def test_without_the_encoder_phrases_have_to_do_and_it_is_left_alone_for_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    encoder = FakeEncoder(said_by("correction"))
    encoder.away = True
    conversations = Conversations(Meanings(encoder))
    for key in ("a", "b", "c"):
        assert kinds(await conversations.analyse(key, exchange(CORRECTION))) == {"interaction.misalignment.correction"}
    assert len(encoder.asked) == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def fixed_report(*, signals: tuple[Signal, ...] = ()) -> SignalReport:
    groups = {group: GroupSummary(0, 0) for group in SIGNAL_GROUPS}
    if signals:
        groups["execution.loops"] = GroupSummary(3, 2)
    return SignalReport(signals, (), groups, "poor" if signals else "neutral", 31.5 if signals else 50.0, 4)


async def reported(report: SignalReport, registry: Registry, **options: Any) -> Taken:
    async def analyse(key: str, seen: Exchange) -> SignalReport:
        assert (key, seen.start, seen.messages, seen.attempts) == ("a conversation", 0, CORRECTION, ["ok"])
        assert seen.answer is not None
        assert (seen.answer["content"], seen.status, seen.finish_reason) == ("Sunny.", 200, "stop")
        return report

    taken = Taken()
    signals = SignalReports(analyse, registry, **options)
    pipeline = RequestPipeline([taken], static={}, signals=signals)
    await pipeline.handle(request_message(traced(), CORRECTION), chat_answer({"content": "Sunny."}))
    return taken


RETRIED = Signal("execution.loops.retry", 6, 0.83333, "called weather for jane.doe@example.com")


async def test_signals_are_on_the_requests_span_and_counted() -> None:
    registry = Registry()
    root = (await reported(fixed_report(signals=(RETRIED,)), registry)).spans[0]
    said = {name: value for name, value in root.attributes.items() if name != semconv.LISTENER}
    assert said == {
        "trident.conversation.quality": "poor",
        "trident.conversation.score": 31.5,
        "trident.signal.count": 1,
        "trident.signal.severity": 2,
        "trident.signal.execution.loops.count": 3,
        "trident.signal.execution.loops.severity": 2,
    }
    assert root.events == [
        (
            root.ended_ns,
            "signal",
            {
                "trident.signal.type": "execution.loops.retry",
                "trident.signal.message_index": 6,
                "trident.signal.confidence": 0.833,
            },
        )
    ]
    assert registry.snapshot() == {
        catalogue.SIGNALS.name: [(["execution.loops.retry"], 1)],
        catalogue.CONVERSATION_QUALITY.name: [(["web", "poor"], 1)],
    }


async def test_exchanges_are_let_go_and_counted_while_too_much_is_waiting() -> None:
    async def analyse(key: str, seen: Exchange) -> SignalReport:
        pytest.fail("there is no time for this")

    registry, taken = Registry(), Taken()
    signals = SignalReports(analyse, registry, is_behind=lambda: True)
    await RequestPipeline([taken], static={}, signals=signals).handle(request_message(traced(), CORRECTION), b"")
    assert registry.snapshot() == {catalogue.TELEMETRY_DROPPED.name: [(["exchanges"], 1)]}
    assert len(taken.spans) == 2


async def test_snippets_are_content_and_redacted() -> None:
    options = {"content": ContentCapture()}
    root = (await reported(fixed_report(signals=(RETRIED,)), Registry(), **options)).spans[0]
    snippet = root.events[0][2]["trident.signal.snippet"]
    assert snippet.startswith("called weather for ")
    assert "jane.doe" not in snippet


async def test_a_conversation_without_signals_says_so() -> None:
    registry = Registry()
    root = (await reported(fixed_report(), registry)).spans[0]
    assert (root.attributes["trident.signal.count"], root.events) == (0, [])
    assert catalogue.SIGNALS.name not in registry.snapshot()
    assert registry.snapshot()[catalogue.CONVERSATION_QUALITY.name] == [(["web", "neutral"], 1)]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"key": None, "start": "x", "messages": 5, "status": "ok", "attempts": 7, "error_code": 4, "listener": []},
        {"key": "k", "start": 3, "messages": [None, 5, {"role": 7}, []], "status": 500, "attempts": [None]},
    ],
)
async def test_what_is_no_exchange_is_survived(fields: dict[str, Any]) -> None:
    await SignalReports(Conversations().analyse, Registry()).observe(fields, None, None)

"""Whatever users write: nothing is raised, nothing is made up, nothing takes long."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from router.context import Turn
from router.functions.extractor import PendingCall
from tests.functions.extraction.readings import EXTRACTOR, parameter, target, word_list

EVERYTHING = target(
    parameter("city", "City to go to", required=True),
    parameter("person", "Name of a person"),
    parameter("note", "Note"),
    parameter("query", "Words to search for"),
    parameter("day", "First day", format="date"),
    parameter("last_day", "Last day", format="date"),
    parameter("start", "Begin", format="date-time"),
    parameter("at", "Time", format="time"),
    parameter("length", "Length", format="duration"),
    parameter("count", "Number of people", type="integer"),
    parameter("price", "Highest price", type="number"),
    parameter("color", "Colour", enum=("red", "light-blue", "on")),
    parameter("flag", "Express delivery", type="boolean"),
    parameter("tags", "Tags", type="array"),
    parameter("order", "Order number like A-12345"),
    parameter("country", "Country, ISO 3166-1 code"),
    parameter("currency", "Currency, ISO 4217 code"),
    parameter("mail", "Address", format="email"),
    parameter("phone", "Telephone number"),
    parameter("postcode", "Postal code"),
)
PIECES = st.sampled_from(
    [
        "\n",
        "\0",
        *word_list(
            "in to from and or not the a , . : ; ' \" - / % $ \u20ac one two half dozen million 3 30 2025 12/20 10:30",
            "7pm noon past next last Friday May July tomorrow ago weeks days hours kg people Paris Rome New York",
            "A-12345 a@b.co www.x.org +49 saying because tags: red blue no yes with without meant it 00 1e999",
            "\xbd \u0663 \uff11\uff12 \U0001d7d3 \xdf \u0130 \ufdfa 99999999999999999999 -1 1.2.3",
        ),
    ]
)
PHRASES = st.lists(PIECES, max_size=40)
TEXTS = st.one_of(st.text(max_size=200), PHRASES.map(" ".join), PHRASES.map("".join))


def extracted(texts: list[str], pending: PendingCall | None) -> list[dict[str, Any]]:
    turns = [Turn("assistant" if index % 2 else "user", text) for index, text in enumerate(texts)]
    return [dict(call.arguments) for call in EXTRACTOR.extract_now([EVERYTHING], turns, pending).calls]


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=5), st.sampled_from([None, *(each.name for each in EVERYTHING.parameters)]))
def test_any_conversation_yields_calls_that_can_be_sent(texts: list[str], asked: str | None) -> None:
    pending = None if asked is None else PendingCall(EVERYTHING.name, {}, asked)
    found = extracted(texts, pending)
    assert 1 <= len(found) <= 8
    for arguments in found:
        assert arguments.keys() <= {each.name for each in EVERYTHING.parameters}
        assert None not in arguments.values()
        orjson.dumps(arguments)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_names_and_texts_are_parts_of_what_was_said(text: str) -> None:
    for arguments in extracted([text], None):
        for name in ("city", "person", "note", "query"):
            assert str(arguments.get(name, "")) in text
        for tag in arguments.get("tags", []):
            assert tag in text


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_values_fit_the_types_of_their_parameters(text: str) -> None:
    for arguments in extracted([text], None):
        assert isinstance(arguments.get("count", 0), int)
        assert isinstance(arguments.get("price", 0), int | float)
        assert isinstance(arguments.get("flag", False), bool)
        assert arguments.get("color", "red") in {"red", "light-blue", "on"}
        assert isinstance(arguments.get("tags", []), list)


async def test_a_huge_conversation_is_read_in_part() -> None:
    turns = [Turn("assistant" if index % 2 else "user", "weather in Oslo " * 10_000) for index in range(101)]
    found = await EXTRACTOR.extract([EVERYTHING], turns, None, timeout_s=10.0)
    assert [call.arguments.get("city") for call in found.calls] == ["Oslo"]

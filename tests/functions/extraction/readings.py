"""What the tests of the extractor share: a clock, short targets, and what a turn or a conversation yields."""

from __future__ import annotations

import datetime
from typing import Any

from router.context import Turn
from router.functions.extraction.embedded import EmbeddedExtractor
from router.functions.extraction.reading import Reader, Reading
from router.functions.extractor import ExtractedCall, PendingCall
from router.functions.targets import Arguments, Parameter, Target

NOW = datetime.datetime(2025, 6, 11, 9, 30, tzinfo=datetime.timezone.utc)  # a Wednesday
READER = Reader()
EXTRACTOR = EmbeddedExtractor(lambda: NOW)


def word_list(*lines: str) -> list[str]:
    return [word for line in lines for word in line.split()]


def read(text: str) -> Reading:
    return READER.read(text, NOW.date())


def target(*parameters: Parameter, name: str = "find_thing", description: str = "Find a thing") -> Target:
    return Target(name, description, parameters)


def parameter(name: str, description: str = "", **other: Any) -> Parameter:
    return Parameter(name, description, **other)


def calls(where: Target, *texts: str, pending: PendingCall | None = None) -> tuple[ExtractedCall, ...]:
    """The calls for the newest of ``texts``, which alternate between user and assistant."""
    turns = [Turn("assistant" if index % 2 else "user", text) for index, text in enumerate(texts)]
    return EXTRACTOR.extract_now([where], turns, pending).calls


def arguments(where: Target, *texts: str, pending: PendingCall | None = None) -> Arguments:
    [call] = calls(where, *texts, pending=pending)
    return call.arguments


WEATHER = target(
    parameter("location", "City name", required=True),
    parameter("days", "Number of days of the forecast", type="integer"),
    name="get_weather",
    description="Weather forecast for a city",
)

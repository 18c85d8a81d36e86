"""Distinct requests in plain language: no cache between the load generator and the models can answer twice.

They come in the dialects that clients speak, with the headers that go with them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Literal

Dialect = Literal["chat", "messages"]

PATHS: Mapping[Dialect, str] = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
_CITIES = """
Oslo Paris Rome Tokyo Lima Cairo Delhi Seoul Boston Berlin Madrid Lisbon Vienna Prague Athens Dublin Geneva Munich
Nairobi Sydney Dakar Quito Miami Denver Austin Riga Tallinn Warsaw Budapest Sofia
"""
CITIES = tuple(_CITIES.split())
DAYS = ("today", "tomorrow", "on Monday", "on Tuesday", "on Wednesday", "on Thursday", "on Friday", "at the weekend")
WISHES = ("", " Keep it short.", " Give me the details.", " In one sentence.", " I am in a hurry.", " A table is fine.")
QUESTIONS = (
    "What is the weather like in {a} {day}, compared to {b}?",
    "Will it rain in {a} or in {b} {day}?",
    "How warm does it get in {a} {day}? It is cold here in {b}.",
    "Do I need a coat in {a} {day} when I come from {b}?",
    "Find me a flight from {a} to {b} {day}.",
    "Which flights leave {a} for {b} {day}?",
    "I want to fly from {a} to {b} {day}, what is the cheapest?",
    "Is there a direct connection between {a} and {b} {day}?",
)
SIZES = (len(QUESTIONS), len(CITIES), len(CITIES) - 1, len(DAYS), len(WISHES))
COUNT = math.prod(SIZES)
_STRIDE = 206_477  # has no factor in common with COUNT, so every question comes once, and neighbours differ


def prompt(number: int) -> str:
    """A question; the numbers below `COUNT` all give different ones."""
    rest = number * _STRIDE % COUNT
    digits = []
    for size in SIZES:
        rest, digit = divmod(rest, size)
        digits.append(digit)
    question, a, other, day, wish = digits
    b = (a + 1 + other) % len(CITIES)
    return QUESTIONS[question].format(a=CITIES[a], b=CITIES[b], day=DAYS[day]) + WISHES[wish]


def headers(dialect: Dialect, key: str | None) -> dict[str, str]:
    """What a client of ``dialect`` sends beside the body, with its key where the target wants one."""
    if dialect == "messages":
        return {"anthropic-version": "2023-06-01", **({} if key is None else {"x-api-key": key})}
    return {} if key is None else {"authorization": f"Bearer {key}"}


def bodies(start: int, count: int, *, words: int, stream: bool, dialect: Dialect = "chat") -> Sequence[bytes]:
    """``count`` requests from prompt ``start`` on, for a mock agent that answers ``words`` words."""
    more = {"max_tokens": 1024} if dialect == "messages" else {}
    return [
        json.dumps(
            {
                "model": f"mock-{words}",
                "messages": [{"role": "user", "content": prompt((start + i) % COUNT)}],
                **more,
                "stream": stream,
            },
            separators=(",", ":"),
        ).encode()
        for i in range(count)
    ]

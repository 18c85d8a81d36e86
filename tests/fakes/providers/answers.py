"""What a fake provider is told to answer, in words of no dialect; each API says it in its own."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

Stop = Literal["stop", "length", "tool_calls", "refusal", "stop_sequence"]


@dataclass(frozen=True, slots=True)
class Text:
    """Words for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the model will not answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """Reasoning; what proves that it is the provider's own is made from the text. ``redacted``: only that proof."""

    text: str
    redacted: bool = False

    @property
    def signature(self) -> str:
        return signature_of(self.text)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call; ``arguments`` is JSON, streamed in pieces of ``cut`` characters whatever they tear."""

    id: str
    name: str
    arguments: str
    cut: int = 3


@dataclass(frozen=True, slots=True)
class Tokens:
    """``cached`` and ``cache_write`` are part of ``input``, ``reasoning`` of ``output``."""

    input: int = 11
    output: int = 7
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


Part = Text | Refusal | Thinking | ToolCall


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. ``stop``: why it ended, where the parts do not say it; ``sequence``: what stopped it."""

    parts: tuple[Part, ...]
    stop: Stop | None = None
    tokens: Tokens = Tokens()
    sequence: str | None = None

    @property
    def reason(self) -> Stop:
        if self.stop is not None:
            return self.stop
        if any(isinstance(part, ToolCall) for part in self.parts):
            return "tool_calls"
        return "refusal" if any(isinstance(part, Refusal) for part in self.parts) else "stop"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error status, said in the API's own shape."""

    status: int
    message: str
    retry_after: str | None = None
    param: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """A stream that begins as ``answer`` and breaks after ``events`` events.

    ``message``: the API's error event says it and the stream ends; ``None``: the connection is reset without a word.
    """

    answer: Answer
    events: int
    message: str | None = None


Script = Answer | Failure | BrokenOff


def says(text: str, **fields: object) -> Answer:
    """An answer of text alone."""
    return Answer((Text(text),), **fields)  # type: ignore[arg-type]


def pieces(text: str) -> list[str]:
    """``text`` as a model streams it: a word at a time, and long or strange words in several pieces."""
    return re.findall(r"\s*\S{1,4}|\s+", text)


def slices(text: str, size: int) -> list[str]:
    """``text`` in pieces of ``size`` characters."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def signature_of(text: str) -> str:
    """What stands for a provider's proof that it wrote ``text``; Base64 characters, as the real ones are."""
    return "RXZ" + hashlib.sha256(text.encode()).hexdigest()[:36] + "="

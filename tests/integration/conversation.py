"""A conversation in words of no dialect: what a test asks, and what it hears."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from tests.fakes.providers.answers import Tokens

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\nnot really").decode()
MAX_TOKENS = 20_000


@dataclass(frozen=True)
class User:
    """What the user says; ``image`` is Base64 of a PNG."""

    text: str
    image: str | None = None


@dataclass(frozen=True)
class Results:
    """What tools answered, by the id of their call."""

    by_call: Mapping[str, str]


@dataclass(frozen=True)
class Tool:
    name: str
    description: str = "Tells the weather."
    parameters: Mapping[str, object] = field(
        default_factory=lambda: {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        }
    )


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    arguments: Mapping[str, object]


@dataclass
class Heard:
    """One answer; ``stop`` in the client's own word, ``native`` what the client gives back with the next request."""

    text: str
    stop: str
    tokens: Tokens
    native: Any
    calls: list[Call] = field(default_factory=list)
    refusal: str | None = None
    thinking: str | None = None
    sequence: str | None = None

    @property
    def refused(self) -> bool:
        """Whether the client can see that the model would not answer."""
        return self.refusal is not None or self.stop in {"content_filter", "refusal"}


Turn = User | Heard | Results


@dataclass(frozen=True)
class Ask:
    """One request. ``choice`` is a mode or the name of a tool; ``extra`` goes into the body as it is."""

    turns: Sequence[Turn]
    system: str | None = None
    tools: Sequence[Tool] = ()
    choice: str | None = None
    parallel: bool | None = None
    schema: Mapping[str, object] | None = None
    stop: Sequence[str] = ()
    effort: Literal["low", "medium", "high"] | None = None
    max_tokens: int = MAX_TOKENS
    extra: Mapping[str, object] | None = None


class Client(Protocol):
    """The official SDK of one dialect; ``stops`` has its words for why answers end, ``errors`` its error classes."""

    @property
    def name(self) -> str: ...

    @property
    def stops(self) -> Mapping[str, str]: ...

    @property
    def errors(self) -> Any: ...

    @property
    def sdk(self) -> Any: ...

    async def ask(self, model: str, ask: Ask, *, stream: bool = False) -> Heard: ...

    async def close(self) -> None: ...


def count(details: object, name: str) -> int:
    """A number of tokens, 0 where the SDK has none."""
    return getattr(details, name, None) or 0

"""What is kept of a response and of a conversation, and how it is written down."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from router.dialects.canonical import JsonObject, encode_answer

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Turn:
    """Items that were added together; ``ids`` has one for each."""

    items: Sequence[JsonObject]
    ids: Sequence[str]

    def encode(self) -> bytes:
        return encode_answer({"format": _FORMAT, "items": self.items, "ids": self.ids})

    @classmethod
    def decode(cls, value: bytes) -> Turn | None:
        """``None`` for what another version of the gateway has written."""
        known = _load(value)
        return None if known is None else cls(known["items"], known["ids"])

    def without(self, item_id: str) -> Turn:
        """The turn without one of its items."""
        pairs = [pair for pair in zip(self.items, self.ids, strict=True) if pair[1] != item_id]
        return Turn([item for item, _ in pairs], [id_ for _, id_ in pairs])


@dataclass(frozen=True, slots=True)
class ResponseRecord:
    """A response as the client got it, and what led to it.

    ``past`` names the turns before it, oldest first, which have ``past_items`` items and take ``past_bytes``;
    ``past_kept_at`` is when the oldest of them was last sure of its whole time, in Unix seconds. ``kept_at`` is that
    time of the response itself.
    """

    response: JsonObject
    input: Turn
    past: Sequence[str] = ()
    past_items: int = 0
    past_bytes: int = 0
    past_kept_at: float | None = None
    kept_at: float = 0.0

    @property
    def turn(self) -> Turn:
        """What the response adds to a conversation: its input and its output."""
        output: list[JsonObject] = self.response["output"]
        return Turn([*self.input.items, *output], [*self.input.ids, *(str(item.get("id") or "") for item in output)])

    def encode(self) -> bytes:
        return encode_answer(
            {
                "format": _FORMAT,
                "response": self.response,
                "items": self.input.items,
                "ids": self.input.ids,
                "past": self.past,
                "past_items": self.past_items,
                "past_bytes": self.past_bytes,
                "past_kept_at": self.past_kept_at,
                "kept_at": self.kept_at,
            }
        )

    @classmethod
    def decode(cls, value: bytes) -> ResponseRecord | None:
        """``None`` for what another version of the gateway has written."""
        known = _load(value)
        if known is None:
            return None
        return cls(
            known["response"],
            Turn(known["items"], known["ids"]),
            known["past"],
            known["past_items"],
            known["past_bytes"],
            known["past_kept_at"],
            known["kept_at"],
        )


@dataclass(frozen=True, slots=True)
class ItemPlace:
    """Where an item is: the name of a response, how much that takes, and when it was kept, in Unix seconds."""

    name: str
    size_bytes: int
    kept_at: float

    def encode(self) -> bytes:
        return encode_answer({"format": _FORMAT, "name": self.name, "bytes": self.size_bytes, "kept_at": self.kept_at})

    @classmethod
    def decode(cls, value: bytes) -> ItemPlace | None:
        """``None`` for what another version of the gateway has written."""
        known = _load(value)
        return None if known is None else cls(known["name"], known["bytes"], known["kept_at"])


@dataclass(frozen=True, slots=True)
class TurnEntry:
    """A turn in the list of its conversation: how many items it has, and how many bytes they take."""

    id: str
    items: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ConversationRecord:
    """A conversation without its items, which are kept turn by turn.

    ``kept_at`` is when the oldest turn was last sure of its whole time, in Unix seconds.
    """

    id: str
    metadata: Mapping[str, str]
    created_at: int = field(default_factory=lambda: int(time.time()))
    turns: Sequence[TurnEntry] = ()
    kept_at: float = 0.0

    @property
    def item_count(self) -> int:
        """How many items the conversation has."""
        return sum(turn.items for turn in self.turns)

    @property
    def size_bytes(self) -> int:
        """How much they take."""
        return sum(turn.bytes for turn in self.turns)

    def public(self) -> JsonObject:
        """The conversation as clients see it."""
        return {
            "id": self.id,
            "object": "conversation",
            "created_at": self.created_at,
            "metadata": dict(self.metadata),
        }

    def encode(self) -> bytes:
        return encode_answer(
            {
                "format": _FORMAT,
                "id": self.id,
                "metadata": self.metadata,
                "created_at": self.created_at,
                "turns": [[turn.id, turn.items, turn.bytes] for turn in self.turns],
                "kept_at": self.kept_at,
            }
        )

    @classmethod
    def decode(cls, value: bytes) -> ConversationRecord | None:
        """``None`` for what another version of the gateway has written."""
        known = _load(value)
        if known is None:
            return None
        turns = tuple([TurnEntry(*turn) for turn in known["turns"]])
        return cls(known["id"], known["metadata"], known["created_at"], turns, known["kept_at"])


def _load(value: bytes) -> Mapping[str, Any] | None:
    try:
        known = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    return known if isinstance(known, dict) and known.get("format") == _FORMAT else None

"""The store as responses and conversations use it: whose entries they are, how long they live, how they are named."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from router.conversations.records import ResponseRecord, Turn
from router.dialects.canonical import JsonObject
from router.errors import InvalidRequest, PayloadTooLarge
from router.state.base import Batch, Store

NAMESPACE = "conversations"

_RENEWED_PER_TTL = 10  # how often in its time a turn that is in use is written again


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long what is kept lives after its last use, and how large it may be.

    ``max_response_bytes`` bounds a response with its input, and a turn of a conversation; ``max_items`` and
    ``max_bytes`` what is kept of one conversation.
    """

    ttl_s: float
    max_response_bytes: int
    max_items: int
    max_bytes: int

    def check_past(self, items: int, bytes_: int, *, param: str) -> None:
        """Raises ``InvalidRequest`` and ``PayloadTooLarge`` for a conversation that cannot go on."""
        if items > self.max_items:
            message = f"The conversation would have {items} items; the most are {self.max_items}."
            raise InvalidRequest(message, param=param)
        if bytes_ > self.max_bytes:
            raise PayloadTooLarge(f"The conversation has more than {self.max_bytes} bytes.", param=param)

    def check_turn(self, value: bytes, *, param: str | None = None) -> bytes:
        """``value`` where it is not too large to be kept. Raises ``PayloadTooLarge``."""
        if len(value) > self.max_response_bytes:
            message = f"Input and output have more than {self.max_response_bytes} bytes, which is too much to be kept."
            raise PayloadTooLarge(message, param=param)
        return value


@dataclass(frozen=True, slots=True)
class Past:
    """What came before a request.

    ``turns`` names what it is kept in, oldest first; ``kept_at`` is when the oldest of them was last sure of its whole
    time. ``conversation_id`` is that of the conversation which the request goes on with, if it named one.
    """

    items: Sequence[JsonObject] = ()
    turns: Sequence[str] = ()
    bytes: int = 0
    kept_at: float | None = None
    conversation_id: str | None = None
    ids: frozenset[str] = field(default_factory=frozenset)


class Archive:
    """``store`` for entries that live for ``bounds.ttl_s``. All methods raise ``StateUnavailable``.

    ``clock`` gives Unix seconds.
    """

    def __init__(self, store: Store, bounds: Bounds, *, clock: Callable[[], float] = time.time) -> None:
        self.bounds = bounds
        self.clock = clock
        self._store = store

    async def get(self, scope: str, name: str) -> bytes | None:
        """One entry."""
        return await self._store.get(NAMESPACE, f"{scope}/{name}")

    async def values(self, scope: str, names: Sequence[str]) -> list[bytes | None]:
        """Several entries, in order."""
        return await self._store.get_many(NAMESPACE, [f"{scope}/{name}" for name in names])

    async def turns(self, scope: str, names: Sequence[str]) -> list[Turn | None]:
        """The turns of conversations and responses with these names; ``None`` for what is not there any more."""
        values = await self.values(scope, names)
        return [None if value is None else _turn(name, value) for name, value in zip(names, values, strict=True)]

    async def delete(self, scope: str, name: str) -> bool:
        """Remove one entry; whether there was one."""
        return await self._store.delete(NAMESPACE, f"{scope}/{name}")

    async def commit(
        self,
        scope: str,
        *,
        puts: Mapping[str, bytes] | None = None,
        deletes: Sequence[str] = (),
        renews: Sequence[str] = (),
        expects: Mapping[str, bytes] | None = None,
    ) -> bool:
        """All of the changes or, where something else is there than expected, none of them; which of the two."""
        batch = Batch(
            {f"{scope}/{name}": value for name, value in (puts or {}).items()},
            [f"{scope}/{name}" for name in deletes],
            [f"{scope}/{name}" for name in renews],
            {f"{scope}/{name}": value for name, value in (expects or {}).items()},
        )
        return await self._store.commit(NAMESPACE, batch, ttl_s=self.bounds.ttl_s)

    def due(self, kept_at: float) -> bool:
        """Whether entries that had all of their time at ``kept_at`` are to be given it again when they are used."""
        return self.clock() - kept_at > self.bounds.ttl_s / _RENEWED_PER_TTL


def response_name(response_id: str) -> str:
    """Under which name a response is kept."""
    return f"r/{response_id}"


def conversation_name(conversation_id: str) -> str:
    """Under which name a conversation is kept."""
    return f"c/{conversation_id}"


def turn_name(conversation_id: str, turn_id: str) -> str:
    """Under which name a turn of a conversation is kept."""
    return f"t/{conversation_id}/{turn_id}"


def item_name(item_id: str) -> str:
    """Under which name it is kept where an item of a response is."""
    return f"i/{item_id}"


def _turn(name: str, value: bytes) -> Turn | None:
    if not name.startswith("r/"):
        return Turn.decode(value)
    record = ResponseRecord.decode(value)
    return None if record is None else record.turn

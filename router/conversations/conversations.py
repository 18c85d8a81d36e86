"""Conversations that are kept: a record of what they consist of, and their items turn by turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from router.conversations.archive import Archive, Past, conversation_name, turn_name
from router.conversations.ids import is_conversation_id, new_conversation_id, new_turn_id
from router.conversations.items import item_ids
from router.conversations.records import ConversationRecord, Turn, TurnEntry
from router.dialects.canonical import JsonObject
from router.errors import NotFound, StateUnavailable

# What becomes of a conversation, and what is kept beside it.
_Change: TypeAlias = Callable[[ConversationRecord], tuple[ConversationRecord, Mapping[str, bytes]]]

_MAX_TRIES = 50  # of a change that others keep coming before of


class Conversations:
    """Conversations in ``archive``. A scope sees its own only. All methods raise ``StateUnavailable``.

    Changes of one conversation that happen at the same time all happen, one after the other.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def create(self, scope: str, metadata: Mapping[str, str], items: Sequence[JsonObject]) -> ConversationRecord:
        """A conversation that begins with ``items``. Raises ``PayloadTooLarge`` and ``InvalidRequest``."""
        record = ConversationRecord(new_conversation_id(), metadata, kept_at=self._archive.clock())
        puts: dict[str, bytes] = {}
        if items:
            record, puts = self._with_turn(record, Turn(items, item_ids(items)))
        await self._archive.commit(scope, puts={**puts, conversation_name(record.id): record.encode()})
        return record

    async def get(self, scope: str, conversation_id: str) -> ConversationRecord:
        """Raises ``NotFound``."""
        return (await self._load(scope, conversation_id))[0]

    async def update(self, scope: str, conversation_id: str, metadata: Mapping[str, str]) -> ConversationRecord:
        """Replace the metadata. Raises ``NotFound``."""
        return await self._change(scope, conversation_id, lambda record: (replace(record, metadata=metadata), {}))

    async def delete(self, scope: str, conversation_id: str) -> None:
        """Remove a conversation with its items; responses that were part of it stay. Raises ``NotFound``."""
        for _ in range(_MAX_TRIES):
            record, value = await self._load(scope, conversation_id)
            name = conversation_name(conversation_id)
            turns = [turn_name(record.id, turn.id) for turn in record.turns]
            if await self._archive.commit(scope, deletes=[name, *turns], expects={name: value}):
                return
        raise _contended()

    async def past(self, scope: str, conversation_id: str, *, param: str) -> Past:
        """All items. Raises ``NotFound`` also where some are gone, ``InvalidRequest`` and ``PayloadTooLarge``."""
        record, whole = await self._load_whole(scope, conversation_id, param=param)
        self._archive.bounds.check_past(record.item_count, record.size_bytes, param=param)
        return Past(
            whole.items,
            [turn_name(record.id, turn.id) for turn in record.turns],
            record.size_bytes,
            record.kept_at,
            record.id,
            frozenset(whole.ids),
        )

    async def items(self, scope: str, conversation_id: str) -> Turn:
        """All items with their ids. Raises ``NotFound``."""
        return (await self._load_whole(scope, conversation_id))[1]

    async def add(self, scope: str, conversation_id: str, items: Sequence[JsonObject]) -> Turn:
        """Add ``items`` at the end; they come back with their ids.

        Raises ``NotFound``, ``PayloadTooLarge`` and ``InvalidRequest``.
        """
        there = await self.items(scope, conversation_id)
        turn = Turn(items, item_ids(items, there.ids))
        await self.append(scope, conversation_id, turn)
        return turn

    async def append(
        self, scope: str, conversation_id: str, turn: Turn, *, beside: Mapping[str, bytes] | None = None
    ) -> None:
        """Add a turn at the end and put ``beside`` into the archive, both or neither.

        Raises ``NotFound``, ``PayloadTooLarge``, and ``InvalidRequest`` where there are too many items already.
        """

        def change(record: ConversationRecord) -> tuple[ConversationRecord, Mapping[str, bytes]]:
            record, puts = self._with_turn(record, turn)
            return record, {**puts, **(beside or {})}

        await self._change(scope, conversation_id, change)

    async def delete_item(self, scope: str, conversation_id: str, item_id: str) -> ConversationRecord:
        """Remove one item. Raises ``NotFound``, of the conversation or the item."""
        for _ in range(_MAX_TRIES):
            record, value = await self._load(scope, conversation_id)
            names = [turn_name(record.id, turn.id) for turn in record.turns]
            turns = await self._archive.turns(scope, names)
            at = next((at for at, turn in enumerate(turns) if turn is not None and item_id in turn.ids), None)
            held = None if at is None else turns[at]
            if at is None or held is None:
                raise NotFound(f"Item with id '{item_id}' not found in conversation '{conversation_id}'.")
            left = held.without(item_id)
            entries, puts, deletes = list(record.turns), {}, []
            if left.items:
                puts[names[at]] = left.encode()
                entries[at] = TurnEntry(entries[at].id, len(left.items), len(puts[names[at]]))
            else:
                deletes.append(names[at])
                del entries[at]
            changed = replace(record, turns=tuple(entries))
            name = conversation_name(record.id)
            puts[name] = changed.encode()
            if await self._archive.commit(scope, puts=puts, deletes=deletes, expects={name: value}):
                return changed
        raise _contended()

    async def _change(
        self,
        scope: str,
        conversation_id: str,
        change: _Change,
    ) -> ConversationRecord:
        """Do ``change``, again where somebody else came before."""
        name = conversation_name(conversation_id)
        for _ in range(_MAX_TRIES):
            record, value = await self._load(scope, conversation_id)
            renews: list[str] = []
            if self._archive.due(record.kept_at):
                renews = [turn_name(record.id, turn.id) for turn in record.turns]
                record = replace(record, kept_at=self._archive.clock())
            changed, puts = change(record)
            puts = {**puts, name: changed.encode()}
            if await self._archive.commit(scope, puts=puts, renews=renews, expects={name: value}):
                return changed
        raise _contended()

    def _with_turn(self, record: ConversationRecord, turn: Turn) -> tuple[ConversationRecord, dict[str, bytes]]:
        bounds = self._archive.bounds
        value = bounds.check_turn(turn.encode(), param="items")
        entry = TurnEntry(new_turn_id(), len(turn.items), len(value))
        # A turn that was paid for still fits; from there on, no other one is begun.
        bounds.check_past(record.item_count, record.size_bytes, param="conversation")
        return replace(record, turns=(*record.turns, entry)), {turn_name(record.id, entry.id): value}

    async def _load_whole(
        self, scope: str, conversation_id: str, *, param: str | None = None
    ) -> tuple[ConversationRecord, Turn]:
        """A conversation with all of its items, as they were at one time."""
        for _ in range(_MAX_TRIES):
            record, value = await self._load(scope, conversation_id, param=param)
            turns = await self._archive.turns(scope, [turn_name(record.id, turn.id) for turn in record.turns])
            known = [turn for turn in turns if turn is not None]
            if len(known) == len(turns):
                items = [item for turn in known for item in turn.items]
                return record, Turn(items, [id_ for turn in known for id_ in turn.ids])
            if (await self._load(scope, conversation_id, param=param))[1] == value:
                raise NotFound(f"Items of the conversation with id '{conversation_id}' have expired.", param=param)
        raise _contended()

    async def _load(
        self, scope: str, conversation_id: str, *, param: str | None = None
    ) -> tuple[ConversationRecord, bytes]:
        """A conversation, and how it is written down."""
        value = None
        if is_conversation_id(conversation_id):
            value = await self._archive.get(scope, conversation_name(conversation_id))
        record = None if value is None else ConversationRecord.decode(value)
        if value is None or record is None:
            raise NotFound(f"Conversation with id '{conversation_id}' not found.", param=param)
        return record, value


def _contended() -> StateUnavailable:
    return StateUnavailable("The conversation is being changed by too many others.")

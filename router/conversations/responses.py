"""Responses that are kept, each with its input and the names of the turns before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from router.conversations.archive import Archive, Past, response_name
from router.conversations.conversations import Conversations
from router.conversations.ids import is_response_id
from router.conversations.items import item_ids
from router.conversations.records import ItemPlace, ResponseRecord, Turn
from router.conversations.references import places
from router.dialects.canonical import JsonObject
from router.errors import NotFound

PREVIOUS = "previous_response_id"


class ResponseNotFound(NotFound):
    """There is no such response, or not for this client."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.code = "not_found" if param is None else "previous_response_not_found"


class Responses:
    """Responses in ``archive``. A scope sees its own only. All methods raise ``StateUnavailable``."""

    def __init__(self, archive: Archive, conversations: Conversations) -> None:
        self._archive = archive
        self._conversations = conversations

    async def get(self, scope: str, response_id: str) -> ResponseRecord:
        """Raises ``ResponseNotFound``."""
        found = await self._find(scope, response_id)
        if found is None:
            raise ResponseNotFound(f"Response with id '{response_id}' not found.")
        return found[0]

    async def delete(self, scope: str, response_id: str) -> None:
        """Remove a response with its input; what went on from it has no past then. Raises ``ResponseNotFound``."""
        if not is_response_id(response_id) or not await self._archive.delete(scope, response_name(response_id)):
            raise ResponseNotFound(f"Response with id '{response_id}' not found.")

    async def past(self, scope: str, response_id: str) -> Past:
        """All that was said up to and in a response.

        Raises ``ResponseNotFound``, also where a part of it is gone, ``InvalidRequest`` and ``PayloadTooLarge`` where
        it is too much.
        """
        found = await self._find(scope, response_id)
        if found is None:
            raise ResponseNotFound(f"Previous response with id '{response_id}' not found.", param=PREVIOUS)
        record, size = found
        turn = record.turn
        self._archive.bounds.check_past(record.past_items + len(turn.items), record.past_bytes + size, param=PREVIOUS)
        turns = [*await self._archive.turns(scope, record.past), turn]
        known = [turn for turn in turns if turn is not None]
        if len(known) < len(turns):
            message = f"What came before the previous response with id '{response_id}' was deleted or has expired."
            raise ResponseNotFound(message, param=PREVIOUS)
        return Past(
            [item for turn in known for item in turn.items],
            [*record.past, response_name(response_id)],
            record.past_bytes + size,
            record.kept_at if record.past_kept_at is None else min(record.kept_at, record.past_kept_at),
            ids=frozenset(id_ for turn in known for id_ in turn.ids),
        )

    async def keep(
        self, scope: str, response: JsonObject, items: Sequence[JsonObject], past: Past, *, stored: bool
    ) -> None:
        """Keep a finished response with the ``items`` of its input, and go on with the conversation that it is part of.

        Once this returns, both can be asked for; unless it is ``stored``, the conversation alone. Both happen or
        neither does. Raises ``PayloadTooLarge``, and ``NotFound`` where the conversation was deleted meanwhile.
        """
        archive = self._archive
        now = archive.clock()
        turn = [*items, *response["output"]]
        ids = item_ids(turn, past.ids)
        renews = past.kept_at is not None and archive.due(past.kept_at)
        record = ResponseRecord(
            response,
            Turn(items, ids[: len(items)]),
            past.turns,
            len(past.items),
            past.bytes,
            now if renews else past.kept_at,
            now,
        )
        puts: Mapping[str, bytes] = {}
        if stored:
            name, value = response_name(response["id"]), archive.bounds.check_turn(record.encode())
            puts = {name: value, **places(response["output"], ItemPlace(name, len(value), now))}
        if past.conversation_id is not None:
            await self._conversations.append(scope, past.conversation_id, Turn(turn, ids), beside=puts)
        elif stored:
            await archive.commit(scope, puts=puts, renews=past.turns if renews else ())

    async def _find(self, scope: str, response_id: str) -> tuple[ResponseRecord, int] | None:
        if not is_response_id(response_id):
            return None
        value = await self._archive.get(scope, response_name(response_id))
        record = None if value is None else ResponseRecord.decode(value)
        return None if value is None or record is None else (record, len(value))

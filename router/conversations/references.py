"""Items that a request only names, put back to where they were said.

Clients that keep the conversation themselves, but not the items, send ``{"type": "item_reference", "id": ...}`` in the
place of what a response gave out (https://platform.openai.com/docs/api-reference/responses/create). For each of these a
small entry says which response has it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from router.conversations.archive import Archive, item_name
from router.conversations.ids import is_item_id
from router.conversations.records import ItemPlace
from router.dialects.canonical import JsonObject
from router.errors import NotFound

_FIELDS = frozenset({"type", "id"})


def is_reference(item: JsonObject) -> bool:
    """Whether an item of a request only names another one; the type may be left out."""
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and "id" in item and item.keys() <= _FIELDS)


def places(output: Iterable[JsonObject], place: ItemPlace) -> Mapping[str, bytes]:
    """The entries that say where the items of a response are."""
    value = place.encode()
    ids = (item.get("id") for item in output)
    return {item_name(id_): value for id_ in ids if isinstance(id_, str) and is_item_id(id_)}


class References:
    """What responses in ``archive`` gave out, by the ids of its items. All methods raise ``StateUnavailable``."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def resolved(self, scope: str, items: Sequence[JsonObject], known: Collection[str]) -> list[JsonObject]:
        """``items`` with those that are only named; what is ``known`` comes before them anyway, and is left out.

        Raises ``NotFound`` for an item that is not there, ``InvalidRequest`` and ``PayloadTooLarge`` where it is too
        much.
        """
        wanted = {index: str(item.get("id")) for index, item in enumerate(items) if is_reference(item)}
        found = await self._found(scope, {id_: index for index, id_ in wanted.items() if id_ not in known}, len(items))
        return [
            found[wanted[index]] if index in wanted else item
            for index, item in enumerate(items)
            if index not in wanted or wanted[index] in found
        ]

    async def _found(self, scope: str, wanted: Mapping[str, int], total: int) -> Mapping[str, JsonObject]:
        """The items by id; ``wanted`` says where in the input each of them is named."""
        for id_, index in wanted.items():
            if not is_item_id(id_):
                raise _not_found(id_, index)
        names = [item_name(id_) for id_ in wanted]
        at: dict[str, ItemPlace] = {}
        for (id_, index), value in zip(wanted.items(), await self._archive.values(scope, names), strict=True):
            place = None if value is None else ItemPlace.decode(value)
            if place is None:
                raise _not_found(id_, index)
            at[id_] = place
        sizes = {place.name: place.size_bytes for place in at.values()}
        self._archive.bounds.check_past(total, sum(sizes.values()), param="input")
        turns = dict(zip(sizes, await self._archive.turns(scope, list(sizes)), strict=True))
        found: dict[str, JsonObject] = {}
        for id_, index in wanted.items():
            turn = turns[at[id_].name]
            said = [] if turn is None else [item for item in turn.items if item.get("id") == id_]
            if not said:
                raise _not_found(id_, index)
            found[id_] = said[-1]
        if any(self._archive.due(place.kept_at) for place in at.values()):
            await self._archive.commit(scope, renews=[*names, *sizes])
        return found


def _not_found(id_: str, index: int) -> NotFound:
    return NotFound(f"Item with id '{id_}' not found.", param=f"input[{index}].id")

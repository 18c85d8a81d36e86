"""Items of input and output: as a request has them, as they go to a model again, as lists show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from router.conversations.ids import is_item_id, new_item_id
from router.dialects.canonical import JsonObject
from router.dialects.fields import json_object
from router.dialects.openai_responses.reasoning import is_replayable
from router.errors import InvalidRequest

_STATUS_KINDS = frozenset({"message", "function_call", "function_call_output"})
_MODELS_OWN = frozenset({"custom_tool_call", "function_call", "reasoning"})


def input_items(value: object, field: str = "input") -> list[JsonObject]:
    """The items of a request; text alone is a message of the user's. Raises ``InvalidRequest`` that names the field."""
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}] if value else []
    if not isinstance(value, list):
        raise InvalidRequest(f"'{field}' must be a string or a list of items.", param=field)
    return [json_object(item, f"{field}[{index}]") for index, item in enumerate(value)]


def item_ids(items: Sequence[Mapping[str, Any]], taken: Iterable[str] = ()) -> list[str]:
    """An id for each item: its own, unless that is ``taken``, or another one's, or cannot be asked for."""
    used = set(taken)
    ids = []
    for item in items:
        id_ = item.get("id")
        if not isinstance(id_, str) or not is_item_id(id_) or id_ in used:
            id_ = new_item_id(item)
        used.add(id_)
        ids.append(id_)
    return ids


def replayed(items: Sequence[JsonObject]) -> list[JsonObject]:
    """``items`` as they go to a model again: as they were.

    The exception is reasoning that providers refuse: what came neither encrypted nor in the open, of which only the
    provider that gave it out could tell what it was, and what led to nothing. What followed the former is sent without
    ids, which would ask for it.
    """
    kept: list[JsonObject] = []
    orphaned = False
    for item in items:
        if item.get("type") == "reasoning":
            orphaned = not is_replayable(item)
            if not orphaned:
                kept.append(item)
        elif orphaned and _is_models(item):
            kept.append({name: value for name, value in item.items() if name != "id"})
        else:
            orphaned = False
            kept.append(item)
    led = False
    for index in range(len(kept) - 1, -1, -1):
        if kept[index].get("type") == "reasoning" and not led:
            del kept[index]
        else:
            led = _is_models(kept[index])
    return kept


def _is_models(item: Mapping[str, Any]) -> bool:
    return item.get("type") in _MODELS_OWN or item.get("role") == "assistant"


def listed(item: JsonObject, id_: str) -> JsonObject:
    """``item`` as a list shows it: with its id, its type and, where such an item has one, its status."""
    shown = {"type": "message", **item, "id": id_}
    if shown["type"] in _STATUS_KINDS:
        shown.setdefault("status", "completed")
    content = shown.get("content")
    if shown["type"] == "message" and isinstance(content, str):
        part: JsonObject = {"type": "input_text", "text": content}
        if shown.get("role") == "assistant":
            part = {"type": "output_text", "text": content, "annotations": [], "logprobs": []}
        shown["content"] = [part]
    return shown

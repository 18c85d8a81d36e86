"""Reasoning items and the canonical form's thinking blocks, both ways.

A Responses provider's own items travel as blocks of the type ``reasoning`` and come back as they were. Reasoning of any
other provider becomes an item with the text as its summary. What else has to come back with it (Anthropic's signature)
goes into ``encrypted_content``, which clients hand back unread, behind a prefix that says what it is::

    trident.thinking.v1:<signature>     {"type": "thinking"}, the text is the summary
    trident.redacted.v1:<data>          {"type": "redacted_thinking"}, without a text
    trident.text.v1:                    ``reasoning_content`` that nobody signed

A Responses provider cannot read these, so they are never sent to one.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from router.dialects.canonical import JsonObject
from router.dialects.openai_responses.fields import read_list, read_object, read_text

_PREFIX = "trident."
_THINKING = "trident.thinking.v1:"
_REDACTED = "trident.redacted.v1:"
_TEXT = "trident.text.v1:"
PART_GAP = "\n\n"  # between the texts of two parts of one item


def reasoning_id() -> str:
    """An id for a reasoning item that the gateway makes itself."""
    return f"rs_{uuid.uuid4().hex}"


def is_own(item: Mapping[str, Any]) -> bool:
    """Whether a reasoning item is one that ``encode_block`` or ``encode_text`` made of another provider's reasoning."""
    sealed = item.get("encrypted_content")
    return isinstance(sealed, str) and sealed.startswith(_PREFIX)


def is_replayable(block: object) -> bool:
    """Whether a canonical block is an item that a Responses provider takes back without having stored it."""
    return (
        isinstance(block, dict)
        and block.get("type") == "reasoning"
        and bool(block.get("encrypted_content") or block.get("content"))
    )


def item_text(item: Mapping[str, Any]) -> str:
    """What a reasoning item lets the client read: its summary, or the reasoning itself where that is open."""
    return _joined(item.get("summary")) or _joined(item.get("content"))


def _joined(parts: object) -> str:
    if not isinstance(parts, list):
        return ""
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return PART_GAP.join(text for text in texts if isinstance(text, str) and text)


def decode_item(item: JsonObject, path: str) -> JsonObject:
    """The fields of a canonical assistant message that an item of the history stands for.

    Raises ``InvalidRequest`` that names the field.
    """
    for index, part in enumerate(read_list(item.get("summary", []), f"{path}.summary")):
        where = f"{path}.summary[{index}]"
        read_text(read_object(part, where).get("text"), f"{where}.text")
    sealed = item.get("encrypted_content")
    if not isinstance(sealed, str) or not sealed.startswith(_PREFIX):
        return {"thinking_blocks": [item]}
    text = item_text(item)
    if sealed.startswith(_THINKING):
        return {"thinking_blocks": [{"type": "thinking", "thinking": text, "signature": sealed[len(_THINKING) :]}]}
    if sealed.startswith(_REDACTED):
        return {"thinking_blocks": [{"type": "redacted_thinking", "data": sealed[len(_REDACTED) :]}]}
    return {"reasoning_content": text}


def block_text(block: Mapping[str, Any]) -> str:
    """What a canonical thinking block lets the client read."""
    if block.get("type") == "reasoning":
        return item_text(block)
    text = block.get("thinking")
    return text if isinstance(text, str) else ""


def encode_block(block: Mapping[str, Any], *, id_: str | None = None) -> JsonObject:
    """The output item that a canonical thinking block becomes; ``id_`` is its id where one has been announced."""
    if block.get("type") == "reasoning":
        summary = block.get("summary")
        item = {**block, "summary": summary if isinstance(summary, list) else []}
        item["id"] = id_ or item.get("id") or reasoning_id()
        return item
    if block.get("type") == "redacted_thinking":
        return _item("", _REDACTED + str(block.get("data") or ""), id_)
    text = block_text(block)
    signature = block.get("signature")
    return _item(text, _THINKING + signature if isinstance(signature, str) and signature else _TEXT, id_)


def encode_text(text: str, *, id_: str | None = None) -> JsonObject:
    """The output item of reasoning that nobody signed."""
    return _item(text, _TEXT, id_)


def _item(text: str, sealed: str, id_: str | None) -> JsonObject:
    return {
        "id": id_ or reasoning_id(),
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text}] if text else [],
        "encrypted_content": sealed,
        "status": "completed",
    }


def encode_reasoning(blocks: object, text: object) -> list[JsonObject]:
    """The output items of a whole message: its blocks, or its ``reasoning_content`` where no block says that."""
    items = [encode_block(block) for block in _objects(blocks)]
    if isinstance(text, str) and text and not any(item["summary"] or item.get("content") for item in items):
        items.insert(0, encode_text(text))
    return items


def _objects(values: object) -> Iterable[JsonObject]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else ()

"""The texts inside of JSON: every string that somebody could read, wherever it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

# Words of the protocol, ids, and encoded data: no text, and to change them would break the message around them.
PROTOCOL_FIELDS = frozenset(
    {
        *("call_id", "data", "encrypted_content", "file_data", "file_id", "finish_reason", "id", "media_type", "model"),
        *("name", "object", "role", "signature", "tool_call_id", "tool_use_id", "type"),
    }
)
_ENCODED = "data:"
_ENCODED_FIELDS = frozenset({"file_url", "image_url", "url"})
_MAX_DEPTH = 128


def rewrite_leaves(value: Any, rewrite: Callable[[str], str]) -> Any:
    """``value``, a part of a request or answer, with every text rewritten; ``value`` itself where nothing changed.

    What tools are given and give is rewritten whatever its keys are called; where it is JSON in a string
    (``arguments``), inside of that JSON, so that no escape hides a text. Raises ``RecursionError`` for what is nested
    too deeply: what cannot be looked at is not passed on.
    """
    return _Leaves(rewrite).rewritten(value, _MAX_DEPTH)


def rewrite_json_text(text: str, rewrite: Callable[[str], str]) -> str:
    """A text that is JSON, with every string in it rewritten; one that is not is rewritten as it stands."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return rewrite(text)
    changed = _Leaves(rewrite, free=True).rewritten(value, _MAX_DEPTH)
    return text if changed is value else orjson.dumps(changed).decode()


class _Leaves:
    """One walk; ``free``: inside of data whose keys are anybody's, so that no key says what is no text."""

    __slots__ = ("_free", "_rewrite")

    def __init__(self, rewrite: Callable[[str], str], *, free: bool = False) -> None:
        self._rewrite = rewrite
        self._free = free

    def rewritten(self, value: Any, depth: int) -> Any:
        if depth == 0:
            raise RecursionError("nested too deeply")
        if isinstance(value, str):
            return self._rewrite(value) if value else value
        if isinstance(value, list):
            items = [self.rewritten(item, depth - 1) for item in value]
            return value if all(new is old for new, old in zip(items, value, strict=True)) else items
        if isinstance(value, dict):
            fields = {key: self._field(value, key, item, depth) for key, item in value.items()}
            return value if all(fields[key] is item for key, item in value.items()) else fields
        return value

    def _field(self, holder: Mapping[str, Any], key: str, item: Any, depth: int) -> Any:
        if self._free:
            return self.rewritten(item, depth - 1)
        if isinstance(item, str):
            if not _is_text(holder, key, item):
                return item
            if key == "arguments":
                return rewrite_json_text(item, self._rewrite)
        elif isinstance(item, dict) and key in {"arguments", "input", "metadata"}:
            return _Leaves(self._rewrite, free=True).rewritten(item, depth - 1)
        return self.rewritten(item, depth - 1)


def _is_text(holder: Mapping[str, Any], key: str, value: str) -> bool:
    if key == "name":  # of somebody who speaks; that of a tool is a word of the protocol
        return "role" in holder
    if key == "data":  # of a document, perhaps as plain text
        return holder.get("type") == "text"
    return key not in PROTOCOL_FIELDS and not (key in _ENCODED_FIELDS and value.startswith(_ENCODED))

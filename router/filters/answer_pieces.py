"""A delta of a stream in pieces of one text each, and where that text stands in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from router.dialects.canonical import JsonObject
from router.filters.text_leaves import PROTOCOL_FIELDS

# Where a text stands: the index of the choice, then the keys that lead to it inside of the delta.
Place: TypeAlias = tuple[int | str, ...]

_REASONING = ("reasoning_content", "reasoning")
_CALL_TEXTS = (("function", "arguments"), ("custom", "input"))


def pieces_of(delta: JsonObject) -> Iterator[JsonObject]:
    """``delta`` in pieces with at most one growing text each, in the order in which clients show them.

    Reasoning comes first, then what is no growing text, then all other texts, then one tool call after the other.
    """
    if len(delta) == 1 and "tool_calls" not in delta:  # nearly all chunks of an answer
        yield delta
        return
    growing = {name for name, value in delta.items() if isinstance(value, str) and name not in PROTOCOL_FIELDS}
    words = {name: value for name, value in delta.items() if isinstance(value, str) and name in PROTOCOL_FIELDS}
    rest = {name: value for name, value in delta.items() if not isinstance(value, str) and name != "tool_calls"}
    calls = [{"tool_calls": [call]} for call in _numbered(delta.get("tool_calls"))]
    pieces = [{name: delta[name]} for name in _REASONING if name in growing]
    audio = rest.pop("audio", None)
    if rest:
        pieces.append(rest)
    pieces += [{name: delta[name]} for name in delta if name in growing and name not in _REASONING]
    if audio is not None:
        pieces.append({"audio": audio})
    pieces += calls
    if words or not pieces:
        pieces[:1] = [{**words, **(pieces[0] if pieces else {})}]
    yield from pieces


def _numbered(calls: Any) -> Iterator[JsonObject]:
    for position, call in enumerate(calls or ()):
        yield call if isinstance(call.get("index"), int) else {**call, "index": position}


def growing_text(piece: Mapping[str, Any]) -> tuple[Place, str] | None:
    """The text of a piece that ``pieces_of`` gave, and the keys that lead to it."""
    for name, value in piece.items():
        if name == "tool_calls":
            return _call_text(value[0]) if value else None
        if name == "audio":
            transcript = value.get("transcript") if isinstance(value, dict) else None
            return (("audio", "transcript"), transcript) if isinstance(transcript, str) and transcript else None
        if isinstance(value, str) and value and name not in PROTOCOL_FIELDS:
            return (name,), value
    return None


def _call_text(call: Mapping[str, Any]) -> tuple[Place, str] | None:
    for kind, field in _CALL_TEXTS:
        text = (call.get(kind) or {}).get(field)
        if isinstance(text, str) and text:
            return ("tool_calls", call.get("index", 0), kind, field), text
    return None


def with_text(delta: Mapping[str, Any], keys: Place, text: str) -> JsonObject:
    """``delta`` with ``text`` at ``keys``."""
    first = str(keys[0])
    if first == "tool_calls":
        index, kind, field = keys[1], str(keys[2]), str(keys[3])
        call: JsonObject = next(iter(delta.get("tool_calls") or ()), {"index": index})
        return {**delta, "tool_calls": [{**call, kind: {**(call.get(kind) or {}), field: text}}]}
    if len(keys) == 1:
        return {**delta, first: text}
    return {**delta, first: {**(delta.get(first) or {}), str(keys[1]): text}}


def says_something(delta: Mapping[str, Any]) -> bool:
    """Whether anything is left in a delta that a client would notice."""
    for name, value in delta.items():
        if name == "tool_calls":
            if any(map(_call_says, value or ())):
                return True
        elif value:
            return True
    return False


def _call_says(call: Mapping[str, Any]) -> bool:
    texts = [(call.get(kind) or {}).get(field) for kind, field in _CALL_TEXTS]
    return bool(call.get("id") or (call.get("function") or {}).get("name") or any(texts))

"""Canonical messages as input items.

A ``system`` or ``developer`` message stays where it is, as an input message of that role: ``instructions`` would stand
before all others, and does not count where the API looks for a word in the input (``json``). Names of speakers only
advise and have no place here. An assistant's other fields (annotations, another provider's reasoning) belong to the
answer that it was.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from router.dialects.canonical import JsonObject
from router.dialects.openai_responses.content import encode_content, no_counterpart
from router.dialects.openai_responses.fields import invalid, read_list, read_object, read_text
from router.dialects.openai_responses.reasoning import is_replayable

_FIELDS = frozenset({"role", "content", "name", "tool_call_id", "is_error", "cache_control"})


def message_id() -> str:
    """An id for a message item that the gateway makes itself."""
    return f"msg_{uuid.uuid4().hex}"


def encode_messages(messages: Sequence[Mapping[str, Any]]) -> list[JsonObject]:
    """The items of ``input``. Raises ``InvalidRequest`` that names the canonical field."""
    return [item for index, message in enumerate(messages) for item in _items(message, f"messages[{index}]")]


def _items(message: Mapping[str, Any], path: str) -> list[JsonObject]:
    role = message["role"]
    if role == "assistant":
        return _assistant_items(message, path)
    if role == "function":
        raise no_counterpart(f"{path}.role")
    for name, said in message.items():
        if said and name not in _FIELDS:
            raise no_counterpart(f"{path}.{name}")
    content = encode_content(message.get("content"), f"{path}.content")
    if role == "tool":
        call_id = read_text(message.get("tool_call_id"), f"{path}.tool_call_id")
        return [{"type": "function_call_output", "call_id": call_id, "output": content}]
    return [{"role": role, "content": content}]


def _assistant_items(message: Mapping[str, Any], path: str) -> list[JsonObject]:
    for name in ("audio", "function_call"):
        if message.get(name):
            raise no_counterpart(f"{path}.{name}")
    blocks = message.get("thinking_blocks")
    items = _said(message, path)
    calls = message.get("tool_calls")
    if calls is not None:
        calls = read_list(calls, f"{path}.tool_calls")
        items += [_call(call, f"{path}.tool_calls[{index}]") for index, call in enumerate(calls)]
    # Reasoning is refused without what it led to.
    if items and isinstance(blocks, list):
        items[:0] = [block for block in blocks if is_replayable(block)]
    return items


def _said(message: Mapping[str, Any], path: str) -> list[JsonObject]:
    text, refusal = _spoken(message.get("content"), f"{path}.content")
    if message.get("refusal") is not None:
        refusal += read_text(message["refusal"], f"{path}.refusal")
    if not refusal:
        return [{"role": "assistant", "content": text}] if text else []
    content: list[JsonObject] = [{"type": "output_text", "text": text, "annotations": []}] if text else []
    content.append({"type": "refusal", "refusal": refusal})
    return [
        {"type": "message", "id": message_id(), "role": "assistant", "status": "completed", "content": content},
    ]


def _spoken(content: object, path: str) -> tuple[str, str]:
    """An assistant's text and refusal."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else "", ""
    texts, refusals = [], []
    for index, part in enumerate(content):
        where = f"{path}[{index}]"
        kind = read_object(part, where).get("type")
        if kind == "text":
            texts.append(read_text(part.get("text"), f"{where}.text"))
        elif kind == "refusal":
            refusals.append(read_text(part.get("refusal"), f"{where}.refusal"))
        else:
            raise no_counterpart(f"{where}.type")
    return "".join(texts), "".join(refusals)


def _call(call: object, path: str) -> JsonObject:
    known = read_object(call, path)
    if known.get("type", "function") != "function":
        raise no_counterpart(f"{path}.type")
    function = read_object(known.get("function"), f"{path}.function")
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        raise invalid(f"{path}.function.arguments", "a string of JSON")
    return {
        "type": "function_call",
        "call_id": read_text(known.get("id"), f"{path}.id"),
        "name": read_text(function.get("name"), f"{path}.function.name"),
        "arguments": arguments or "",
    }

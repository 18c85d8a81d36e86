"""One finished exchange, and reading its messages: they come from strangers, and may be of any shape."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.dialects.canonical import JsonObject

# How much of a message is read; of a longer one, the beginning and the end.
MAX_TEXT_CHARS = 16_384
_MAX_PARTS = 64
_MAX_CALLS = 64
_TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal"})


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer.

    ``start`` is where in the conversation ``messages[0]`` stands. ``messages`` are canonical, newest last, and end
    before ``answer``, the newest assistant message (``None`` when there was none). ``status`` is what the client got,
    ``error_code`` says why it failed. ``attempts`` are the outcomes of tries at upstreams, in order: ``"ok"``, a word
    such as ``"timeout"`` or ``"rate_limited"``, or the code of an error.
    """

    start: int
    messages: Sequence[JsonObject]
    answer: JsonObject | None
    status: int
    error_code: str | None
    attempts: Sequence[str]
    finish_reason: str | None

    @property
    def end(self) -> int:
        """Where in the conversation the answer stands, or would."""
        return self.start + len(self.messages)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as the model made it; ``arguments`` are the text that it wrote."""

    id: str
    name: str
    arguments: str


def role_of(message: object) -> str:
    """``user``, ``assistant``, ``tool`` and the like; empty for what is no message."""
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(role, str):
        return ""
    return "tool" if role == "function" else role


def text_of(message: object) -> str:
    """What a message says, its text parts in lines of their own, without the middle of what is very long."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return _cut(content)
    if not isinstance(content, list):
        return ""
    return _cut("\n".join(_part_texts(content[:_MAX_PARTS])))


def tool_calls(message: object) -> Iterator[ToolCall]:
    """The calls in an assistant message, in order."""
    calls = message.get("tool_calls") if isinstance(message, dict) else None
    for call in calls[:_MAX_CALLS] if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            yield ToolCall(_string(call, "id"), _string(function, "name")[:256], _string(function, "arguments"))


def digest(message: object) -> bytes:
    """What tells two messages of one conversation apart: role, text, and the calls in it or the call it answers."""
    answered = _string(message, "tool_call_id") if isinstance(message, dict) else ""
    calls = [f"{call.name}\0{_cut(call.arguments)}" for call in tool_calls(message)]
    said = "\0".join([role_of(message), text_of(message), answered, *calls])
    return hashlib.blake2b(said.encode(), digest_size=16).digest()


def well_formed(text: str) -> str:
    """``text`` without halves of surrogate pairs, which JSON may have and UTF-8 has no word for."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _part_texts(parts: Sequence[object]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict) and part.get("type") in _TEXT_PARTS:
            text = part.get("text", part.get("refusal"))
            if isinstance(text, str):
                yield text


def _string(holder: Mapping[str, Any], key: str) -> str:
    value = holder.get(key)
    return well_formed(value) if isinstance(value, str) else ""


def _cut(text: str) -> str:
    half = MAX_TEXT_CHARS // 2
    return well_formed(text if len(text) <= MAX_TEXT_CHARS else f"{text[:half]}\n{text[-half:]}")

"""One message, read: what its author says, what tools and documents say in it, and what is asked of tools."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from router.guardrails.reading import TextReader, argument_texts
from router.guardrails.recalled import split_recalled

USER = frozenset({"user"})
TOOL = frozenset({"tool", "function"})
_APPLICATION = frozenset({"system", "developer"})
_PLAIN_PARTS = frozenset({"output_text", "refusal", "text", "thinking", "redacted_thinking", "reasoning"})
_RETRIEVED = frozenset({"document", "search_result", "tool_result"})
_MESSAGE_FIELDS = frozenset(
    {"role", "content", "name", "tool_calls", "function_call", "native_blocks", "anthropic", "is_error"}
)
# What a model said before, besides the content.
_ANSWER_FIELDS = (
    *("reasoning_content", "reasoning", "refusal", "thinking_blocks", "citations", "annotations", "audio"),
)
_MOST_COMPARISONS = 10_000_000  # characters; beyond, what is said twice is judged twice


@dataclass(frozen=True, slots=True)
class Said:
    """``rest`` is what stands in fields that nobody knows, or was recalled; ``unseen`` names the kinds of what is no
    text.
    """

    index: int
    role: str
    own: str
    retrieved: str
    calls: str
    rest: str
    name: str
    unseen: tuple[str, ...]


def joined(texts: Iterable[str]) -> str:
    """Texts as one, each in lines of its own."""
    return "\n".join(texts).strip()


def read_message(index: int, message: Mapping[str, Any]) -> Said:
    """The texts of a canonical message."""
    said = _read_message(index, message)
    return _with_recalled(said) if said.role in _APPLICATION else said


def _with_recalled(said: Said) -> Said:
    own, recalled = split_recalled(said.own)
    if not recalled:
        return said
    return replace(said, own=own, retrieved=joined((said.retrieved, recalled)), rest=joined((said.rest, recalled)))


def _read_message(index: int, message: Mapping[str, Any]) -> Said:
    role, content, name = message["role"], message.get("content"), message.get("name")
    if isinstance(content, str) and len(message) <= 2:
        own = content.strip()
        return Said(index, role, own, own if role in TOOL else "", "", "", "", ())
    reader = TextReader()
    own_texts: list[str] = []
    retrieved: list[str] = []
    calls: list[str] = []
    for part in content if isinstance(content, list) else [content]:
        for kind, texts in _sorted(role, part, reader):
            (own_texts, retrieved, calls)[kind].extend(texts)
    native = message.get("anthropic")
    if isinstance(native, dict):
        retrieved += _not_in(retrieved, reader.texts(native))
    retrieved += reader.texts(message.get("native_blocks"))
    for call in _objects(message.get("tool_calls")):
        calls += _call_texts(call, reader)
    if isinstance(message.get("function_call"), dict):
        calls += _call_texts({"function": message["function_call"]}, reader)
    answer = _ANSWER_FIELDS if role == "assistant" else ()
    own_texts += reader.texts({key: message[key] for key in answer if key in message})
    unknown = {key: value for key, value in message.items() if key not in _MESSAGE_FIELDS and key not in answer}
    rest = reader.texts(unknown)
    return Said(
        index,
        role,
        joined(own_texts),
        joined(retrieved),
        joined(calls),
        joined(rest),
        name.strip() if isinstance(name, str) else "",
        tuple(reader.unseen),
    )


_OWN, _RESULT, _CALL = range(3)


def _sorted(role: str, part: object, reader: TextReader) -> Iterator[tuple[int, list[str]]]:
    """The texts of one content part, by who says them."""
    texts = _part_texts(part, reader)
    kind = _kind(part)
    if role != "assistant":
        yield _OWN, texts
        if role in TOOL or (role in USER and kind not in _PLAIN_PARTS):
            yield _RESULT, texts
    elif kind.endswith("tool_use"):
        yield _CALL, texts
    else:  # a provider's own tools answer within the assistant's message
        yield (_OWN if kind in _PLAIN_PARTS else _RESULT), texts


def _kind(part: object) -> str:
    if not isinstance(part, dict):
        return "text"
    native = part.get("anthropic")
    kind = native.get("type") if isinstance(native, dict) else None
    if isinstance(kind, str) and kind in _RETRIEVED:
        return kind
    kind = part.get("type")
    return kind if isinstance(kind, str) else ""


def _part_texts(part: object, reader: TextReader) -> list[str]:
    native = part.get("anthropic") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(native, dict):
        return reader.texts(part)
    texts = reader.texts({key: value for key, value in part.items() if key != "anthropic"})
    return texts + _not_in(texts, reader.texts(native))


def _not_in(said: Sequence[str], texts: list[str]) -> list[str]:
    """``texts`` without what ``said``, a translation of the same, has already."""
    whole = "\n".join(said)
    if len(whole) * len(texts) > _MOST_COMPARISONS:  # a client chooses how many there are
        return texts
    return [text for text in texts if text not in whole]


def _call_texts(call: Mapping[str, Any], reader: TextReader) -> list[str]:
    """A call's name, its arguments, and whatever else is in it."""
    texts = []
    function = call.get("function")
    if isinstance(function, dict):
        if isinstance(function.get("name"), str):
            texts.append(function["name"])
        texts += argument_texts(function.get("arguments"))
        texts += reader.texts({key: value for key, value in function.items() if key not in {"name", "arguments"}})
    rest = reader.texts({key: value for key, value in call.items() if key != "function"})
    return texts + _not_in(texts, rest)


def _objects(value: object) -> Iterable[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else ()

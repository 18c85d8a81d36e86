"""What an API answered, as text that a person can read (pure): no language model has a part in it.

answer                                                  text
text, or JSON that is one                               that
a chat completion                                       what the assistant says
an object with a text under one well-known name         that text, where there is nothing else in the object
an object                                               ``Name: value`` lines, objects inside indented
a list of objects of plain values                       ``- name: value, name: value`` lines
any other list                                          ``- value`` lines
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import orjson

from router.errors import UpstreamProtocolError
from router.functions.http_call import ApiAnswer
from router.functions.targets import JsonValue

_MAX_LINES = 500
_MAX_CHARS = 32_768
_MAX_DEPTH = 6
_TEXT_NAMES = ("answer", "message", "response", "result", "text", "content", "output", "detail", "error")
_EXPLAINING = ("error", "message", "detail", "title", "reason")
_ESCAPE = re.compile(r"\\(?:u[0-9a-f]{4}|.)")
_NOTHING = "Done."
_CUT = "…"


def content_of(answer: ApiAnswer, source: str) -> JsonValue:
    """The value that ``answer`` carries: its JSON, or its text. Raises ``UpstreamProtocolError`` when it is neither."""
    if not answer.body.strip():
        return None
    if answer.content_type == "application/json" or answer.content_type.endswith("+json"):
        try:
            return orjson.loads(answer.body)
        except orjson.JSONDecodeError as exc:
            raise UpstreamProtocolError(f"'{source}' sent an answer that is not valid JSON.") from exc
    if not answer.content_type.startswith("text/"):
        raise UpstreamProtocolError(f"'{source}' sent an answer that is neither JSON nor text.")
    try:
        return answer.body.decode()
    except UnicodeDecodeError as exc:
        raise UpstreamProtocolError(f"'{source}' sent an answer that is not text.") from exc


def rendered(value: JsonValue) -> str:
    """``value`` as text, of at most some 32,000 characters."""
    alone = _only_text(value)
    if alone is not None:
        return _cut(alone)
    lines: list[str] = []
    size = 0
    for line in _lines(value, 0):
        if len(lines) == _MAX_LINES or size + len(line) > _MAX_CHARS:
            lines.append(_CUT)
            break
        lines.append(line)
        size += len(line) + 1
    return "\n".join(lines) or _NOTHING


def explanation_of(answer: ApiAnswer) -> str | None:
    """Why an API failed, in a line of its own words; ``None`` where it does not say it in a way that is understood."""
    try:
        value = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None
    for _ in range(2):
        if not isinstance(value, dict):
            break
        value = next(
            (value[name] for name in ("error", "message", "detail", "title", "reason") if value.get(name)), None
        )
    if not isinstance(value, str):
        return None
    return " ".join(value.split())[:300] or None


def _only_text(value: JsonValue) -> str | None:
    if value is None:
        return _NOTHING
    if isinstance(value, str):
        return value.strip() or _NOTHING
    if not isinstance(value, dict):
        return None
    choices = value.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return _said_by_assistant(choices[0].get("message"))
    if len(value) == 1:
        ((name, text),) = value.items()
        if name in _TEXT_NAMES and isinstance(text, str):
            return text.strip() or _NOTHING
    return None


def _said_by_assistant(message: JsonValue) -> str | None:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "\n".join(part for part in parts if isinstance(part, str))
    return content.strip() or None if isinstance(content, str) else None


def _lines(value: JsonValue, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _member(_words(name), item, depth)
    elif isinstance(value, list):
        for item in value:
            yield from _entry(item, depth)
    else:
        yield indent + _scalar(value)


def _member(label: str, item: JsonValue, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if item in ({}, [], None):
        yield f"{indent}{label}: none"
    elif not isinstance(item, dict | list):
        yield f"{indent}{label}: {_scalar(item)}"
    elif isinstance(item, list) and not any(isinstance(each, dict | list) for each in item):
        yield f"{indent}{label}: {', '.join(map(_scalar, item))}"
    elif depth >= _MAX_DEPTH:
        yield f"{indent}{label}: {_CUT}"
    else:
        yield f"{indent}{label}:"
        yield from _lines(item, depth + 1)


def _entry(item: JsonValue, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(item, dict) and not any(isinstance(each, dict | list) for each in item.values()):
        yield f"{indent}- " + (", ".join(f"{_plain(name)}: {_scalar(each)}" for name, each in item.items()) or "none")
    elif not isinstance(item, dict | list):
        yield f"{indent}- {_scalar(item)}"
    elif depth >= _MAX_DEPTH:
        yield f"{indent}- {_CUT}"
    else:
        first, *rest = list(_lines(item, depth + 1)) or [indent]
        yield f"{indent}- {first.strip()}"
        yield from rest


def _scalar(value: JsonValue) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return " ".join(value.split())
    return str(value)


def _words(name: str) -> str:
    plain = _plain(name)
    return plain[:1].upper() + plain[1:]


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").split()) or "value"


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 1] + _CUT


def as_data(results: JsonValue) -> str:
    """``results`` as JSON for a language model, without what could close a tag; cut where it is too long."""
    try:
        text = orjson.dumps(results, default=str).decode()
    except TypeError:  # nested deeper than can be written, though not deeper than can be read
        text = orjson.dumps(rendered(results)).decode()
    text = text.replace("<", "\\u003c").replace(">", "\\u003e")
    return _cut(text)


def unescaped(data: str) -> str:
    """JSON in which line ends and the like stand as themselves, as guards know them from ordinary text.

    Only quotes and backslashes keep their backslash, so that ``from_unescaped`` can read it.
    """
    return _ESCAPE.sub(_meant, data)


def from_unescaped(data: str) -> JsonValue:
    """What ``unescaped`` has made of JSON, as a value. Raises ``ValueError``."""
    try:
        return json.loads(data, strict=False)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _meant(escape: re.Match[str]) -> str:
    return escape[0] if escape[0][1] in {'"', "\\"} else str(json.loads(f'"{escape[0]}"'))

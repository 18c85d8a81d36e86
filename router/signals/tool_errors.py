"""Whether the result of a tool is an error, by its shape and never by words alone: it may be about errors, too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import re2  # type: ignore[import-untyped]  # Google's own binding has no annotations

from router.signals.error_types import type_by_words

_MESSAGE_CHARS = 2_000
_MAX_DEPTH = 5
_MAX_ENTRIES = 16

_SURE_STATUS_KEYS = ("status_code", "statusCode", "http_status", "httpStatus")
_STATUS_KEYS = (*_SURE_STATUS_KEYS, "status", "code")
_ERROR_KEYS = ("error", "errors", "errorMessage", "errorMessages", "error_message", "exception", "fault")
_CODE_KEYS = ("errorCode", "errorType", "error_code", "error_type", "__type", "code", "type", "name")
_SAYING_KEYS = ("message", "msg", "detail", "details", "reason", "title", "description", "info", "stderr", "body")
_SAID_KEYS = (*_CODE_KEYS, *_ERROR_KEYS, *_SAYING_KEYS)
_EXIT_KEYS = ("exit_code", "exitCode", "returncode", "return_code")
_STDERR_KEYS = ("stderr", "error", "output", "message")
_FAILED_WORDS = frozenset({"error", "failed", "failure", "fail"})
_NO_ERROR = frozenset({"", "none", "null", "false", "no", "0", "ok"})

# The name of an exception, and what says that an error follows ("Error code:", "MCP error -32001:").
_EXCEPTION = r"[A-Z]\w*(?:Error|Exception|Timeout|Canceled|Failure|Denied|Exhausted|Fault|Read)"
_WHERE = r"(?: -?\d+| (?:code|from \w+|calling \w+|executing \w+|in \w+|while \w+))?(?: ?\([^)\n]{0,60}\))?"
# The beginnings of a text that is an error.
_ERROR_TEXTS = (
    r"HTTP(?:/[\d.]+)? ?(?:status |error |code )?(?P<status>[45]\d\d)\b",
    r"(?P<line>[45]\d\d) [A-Z][a-zA-Z]+(?: [A-Za-z]+){0,3}\s*(?:$|[:.{\n-])",
    rf"(?i:(?:\w+ )?(?:error|exception|failure|fatal)){_WHERE}:",
    r"ERROR \d{3,5}\b|Traceback \(most recent call last\)|\[Errno -?\d+\]|curl: \(\d+\)",
    rf"(?:[A-Za-z_]\w*\.)*{_EXCEPTION}\s*(?:$|[:(\[\n])",
    r"(?:[a-z_]\w*\.)+(?:error|exceptions?|errors)(?:\.\w+)?:|(?:[A-Za-z_]\w*\.){2,}[A-Z]\w+(?::|$)",
    r"usage: \S+ .*\n\S+: error:|[\w./-]+: error:|remote: |fatal: ",
)
_ERROR_TEXT = re2.compile(rf"^\s*(?:{'|'.join(_ERROR_TEXTS)})")
_HTML_STATUS = re2.compile(
    r"(?i)^\s*<(?:!doctype html|html|head|title)[^\0]{0,400}?<(?:title|h1)>\s*(?:error )?([45]\d\d)\b"
)
_STATUS_IN_TEXT = re.compile(r"(?:code|status|HTTP|Error:?) ?:? ?([45]\d\d)\b|: ([45]\d\d) [A-Z]")


@dataclass(frozen=True, slots=True)
class ToolError:
    """An error: what it says, and its codes where it has any."""

    said: str
    status: int | None = None
    exit_code: int | None = None


def find_error(text: str, value: object, *, is_error: bool) -> ToolError | None:
    """The error that a result is.

    ``value`` is the object or list that ``text`` is, if it is one; ``is_error`` is what the message says of itself.
    """
    if isinstance(value, dict):
        return _object_error(value, is_error)
    found = _list_error(value) if isinstance(value, list) else _text_error(text)
    return found or (ToolError(text[:_MESSAGE_CHARS]) if is_error else None)


def parse(text: str) -> object:
    """The object or list that ``text`` is; ``None`` for any other text."""
    stripped = text.strip()
    if not stripped.startswith(("{", "[")):
        return None
    try:
        return orjson.loads(stripped)
    except orjson.JSONDecodeError:
        return None


def _text_error(text: str) -> ToolError | None:
    if found := _HTML_STATUS.search(text[:1_000]):
        return ToolError("", int(found[1]))
    found = _ERROR_TEXT.search(text[:_MESSAGE_CHARS])
    if found is None:
        return None
    given = found["status"] or found["line"]
    return ToolError(_end_of_trace(text), int(given) if given else _status_in(text))


def _end_of_trace(text: str) -> str:
    """What an exception says: the last lines of a trace, else the beginning of the text."""
    if "Traceback (most recent call last)" not in text:
        return text[:_MESSAGE_CHARS]
    lines = [line for line in text.strip().splitlines() if line and not line.startswith(" ")]
    return "\n".join(lines[-2:])[-_MESSAGE_CHARS:]


def _status_in(text: str) -> int | None:
    found = _STATUS_IN_TEXT.search(text[:200])
    return None if found is None else int(found[1] or found[2])


def _object_error(value: Mapping[str, Any], is_error: bool) -> ToolError | None:
    exit_code = next((value[key] for key in _EXIT_KEYS if type(value.get(key)) is int), None)
    if exit_code is not None:
        return _exit_error(value, exit_code) if exit_code else None
    if value.get("isError") is True or value.get("is_error") is True:
        return _mcp_error(value)
    error = value.get("error")
    status = _status_of(value) or (_status_of(error) if isinstance(error, dict) else None)
    if not (is_error or _says_error(value) or status is not None):
        return None
    return ToolError(_said(value), status)


def _exit_error(value: Mapping[str, Any], exit_code: int) -> ToolError:
    said = [text for key in _STDERR_KEYS if isinstance(text := value.get(key), str) and text]
    stdout = value.get("stdout")
    if not said and isinstance(stdout, str):
        said = [stdout]
    return ToolError("\n".join(said)[-_MESSAGE_CHARS:], None, exit_code)


def _mcp_error(value: Mapping[str, Any]) -> ToolError:
    """A result of MCP with ``isError``: its text may be an error of any shape itself."""
    said = "\n".join(_texts(value.get("content", value), 0))[:_MESSAGE_CHARS]
    inner = parse(said)
    if isinstance(inner, dict):
        return _object_error({**inner, "isError": None, "is_error": None}, True) or ToolError(said)
    return ToolError(said, _status_in(said))


def _says_error(value: Mapping[str, Any]) -> bool:
    if any(_is_error_value(value.get(key)) for key in _ERROR_KEYS):
        return True
    if value.get("success") is False or value.get("ok") is False:
        return True
    if any(isinstance(word := value.get(key), str) and word.lower() in _FAILED_WORDS for key in ("status", "type")):
        return True
    codes = (value.get(key) for key in ("code", "errorCode", "errorType", "__type"))
    return any(isinstance(code, str) and type_by_words(code[:_MESSAGE_CHARS]) is not None for code in codes)


def _is_error_value(error: object) -> bool:
    """``error`` and the like count when they say something; flags and counts do not."""
    if isinstance(error, str):
        return error.strip().lower() not in _NO_ERROR
    return isinstance(error, (dict, list)) and bool(error)


def _status_of(value: Mapping[str, Any]) -> int | None:
    """The HTTP status that an object gives; a number under ``status`` or ``code`` needs words beside it."""
    for key in _STATUS_KEYS:
        status = _number(value.get(key))
        if status is None or not 400 <= status <= 599:
            continue
        if key in _SURE_STATUS_KEYS or any(value.get(name) for name in (*_ERROR_KEYS, *_SAYING_KEYS)):
            return status
        if key == "status" and len(value) == 1:
            return status
    return None


def _number(value: object) -> int | None:
    if type(value) is int:
        return value
    return int(value) if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdecimal() else None


def _list_error(value: list[Any]) -> ToolError | None:
    """A list of errors: every entry has an error code."""
    entries = value[:_MAX_ENTRIES]
    coded = [isinstance(entry, dict) and not entry.keys().isdisjoint(("errorCode", "error_code")) for entry in entries]
    if not entries or not all(coded):
        return None
    return ToolError("\n".join(_texts(entries, 0))[:_MESSAGE_CHARS])


def _said(value: Mapping[str, Any]) -> str:
    """What an error object says: codes first, and without what was asked of the tool where it can be told apart."""
    saying = {key: value[key] for key in _SAID_KEYS if value.get(key)}
    return "\n".join(_texts(saying or value, 0))[:_MESSAGE_CHARS]


def _texts(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < _MAX_DEPTH and isinstance(value, list):
        for entry in value[:_MAX_ENTRIES]:
            yield from _texts(entry, depth + 1)
    elif depth < _MAX_DEPTH and isinstance(value, dict):
        for entry in list(value.values())[: 2 * _MAX_ENTRIES]:
            yield from _texts(entry, depth + 1)
        yield from [str(entry) for entry in (value.get("code"),) if type(entry) is int]

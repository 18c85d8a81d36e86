"""What came of a tool call, read from its result.

An error by its shape (``tool_errors``), or a line that tools write when they fail, is a failure; what it says decides
about its type, and after that its HTTP status.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal, TypeAlias

import re2  # type: ignore[import-untyped]  # Google's own binding has no annotations

from router.signals.error_types import EXIT_CODES, type_by_line, type_by_status, type_by_words
from router.signals.report import SignalType
from router.signals.tool_errors import ToolError, find_error, parse

# ``failed``: the call was wrong; ``disturbed``: something around it was; ``waiting``: the answer is "not yet".
Outcome: TypeAlias = Literal["ok", "empty", "waiting", "failed", "disturbed"]

_SURE, _BY_STATUS, _GUESSED = 0.9, 0.85, 0.5
_EMPTY_CHARS = 200

_STATE_KEYS = ("status", "state", "phase", "job_status")
_WAITING = frozenset(
    {
        *("pending", "queued", "running", "in_progress", "in progress", "processing", "waiting", "starting", "started"),
        *("scheduled", "initializing", "provisioning", "building", "working", "submitted", "accepted", "creating"),
    }
)
_RESULT_KEYS = ("results", "items", "data", "rows", "hits", "records", "matches", "documents", "slots", "entries")
_EMPTY_TEXT = re2.compile(
    r"(?i)^(?:no (?:\w+ )?(?:results?|matches|entries|records|hits|items|documents)\b.{0,80}|none|null)?$"
)
_JSON_START = re2.compile(r'^(?:\{\s*"[^"\n]*(?:"?\s*$|"\s*:)|\[\s*(?:\{\s*(?:"|$)|"[^"\n]*"\s*,|-?\d+\s*,))')
# Types whose words are said about many errors: a status says more.
_VAGUE = frozenset(
    {"execution.failure.state_error", "execution.failure.invalid_args", "environment.exhaustion.api_error"}
)
_VAGUE_STATUS = frozenset({"execution.failure.state_error", "execution.failure.invalid_args"})


@dataclass(frozen=True, slots=True)
class ToolResult:
    """``type`` and ``confidence`` are those of a failure; ``said`` is what it says. ``digest`` tells results apart."""

    outcome: Outcome
    digest: bytes
    type: SignalType | None = None
    confidence: float = 0.0
    said: str = ""


def read_tool_result(text: str, *, is_error: bool = False, arguments_ok: bool = True) -> ToolResult:
    """What came of the call whose result is ``text``.

    ``is_error`` is what the message says of itself; ``arguments_ok`` whether the call's arguments were JSON.
    """
    seen = hashlib.blake2b(text.encode(), digest_size=8).digest()
    value = parse(text)
    if value is None and _breaks_off(text.strip()):
        return ToolResult("disturbed", seen, "environment.exhaustion.malformed_response", _BY_STATUS, text)
    error = find_error(text, value, is_error=is_error)
    kind, confidence = _type_of(error) if error is not None else (None, 0.0)
    if error is None and value is None and (kind := type_by_line(text)) is not None:
        error, confidence = ToolError(text), _BY_STATUS
    if error is None or (error.exit_code is not None and not error.said and kind is None):
        return ToolResult(_unfailed(text, value), seen)  # tools such as grep say "nothing found" with an exit code
    if kind is None:
        kind = "execution.failure.state_error" if arguments_ok else "execution.failure.invalid_args"
        confidence = _GUESSED
    outcome: Outcome = "failed" if kind.startswith("execution.") else "disturbed"
    return ToolResult(outcome, seen, kind, confidence, error.said or text)


def _type_of(error: ToolError) -> tuple[SignalType | None, float]:
    """The type of an error, and how sure that is; ``None`` where nothing tells."""
    if error.exit_code is not None and error.exit_code in EXIT_CODES:
        return EXIT_CODES[error.exit_code], _SURE
    by_words = type_by_words(error.said)
    if error.status is None:
        return by_words, _SURE
    by_status = type_by_status(error.status)
    if by_words is None or (by_words in _VAGUE and by_status not in _VAGUE_STATUS):
        return by_status, _BY_STATUS
    return by_words, _SURE


def _unfailed(text: str, value: object) -> Outcome:
    if isinstance(value, dict):
        state = next((given for key in _STATE_KEYS if isinstance(given := value.get(key), str)), "")
        if state.lower() in _WAITING:
            return "waiting"
        lists = [value[key] for key in _RESULT_KEYS if isinstance(value.get(key), list)]
        return "empty" if not value or (lists and not any(lists)) else "ok"
    if isinstance(value, list):
        return "ok" if value else "empty"
    line = text.strip()
    if line.lower() in _WAITING:
        return "waiting"
    return "empty" if len(line) < _EMPTY_CHARS and _EMPTY_TEXT.search(line) else "ok"


def _breaks_off(text: str) -> bool:
    """Whether ``text`` is the beginning of JSON: it is right as far as it goes, and then ends."""
    if not _JSON_START.search(text[:1_000]):
        return False
    try:
        json.loads(text)
    except json.JSONDecodeError as exc:
        return exc.msg.startswith("Unterminated string") or exc.pos >= len(text)
    except (RecursionError, ValueError):  # too deep; a number with too many digits
        return False
    return False

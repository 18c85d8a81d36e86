"""What was said, as span attributes, for those who ask for it: without personal data, and never much of it.

The shape is that of OpenTelemetry's conventions for messages
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/): JSON, a list of messages with ``role`` and
``parts``. Pictures, files and whatever else is no text are named by their type only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from router.observer.answers import Answer, text_of, tool_calls
from router.pii.redactor import DetectionPolicy, Redactor
from router.telemetry import semconv

MAX_TEXT_CHARS = 8192
MAX_MESSAGES = 32
_MAX_ALL_CHARS = 65_536
# Read beyond what is shown, so that what begins there is recognised for what it is.
_LOOKAHEAD_CHARS = 4096
_TIMEOUT_S = 10.0
_CUT = "…"


class ContentCapture:
    """Makes attributes of messages and answers. Personal data is found by patterns; names are not looked for."""

    def __init__(self, redactor: Redactor | None = None) -> None:
        self._redactor = redactor or Redactor(DetectionPolicy())

    async def attributes(self, messages: Sequence[Mapping[str, Any]], answer: Answer | None) -> dict[str, str]:
        """The newest of the canonical ``messages``, and what was answered, as attributes of a span."""
        told: dict[str, list[dict[str, Any]]] = {}
        if asked := [_message(message) for message in messages[-MAX_MESSAGES:]]:
            told[semconv.INPUT_MESSAGES] = asked
        if answer is not None:
            said = _message(answer.message)
            if answer.finish_reason is not None:
                said["finish_reason"] = answer.finish_reason
            told[semconv.OUTPUT_MESSAGES] = [said]
        slots = [slot for each in told.values() for message in each for slot in _texts(message)]
        for (part, name), text in zip(slots, await self.texts([part[name] for part, name in slots]), strict=True):
            part[name] = text
        return {name: orjson.dumps(each, default=str).decode() for name, each in told.items()}

    async def texts(self, texts: Sequence[str]) -> list[str]:
        """``texts`` as they may be shown."""
        room = _MAX_ALL_CHARS
        limits, read = [], []
        for text in reversed(texts):  # the newest first
            limits.append(min(MAX_TEXT_CHARS, room))
            room = max(0, room - len(text))
            read.append(text[: limits[-1] + _LOOKAHEAD_CHARS] if limits[-1] else "")
        redacted = await self._redactor.redact_all(read, timeout_s=_TIMEOUT_S)
        shown = [
            safe if len(safe) <= limit and len(part) == len(text) else safe[:limit] + _CUT
            for safe, limit, part, text in zip(redacted, limits, read, reversed(texts), strict=True)
        ]
        return shown[::-1]


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    role = message.get("role")
    content = message.get("content")
    if role == "tool":
        call_id = str(message.get("tool_call_id") or "")
        return {"role": "tool", "parts": [{"type": "tool_call_response", "id": call_id, "response": text_of(message)}]}
    parts: list[dict[str, Any]] = []
    if isinstance(content, str) and content:
        parts.append({"type": "text", "content": content})
    if isinstance(content, list):
        parts += [_part(part) for part in content if isinstance(part, dict)]
    parts += [
        {"type": "tool_call", "id": call.call_id, "name": call.name, "arguments": call.arguments}
        for call in tool_calls(message)
    ]
    return {"role": str(role)[:64], "parts": parts}


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    text = part.get("text")
    return {"type": "text", "content": text} if isinstance(text, str) else {"type": str(part.get("type"))[:64]}


def _texts(message: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Where the texts of a message are: the part, and the name of its field."""
    for part in message["parts"]:
        for name in ("content", "arguments", "response"):
            if name in part:
                yield part, name

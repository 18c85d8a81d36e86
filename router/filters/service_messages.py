"""What a service says about why it refused, in whichever of the usual shapes."""

from __future__ import annotations

from typing import Any

import orjson

_MAX_MESSAGE_CHARS = 2000
_KEYS = ("message", "error", "detail", "reason")  # FastAPI says ``detail``, API providers ``error.message``


def message_of(body: bytes) -> str:
    """The message in an error's body: under one of the usual keys, else the text itself; empty where there is none."""
    try:
        found = _message(orjson.loads(body), depth=4)
    except orjson.JSONDecodeError:
        found = "" if body.lstrip()[:1] == b"<" else body.decode("utf-8", "replace")
    return shortened(found)


def shortened(message: str) -> str:
    """``message`` without spaces around it, no longer than anybody reads."""
    return message.strip()[:_MAX_MESSAGE_CHARS]


def _message(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return value
    if depth and isinstance(value, dict):
        return next((text for key in _KEYS if key in value and (text := _message(value[key], depth - 1))), "")
    if depth and isinstance(value, list):
        return next((text for item in value if (text := _message(item, depth - 1))), "")
    return ""

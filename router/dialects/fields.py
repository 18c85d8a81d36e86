"""Reading the fields of a request, whatever the dialect; what is wrong is said by the field's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.dialects.canonical import JsonObject
from router.errors import InvalidRequest


def wrong(field: str, expected: str) -> InvalidRequest:
    """The error for a ``field`` that is not what it has to be."""
    return InvalidRequest(f"'{field}' must be {expected}.", param=field)


def text_field(holder: Mapping[str, Any], name: str, at: str) -> str:
    """The required string ``holder[name]``; ``at`` says where the holder is, empty at the top."""
    value = holder.get(name)
    if not isinstance(value, str):
        raise wrong(f"{at}.{name}" if at else name, "a string")
    return value


def object_field(holder: Mapping[str, Any], name: str, at: str) -> JsonObject:
    """The required object ``holder[name]``."""
    return json_object(holder.get(name), f"{at}.{name}")


def json_object(value: object, field: str) -> JsonObject:
    """``value`` when it is an object."""
    if not isinstance(value, dict):
        raise wrong(field, "an object")
    return value


def json_list(value: object, field: str) -> list[Any]:
    """``value`` when it is a list."""
    if not isinstance(value, list):
        raise wrong(field, "a list")
    return value

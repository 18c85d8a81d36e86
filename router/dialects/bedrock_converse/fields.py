"""Reading the fields of a canonical request; what is wrong is said by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.dialects.canonical import DialectName, JsonObject
from router.errors import InvalidRequest

NAME: DialectName = "bedrock_converse"


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


def whole_number(value: object, field: str) -> int:
    """``value`` when it is a whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise wrong(field, "a whole number above 0")
    return value


def fraction(value: object, field: str) -> float:
    """``value`` when it is a number from 0 to 1: Bedrock takes no others, not even as temperature."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise wrong(field, f"a number from 0 to 1 for this provider ({NAME})")
    return value

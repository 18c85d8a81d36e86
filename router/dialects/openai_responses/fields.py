"""Reading a request field by field: what is wrong is refused by name, what has no counterpart is noted by name.

Names are paths as the client wrote them: ``input[2].content[0].image_url``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from router.dialects.canonical import JsonObject
from router.errors import InvalidRequest


@dataclass(slots=True)
class Losses:
    """What the canonical form of a request leaves behind; the names are those of ``ChatRequest``."""

    refused: list[str] = field(default_factory=list)
    untranslated: list[str] = field(default_factory=list)
    extras: JsonObject = field(default_factory=dict)

    def refuse(self, path: str) -> None:
        """``path`` means something that only a provider of this dialect can do."""
        self.refused.append(path)

    def refuse_unread(self, value: Mapping[str, Any], read: frozenset[str], path: str) -> None:
        """Refuse the fields of ``value`` that say something and are not in ``read``."""
        if not value.keys() <= read:
            self.refused.extend(f"{path}.{name}" for name, said in value.items() if said and name not in read)


def invalid(path: str, expected: str) -> InvalidRequest:
    """The error of a field that is not what it has to be."""
    return InvalidRequest(f"'{path}' must be {expected}.", param=path)


def read_text(value: object, path: str) -> str:
    """``value``, which has to be a string."""
    if isinstance(value, str):
        return value
    raise invalid(path, "a string")


def read_object(value: object, path: str) -> JsonObject:
    """``value``, which has to be a JSON object."""
    if isinstance(value, dict):
        return value
    raise invalid(path, "an object")


def read_list(value: object, path: str) -> list[Any]:
    """``value``, which has to be a list."""
    if isinstance(value, list):
        return value
    raise invalid(path, "a list")

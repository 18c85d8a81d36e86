"""Checks of JSON against the request types of the official SDKs: unknown and missing fields are refused.

The SDKs' types describe what may be written in Python, and so allow more than the wire does: any iterable for an array,
and objects of the answer types in place of their JSON. Neither is allowed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator

_FORBID = ConfigDict(extra="forbid", strict=True)
_DISCRIMINATORS = ("type", "role")

Location = tuple[int | str, ...]


class StrictType:
    """The request type of one API, a ``TypedDict`` of its SDK."""

    def __init__(self, type_: Any) -> None:
        # Around a list, because a TypedDict takes no configuration from outside, but inherits that of its container.
        schema = TypeAdapter(list[type_], config=_FORBID).core_schema
        definitions = {each["ref"]: each for each in _defined(schema)}
        self._validator = SchemaValidator(_wire_schema(schema, definitions))

    def problem(self, payload: object) -> tuple[str, str] | None:
        """Where ``payload`` is wrong (``messages[0].content``) and how; ``None`` when nothing is."""
        try:
            self._validator.validate_python([payload])
        except ValidationError as exc:
            errors = [
                (tuple(error["loc"][1:]), error["type"], error["msg"])
                for error in exc.errors(include_url=False, include_context=False, include_input=False)
            ]
            location, kind, message = _closest(errors)
            return _path(location, payload), _sentence(kind, message)
        return None


def _defined(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    definitions: list[dict[str, Any]] = schema["definitions"] if schema["type"] == "definitions" else []
    return definitions


def _wire_schema(schema: Any, definitions: Mapping[str | None, Any]) -> Any:
    """``schema`` with arrays for iterables, and without the answer types among the choices of a union."""
    if isinstance(schema, list):
        return [_wire_schema(each, definitions) for each in schema]
    if isinstance(schema, tuple):
        return tuple(_wire_schema(each, definitions) for each in schema)
    if not isinstance(schema, dict) or schema.get("type") == "model":
        return schema
    changed = {name: _wire_schema(value, definitions) for name, value in schema.items()}
    if changed.get("type") == "generator":
        changed["type"] = "list"
    if changed.get("type") == "union":
        changed["choices"] = [choice for choice in changed["choices"] if not _is_model(choice, definitions)]
    return changed


def _is_model(choice: Any, definitions: Mapping[str | None, Any]) -> bool:
    if isinstance(choice, tuple):
        choice = choice[0]
    if choice.get("type") == "definition-ref":
        choice = definitions[choice["schema_ref"]]
    if choice.get("type") in {"tagged-union", "union"}:
        members = choice["choices"]
        return all(
            _is_model(each, definitions) for each in (members.values() if isinstance(members, dict) else members)
        )
    return bool(choice.get("type") == "model")


def _closest(errors: list[tuple[Location, str, str]]) -> tuple[Location, str, str]:
    """The error of the union member that was meant: the one whose ``type`` and ``role`` are right."""
    wrong = [
        location[:-1] for location, kind, _ in errors if kind == "literal_error" and location[-1] in _DISCRIMINATORS
    ]
    wrong += [location[:-1] for location, kind, _ in errors if kind == "missing" and location[-1] in _DISCRIMINATORS]
    meant = [each for each in errors if not any(each[0][: len(prefix)] == prefix for prefix in wrong)]
    return max(meant or errors, key=lambda each: len(each[0]))


def _path(location: Location, payload: object) -> str:
    """The location as a path of the payload, without pydantic's names of union members in it."""
    path, here = "", payload
    for position, part in enumerate(location):
        if isinstance(part, int):
            path += f"[{part}]"
            here = here[part] if isinstance(here, list) and part < len(here) else None
        elif isinstance(here, dict) and (part in here or position == len(location) - 1):
            path += f".{part}" if path else part
            here = here.get(part)
    return path


def _sentence(kind: str, message: str) -> str:
    return {"extra_forbidden": "unknown field", "missing": "required"}.get(kind, message[0].lower() + message[1:])

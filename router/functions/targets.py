"""Prompt targets as values: an API that is called in natural language, its parameters, and where it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

ParameterType: TypeAlias = Literal["string", "integer", "number", "boolean", "array", "object"]
HttpMethod: TypeAlias = Literal["GET", "POST", "PUT", "DELETE"]
JsonValue: TypeAlias = Any  # whatever orjson decodes
Arguments: TypeAlias = Mapping[str, JsonValue]

# What the names of functions may have in them everywhere, and how long they may be.
_UNFIT_FOR_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_NAME_CHARS = 64

# How configuration files may spell a type.
_ALIASES: Mapping[str, ParameterType] = MappingProxyType(
    {
        "str": "string",
        "text": "string",
        "int": "integer",
        "float": "number",
        "bool": "boolean",
        "list": "array",
        "dict": "object",
    }
)
_TYPES: Mapping[str, ParameterType] = MappingProxyType(
    {
        "string": "string",
        "integer": "integer",
        "number": "number",
        "boolean": "boolean",
        "array": "array",
        "object": "object",
        **_ALIASES,
    }
)


def parameter_type(spelled: str) -> ParameterType:
    """The JSON Schema type that ``spelled`` stands for. Raises ``ValueError`` for none."""
    try:
        return _TYPES[spelled]
    except KeyError:
        raise ValueError(f"{spelled!r} is not the type of a parameter.") from None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that is taken from the conversation.

    ``default`` is ``None`` where there is none. ``format`` is a JSON Schema format (``date``, ``email``) or a hint in
    plain words (``City, State``).
    """

    name: str
    description: str
    type: ParameterType = "string"
    required: bool = False
    default: JsonValue = None
    enum: tuple[JsonValue, ...] | None = None
    in_path: bool = False
    format: str | None = None


@dataclass(frozen=True, slots=True)
class ApiEndpoint:
    """How a target is called. ``path`` and ``host`` may have ``{parameter}`` in them.

    ``host`` may carry a port. ``headers`` may be credentials. ``timeout_s`` is for the whole call, ``max_retries`` how
    often a GET that failed in passing is sent again. ``allow_private``: whether a host that a parameter is part of may
    resolve to an address that is not public.
    """

    name: str
    host: str
    path: str = "/"
    method: HttpMethod = "GET"
    protocol: Literal["http", "https"] = "http"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 30.0
    max_retries: int = 2
    max_response_bytes: int = 1024 * 1024
    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """An API that users call in natural language. ``endpoint`` is ``None`` where only a language model answers.

    ``system_prompt`` is what the model that answers is told; ``auto_llm_dispatch``: it words the API's answer.
    ``default``: the target serves what fits no other one.
    """

    name: str
    description: str
    parameters: tuple[Parameter, ...] = ()
    endpoint: ApiEndpoint | None = None
    system_prompt: str | None = None
    auto_llm_dispatch: bool = True
    default: bool = False

    def parameter(self, name: str) -> Parameter | None:
        """The parameter with this name."""
        return next((each for each in self.parameters if each.name == name), None)


def named(targets: Sequence[Target], name: str) -> Target | None:
    """The target with this name."""
    return next((each for each in targets if each.name == name), None)


def callable_names(names: Iterable[str]) -> dict[str, str]:
    """A name for each of ``names`` that every API takes for a function: letters, digits, ``_`` and ``-``, each once."""
    callable_: dict[str, str] = {}
    for number, name in enumerate(names):
        fit = _UNFIT_FOR_NAMES.sub("_", name)[:_MAX_NAME_CHARS]
        callable_[name] = fit if fit.strip("_") and fit not in callable_.values() else f"function_{number}"
    return callable_

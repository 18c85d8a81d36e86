"""JSON Schema out of the parameters of a target, and arguments checked against it.

What comes out of a conversation is text as often as not: where the type of a parameter says what a text means, it is
read as that (``"10"`` is 10 where a number is wanted) before it is checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import orjson

from router.functions.formats import FORMATS
from router.functions.request_target import host_complaint, path_complaint, placeholders
from router.functions.targets import Arguments, JsonValue, Parameter, ParameterType, Target

_MAX_TEXT_CHARS = 8192
_MAX_WHOLE = 2**53  # what every JSON parser reads exactly (RFC 8259, section 6)
_TRUE, _FALSE = frozenset({"true", "yes", "1", "on"}), frozenset({"false", "no", "0", "off"})


@dataclass(frozen=True, slots=True)
class ArgumentProblem:
    """Why a parameter has no usable value; ``reason`` is ``None`` where none was given."""

    parameter: Parameter
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CheckedArguments:
    """Arguments in the types of their parameters, defaults included, and what is wrong, in the order of parameters."""

    arguments: Arguments
    problems: tuple[ArgumentProblem, ...] = ()

    @property
    def lacking(self) -> list[Parameter]:
        """The parameters without a usable value."""
        return [problem.parameter for problem in self.problems]


class TargetSchema:
    """The schema of one target, made once. ``json_schema``, not to be changed, is what clients are shown."""

    def __init__(self, target: Target) -> None:
        # It takes a tenth of a second, which gateways without prompt targets can do without.
        from jsonschema import Draft202012Validator, FormatChecker

        self.target = target
        self._in_path: frozenset[str] = frozenset()
        self._host = ""
        if target.endpoint is not None:
            self._in_path = frozenset(placeholders(target.endpoint.path.partition("?")[0]))
            self._host = target.endpoint.host
        in_url = {*self._in_path, *placeholders(self._host)}
        self._needed = frozenset(
            each.name for each in target.parameters if each.required or each.in_path or each.name in in_url
        )
        checker = FormatChecker(())
        for name, is_one in FORMATS.items():
            checker.checks(name)(partial(_of_format, is_one))
        self._validators = {
            each.name: Draft202012Validator(_property(each), format_checker=checker) for each in target.parameters
        }
        required = [each.name for each in target.parameters if each.name in self._needed and each.default is None]
        self.json_schema: dict[str, Any] = {**parameters_schema(target), "required": required}

    def check(self, arguments: Arguments) -> CheckedArguments:
        """``arguments`` as the endpoint may get them. What is no parameter, null or an empty text is left out."""
        checked: dict[str, JsonValue] = {}
        problems = []
        for parameter in self.target.parameters:
            value = coerced(parameter, arguments.get(parameter.name))
            if value is None or value == "":
                value = parameter.default
            if value is None:
                if parameter.name in self._needed:
                    problems.append(ArgumentProblem(parameter))
                continue
            reason = self._complaint(parameter, value)
            if reason is None:
                checked[parameter.name] = value
            else:
                problems.append(ArgumentProblem(parameter, reason))
        return CheckedArguments(checked, tuple(problems))

    def _complaint(self, parameter: Parameter, value: JsonValue) -> str | None:
        if not _has_json_form(value):
            return "is not a value that can be sent"
        error = next(iter(self._validators[parameter.name].iter_errors(value)), None)
        if error is None:
            return self._misplaced(parameter, value)
        kind = str(error.validator)
        if kind == "enum":
            return f"has to be one of {', '.join(str(each) for each in parameter.enum or ())}"
        if kind == "format":
            return f"has to be written as {_FORMAT_WORDS.get(str(parameter.format), parameter.format)}"
        if kind == "maxLength":
            return "is too long"
        return f"has to be {_TYPE_WORDS[parameter.type]}"

    def _misplaced(self, parameter: Parameter, value: JsonValue) -> str | None:
        if parameter.name in self._in_path and (reason := path_complaint(value)) is not None:
            return reason
        return host_complaint(self._host, value) if parameter.name in placeholders(self._host) else None


_TYPE_WORDS: Mapping[ParameterType, str] = MappingProxyType(
    {
        "string": "a text",
        "integer": "a whole number",
        "number": "a number",
        "boolean": "yes or no",
        "array": "a list",
        "object": "a set of named values",
    }
)
_FORMAT_WORDS = MappingProxyType(
    {
        "date": "a date, as in 2026-03-31",
        "date-time": "a date and a time, as in 2026-03-31T14:30:00Z",
        "time": "a time, as in 14:30:00",
        "email": "an e-mail address",
        "uri": "a web address",
        "uuid": "a UUID",
        "hostname": "a host name",
        "duration": "a duration, as in P1DT2H",
        "ipv4": "an IPv4 address",
        "ipv6": "an IPv6 address",
    }
)


def _of_format(is_one: Callable[[str], bool], value: object) -> bool:
    return not isinstance(value, str) or is_one(value)  # formats say something about texts only


def parameters_schema(target: Target) -> dict[str, Any]:
    """The parameters as an object, none of them required."""
    return {
        "type": "object",
        "properties": {each.name: _shown(each) for each in target.parameters},
        "additionalProperties": False,
    }


def coerced(parameter: Parameter, value: JsonValue) -> JsonValue:
    """``value`` as the type of ``parameter`` understands it; unchanged where it does not."""
    if value is None:
        return None
    value = _COERCIONS[parameter.type](value)
    if parameter.enum is not None and value not in parameter.enum:
        folded = str(value).strip().casefold()
        return next((each for each in parameter.enum if str(each).casefold() == folded), value)
    return value


def _to_string(value: JsonValue) -> JsonValue:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return value.strip() if isinstance(value, str) else value


def _to_number(value: JsonValue) -> JsonValue:
    if not isinstance(value, str) or len(value) > 64:
        return value
    text = value.strip().replace(",", "") if "." in value else value.strip()
    try:
        number = float(text)
    except ValueError:
        return value
    return int(number) if number.is_integer() and abs(number) <= _MAX_WHOLE else number


def _to_integer(value: JsonValue) -> JsonValue:
    number = _to_number(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _to_boolean(value: JsonValue) -> JsonValue:
    word = str(value).strip().casefold() if isinstance(value, str | int) else ""
    return True if word in _TRUE else False if word in _FALSE else value


def _to_array(value: JsonValue) -> JsonValue:
    read = _from_text(value)
    return read if isinstance(read, list) else [value]


def _from_text(value: JsonValue) -> JsonValue:
    if isinstance(value, str) and value.lstrip()[:1] in {"[", "{"}:
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


_COERCIONS: Mapping[ParameterType, Callable[[JsonValue], JsonValue]] = MappingProxyType(
    {
        "string": _to_string,
        "integer": _to_integer,
        "number": _to_number,
        "boolean": _to_boolean,
        "array": _to_array,
        "object": _from_text,
    }
)


def _has_json_form(value: JsonValue) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if isinstance(value, int) and abs(value) > _MAX_WHOLE:
        return False
    try:
        return len(orjson.dumps(value)) <= 4 * _MAX_TEXT_CHARS
    except orjson.JSONEncodeError:  # lone surrogates, endless nesting
        return False


def _property(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": parameter.type}
    if parameter.enum is not None:
        schema["enum"] = list(parameter.enum)
    if parameter.format in FORMATS:
        schema["format"] = parameter.format
    if parameter.type == "string":
        schema["maxLength"] = _MAX_TEXT_CHARS
    if parameter.type == "array":
        schema["items"] = {}
    return schema


def _shown(parameter: Parameter) -> dict[str, Any]:
    schema = _property(parameter)
    schema.pop("maxLength", None)
    hint = f" (format: {parameter.format})" if parameter.format and parameter.format not in FORMATS else ""
    schema["description"] = parameter.description.strip() + hint
    if parameter.default is not None:
        schema["default"] = parameter.default
    return schema

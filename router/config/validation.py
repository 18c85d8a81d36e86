"""From pydantic's errors to problems: where in the file, in words, with a suggestion."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from router.config.document import Document
from router.config.draft import Draft
from router.config.fields import VALUE, Section
from router.config.introspection import is_secret_at, keys_at
from router.config.problems import KeyPath, Problem, did_you_mean

Root = TypeVar("Root", bound=Section)

_WORDS = {
    "string_type": ("{value} is not text.", "Put it in quotes."),
    "int_type": ("{value} is not a whole number.", None),
    "int_parsing": ("{value} is not a whole number.", None),
    "int_parsing_size": ("{value} is too large.", None),
    "int_from_float": ("{value} is not a whole number.", None),
    "float_type": ("{value} is not a number.", None),
    "float_parsing": ("{value} is not a number.", None),
    "finite_number": ("{value} is not a finite number.", None),
    "bool_type": ("{value} is neither true nor false.", "Write `true` or `false`."),
    "bool_parsing": ("{value} is neither true nor false.", "Write `true` or `false`."),
    "model_type": ("This must be a mapping of keys to values.", "Write `key: value` lines, indented."),
    "model_attributes_type": ("This must be a mapping of keys to values.", "Write `key: value` lines, indented."),
    "dict_type": ("This must be a mapping of names to values.", "Write `name: value` lines, indented."),
    "tuple_type": ("This must be a list.", "Start each entry with `- `."),
    "path_type": ("{value} is not a path.", "Put it in quotes."),
    "string_too_short": ("This is empty.", "Write at least one character."),
    "string_too_long": ("{value} is too long.", "Use at most {max_length} characters."),
    "string_pattern_mismatch": ("{value} starts or ends with a space, or has line breaks.", "Write it in one line."),
    "too_short": ("This list is empty.", "Write at least one entry."),
    "greater_than_equal": ("{value} is less than {ge}.", None),
    "less_than_equal": ("{value} is more than {le}.", None),
}

_REQUIRED_HINTS = {
    "version": "Write `version: v0.4.0`.",
    "listeners": "Write a list of `listeners`: without one, the gateway would serve nothing.",
    "port": "Write a free TCP port, for example `port: 8001`.",
}


def validate(document: Document, directory: Path, root: type[Root]) -> tuple[Root | None, list[Problem]]:
    """The document as ``root``, or the reasons why it is none. Paths in it are relative to ``directory``."""
    try:
        return root.model_validate(document.data, context={"directory": directory}), []
    except ValidationError as exc:
        return None, list(_problems(document, root, exc.errors(include_url=False, include_input=False)))


def _problems(document: Document, root: type[Section], errors: list[ErrorDetails]) -> Iterator[Problem]:
    # What only follows from other errors: a list without its bad entries is too short, a default from other values is
    # not made. And a value that may be of several types has an error for each of them.
    draft = Draft(document)
    real = [error for error in errors if error["type"] != "default_factory_not_called"]
    real = [error for error in real if error["type"] != "too_short" or not draft.get(error["loc"])]
    seen = set()
    for problem in (_translate(document, root, error) for error in real):
        if problem.path not in seen:
            seen.add(problem.path)
            yield problem


def _translate(document: Document, root: type[Section], error: ErrorDetails) -> Problem:
    kind = error["type"]
    path = _path_in(document.data, error["loc"], missing=kind == "missing")
    if kind == "missing":
        return _missing(document, path)
    if kind == "extra_forbidden":
        key = str(path[-1])
        hint = did_you_mean(key, keys_at(root, path[:-1]), plural="keys here")
        return document.problem(path, f"The key `{key}` is not known.", hint, on_key=True)
    if kind == "literal_error":
        expected = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
        written = document.spelling.get(document.source(path), "")
        message = f"{document.show(path)} is not one of the values allowed here."
        return document.problem(path, message, did_you_mean(written, expected, plural="values"))
    context = {name: str(value) for name, value in error.get("ctx", {}).items()}
    template, advice = _WORDS.get(kind, (error["msg"], context.pop("hint", None)))
    shown = "the value" if is_secret_at(root, path) else document.show(path)
    message = _fill(template, context, shown)
    return document.problem(path, message, _fill(advice, context, "") if advice else None)


def _fill(template: str, context: dict[str, str], shown: str) -> str:
    for name, value in context.items():
        template = template.replace(f"{{{name}}}", value)
    text = template.replace(VALUE, shown)
    return text[:1].upper() + text[1:]


def _missing(document: Document, path: KeyPath) -> Problem:
    key = str(path[-1])
    hint = _REQUIRED_HINTS.get(key, "Add it.")
    place = path[:-1]
    if not place:
        return Problem("error", key, f"The key `{key}` is missing.", hint, 1, 1)
    found = document.problem(path, f"The key `{key}` is missing.", hint)
    mark = document.values.get(document.source(place)) or document.locate(place)
    if mark is None:
        return found
    return Problem("error", found.path, found.message, found.suggestion, mark.line, mark.column)


def _path_in(data: Any, loc: tuple[str | int, ...], *, missing: bool) -> KeyPath:
    """``loc`` without what pydantic adds to it (``[key]``, names of union members)."""
    path: list[str | int] = []
    for index, part in enumerate(loc):
        if (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int)):
            data = data[part]  # type: ignore[index]  # one of the two kinds, as just checked
        elif not missing or index < len(loc) - 1:
            continue
        path.append(part)
    return tuple(path)

"""``$VAR`` and ``${VAR}`` in string values, from the environment and a ``.env`` file beside the configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from router.config.document import Document
from router.config.problems import KeyPath, Problem, did_you_mean

# `$$` is a dollar sign; a dollar sign before anything that is no name stands for itself ("costs $5").
_REFERENCE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<braced>[^{}]*)\}|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<open>\{))")
_PROVIDER_LISTS = ("model_providers", "llm_providers")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class MissingVariable:
    """Stands in the data for an ``access_key`` whose variable ``name`` has no value."""

    name: str


@dataclass(slots=True)
class Environment:
    """The variables that a configuration may refer to. Its values never reach a message or a ``repr``."""

    variables: Mapping[str, str] = field(repr=False)
    problems: list[Problem] = field(default_factory=list)

    def substitute(self, document: Document) -> None:
        """Replace references in every string value of ``document``, in place; ``problems`` says what is missing."""
        document.data = {key: self._value(item, (key,), document) for key, item in document.data.items()}

    def _value(self, value: Any, path: KeyPath, document: Document) -> Any:
        if isinstance(value, dict):
            return {key: self._value(item, (*path, key), document) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, (*path, index), document) for index, item in enumerate(value)]
        if isinstance(value, str) and "$" in value:
            return self._text(value, path, document)
        return value

    def _text(self, text: str, path: KeyPath, document: Document) -> str | MissingVariable:
        lenient = len(path) == 3 and path[0] in _PROVIDER_LISTS and path[2] == "access_key"
        missing = list(dict.fromkeys(self._missing(text, lenient=lenient)))
        malformed = [name for name in missing if not _NAME.fullmatch(name)]
        if malformed:
            message = f"`${{{malformed[0]}}}` is not a reference to a variable."
            self.problems.append(document.problem(path, message, "Write `${NAME}`, or `$$` for a dollar sign."))
            return text
        if missing and lenient:
            return MissingVariable(missing[0])
        for name in missing:
            message = f"The environment variable {name} is not set."
            self.problems.append(document.problem(path, message, self._hint(name)))
        return text if missing else _REFERENCE.sub(self._replacement, text)

    def _missing(self, text: str, *, lenient: bool) -> Iterator[str]:
        for match in _REFERENCE.finditer(text):
            if match["escaped"]:
                continue
            name = match["name"] or match["braced"] or ""
            # `export KEY=` is how a key is switched off; anywhere else an empty text may be meant.
            if name not in self.variables or (lenient and not self.variables[name].strip()):
                yield name

    def _replacement(self, match: re.Match[str]) -> str:
        return "$" if match["escaped"] else self.variables[match["name"] or match["braced"]]

    def _hint(self, name: str) -> str:
        close = did_you_mean(name, self.variables, plural="variables")
        near = f"{close} Else set" if close.startswith("Did you mean") else "Set"
        return f"{near} it, or put it into a file `.env` beside the configuration. For a dollar sign write `$$`."


def read_environment(config: Path, environ: Mapping[str, str] | None) -> Environment:
    """``environ`` (the process's own when ``None``), completed by ``.env`` beside ``config``, which it overrides."""
    process = os.environ if environ is None else environ
    dotenv = config.parent / ".env"
    problems: list[Problem] = []
    from_file: dict[str, str] = {}
    try:
        if dotenv.is_file():
            from_file = {name: value for name, value in dotenv_values(dotenv).items() if value is not None}
    except (OSError, UnicodeDecodeError):
        hint = "Make it readable UTF-8 text with a line `NAME=value` for each variable, or remove it."
        problems.append(Problem("error", "", f"The file {dotenv} cannot be read.", hint))
    return Environment({**from_file, **process}, problems)

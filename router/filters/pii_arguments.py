"""Personal data in what tools are given, where the keys of a JSON object say what its values are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import orjson

from router.dialects.canonical import encode_json
from router.pii.findings import Finding

_ARGUMENTS = frozenset({"arguments", "input", "metadata"})
_FEWEST_DIGITS = 7  # of a JSON number that could be anybody's
_MAX_DEPTH = 128


class NamedValues:
    """One walk through a request: ``{"ssn": 472810094}`` says what a look at the number alone does not.

    ``found`` has, for each text that a key named, what was found in it; offsets count from its beginning. Numbers in
    which something was found become texts, since a placeholder is one.
    """

    def __init__(self, find: Callable[[str], list[Finding]]) -> None:
        self.found: dict[str, list[Finding]] = {}
        self._find = find

    def read(self, value: Any) -> Any:
        """``value``, a part of a request, with such numbers as texts; ``value`` itself where there are none.

        Raises ``RecursionError`` for what is nested too deeply.
        """
        return self._outside(value, _MAX_DEPTH)

    def _outside(self, value: Any, depth: int) -> Any:
        if depth == 0:
            raise RecursionError("nested too deeply")
        if isinstance(value, list):
            return _same_or(value, [self._outside(item, depth - 1) for item in value])
        if not isinstance(value, dict):
            return value
        fields = {key: self._field(key, item, depth) for key, item in value.items()}
        return value if all(fields[key] is item for key, item in value.items()) else fields

    def _field(self, key: str, item: Any, depth: int) -> Any:
        if key == "arguments" and isinstance(item, str):
            try:
                data = orjson.loads(item)
            except orjson.JSONDecodeError:
                return item
            read = self._inside("", data, depth - 1)
            return item if read is data else encode_json(read).decode()
        if key in _ARGUMENTS and isinstance(item, dict):
            return self._inside("", item, depth - 1)
        return self._outside(item, depth - 1)

    def _inside(self, name: str, value: Any, depth: int) -> Any:
        if depth == 0:
            raise RecursionError("nested too deeply")
        if isinstance(value, dict):
            fields = {key: self._inside(key, item, depth - 1) for key, item in value.items()}
            return value if all(fields[key] is item for key, item in value.items()) else fields
        if isinstance(value, list):
            return _same_or(value, [self._inside(name, item, depth - 1) for item in value])
        if isinstance(value, str):
            self._look(name, value)
        elif isinstance(value, int) and len(str(abs(value))) >= _FEWEST_DIGITS and self._look(name, str(value)):
            return str(value)
        return value

    def _look(self, name: str, text: str) -> bool:
        """Look at ``text`` behind its name; whether something was found in it."""
        before = f"{name.replace('_', ' ')}: "
        found = [
            replace(one, start=one.start - len(before), end=one.end - len(before))
            for one in self._find(before + text)
            if one.start >= len(before)
        ]
        if found:
            self.found.setdefault(text, []).extend(found)
        return bool(found)


def _same_or(value: list[Any], items: Iterable[Any]) -> list[Any]:
    items = list(items)
    return value if all(new is old for new, old in zip(items, value, strict=True)) else items

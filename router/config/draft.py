"""Questions to a configuration that may still be malformed, so that cross-checks run beside validation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from router.config.document import Document
from router.config.problems import KeyPath, Problem, did_you_mean, render_path


@dataclass(frozen=True, slots=True)
class Draft:
    """A document, read leniently: what has the wrong type is as good as absent."""

    document: Document

    def get(self, path: KeyPath) -> Any:
        """The value at ``path``, or ``None``."""
        value: Any = self.document.data
        for part in path:
            if isinstance(part, str) and isinstance(value, dict):
                value = value.get(part)
            elif isinstance(part, int) and isinstance(value, list) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def entries(self, path: KeyPath) -> list[KeyPath]:
        """The paths of the mappings in a list, or of the mappings that a mapping's names lead to."""
        value = self.get(path)
        if isinstance(value, list):
            return [(*path, index) for index, item in enumerate(value) if isinstance(item, dict)]
        if isinstance(value, dict):
            return [(*path, name) for name, item in value.items() if isinstance(item, dict)]
        return []

    def text(self, path: KeyPath) -> str | None:
        """The non-empty text at ``path``."""
        value = self.get(path)
        return value if isinstance(value, str) and value else None

    def texts(self, path: KeyPath) -> list[tuple[KeyPath, str]]:
        """The texts in the list at ``path``."""
        value = self.get(path)
        items = value if isinstance(value, list) else []
        return [((*path, index), item) for index, item in enumerate(items) if isinstance(item, str)]

    def flag(self, path: KeyPath) -> bool:
        """Whether the value at ``path`` says yes."""
        value = self.get(path)
        return value.strip().lower() in ("true", "1", "yes", "on") if isinstance(value, str) else value is True

    def names(self, path: KeyPath, key: str) -> dict[str, KeyPath]:
        """Each ``key`` of the entries at ``path``, and where it stands first."""
        found: dict[str, KeyPath] = {}
        for entry in self.entries(path):
            name = self.text((*entry, key))
            if name is not None:
                found.setdefault(name, (*entry, key))
        return found

    def show(self, path: KeyPath) -> str:
        """The value at ``path`` as the file spells it."""
        return self.document.show(path)

    def duplicates(self, places: list[tuple[KeyPath, str]], what: str, hint: str) -> Iterator[Problem]:
        """An error for every name in ``places`` that stood before."""
        first: dict[str, KeyPath] = {}
        for path, name in places:
            if name in first:
                mark = self.document.locate(first[name])
                line = f", line {mark.line}" if mark else ""
                where = render_path(self.document.source(first[name]))
                yield self.document.problem(path, f"The {what} {self.show(path)} is taken by {where}{line}.", hint)
            first.setdefault(name, path)

    def unknown(self, path: KeyPath, known: dict[str, KeyPath], *, what: str, plural: str) -> Problem:
        """An error for a reference to a name that nothing has."""
        hint = did_you_mean(self.text(path) or "", self.spelled(known), plural=plural)
        return self.document.problem(path, f"There is no {what} {self.show(path)}.", hint)

    def unknown_in(self, path: KeyPath, name: str, known: dict[str, KeyPath]) -> Problem:
        """An error for a ``{name}`` in the text at ``path`` that is no parameter."""
        written = f" `{name}`" if f"{{{name}}}" in self.show(path) else ""
        message = f"{self.show(path)} names a parameter{written} that is not declared."
        return self.document.problem(path, message, did_you_mean(name, self.spelled(known), plural="parameters"))

    def spelled(self, names: dict[str, KeyPath]) -> list[str]:
        """Names as the file spells them, for suggestions: what they are may be a secret of the environment."""
        return [self.show(path).strip("`") for path in names.values()]

"""Which of a listener's paths a request is for: literal ones, and templates such as ``/v1/responses/{response_id}``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Match(Generic[T]):
    """What was found at a path: ``template`` is the path as it was registered, which may be a label."""

    template: str
    found: T
    parameters: Mapping[str, str] = field(default_factory=dict)


class PathTable(Generic[T]):
    """Values by path.

    A segment in braces stands for any text but the empty one; it never holds a slash. Where several templates fit, the
    one that is literal further to the left wins; a literal path wins over every template.
    """

    def __init__(self, paths: Mapping[str, T]) -> None:
        """Raises ``ValueError`` for a template that is malformed, or that fits the same paths as another one."""
        self._literal: dict[str, Match[T]] = {}
        self._templates: dict[int, list[_Template[T]]] = {}
        for path, value in paths.items():
            if "{" in path:
                template = _Template.of(path, value)
                self._templates.setdefault(path.count("/"), []).append(template)
            else:
                self._literal[path] = Match(path, value)
        for same_length in self._templates.values():
            same_length.sort(key=lambda template: template.order)
            for one, other in pairwise(same_length):
                if one.literals == other.literals:
                    raise ValueError(f"{one.path} and {other.path} fit the same paths")

    def __iter__(self) -> Iterator[str]:
        """All paths as they were registered."""
        yield from self._literal
        for same_length in self._templates.values():
            yield from (template.path for template in same_length)

    def find(self, path: str) -> Match[T] | None:
        """What is at ``path``, which is decoded and has no query; ``None`` where there is nothing."""
        match = self._literal.get(path)
        if match is not None:
            return match
        candidates = self._templates.get(path.count("/"))
        if candidates is None:
            return None
        segments = path.split("/")
        for template in candidates:
            if (parameters := template.parameters(segments)) is not None:
                return Match(template.path, template.found, parameters)
        return None


@dataclass(frozen=True, slots=True)
class _Template(Generic[T]):
    """``literals`` and ``names`` are by the index of their segment."""

    path: str
    found: T
    literals: Mapping[int, str]
    names: Mapping[int, str]

    @classmethod
    def of(cls, path: str, found: T) -> _Template[T]:
        literals: dict[int, str] = {}
        names: dict[int, str] = {}
        for index, segment in enumerate(path.split("/")):
            if "{" not in segment and "}" not in segment:
                literals[index] = segment
            elif segment[0] == "{" and segment[-1] == "}" and segment[1:-1].isidentifier():
                names[index] = segment[1:-1]
            else:
                raise ValueError(f"{path}: a parameter is a whole segment, as in /{{name}}/")
        if len(set(names.values())) < len(names):
            raise ValueError(f"{path}: two parameters have the same name")
        return cls(path, found, literals, names)

    @property
    def order(self) -> list[tuple[bool, str]]:
        """Literal segments come before parameters."""
        return [(index in self.names, self.literals.get(index, "")) for index in range(self.path.count("/") + 1)]

    def parameters(self, segments: Sequence[str]) -> dict[str, str] | None:
        """What the segments of a path stand for here; ``None`` where the template does not fit."""
        for index, literal in self.literals.items():
            if segments[index] != literal:
                return None
        parameters = {name: segments[index] for index, name in self.names.items()}
        return parameters if all(parameters.values()) else None

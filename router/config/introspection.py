"""What the models say about themselves: which keys a place in the file may have, and of which type they are."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from router.config.fields import Kind, Section
from router.config.problems import KeyPath


def section_at(root: type[Section], path: KeyPath) -> type[Section] | None:
    """The model of the mapping at ``path``; ``None`` where keys are the user's own or there is no mapping."""
    annotation: Any = root
    for part in path:
        annotation = _step(annotation, part)
        if annotation is None:
            return None
    return next(sections_in(annotation), None)


def keys_at(root: type[Section], path: KeyPath) -> tuple[str, ...]:
    """The keys that the mapping at ``path`` may have; empty where they are the user's own."""
    section = section_at(root, path)
    return tuple(section.model_fields) if section is not None else ()


def is_secret_at(root: type[Section], path: KeyPath) -> bool:
    """Whether the value at ``path`` may be a credential, so that no message shows it."""
    for length, part in enumerate(path):
        section = section_at(root, path[:length])
        field = section.model_fields.get(str(part)) if section is not None else None
        if field is not None and (not field.repr or SecretStr in options(field.annotation)):
            return True
    return False


def sections_in(annotation: Any) -> Iterator[type[Section]]:
    """The models that a value of this type may be, not looking into lists and mappings."""
    for option in options(annotation):
        if isinstance(option, type) and issubclass(option, Section):
            yield option


def options(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a type, ``None`` left out."""
    if get_origin(annotation) is Annotated:
        return options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(part for option in get_args(annotation) if option is not type(None) for part in options(option))
    return (annotation,)


def item_of(annotation: Any) -> Any | None:
    """The type of a list's items, ``None`` when the type is no list."""
    for option in options(annotation):
        if get_origin(option) is tuple:
            return get_args(option)[0]
    return None


def value_of(annotation: Any) -> Any | None:
    """The type of a mapping's values where the keys are the user's own, else ``None``."""
    for option in options(annotation):
        if get_origin(option) is dict:
            return get_args(option)[1]
    return None


def label(field: FieldInfo, link: Callable[[type[Section]], str]) -> str:
    """What the reference calls the field's type; ``link`` writes a reference to a section."""
    return _kind(field.metadata) or _label(field.annotation, link)


def _kind(metadata: Iterable[Any]) -> str | None:
    # The last one: a type made from another one calls itself something else.
    labels = [detail.label for detail in metadata if isinstance(detail, Kind)]
    return labels[-1] if labels else None


def _label(annotation: Any, link: Callable[[type[Section]], str]) -> str:
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[1:]) or _label(get_args(annotation)[0], link)
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [option for option in get_args(annotation) if option is not type(None)]
        return " or ".join(dict.fromkeys(_label(option, link) for option in parts))
    if (item := item_of(annotation)) is not None:
        return f"list of {_label(item, link)}"
    if (value := value_of(annotation)) is not None:
        return f"name → {_label(value, link)}"
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    section = next(sections_in(annotation), None)
    return link(section) if section is not None else _PLAIN_LABELS[annotation]


_PLAIN_LABELS: dict[Any, str] = {
    str: "text",
    bool: "`true`, `false`",
    int: "whole number",
    float: "number",
    SecretStr: "secret text",
}


def _step(annotation: Any, part: str | int) -> Any | None:
    if isinstance(part, int):
        return item_of(annotation)
    for section in sections_in(annotation):
        field = section.model_fields.get(part)
        if field is not None:
            return field.annotation
    return value_of(annotation)

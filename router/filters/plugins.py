"""Filters that others wrote, by the name of an entry point or as ``package.module:Class``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Protocol, cast

from router.errors import OperatorError
from router.filters.base import Filter

ENTRY_POINTS = "trident.filters"


class FilterFactory(Protocol):
    """A class, or function, that makes a filter. ``options`` are those of its entry in the configuration."""

    def __call__(self, name: str, options: Mapping[str, Any]) -> Filter: ...


def load_filter(python: str) -> FilterFactory:
    """What ``python`` names: ``package.module:Class``, or an entry point of the group ``trident.filters``.

    Raises ``OperatorError`` when there is no such thing, or when importing it fails.
    """
    try:
        loaded: object = _by_path(python) if ":" in python else _by_entry_point(python)
    except OperatorError:
        raise
    except Exception as exc:  # whatever foreign code raises while it is imported
        raise OperatorError(
            f"The filter '{python}' cannot be loaded: {type(exc).__name__}: {exc}.",
            fix="Install the package that has it where the gateway runs, and check its name.",
        ) from exc
    if not callable(loaded):
        raise OperatorError(f"'{python}' is no filter class.", fix="Name a class, or a function that makes a filter.")
    return cast("FilterFactory", loaded)


def _by_path(python: str) -> object:
    module, _, attribute = python.partition(":")
    found: object = importlib.import_module(module)
    for name in attribute.split("."):
        found = getattr(found, name)
    return found


def _by_entry_point(name: str) -> object:
    found = entry_points(group=ENTRY_POINTS)
    for entry in found:
        if entry.name == name:
            return entry.load()
    known = ", ".join(sorted(found.names)) or "none"
    raise OperatorError(
        f"There is no installed filter '{name}'.",
        fix=f"Install the package that has it, or write package.module:Class. Installed: {known}.",
    )

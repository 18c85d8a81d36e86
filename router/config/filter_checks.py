"""Cross-checks of filters: each has what its type needs, does something where it is listed, and leads nowhere wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from router.config.draft import Draft
from router.config.filters import CREDENTIAL_HEADERS, FilterType
from router.config.problems import KeyPath, Problem

_NEEDED = {
    "mcp": ("url", "where the service listens"),
    "http": ("url", "where the service listens"),
    "guardrail": ("model", "the classifier's name in the model repository"),
    "regex": ("patterns", "what it looks for"),
    "python": ("python", "`package.module:Class`, or the name of an installed filter"),
}
_SERVICE = ("mcp", "http")
# Which types a key is for; those that are not here are for all.
_TYPES_OF_KEY = {
    "url": _SERVICE,
    "headers": _SERVICE,
    "forward_headers": _SERVICE,
    "forward_credentials": (*_SERVICE, "header"),
    "max_response": _SERVICE,
    "patterns": ("regex",),
    "pii": ("pii",),
    "memory": ("memory",),
    "max_match_bytes": ("regex",),
    **dict.fromkeys(("set", "forward", "remove", "require", "metadata"), ("header",)),
    **dict.fromkeys(("python", "options"), ("python",)),
}
_TYPES = get_args(FilterType)
_LISTS = ("input_filters", "output_filters")


def check_filters(draft: Draft) -> Iterator[Problem]:
    """Filters that cannot work as they are written, and lists that name filters there are not."""
    filters = draft.names(("filters",), "id")
    for listener in draft.entries(("listeners",)):
        yield from _lists(draft, listener, filters)
        for place, name in draft.texts((*listener, "input_filters")):
            yield from _undecided(draft, place, filters.get(name))
        for entry in draft.entries((*listener, "agents")):
            yield from _lists(draft, entry, filters)
    for path in draft.entries(("filters",)):
        kind = draft.text((*path, "type")) or "mcp"
        yield from _keys(draft, path, kind)
        yield from _agents(draft, path)
        if kind == "header":
            yield from _headers(draft, path)


def _lists(draft: Draft, path: KeyPath, filters: dict[str, KeyPath]) -> Iterator[Problem]:
    for key in _LISTS:
        named = draft.texts((*path, key))
        yield from draft.duplicates(named, "filter", "List each filter once.")
        for place, name in named:
            if name not in filters:
                yield draft.unknown(place, filters, what="filter", plural="filters")
            elif key == "output_filters" and draft.get((*filters[name][:-1], "type")) == "header":
                message = f"{draft.show(place)} looks at requests only."
                yield draft.document.problem(place, message, "List it under `input_filters`.")


def _undecided(draft: Draft, place: KeyPath, found: KeyPath | None) -> Iterator[Problem]:
    if found is not None and draft.texts((*found[:-1], "when", "agents")):
        message = f"{draft.show(place)} runs here before an agent is chosen, and so for every agent."
        yield draft.document.warning(place, message, "List it under the agents that it is for.")


def _keys(draft: Draft, path: KeyPath, kind: str) -> Iterator[Problem]:
    if kind in _NEEDED:
        needed, what = _NEEDED[kind]
        if not draft.get((*path, needed)):
            yield draft.document.problem(
                path, f"A filter of type `{kind}` needs `{needed}`.", f"Add `{needed}`: {what}."
            )
    for key, kinds in _TYPES_OF_KEY.items():
        if kind in _TYPES and kind not in kinds and draft.get((*path, key)) is not None:
            message = f"`{key}` does nothing for a filter of type `{kind}`."
            yield draft.document.warning((*path, key), message, "Remove it, or change the `type`.")
    names = [
        ((*entry, "name"), name)
        for entry in draft.entries((*path, "patterns"))
        if (name := draft.text((*entry, "name")))
    ]
    yield from draft.duplicates(names, "pattern", "Give each its own name.")


def _agents(draft: Draft, path: KeyPath) -> Iterator[Problem]:
    agents = draft.names(("agents",), "id")
    for place, name in draft.texts((*path, "when", "agents")):
        if name not in agents:
            yield draft.unknown(place, agents, what="agent", plural="agents")


def _headers(draft: Draft, path: KeyPath) -> Iterator[Problem]:
    if draft.flag((*path, "forward_credentials")):
        return
    copied = draft.get((*path, "metadata"))
    names = draft.texts((*path, "forward"))
    if isinstance(copied, dict):
        names += [((*path, "metadata", key), name) for key, name in copied.items() if isinstance(name, str)]
    for place, name in names:
        if name.lower() in CREDENTIAL_HEADERS:
            message = f"{draft.show(place)} carries credentials of the client."
            yield draft.document.problem(place, message, "Leave it out, or say `forward_credentials: true`.")

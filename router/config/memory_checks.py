"""Cross-checks of ``memory`` filters: users can be told apart, and guards see what is recalled."""

from __future__ import annotations

from collections.abc import Iterator

from router.config.draft import Draft
from router.config.filters import CREDENTIAL_HEADERS
from router.config.problems import KeyPath, Problem

# What looks at the texts of a request and would miss what is recalled behind it.
_LOOKING = ("guardrail", "pii", "regex")


def check_memory(draft: Draft) -> Iterator[Problem]:
    """Filters that remember nothing or in the wrong place."""
    remembering = {}
    for path in draft.entries(("filters",)):
        name = draft.text((*path, "id"))
        if draft.text((*path, "type")) == "memory" and name is not None:
            remembering[name] = path
            yield from _key(draft, path)
    for listener in draft.entries(("listeners",)):
        yield from _order(draft, (*listener, "input_filters"), remembering)
        yield from _misplaced(draft, (*listener, "output_filters"), remembering)
        for entry in draft.entries((*listener, "agents")):
            for key in ("input_filters", "output_filters"):
                yield from _misplaced(draft, (*entry, key), remembering)


def _key(draft: Draft, path: KeyPath) -> Iterator[Problem]:
    kind: str = draft.text((*path, "memory", "key")) or "api_key"
    place: KeyPath = (*path, "memory", "header")
    header = draft.text(place)
    if kind == "header" and header is None:
        message = "`key: header` needs `header`."
        yield draft.document.problem((*path, "memory", "key"), message, "Add it, as in `header: x-user-id`.")
    elif kind != "header" and header is not None:
        message = f"`header` does nothing with `key: {kind}`."
        yield draft.document.warning(place, message, "Remove it, or say `key: header`.")
    elif header is not None and header.lower() in CREDENTIAL_HEADERS:
        message = f"{draft.show(place)} carries credentials of the client, which would be kept."
        yield draft.document.problem(place, message, "Name a header that says who the user is.")
    if kind == "api_key" and draft.get(("auth",)) is None:
        message = "Nothing is remembered: users are told apart by their API keys, and there are none."
        yield draft.document.warning(path, message, "Configure `auth`, or use `key: header` or `key: user`.")


def _order(draft: Draft, path: KeyPath, remembering: dict[str, KeyPath]) -> Iterator[Problem]:
    kinds = {name: draft.text((*place[:-1], "type")) for name, place in draft.names(("filters",), "id").items()}
    before: str | None = None
    for place, name in draft.texts(path):
        if kinds.get(name) in _LOOKING:
            before = before or name
        elif name in remembering and before is not None:
            message = f"What {draft.show(place)} recalls is not looked at by `{before}`, which runs before it."
            yield draft.document.warning(place, message, "List it first.")


def _misplaced(draft: Draft, path: KeyPath, remembering: dict[str, KeyPath]) -> Iterator[Problem]:
    for place, name in draft.texts(path):
        if name in remembering:
            message = f"{draft.show(place)} has to run before the guards: what it recalls would pass none here."
            yield draft.document.problem(place, message, "List it under the listener's `input_filters`.")

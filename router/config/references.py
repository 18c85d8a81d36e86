"""Cross-checks of names: agents, orchestrators, prompt targets. No name twice, none that leads nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from router.config.draft import Draft
from router.config.filter_checks import check_filters
from router.config.listeners import DEFAULT_ORCHESTRATOR
from router.config.memory_checks import check_memory
from router.config.problems import KeyPath, Problem, did_you_mean
from router.config.prompt_checks import check_prompt_targets

_UNIQUE = "Give each its own name."


def check_references(draft: Draft) -> Iterator[Problem]:
    """Every name that is defined twice or used without being defined."""
    yield from _definitions(draft)
    yield from _listeners(draft)
    yield from check_filters(draft)
    yield from check_memory(draft)
    yield from check_prompt_targets(draft)
    yield from _storage(draft)


def _definitions(draft: Draft) -> Iterator[Problem]:
    ids = _all(draft, ("agents",), "id") + _all(draft, ("filters",), "id")
    yield from draft.duplicates(ids, "id", "Agents and filters share one namespace: give each its own id.")
    yield from draft.duplicates(_all(draft, ("listeners",), "name"), "name", _UNIQUE)
    yield from draft.duplicates(_all(draft, ("orchestrators",), "name"), "name", _UNIQUE)
    yield from draft.duplicates(_all(draft, ("routing_preferences",), "name"), "name", _UNIQUE)
    yield from draft.duplicates(_all(draft, ("prompt_targets",), "name"), "name", _UNIQUE)
    for target in draft.entries(("prompt_targets",)):
        yield from draft.duplicates(_all(draft, (*target, "parameters"), "name"), "name", _UNIQUE)


def _listeners(draft: Draft) -> Iterator[Problem]:
    agents = draft.names(("agents",), "id")
    used = set()
    for listener in draft.entries(("listeners",)):
        yield from _router(draft, (*listener, "router"))
        yield from draft.duplicates(_all(draft, (*listener, "agents"), "id"), "agent", "List each agent once.")
        for entry in draft.entries((*listener, "agents")):
            name = draft.text((*entry, "id"))
            used.add(name)
            if name is not None and name not in agents:
                yield draft.unknown((*entry, "id"), agents, what="agent", plural="agents")
    for name, path in agents.items():
        if name not in used:
            message = f"No listener offers the agent {draft.show(path)}."
            yield draft.document.warning(path, message, "List it under `agents` of a listener, or remove it.")


def _router(draft: Draft, path: KeyPath) -> Iterator[Problem]:
    name = draft.text(path)
    orchestrators = draft.names(("orchestrators",), "name")
    if name is None or name == DEFAULT_ORCHESTRATOR or name in orchestrators:
        return
    hint = did_you_mean(name, [*draft.spelled(orchestrators), DEFAULT_ORCHESTRATOR], plural="orchestrators")
    yield draft.document.problem(path, f"There is no orchestrator {draft.show(path)}.", hint)


def _storage(draft: Draft) -> Iterator[Problem]:
    kind = draft.text(("state_storage", "type"))
    if kind in ("postgres", "redis") and draft.get(("state_storage", "connection_string")) is None:
        message = f"Storage of type `{kind}` needs a `connection_string`."
        yield draft.document.problem(("state_storage", "type"), message, "Add it, as `$VAR` if it has a password.")
    cache: KeyPath = ("routing", "session_cache")
    if draft.get((*cache, "type")) == "redis" and draft.get((*cache, "url")) is None:
        message = "A session cache of type `redis` needs a `url`."
        yield draft.document.problem((*cache, "type"), message, "Add it, as in `url: redis://localhost:6379`.")


def _all(draft: Draft, path: KeyPath, key: str) -> list[tuple[KeyPath, str]]:
    return [((*entry, key), name) for entry in draft.entries(path) if (name := draft.text((*entry, key))) is not None]

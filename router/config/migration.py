"""Older spellings, rewritten in memory to the present ones. Every change is told to the operator as a warning.

Only well-formed values are rewritten; the rest is left for validation to complain about.
"""

from __future__ import annotations

from typing import Any

from router.config.document import Document
from router.config.listeners import DEFAULT_ORCHESTRATOR
from router.config.problems import KeyPath, Problem
from router.config.schema import VERSIONS

CURRENT_VERSION = VERSIONS[0]

# Spellings that need no rewriting beyond what is done for every file.
_CURRENT_VERSIONS = ("v0.4.0", "v0.3.0")

_LEGACY_LISTENERS = {
    "egress_traffic": {"type": "model", "port": 12000, "timeout": "30s"},
    "ingress_traffic": {"type": "prompt", "port": 10000, "timeout": "30s"},
}

_LEGACY_ROUTERS = {"arch_agent_router": DEFAULT_ORCHESTRATOR}

_LEGACY_LISTENER_TYPES = {"agent_listener": "agent", "model_listener": "model", "prompt_listener": "prompt"}


def migrate(document: Document) -> list[Problem]:
    """Bring ``document`` to the present spelling, in place; the problems are warnings, and errors on contradictions."""
    problems: list[Problem] = []
    for step in (
        _version,
        _llm_providers,
        _listener_object,
        _listener_types,
        _routers,
        _filter_chains,
        _inline_preferences,
    ):
        problems.extend(step(document))
    return problems


def _version(document: Document) -> list[Problem]:
    version = document.data.get("version")
    # Unquoted, 0.1 is a number to YAML.
    text = document.spelling.get(("version",), "") if isinstance(version, float) else version
    if text not in VERSIONS or text in _CURRENT_VERSIONS:
        return []
    document.data["version"] = CURRENT_VERSION
    message = f"Version {document.show(('version',))} is read as {CURRENT_VERSION}."
    return [document.warning(("version",), message, f"Write `version: {CURRENT_VERSION}`.")]


def _llm_providers(document: Document) -> list[Problem]:
    old, new = ("llm_providers",), ("model_providers",)
    if "llm_providers" not in document.data:
        return []
    if "model_providers" in document.data:
        del document.data["llm_providers"]
        message = "`llm_providers` and `model_providers` are two names for one list."
        return [document.problem(old, message, "Move the entries to `model_providers`.", on_key=True)]
    document.data["model_providers"] = document.data.pop("llm_providers")
    document.move(new, old)
    return [document.warning(old, "`llm_providers` is the older name of `model_providers`.", "Rename it.")]


def _listener_object(document: Document) -> list[Problem]:
    listeners = document.data.get("listeners")
    if not isinstance(listeners, dict):
        return []
    unknown = [name for name in listeners if name not in _LEGACY_LISTENERS]
    if unknown:
        message = f"`{unknown[0]}` is not one of `ingress_traffic` and `egress_traffic`."
        hint = "Make `listeners` a list: `- type: agent`, `name: ...`, `port: ...`."
        del document.data["listeners"]
        return [document.problem(("listeners", unknown[0]), message, hint, on_key=True)]
    problems = [document.warning(("listeners",), _OBJECT_NOTICE, "Make it a list of listeners.")]
    migrated: list[Any] = []
    for name, defaults in _LEGACY_LISTENERS.items():
        # As these files are understood elsewhere: the gateway to models is always there, the other when written down.
        if name not in listeners and (name == "ingress_traffic" or not document.data.get("model_providers")):
            continue
        given = listeners.get(name, {})
        if isinstance(given, dict):
            message_format = given.get("message_format", "openai")
            if message_format != "openai":
                place: KeyPath = ("listeners", name, "message_format")
                hint = "Remove the key; the format follows from the path of the request."
                problems.append(document.problem(place, f"{document.show(place)} is not supported.", hint))
            given = {"name": name, **defaults, **{key: item for key, item in given.items() if key != "message_format"}}
        document.move(("listeners", len(migrated)), ("listeners", name))
        migrated.append(given)
    document.data["listeners"] = migrated
    return problems


_OBJECT_NOTICE = (
    "`ingress_traffic` and `egress_traffic` are read as a `prompt` and a `model` listener, on 127.0.0.1 unless "
    "`address` says otherwise."
)


def _listener_types(document: Document) -> list[Problem]:
    problems = []
    for path, listener in _entries(document.data.get("listeners"), ("listeners",)):
        written = listener.get("type")
        if isinstance(written, str) and written in _LEGACY_LISTENER_TYPES:
            listener["type"] = _LEGACY_LISTENER_TYPES[written]
            message = f"The listener type `{written}` is the older name of `{listener['type']}`."
            problems.append(document.warning((*path, "type"), message, "Rename it."))
    return problems


def _routers(document: Document) -> list[Problem]:
    problems = []
    own = [entry.get("name") for _, entry in _entries(document.data.get("orchestrators"), ("orchestrators",))]
    for path, listener in _entries(document.data.get("listeners"), ("listeners",)):
        written = listener.get("router")
        if isinstance(written, str) and written in _LEGACY_ROUTERS and written not in own:
            listener["router"] = _LEGACY_ROUTERS[written]
            message = f"The router `{written}` is the older name of `{listener['router']}`."
            problems.append(document.warning((*path, "router"), message, "Rename it."))
    return problems


def _filter_chains(document: Document) -> list[Problem]:
    problems = []
    for path, listener in _entries(document.data.get("listeners"), ("listeners",)):
        for place, agent in _entries(listener.get("agents"), (*path, "agents")):
            if "filter_chain" in agent and "input_filters" not in agent:
                agent["input_filters"] = agent.pop("filter_chain")
                old: KeyPath = (*place, "filter_chain")
                document.move((*place, "input_filters"), old)
                problems.append(
                    document.warning(old, "`filter_chain` is the older name of `input_filters`.", "Rename it.")
                )
    return problems


def _inline_preferences(document: Document) -> list[Problem]:
    """``model_providers[].routing_preferences`` becomes entries of the top-level list, equal names joined."""
    problems: list[Problem] = []
    preferences = document.data.get("routing_preferences", [])
    if not isinstance(preferences, list):
        return []
    for path, provider in _entries(document.data.get("model_providers"), ("model_providers",)):
        inline = provider.get("routing_preferences")
        if not isinstance(inline, list):
            continue
        del provider["routing_preferences"]
        old: KeyPath = (*path, "routing_preferences")
        if "routing_preferences" not in document.data:
            document.data["routing_preferences"] = preferences
            document.move(("routing_preferences",), old)
        message = "Preferences below a model are read as entries of the top-level `routing_preferences`."
        problems.append(document.warning(old, message, "Move them there, with `models` naming this model."))
        if str(provider.get("model", "")).endswith("/*"):
            message = "A wildcard cannot have preferences: they choose one model."
            problems.append(document.problem(old, message, "Give the model that they choose its own entry."))
            continue
        for index, entry in enumerate(inline):
            _add_preference(document, preferences, entry, (*old, index), provider.get("model"))
    return problems


def _add_preference(document: Document, preferences: list[Any], entry: Any, old: KeyPath, model: Any) -> None:
    model_place: KeyPath = (*old[:2], "model")
    name = entry.get("name") if isinstance(entry, dict) else None
    for index, known in enumerate(preferences):
        if isinstance(known, dict) and name is not None and known.get("name") == name:
            models = known.get("models")
            if isinstance(models, list):
                document.move(("routing_preferences", index, "models", len(models)), model_place)
                models.append(model)
                return
    new: KeyPath = ("routing_preferences", len(preferences))
    document.move(new, old)
    if isinstance(entry, dict):
        entry = {**entry, "models": [model]}
        document.move((*new, "models"), model_place)
        document.move((*new, "models", 0), model_place)
    preferences.append(entry)


def _entries(items: Any, path: KeyPath) -> list[tuple[KeyPath, dict[str, Any]]]:
    if not isinstance(items, list):
        return []
    return [((*path, index), item) for index, item in enumerate(items) if isinstance(item, dict)]

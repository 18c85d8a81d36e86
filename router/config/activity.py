"""Which keys do something in this version. A key that only loads is reported, so that nobody believes it works.

Shrinks with every feature: whoever makes a key work adds it here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from router.config.document import Document
from router.config.introspection import section_at
from router.config.problems import KeyPath
from router.config.schema import Config

# The active keys of each mapping, each with everything below it. `[]` is any list index, `[agent]` an entry of that
# `type`, `key=value` only that value.
_LISTENER_KEYS = ("type", "name", "port", "address", "timeout", "unauthenticated", "input_filters", "output_filters")
ACTIVE_KEYS = {
    "": (
        *("version", "model_aliases", "orchestrators", "triton", "limits", "auth", "ratelimits", "resilience"),
        *("routing_preferences", "model_metrics_sources", "prompt_caching", "filters", "guardrails"),
        *("grpc", "services", "admin", "tracing", "signals", "state_storage"),
        *("prompt_targets", "endpoints", "error_target", "system_prompt"),
    ),
    "agents[]": ("id", "url", "timeout", "headers", "dialect"),
    "listeners[agent]": (*_LISTENER_KEYS, "router", "answer", "parallel", "prompt_targets"),
    "listeners[agent].agents[]": ("id", "description", "default", "input_filters", "output_filters"),
    "listeners[prompt]": (*_LISTENER_KEYS, "prompt_targets"),
    "listeners[model]": (*_LISTENER_KEYS, "max_retries", "moderations"),
    "model_providers[]": (
        *("model", "name", "access_key", "default", "provider_interface", "base_url", "dialects", "passthrough_auth"),
        *("http_host", "headers", "key_header", "timeout", "weight", "context_window", "price"),
        *("region", "api_version", "aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
    ),
    "overrides": (
        *("llm_routing_model", "agent_orchestration_model", "orchestrator_model_context_length"),
        *("upstream_connect_timeout", "use_agent_orchestrator", "disable_signals", "upstream_tls_ca_path"),
        *("prompt_target_intent_matching_threshold", "function_model"),
    ),
    "prompt_guards.input_guards": ("jailbreak",),
    "routing": (
        *("session_ttl_seconds", "session_max_entries", "session_cache"),
        *("routing_budget", "route_on_user_only", "model"),
    ),
}


def inactive_keys(document: Document) -> tuple[KeyPath, ...]:
    """The keys in the file that do nothing in this version, in the order of the file; outermost ones only."""

    def position(path: KeyPath) -> tuple[int, int]:
        mark = document.locate_key(path)
        return (mark.line, mark.column) if mark else (0, 0)

    return tuple(sorted(_inactive(document.data, "", ()), key=position))


def is_active(mapping: str, key: str, value: object = None) -> bool:
    """Whether ``key`` does something in a mapping, given as a pattern of ``ACTIVE_KEYS``."""
    keys = ACTIVE_KEYS.get(mapping, ())
    return key in keys or f"{key}={value}" in keys


def active_kinds(mapping: str, key: str | None = None) -> tuple[str, ...]:
    """For the reference: the types of entries, or the values, with which a key of a mapping does something.

    ``mapping`` is a pattern with ``[]`` for every list, ``key`` ``None`` for any of its keys. ``*`` is whatever type.
    """
    kinds = {}
    for pattern, keys in ACTIVE_KEYS.items():
        if re.sub(r"\[\w*\]", "[]", pattern) == mapping:
            entry_type = "".join(re.findall(r"\[(\w+)\]$", pattern))
            for name, _, value in (active.partition("=") for active in keys):
                if key in (None, name):
                    kinds[value or entry_type or "*"] = True
    return tuple(kinds)


def is_partly_active(pattern: str) -> bool:
    """Whether something at or below a list or mapping does something; ``[]`` stands for entries of any type."""
    at_or_below = re.compile(re.escape(pattern).replace(r"\[\]", r"\[\w*\]") + r"([.\[].*)?")
    return any(at_or_below.fullmatch(mapping) for mapping in ACTIVE_KEYS)


def _inactive(value: dict[str, Any], pattern: str, path: KeyPath) -> Iterator[KeyPath]:
    for key, item in value.items():
        place = (*path, key)
        below = f"{pattern}.{key}" if pattern else key
        if is_active(pattern, key, item):
            continue
        if isinstance(item, list) and is_partly_active(below):
            yield from _inactive_entries(item, below, place)
        elif isinstance(item, dict) and section_at(Config, place) is not None:
            yield from _inactive(item, below, place)
        else:
            yield place


def _inactive_entries(items: list[Any], pattern: str, path: KeyPath) -> Iterator[KeyPath]:
    for index, item in enumerate(items):
        entry = f"{pattern}[{item['type']}]" if pattern == "listeners" else f"{pattern}[]"
        if is_partly_active(entry):
            yield from _inactive(item, entry, (*path, index))
        else:
            yield (*path, index)

from __future__ import annotations

import pytest

from router.config.activity import ACTIVE_KEYS
from router.config.introspection import keys_at
from router.config.schema import Config

HEAD = "version: v0.4.0\nagents: [{id: a, url: 'http://h:1'}]\n"
LISTENERS = "listeners:\n  - {type: agent, name: l, port: 8001, agents: [{id: a, description: d}]}\n"


@pytest.mark.parametrize(
    ("text", "inactive"),
    [
        ("", ()),
        ("triton: {timeout: 1s}\nlimits: {max_body_bytes: 5}\norchestrators: [{name: o}]\n", ()),
        ("prompt_guards: {input_guards: {jailbreak: {threshold: 0.5}}}\n", ()),
        ("model_providers: [{model: openai/x, headers: {a: b}, http_host: h, base_url: 'http://h'}]\n", ()),
        ("model_providers: [{model: m/x, base_url: 'http://h', provider_interface: openai}]\n", ()),
        ("routing: {session_ttl_seconds: 5, llm_provider: openai}\n", ("routing.llm_provider",)),
        ("state_storage: {type: sqlite}\n", ()),
        ("state_storage: {type: postgres, connection_string: 'postgresql://h/d'}\n", ()),
        ("tracing: {random_sampling: 1, span_attributes: {static: {a: b}}, exporters: []}\n", ()),
        ("overrides: {optimize_context_window: true}\nmode: llm\n", ("overrides.optimize_context_window", "mode")),
        ("endpoints: {e: {endpoint: h}}\nprompt_targets: []\n", ()),
    ],
)
def test_what_does_nothing_yet_is_listed(load, text: str, inactive: tuple[str, ...]) -> None:
    loaded = load(HEAD + LISTENERS + text)
    assert loaded.inactive_keys == inactive
    assert (loaded.inactive_notice is None) == (not inactive)


def test_the_list_is_in_the_order_of_the_file(load) -> None:
    text = "mode: llm\noverrides: {optimize_context_window: true}\nrouting: {llm_provider: openai}\n"
    assert load(HEAD + LISTENERS + text).inactive_keys == (
        "mode",
        "overrides.optimize_context_window",
        "routing.llm_provider",
    )


def test_listeners_are_active_by_type(load) -> None:
    loaded = load(
        "version: v0.4.0\nagents: [{id: a, url: 'http://h:1'}]\nlisteners:\n"
        "  - {type: agent, name: a, port: 1, router: plano_orchestrator_v1, max_retries: 2, agents: [{id: a}]}\n"
        "  - {type: model, name: m, port: 2, timeout: 3s, router: plano_orchestrator_v1}\n"
        "  - {type: prompt, name: p, port: 3}\n"
    )
    assert loaded.inactive_keys == ("listeners[0].max_retries", "listeners[1].router")


def test_the_table_names_only_keys_that_exist() -> None:
    for mapping, keys in ACTIVE_KEYS.items():
        parts = [part for part in mapping.split(".") if part]
        path = tuple(step for part in parts for step in ((part.partition("[")[0], 0) if "[" in part else (part,)))
        assert {key.partition("=")[0] for key in keys} <= set(keys_at(Config, path)), mapping

from __future__ import annotations

import pytest

LISTENER = "listeners: [{type: model, name: m, port: 1200}]\n"


@pytest.mark.parametrize("version", ["v0.1", "v0.1.0", "0.1-beta", "0.2.0"])
def test_older_versions_are_read_with_a_notice(load, version: str) -> None:
    loaded = load(f"version: {version}\n{LISTENER}")
    assert loaded.config.version == "v0.4.0"
    (notice,) = loaded.warnings
    assert (notice.severity, notice.path, notice.line) == ("warning", "version", 1)
    assert notice.message == f"Version `{version}` is read as v0.4.0."


@pytest.mark.parametrize("version", ["v0.3.0", "v0.4.0"])
def test_present_versions_are_read_without_a_notice(load, version: str) -> None:
    loaded = load(f"version: {version}\n{LISTENER}")
    assert (loaded.config.version, loaded.warnings) == (version, ())


def test_llm_providers(load, problems) -> None:
    text = f"version: v0.3.0\n{LISTENER}llm_providers:\n  - model: openai/gpt-4o\n    access_key: k\n"
    loaded = load(text)
    assert [provider.model for provider in loaded.config.model_providers] == ["openai/gpt-4o"]
    assert [warning.path for warning in loaded.warnings] == ["llm_providers"]
    assert loaded.inactive_keys == ()
    # A problem below points to where the file has it.
    found = problems(f"{text}    dfault: true\n")
    assert [(item.path, item.line) for item in found if item.severity == "error"] == [("llm_providers[0].dfault", 6)]


def test_llm_providers_beside_model_providers_is_a_contradiction(problems) -> None:
    (problem,) = problems(f"version: v0.3.0\n{LISTENER}model_providers: []\nllm_providers: []\n")
    assert (problem.severity, problem.path, problem.line) == ("error", "llm_providers", 4)


LEGACY = """\
    version: v0.1
    listeners:
      ingress_traffic:
        address: 0.0.0.0
        port: 9999
        message_format: openai
        timeout: 5s
      egress_traffic:
        port: 12345
    llm_providers:
      - model: openai/gpt-4o
        access_key: k
        default: true
    """


def test_the_listener_object(load) -> None:
    loaded = load(LEGACY)
    egress, ingress = loaded.config.listeners
    assert (egress.type, egress.name, egress.address, egress.port, egress.timeout) == (
        "model",
        "egress_traffic",
        "127.0.0.1",
        12345,
        30.0,
    )
    assert (ingress.type, ingress.name, ingress.address, ingress.port, ingress.timeout) == (
        "prompt",
        "ingress_traffic",
        "0.0.0.0",
        9999,
        5.0,
    )
    assert {warning.path for warning in loaded.warnings} == {
        *("version", "listeners", "llm_providers"),
        "listeners.ingress_traffic.address",
    }
    assert loaded.inactive_keys == ()


def test_the_gateway_to_models_is_there_when_only_the_other_listener_is_written(load) -> None:
    text = (
        "version: v0.1\nlisteners:\n  ingress_traffic: {port: 9999}\n"
        "llm_providers: [{model: openai/gpt-4o, access_key: k}]\n"
    )
    assert [(listener.type, listener.port) for listener in load(text).config.listeners] == [
        ("model", 12000),
        ("prompt", 9999),
    ]


def test_problems_of_the_listener_object_point_to_it(problems) -> None:
    found = problems(
        LEGACY.replace("port: 12345", "port: 123456").replace("message_format: openai", "message_format: x")
    )
    errors = [(problem.path, problem.line) for problem in found if problem.severity == "error"]
    assert errors == [("listeners.ingress_traffic.message_format", 6), ("listeners.egress_traffic.port", 9)]


def test_an_unknown_entry_of_the_listener_object(problems) -> None:
    found = problems("version: v0.1\nlisteners:\n  outgress_traffic: {port: 1}\n")
    assert "listeners.outgress_traffic" in [problem.path for problem in found]


def test_older_listener_types_and_filter_chains(load) -> None:
    loaded = load(
        """\
        version: v0.3.0
        agents: [{id: a, url: 'http://h:1'}]
        filters: [{id: guard, url: 'http://h:2'}]
        listeners:
          - type: agent_listener
            name: l
            port: 8001
            agents:
              - id: a
                filter_chain: [guard]
        """
    )
    (listener,) = loaded.config.listeners
    assert listener.type == "agent"
    assert listener.agents[0].input_filters == ("guard",)
    assert [warning.path for warning in loaded.warnings if "older name" in warning.message] == [
        "listeners[0].type",
        "listeners[0].agents[0].filter_chain",
    ]


AGENTS = """\
    version: v0.3.0
    agents: [{id: a, url: "http://h:1"}]
    listeners:
      - {type: agent, name: x, port: 8001, router: arch_agent_router, agents: [{id: a}]}
    """


def test_the_older_name_of_the_orchestrator(load) -> None:
    loaded = load(AGENTS)
    assert loaded.config.listeners[0].router == "plano_orchestrator_v1"
    assert [(warning.path, warning.line) for warning in loaded.warnings] == [("listeners[0].router", 4)]
    assert loaded.inactive_keys == ()


def test_an_orchestrator_may_have_that_name(load) -> None:
    loaded = load(f"{AGENTS}    orchestrators: [{{name: arch_agent_router, model: mine}}]\n".replace("    ", ""))
    assert loaded.config.listeners[0].router == "arch_agent_router"


PREFERENCES = """\
    version: v0.3.0
    listeners: [{type: model, name: m, port: 1200}]
    model_providers:
      - model: openai/gpt-4o
        routing_preferences:
          - name: code
            description: writing code
      - model: groq/llama
        routing_preferences:
          - {name: code, description: writing code}
          - {name: chat, description: small talk}
    """


def test_inline_preferences_move_to_the_top(load) -> None:
    loaded = load(PREFERENCES)
    assert [(entry.name, entry.description, entry.models) for entry in loaded.config.routing_preferences] == [
        ("code", "writing code", ("openai/gpt-4o", "groq/llama")),
        ("chat", "small talk", ("groq/llama",)),
    ]
    assert [warning.path for warning in loaded.warnings] == [
        "model_providers[0].routing_preferences",
        "model_providers[1].routing_preferences",
    ]
    assert loaded.inactive_keys == ()


def test_inline_preferences_join_those_at_the_top(load) -> None:
    top = "    routing_preferences: [{name: code, description: code, models: [groq/llama]}]\n"
    loaded = load(PREFERENCES.replace("    listeners:", f"{top}    listeners:"))
    assert [(entry.name, entry.models) for entry in loaded.config.routing_preferences] == [
        ("code", ("groq/llama", "openai/gpt-4o", "groq/llama")),
        ("chat", ("groq/llama",)),
    ]


def test_problems_of_inline_preferences_point_to_them(problems) -> None:
    found = problems(PREFERENCES.replace("description: small talk", "descripton: small talk"))
    errors = [(problem.path, problem.line) for problem in found if problem.severity == "error"]
    place = "model_providers[1].routing_preferences[1]"
    assert sorted(errors) == [(f"{place}.description", 11), (f"{place}.descripton", 11)]


def test_a_wildcard_cannot_have_preferences(problems) -> None:
    found = problems(
        f"version: v0.3.0\n{LISTENER}model_providers:\n  - model: openai/*\n"
        "    routing_preferences: [{name: p, description: d}]\n"
    )
    errors = [(problem.path, problem.message) for problem in found if problem.severity == "error"]
    assert errors == [
        ("model_providers[0].routing_preferences", "A wildcard cannot have preferences: they choose one model.")
    ]

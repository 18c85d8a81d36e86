from __future__ import annotations

import os
import pickle
import time
from pathlib import Path

import pytest

from router.config import ConfigErrors, load_config

DEMO = Path(__file__).parents[2] / "examples" / "travel" / "config.yaml"

MINIMAL = "version: v0.4.0\nlisteners: [{type: model, name: models, port: 12000}]\n"


def test_the_demo_loads_without_any_key_set() -> None:
    loaded = load_config(DEMO, {})
    config = loaded.config
    assert [(agent.id, agent.url) for agent in config.agents] == [
        ("weather_agent", "http://localhost:10510"),
        ("flight_agent", "http://localhost:10520"),
    ]
    (listener,) = config.listeners
    assert (listener.type, listener.name, listener.port, listener.address) == (
        "agent",
        "travel_assistant",
        8001,
        "127.0.0.1",
    )
    assert listener.router == "plano_orchestrator_v1"
    assert [agent.description for agent in listener.agents] == [
        "Gets real-time weather and forecasts for any city.\n",
        "Searches flights between airports with schedules.\n",
    ]
    jailbreak = config.prompt_guards.input_guards.jailbreak
    assert jailbreak is not None
    assert (jailbreak.on_exception.message, jailbreak.on_error) == ("I can't help with that request.", "deny")
    assert [provider.available for provider in config.model_providers] == [False, False]


def test_the_demo_warns_about_the_missing_keys_and_nothing_else() -> None:
    loaded = load_config(DEMO, {})
    assert [(warning.path, warning.severity) for warning in loaded.warnings] == [
        ("model_providers[0].access_key", "warning"),
        ("model_providers[1].access_key", "warning"),
    ]
    assert loaded.inactive_keys == ()
    assert loaded.inactive_notice is None


def test_the_demo_with_keys_has_no_warnings() -> None:
    loaded = load_config(DEMO, {"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY": "sk-2"})
    assert loaded.warnings == ()
    assert all(provider.available for provider in loaded.config.model_providers)


def test_defaults_are_those_of_the_design(load) -> None:
    config = load(MINIMAL).config
    assert config.triton.url is None
    assert (config.triton.timeout, config.limits.drain_timeout, config.limits.connect_timeout) == (10.0, 30.0, 5.0)
    assert config.limits.max_body_bytes == config.limits.max_response_bytes == 16 * 1024 * 1024
    assert config.limits.max_guard_chars == 131_072
    assert (config.listeners[0].answer, config.listeners[0].parallel) == ("last", False)
    assert config.prompt_guards.input_guards.jailbreak is None


def test_a_loaded_configuration_cannot_be_changed(load) -> None:
    config = load(MINIMAL).config
    with pytest.raises(ValueError, match="frozen"):
        config.listeners[0].port = 1


def test_a_loaded_configuration_survives_pickling() -> None:
    # Workers get it from the process that read it.
    loaded = load_config(DEMO, {"ANTHROPIC_API_KEY": "sk-2"})
    copy = pickle.loads(pickle.dumps(loaded))
    assert copy == loaded
    assert [provider.available for provider in copy.config.model_providers] == [False, True]


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(problems) -> None:
    found = problems(
        """\
        version: v0.4.0
        agents:
          - id: a
            url: nowhere
        listeners:
          - type: agent
            name: l
            port: 99999
            agents:
              - id: b
        model_aliases:
          x: {target: $UNSET}
        unknown: 1
        """
    )
    errors = [problem for problem in found if problem.severity == "error"]
    assert [(error.line, error.path) for error in errors] == [
        (4, "agents[0].url"),
        (8, "listeners[0].port"),
        (10, "listeners[0].agents[0].id"),
        (12, "model_aliases.x.target"),
        (13, "unknown"),
    ]


def test_the_exception_tells_everything_to_a_reader_of_the_terminal(load) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load("version: v0.4.0\nlisteners:\n  - {type: modell, name: m, port: 1}\n")
    assert "has 1 error." in caught.value.message
    assert "config.yaml:3:12: error: listeners[0].type: `modell` is not one" in caught.value.message
    assert "Did you mean `model`?" in caught.value.message
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load_config(tmp_path / name, {})
    (problem,) = caught.value.problems
    assert problem.line is None
    assert problem.suggestion is not None


def test_without_an_environ_the_process_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "TRIDENT_TEST_PORT", "12001")
    path = tmp_path / "config.yaml"
    path.write_text("version: v0.4.0\nlisteners: [{type: model, name: m, port: $TRIDENT_TEST_PORT}]\n")
    assert load_config(path).config.listeners[0].port == 12001


def test_paths_are_relative_to_the_file(load, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    config = load(MINIMAL + "triton: {model_repository: models}\n").config
    assert config.triton.model_repository == tmp_path / "models"


def test_a_typical_file_loads_in_less_than_150_ms() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        load_config(DEMO, {})
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.150

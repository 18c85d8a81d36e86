"""``grpc.ext_proc``: what it means, what is wrong in it, and when answers have to be seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from router.config import ConfigErrors, load_config
from router.runtime.ext_proc import needs_answers
from router.runtime.services import config_for

BASE = """
version: v0.4.0
agents: [{{id: one, url: "http://localhost:1"}}, {{id: two, url: "http://localhost:2", dialect: {dialect}}}]
listeners:
  - {{type: agent, name: agents, port: 8001, agents: [{{id: one}}]}}
  - {{type: agent, name: others, port: 8002, agents: [{{id: two}}]}}
  - {{type: prompt, name: prompts, port: 8003}}
prompt_targets: [{{name: t, description: d, endpoint: {{name: e, path: /}}}}]
endpoints: {{e: {{endpoint: "localhost:1"}}}}
model_providers: [{{model: ollama/llama3, base_url: "http://localhost:3", default: true}}]
grpc: {{ext_proc: {{listener: {listener}}}}}
{more}
"""
GUARD = "guardrails: [{{name: a, model: jailbreak, direction: {}, listeners: [{}]}}]"
LIMIT = "ratelimits: [{model: ollama/llama3, selector: {key: x-tenant}, limit: {tokens: 100, unit: minute}}]"


def config_of(folder: Path, *, listener: str = "agents", dialect: str = "openai_chat", more: str = ""):
    file = folder / "config.yaml"
    file.write_text(BASE.format(listener=listener, dialect=dialect, more=more), encoding="utf-8")
    return load_config(file, {}).config


@pytest.mark.parametrize(
    ("listener", "words"), [("nobody", "no listener `nobody`"), ("prompts", "calls APIs by itself")]
)
def test_envoy_stands_for_an_agent_or_model_listener(tmp_path: Path, listener: str, words: str) -> None:
    with pytest.raises(ConfigErrors) as raised:
        config_of(tmp_path, listener=listener)
    assert any(words in problem.message for problem in raised.value.problems)


@pytest.mark.parametrize("part", ["router", "guardrail"])
def test_one_service_alone_decides_about_no_traffic(tmp_path: Path, part: str) -> None:
    config = config_of(tmp_path)
    assert config_for(config, part).grpc.ext_proc is None
    assert config_for(config, "all").grpc.ext_proc is not None


@pytest.mark.parametrize(
    ("listener", "path_dialect", "more", "needed"),
    [
        ("agents", "openai_chat", "", False),
        ("agents", "anthropic_messages", "", True),
        ("others", "anthropic_messages", "", False),
        ("others", "openai_chat", "", True),
        ("agents", "openai_chat", GUARD.format("input", "agents"), False),
        ("agents", "openai_chat", GUARD.format("output", "agents"), True),
        ("agents", "openai_chat", GUARD.format("output", "others"), False),
        ("agents", "openai_chat", LIMIT, True),
        ("agents", "openai_chat", "auth: {keys: [{name: a, key: a-key-that-is-long-enough}]}", True),
    ],
)
def test_answers_are_seen_where_something_is_done_with_them(
    tmp_path: Path, listener: str, path_dialect: str, more: str, needed: bool
) -> None:
    config = config_of(tmp_path, listener=listener, dialect="anthropic_messages", more=more)
    [found] = [each for each in config.listeners if each.name == listener]
    assert needs_answers(config, found, path_dialect) is needed


def test_nobody_loads_it_who_does_not_serve_it() -> None:
    code = "import sys, router.runtime.services; print(any('ext_proc' in name for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"

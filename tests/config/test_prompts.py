"""``prompt_targets`` and ``endpoints``: what they say, and what cannot be."""

from __future__ import annotations

import pytest

from router.config import Config
from router.runtime import models_in_use
from router.runtime.functions import offered_targets

HEAD = """\
version: v0.4.0
agents: [{id: desk, url: 'http://h:1'}]
listeners:
  - {type: prompt, name: functions, port: 1200}
  - {type: agent, name: front, port: 1201, agents: [{id: desk, description: d}], prompt_targets: [weather]}
  - {type: model, name: models, port: 1202}
endpoints: {api: {endpoint: 'api.example:443'}, tenants: {endpoint: '{tenant}.example.com:8443'}}
model_providers: [{model: openai/gpt-4o}, {model: groq/*}]
"""
WEATHER = "{name: weather, description: w, endpoint: {name: api}}"


def targets(*entries: str, head: str = HEAD, more: str = "") -> str:
    listed = "".join(f"  - {entry}\n" for entry in entries)
    return f"{head}{more}prompt_targets:\n{listed}"


def test_a_target_needs_little(load) -> None:
    config: Config = load(targets(WEATHER)).config
    (target,) = config.prompt_targets
    assert target.auto_llm_dispatch_on_response
    assert target.endpoint is not None
    assert (target.endpoint.path, target.endpoint.http_method) == ("/", "GET")
    endpoint = config.endpoints["api"]
    assert (endpoint.timeout, endpoint.max_retries, endpoint.max_response_bytes) == (30.0, 2, 2**20)
    assert not endpoint.allow_private


def test_prompt_listeners_offer_all_targets_and_others_what_they_name(load) -> None:
    other = "{name: other, description: o, endpoint: {name: api}}"
    config: Config = load(targets(WEATHER, other)).config
    offered = [[target.name for target in offered_targets(config, listener)] for listener in config.listeners]
    assert offered == [["weather", "other"], ["weather"], []]


@pytest.mark.parametrize(
    ("entry", "agents_too", "models"),
    [
        (WEATHER, False, ("orchestrator",)),
        ("{name: weather, description: w, default: true, endpoint: {name: api}}", False, ()),
        ("{name: weather, description: w, default: true, endpoint: {name: api}}", True, ("orchestrator",)),
    ],
)
def test_an_orchestrator_is_needed_where_there_is_a_choice(
    load, entry: str, agents_too: bool, models: tuple[str, ...]
) -> None:
    head = HEAD.replace(", {model: groq/*}", "")
    head = head if agents_too else head.replace(", prompt_targets: [weather]", "")
    assert models_in_use(load(targets(entry, head=head)).config) == models


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (targets("{name: w, description: w}"), "There is no prompt target `weather`."),
        (
            targets(WEATHER, head=HEAD.replace("port: 1202", "port: 1202, prompt_targets: [weather]")),
            "A `model` listener has no prompt targets.",
        ),
        (
            targets(WEATHER.replace("weather", "desk"), head=HEAD.replace("[weather]", "[desk]")),
            "`desk` is the name of an agent of this listener, too.",
        ),
        (
            targets("{name: weather, description: w, endpoint: {name: tenants}}"),
            "The host of `tenants` needs a parameter `tenant`, which this target does not have.",
        ),
        (
            targets(WEATHER, head=HEAD.replace("'{tenant}.example.com:8443'", "'example.com:{port}'")),
            "A parameter cannot be the port.",
        ),
        (targets(WEATHER, more="overrides: {function_model: gpt-9}\n"), "There is no model or alias `gpt-9`."),
        (
            targets("{name: weather, description: w, parameters: [{name: n, description: d, type: int, default: x}]}"),
            "`x` is not of the parameter's type.",
        ),
        (
            targets("{name: weather, description: w, parameters: [{name: n, description: d, type: bool, enum: [1]}]}"),
            "The value is not of the parameter's type.",
        ),
    ],
)
def test_what_cannot_be_is_named(problems, text: str, message: str) -> None:
    assert message in [problem.message for problem in problems(text)]


@pytest.mark.parametrize("name", ["embedded", "gpt-4o", "openai/gpt-4o", "groq/anything"])
def test_the_function_model_is_a_known_one_or_none(load, name: str) -> None:
    config = load(targets(WEATHER, more=f"overrides: {{function_model: {name}}}\n")).config
    assert config.overrides.function_model == name

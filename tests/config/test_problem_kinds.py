"""Every kind of problem: where it points, what it says, what it suggests."""

from __future__ import annotations

from textwrap import dedent
from typing import NamedTuple

import pytest

from router.config import Problem


class Case(NamedTuple):
    """A configuration, and the one problem that it must be told about."""

    text: str
    line: int
    column: int
    path: str
    message: str
    suggestion: str


def agents(agent: str = "{id: a, url: 'http://h:1'}", offered: str = "{id: a, description: d}", more: str = "") -> str:
    """A file whose agent, agent on the listener, and further top-level lines can be given: lines 3, 9 and 10."""
    return (
        f"version: v0.4.0\nagents:\n  - {agent}\nlisteners:\n  - type: agent\n    name: l\n    port: 8001\n"
        f"    agents:\n      - {offered}\n{more}"
    )


def models(provider: str = "{model: openai/gpt-4o}", more: str = "") -> str:
    """A file whose provider and further top-level lines can be given; they start in lines 5 and 6."""
    return (
        "version: v0.4.0\nlisteners:\n  - {type: model, name: m, port: 1200}\n"
        f"model_providers:\n  - {provider}\n{more}"
    )


SHAPES = {
    "unknown key": Case(
        agents("{id: a, url: 'http://h:1', timout: 3}"),
        *(3, 32, "agents[0].timout"),
        "The key `timout` is not known.",
        "Did you mean `timeout`?",
    ),
    "unknown key, nothing near": Case(
        agents("{id: a, url: 'http://h:1', zzz: 3}"),
        *(3, 32, "agents[0].zzz"),
        "The key `zzz` is not known.",
        "Known keys here: `dialect`, `headers`, `id`, `timeout`, `url`.",
    ),
    "missing key": Case(agents("{id: a}"), *(3, 5, "agents[0].url"), "The key `url` is missing.", "Add it."),
    "missing port": Case(
        "version: v0.4.0\nlisteners:\n  - type: model\n    name: m\n",
        *(3, 5, "listeners[0].port"),
        "The key `port` is missing.",
        "Write a free TCP port, for example `port: 8001`.",
    ),
    "missing version": Case(
        "listeners:\n  - {type: model, name: m, port: 1}\n",
        *(1, 1, "version"),
        "The key `version` is missing.",
        "Write `version: v0.4.0`.",
    ),
    "missing listeners": Case(
        "version: v0.4.0\n",
        *(1, 1, "listeners"),
        "The key `listeners` is missing.",
        "Write a list of `listeners`: without one, the gateway would serve nothing.",
    ),
    "no listeners": Case(
        "version: v0.4.0\nlisteners: []\n",
        *(2, 1, "listeners"),
        "This list is empty.",
        "Write at least one entry.",
    ),
    "empty value": Case(
        models(more="tracing:\n"),
        *(6, 1, "tracing"),
        "The key `tracing` has no value.",
        "Give it a value, or remove the key.",
    ),
    "empty entry": Case(
        models("{model: openai/gpt-4o}\n  -"),
        *(6, 4, "model_providers[1]"),
        "This entry is empty.",
        "Give it a value, or remove the dash.",
    ),
    "wrong choice": Case(
        models(more="mode: lllm\n"),
        *(6, 7, "mode"),
        "`lllm` is not one of the values allowed here.",
        "Did you mean `llm`?",
    ),
    "wrong choice, nothing near": Case(
        models(more="state_storage: {type: floppy}\n"),
        *(6, 23, "state_storage.type"),
        "`floppy` is not one of the values allowed here.",
        "Known values: `memory`, `postgres`, `redis`, `sqlite`.",
    ),
    "unknown version": Case(
        "version: v0.4.1\nlisteners: [{type: model, name: m, port: 1}]\n",
        *(1, 10, "version"),
        "`v0.4.1` is not one of the values allowed here.",
        "Did you mean `v0.4.0` or `v0.1`?",
    ),
    "number for text": Case(
        models(more="system_prompt: 7\n"),
        *(6, 16, "system_prompt"),
        "`7` is not text.",
        "Put it in quotes.",
    ),
    "text for truth": Case(
        models("{model: openai/gpt-4o, default: maybe}"),
        *(5, 37, "model_providers[0].default"),
        "`maybe` is neither true nor false.",
        "Write `true` or `false`.",
    ),
    "scalar for mapping": Case(
        models(more="limits: 7\n"),
        *(6, 9, "limits"),
        "This must be a mapping of keys to values.",
        "Write `key: value` lines, indented.",
    ),
    "mapping for list": Case(
        models(more="agents:\n  id: a\n"),
        *(6, 1, "agents"),
        "This must be a list.",
        "Start each entry with `- `.",
    ),
    "spaces around a name": Case(
        models("{model: openai/gpt-4o, name: ' x'}"),
        *(5, 34, "model_providers[0].name"),
        "`x` starts or ends with a space, or has line breaks.",
        "Write it in one line.",
    ),
    "duration": Case(
        models(more="triton:\n  timeout: soon\n"),
        *(7, 12, "triton.timeout"),
        "`soon` is not a duration.",
        'Write "30s", "500ms", "1m" or a number of seconds.',
    ),
    "no time at all": Case(
        models(more="triton:\n  timeout: 0s\n"),
        *(7, 12, "triton.timeout"),
        "`0s` is not a usable duration.",
        "It must be longer than nothing and no longer than a year.",
    ),
    "size": Case(
        models(more="limits: {max_body_bytes: 3 potatoes}\n"),
        *(6, 26, "limits.max_body_bytes"),
        "`3 potatoes` is not a size.",
        'Write a number of bytes, or "16 MiB".',
    ),
    "truth for number": Case(
        "version: v0.4.0\nlisteners:\n  - {type: model, name: m, port: true}\n",
        *(3, 34, "listeners[0].port"),
        "`true` is not a number.",
        "Write a number.",
    ),
    "URL without scheme": Case(
        agents("{id: a, url: 'localhost:10510'}"),
        *(3, 18, "agents[0].url"),
        "`localhost:10510` is not a URL.",
        "Write scheme, host and port, as in `http://localhost:10510`.",
    ),
    "URL of another scheme": Case(
        agents("{id: a, url: 'ftp://h'}"),
        *(3, 18, "agents[0].url"),
        "`ftp://h` has a scheme that is not used here.",
        "Use http or https, as in `http://localhost:10510`.",
    ),
    "URL without a port that is one": Case(
        agents("{id: a, url: 'http://h:99999'}"),
        *(3, 18, "agents[0].url"),
        "`http://h:99999` is not a URL.",
        "Write scheme, host and port, as in `http://localhost:10510`.",
    ),
    "credentials in a URL": Case(
        agents("{id: a, url: 'http://me:pw@h'}"),
        *(3, 18, "agents[0].url"),
        "The URL contains credentials.",
        "Move them into `headers` or `access_key`: URLs end up in logs.",
    ),
    "Triton over HTTP": Case(
        models(more="triton: {url: 'http://triton:8000'}\n"),
        *(6, 15, "triton.url"),
        "`http://triton:8000` is an HTTP URL; Triton is asked over gRPC.",
        "Give its gRPC address, as in `triton:8001`.",
    ),
    "header name": Case(
        agents("{id: a, url: 'http://h:1', headers: {'x y': z}}"),
        *(3, 32, "agents[0].headers"),
        "`x y` is not the name of a header.",
        "Use letters, digits and dashes, as in `x-user-id`.",
    ),
    "model without provider": Case(
        models("{model: gpt-4o}"),
        *(5, 13, "model_providers[0].model"),
        "`gpt-4o` does not name its provider.",
        "Write `provider/model`, as in `openai/gpt-4o`, or `openai/*`.",
    ),
    "key twice": Case(
        "version: v0.4.0\nlisteners: [{type: model, name: m, port: 1}]\nversion: v0.3.0\n",
        *(3, 1, "version"),
        "The key `version` stands here a second time; the first is in line 1.",
        "Keep one of them.",
    ),
}

REFERENCES = {
    "unknown agent": Case(
        agents("{id: weather_agent, url: 'http://h:1'}", "{id: wether_agent}"),
        *(9, 14, "listeners[0].agents[0].id"),
        "There is no agent `wether_agent`.",
        "Did you mean `weather_agent`?",
    ),
    "duplicate agent": Case(
        agents("{id: a, url: 'http://h:1'}\n  - {id: a, url: 'http://h:2'}"),
        *(4, 10, "agents[1].id"),
        "The id `a` is taken by agents[0].id, line 3.",
        "Agents and filters share one namespace: give each its own id.",
    ),
    "filter with an agent's id": Case(
        agents(more="filters: [{id: a, url: 'http://h:2'}]\n"),
        *(10, 16, "filters[0].id"),
        "The id `a` is taken by agents[0].id, line 3.",
        "Agents and filters share one namespace: give each its own id.",
    ),
    "agent listed twice": Case(
        agents(offered="{id: a, description: d}\n      - {id: a, description: e}"),
        *(10, 14, "listeners[0].agents[1].id"),
        "The agent `a` is taken by listeners[0].agents[0].id, line 9.",
        "List each agent once.",
    ),
    "unknown filter": Case(
        agents(
            offered="{id: a, input_filters: [guard]}", more="filters: [{id: guards, url: 'http://h:2', type: http}]\n"
        ),
        *(9, 33, "listeners[0].agents[0].input_filters[0]"),
        "There is no filter `guard`.",
        "Did you mean `guards`?",
    ),
    "no filters at all": Case(
        agents(offered="{id: a, output_filters: [guard]}"),
        *(9, 34, "listeners[0].agents[0].output_filters[0]"),
        "There is no filter `guard`.",
        "There are no filters.",
    ),
    "unknown orchestrator": Case(
        agents(offered="{id: a}\n    router: mine", more="orchestrators: [{name: minds}]\n"),
        *(10, 13, "listeners[0].router"),
        "There is no orchestrator `mine`.",
        "Did you mean `minds`?",
    ),
    "filter without URL": Case(
        agents(more="filters: [{id: f, type: http}]\n"),
        *(10, 11, "filters[0]"),
        "A filter of type `http` needs `url`.",
        "Add `url`: where the service listens.",
    ),
    "guardrail without model": Case(
        agents(more="filters: [{id: f, type: guardrail}]\n"),
        *(10, 11, "filters[0]"),
        "A filter of type `guardrail` needs `model`.",
        "Add `model`: the classifier's name in the model repository.",
    ),
    "regex filter without patterns": Case(
        agents(more="filters: [{id: f, type: regex}]\n"),
        *(10, 11, "filters[0]"),
        "A filter of type `regex` needs `patterns`.",
        "Add `patterns`: what it looks for.",
    ),
    "filter listed twice": Case(
        agents(offered="{id: a, input_filters: [f, f]}", more="filters: [{id: f, url: 'http://h:2'}]\n"),
        *(9, 36, "listeners[0].agents[0].input_filters[1]"),
        "The filter `f` is taken by listeners[0].agents[0].input_filters[0], line 9.",
        "List each filter once.",
    ),
    "header filter on answers": Case(
        agents(offered="{id: a, output_filters: [f]}", more="filters: [{id: f, type: header}]\n"),
        *(9, 34, "listeners[0].agents[0].output_filters[0]"),
        "`f` looks at requests only.",
        "List it under `input_filters`.",
    ),
    "two patterns of one name": Case(
        agents(
            more="filters: [{id: f, type: regex, patterns: [{name: p, pattern: a}, {name: p, pattern: b}]}]\n",
        ),
        *(10, 73, "filters[0].patterns[1].name"),
        "The pattern `p` is taken by filters[0].patterns[0].name, line 10.",
        "Give each its own name.",
    ),
    "filter for an agent that there is not": Case(
        agents(more="filters: [{id: f, url: 'http://h:2', when: {agents: [b]}}]\n"),
        *(10, 54, "filters[0].when.agents[0]"),
        "There is no agent `b`.",
        "Known agents: `a`.",
    ),
    "credentials let through": Case(
        agents(more="filters: [{id: f, type: header, forward: [Authorization]}]\n"),
        *(10, 43, "filters[0].forward[0]"),
        "`Authorization` carries credentials of the client.",
        "Leave it out, or say `forward_credentials: true`.",
    ),
    "credentials copied": Case(
        agents(more="filters: [{id: f, type: header, metadata: {key: X-API-Key}}]\n"),
        *(10, 49, "filters[0].metadata.key"),
        "`X-API-Key` carries credentials of the client.",
        "Leave it out, or say `forward_credentials: true`.",
    ),
    "unknown endpoint": Case(
        models(
            more="endpoints: {weather: {endpoint: 'h:1'}}\n"
            "prompt_targets: [{name: t, description: d, endpoint: {name: wether}}]\n"
        ),
        *(7, 61, "prompt_targets[0].endpoint.name"),
        "There is no endpoint `wether`.",
        "Did you mean `weather`?",
    ),
    "two default prompt targets": Case(
        models(
            more="prompt_targets:\n  - {name: t, description: d, default: true}\n"
            "  - {name: u, description: d, default: true}\n"
        ),
        *(8, 40, "prompt_targets[1].default"),
        "More than one prompt target is the default.",
        "Leave `default: true` at one of them.",
    ),
    "undeclared path parameter": Case(
        models(
            more="endpoints: {e: {endpoint: h}}\nprompt_targets:\n"
            "  - {name: t, description: d, endpoint: {name: e, path: '/x/{dayz}'},\n"
            "     parameters: [{name: days, description: d, type: int}]}\n"
        ),
        *(8, 57, "prompt_targets[0].endpoint.path"),
        "`/x/{dayz}` names a parameter `dayz` that is not declared.",
        "Did you mean `days`?",
    ),
    "path parameter that is not in the path": Case(
        models(
            more="endpoints: {e: {endpoint: h}}\nprompt_targets:\n"
            "  - {name: t, description: d, endpoint: {name: e, path: /x},\n"
            "     parameters: [{name: days, description: d, type: int, in_path: true}]}\n"
        ),
        *(9, 26, "prompt_targets[0].parameters[0].name"),
        "The parameter `days` is `in_path`, but the path does not name it.",
        "Put it into the endpoint's `path`, in braces.",
    ),
    "storage without address": Case(
        models(more="state_storage: {type: postgres}\n"),
        *(6, 23, "state_storage.type"),
        "Storage of type `postgres` needs a `connection_string`.",
        "Add it, as `$VAR` if it has a password.",
    ),
    "session cache without address": Case(
        models(more="routing: {session_cache: {type: redis}}\n"),
        *(6, 33, "routing.session_cache.type"),
        "A session cache of type `redis` needs a `url`.",
        "Add it, as in `url: redis://localhost:6379`.",
    ),
    "no such folder": Case(
        models(more="triton: {model_repository: nowhere}\n"),
        *(6, 28, "triton.model_repository"),
        "There is no folder `nowhere`.",
        "The path is relative to the folder of this file.",
    ),
}

MODELS = {
    "unknown provider": Case(
        models("{model: opnai/gpt-4o}"),
        *(5, 13, "model_providers[0].model"),
        "The provider of `opnai/gpt-4o` is not a known one: it needs `base_url` and `provider_interface`.",
        "Did you mean `openai`?",
    ),
    "provider of our own without interface": Case(
        models("{model: lab/llama, base_url: 'http://h:1'}"),
        *(5, 13, "model_providers[0].model"),
        "The provider of `lab/llama` is not a known one: it needs `provider_interface`.",
        "Add it, for example with `provider_interface: openai`.",
    ),
    "provider that needs an address": Case(
        models("{model: ollama/llama3}"),
        *(5, 13, "model_providers[0].model"),
        "The provider of `ollama/llama3` has no common address: it needs `base_url`.",
        "Add it, as in `base_url: http://localhost:11434`.",
    ),
    "same name twice": Case(
        models("{model: openai/gpt-4o}\n  - {model: openai/gpt-4o}"),
        *(6, 13, "model_providers[1].model"),
        "The name `openai/gpt-4o` is taken by model_providers[0].model, line 5.",
        "Give each its own `name`; entries for the same model then share its requests.",
    ),
    "two default models": Case(
        models("{model: openai/a, default: true}\n  - {model: openai/b, default: true}"),
        *(6, 32, "model_providers[1].default"),
        "More than one model is the default.",
        "Leave `default: true` at one of them.",
    ),
    "wildcard as default": Case(
        models("{model: openai/*, default: true}"),
        *(5, 32, "model_providers[0].default"),
        "A wildcard cannot be the default: it names no model.",
        "Mark an entry with a model as the default.",
    ),
    "alias of nothing": Case(
        models(more="model_aliases: {fast: {target: gpt-4p}}\n"),
        *(6, 32, "model_aliases.fast.target"),
        "There is no model or alias `gpt-4p`.",
        "Did you mean `gpt-4o`?",
    ),
    "alias of itself": Case(
        models(more="model_aliases:\n  a: {target: a}\n"),
        *(7, 15, "model_aliases.a.target"),
        "The alias leads back to itself: `a` → `a`.",
        "Let one of them name a model.",
    ),
    "preference for nothing": Case(
        models(more="routing_preferences: [{name: p, description: d, models: [openai/gpt-5o]}]\n"),
        *(6, 58, "routing_preferences[0].models[0]"),
        "There is no model or alias `openai/gpt-5o`.",
        "Did you mean `openai/gpt-4o`?",
    ),
    "limit on nothing": Case(
        models(more="ratelimits: [{model: openai/gpt-3o, selector: {key: x}, limit: {tokens: 1, unit: day}}]\n"),
        *(6, 22, "ratelimits[0].model"),
        "There is no model or alias `openai/gpt-3o`.",
        "Did you mean `openai/gpt-4o`?",
    ),
    "limit without a number": Case(
        models(more="ratelimits: [{model: openai/gpt-4o, selector: {key: x}, limit: {unit: day}}]\n"),
        *(6, 57, "ratelimits[0].limit"),
        "The limit says neither how many `tokens` nor how many `requests`.",
        "Add one of them, or both.",
    ),
    "unknown routing model": Case(
        models(more="overrides: {llm_routing_model: openai/gpt-4}\n"),
        *(6, 32, "overrides.llm_routing_model"),
        "There is no model or alias `openai/gpt-4`.",
        "Did you mean `openai/gpt-4o`?",
    ),
    "latency from a price list": Case(
        models(more="model_metrics_sources: [{type: latency, provider: digitalocean}]\n"),
        *(6, 51, "model_metrics_sources[0].provider"),
        "`digitalocean` is no source of latency.",
        "Use `prometheus`.",
    ),
    "Prometheus without query": Case(
        models(more="model_metrics_sources: [{type: latency, provider: prometheus, url: 'http://p:9090'}]\n"),
        *(6, 25, "model_metrics_sources[0]"),
        "A source of type `latency` needs `query`.",
        "Add it.",
    ),
}

LISTENERS = {
    "listener without agents": Case(
        "version: v0.4.0\nlisteners:\n  - type: agent\n    name: l\n    port: 8001\n",
        *(3, 5, "listeners[0]"),
        "An `agent` listener needs `agents`.",
        "Add a list: `- id: ...`, `description: ...`.",
    ),
    "agents on a model listener": Case(
        "version: v0.4.0\nagents: [{id: a, url: 'http://h:1'}]\nlisteners:\n  - type: model\n    name: l\n"
        "    port: 8001\n    agents: [{id: a}]\n",
        *(7, 5, "listeners[0].agents"),
        "A `model` listener does not route to agents.",
        "Make it `type: agent`, or remove them.",
    ),
    "two default agents": Case(
        agents(
            "{id: a, url: 'http://h:1'}\n  - {id: b, url: 'http://h:2'}",
            "{id: a, description: d, default: true}\n      - {id: b, description: d, default: true}",
        ),
        *(11, 42, "listeners[0].agents[1].default"),
        "More than one agent of this listener is the default.",
        "Leave `default: true` at one of them.",
    ),
    "agent without description": Case(
        agents(
            "{id: a, url: 'http://h:1'}\n  - {id: b, url: 'http://h:2'}", "{id: a, description: d}\n      - {id: b}"
        ),
        *(11, 9, "listeners[0].agents[1]"),
        "This agent has no `description`: the orchestrator could never choose it.",
        "Say in plain language what the agent is for.",
    ),
    "same name": Case(
        "version: v0.4.0\nlisteners:\n  - {type: model, name: m, port: 1}\n  - {type: model, name: m, port: 2}\n",
        *(4, 25, "listeners[1].name"),
        "The name `m` is taken by listeners[0].name, line 3.",
        "Give each its own name.",
    ),
    "same port": Case(
        "version: v0.4.0\nlisteners:\n  - {type: model, name: m, port: 1}\n  - {type: prompt, name: p, port: 1}\n",
        *(4, 35, "listeners[1].port"),
        "Port `1` is already used by `m`.",
        "Give each listener its own port.",
    ),
    "port in the address": Case(
        "version: v0.4.0\nlisteners:\n  - {type: model, name: m, port: 1, address: 'localhost:1'}\n",
        *(3, 46, "listeners[0].address"),
        "`localhost:1` is not an address.",
        "Write an IP address or a host name; the port is `port`.",
    ),
}

CASES = {**SHAPES, **REFERENCES, **MODELS, **LISTENERS}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_problem(problems, case: Case) -> None:
    errors = [problem for problem in problems(dedent(case.text)) if problem.severity == "error"]
    assert errors == [Problem("error", case.path, case.message, case.suggestion, case.line, case.column)]


def test_a_number_out_of_range_says_the_range(problems) -> None:
    (problem,) = problems("version: v0.4.0\nlisteners: [{type: model, name: m, port: 70000}]\n")
    assert problem.message == "`70000` is more than 65535."


def test_every_member_of_an_alias_cycle_is_named_and_nothing_outside_of_it(problems) -> None:
    found = problems(models(more="model_aliases: {a: {target: b}, b: {target: c}, c: {target: b}}\n"))
    assert [(problem.path, problem.message) for problem in found] == [
        ("model_aliases.b.target", "The alias leads back to itself: `b` → `c` → `b`."),
        ("model_aliases.c.target", "The alias leads back to itself: `c` → `b` → `c`."),
    ]


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("0.0.0.0", "10.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("'::'", "'::1'", True),
        ("127.0.0.1", "10.0.0.1", False),
        ("0.0.0.0", "'::'", False),
        ("gateway.internal", "GATEWAY.internal", True),
        ("gateway.internal", "127.0.0.1", False),
    ],
)
def test_a_port_may_be_used_on_addresses_that_do_not_overlap(load, problems, first, second, conflict) -> None:
    text = (
        "version: v0.4.0\nlisteners:\n"
        f"  - {{type: model, name: m, port: 1, address: {first}}}\n"
        f"  - {{type: model, name: n, port: 1, address: {second}}}\n"
    )
    if conflict:
        assert [problem.path for problem in problems(text) if problem.severity == "error"] == ["listeners[1].port"]
    else:
        assert len(load(text).config.listeners) == 2


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (
            agents("{id: a, url: 'http://h:1'}\n  - {id: b, url: 'http://h:2'}"),
            "agents[1].id",
            "No listener offers the agent `b`.",
        ),
        (
            agents("{id: a, url: 'http://localhost:8001'}"),
            "agents[0].url",
            "The agent listens where the listener that offers it does (port `8001`).",
        ),
        (
            models("{model: openai/gpt-4o, access_key: k, passthrough_auth: true}"),
            "model_providers[0].access_key",
            "`access_key` is not used: `passthrough_auth` forwards the client's own key.",
        ),
        (
            models(more="model_aliases: {gpt-4o: {target: openai/gpt-4o}}\n"),
            "model_aliases.gpt-4o",
            "The alias `gpt-4o` has the name of a model; requests for it go to the alias's target.",
        ),
    ],
)
def test_what_is_only_odd_is_a_warning(load, text: str, path: str, message: str) -> None:
    assert [(warning.path, warning.message) for warning in load(text).warnings] == [(path, message)]

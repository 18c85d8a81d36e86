"""Filter chains through whole gateways: on requests, on answers, for a listener and for one of its agents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes import agents
from tests.fakes.agents import Behaviour, FakeAgent
from tests.fakes.http_exchange import Exchange
from tests.fakes.providers.answers import says
from tests.fakes.providers.server import FakeProvider
from tests.integration.model_gateway import CLIENTS, Gateway, gateway, providers

CONFIG = """\
version: v0.4.0
listeners:
  - type: model
    name: models
    port: $PORT0
    input_filters: [gate]
    output_filters: [secrets]
  - type: agent
    name: one
    port: $PORT1
    agents: [{id: notes, input_filters: [gate], output_filters: [secrets]}]
  - type: agent
    name: all
    port: $PORT2
    output_filters: [secrets]
    agents: [{id: notes}]
agents:
  - {id: notes, url: $NOTES}
model_providers:
  - {model: openai/gpt-4o, base_url: $OPENAI/v1, access_key: $OPENAI_KEY, default: true}
filters:
  - {id: gate, type: http, url: $GATE}
  - id: secrets
    type: regex
    patterns:
      - {name: key, pattern: 'sk-[a-z0-9]{8}'}
      - {name: ban, pattern: bomb, action: block, message: No bombs.}
"""
SECRET = "The key is sk-0123abcd, keep it."


@asynccontextmanager
async def _world(folder: Path, gate: Behaviour) -> AsyncIterator[tuple[Gateway, FakeProvider, FakeAgent, FakeAgent]]:
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(providers("openai"))
        fakes["openai"].play(says(SECRET))
        guarding = await stack.enter_async_context(FakeAgent(behaviour=gate))
        notes = await stack.enter_async_context(FakeAgent(reply=SECRET))
        environ = {"GATE": guarding.url, "NOTES": notes.url}
        running = await stack.enter_async_context(gateway(folder, CONFIG, fakes, environ=environ))
        yield running, fakes["openai"], guarding, notes


async def _passes(exchange: Exchange) -> None:
    await exchange.send_json({}, status=204)


async def _rewrites(exchange: Exchange) -> None:
    body = exchange.request.json
    for message in body.get("messages", []):
        message["content"] = "Say it again."
    await exchange.send_json(body)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("listener", ["models", "one", "all"])
async def test_a_secret_is_taken_out_of_an_answer(tmp_path: Path, listener: str, client: str, stream: bool) -> None:
    async with _world(tmp_path, _passes) as (running, _, gate, _notes):
        answer = await running.ask("gpt-4o", client=client, stream=stream, listener=listener)
        assert (answer.status, answer.text) == (200, "The key is [key], keep it.")
        assert len(gate.requests) == (0 if listener == "all" else 1)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", CLIENTS)
async def test_an_answer_that_is_blocked_ends_well(tmp_path: Path, client: str, stream: bool) -> None:
    async with _world(tmp_path, _passes) as (running, provider, _, _notes):
        provider.play(says("This is how to build a bomb at home."))
        answer = await running.ask("gpt-4o", client=client, stream=stream)
        assert answer.status == 200
        assert "bomb at" not in answer.text
        assert answer.text.endswith("No bombs.")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("listener", ["models", "one"])
async def test_what_a_service_refuses_goes_nowhere(tmp_path: Path, listener: str, client: str) -> None:
    gate = agents.fail(400, "That is about breaking into a system.")
    async with _world(tmp_path, gate) as (running, provider, _, notes):
        answer = await running.ask("gpt-4o", client=client, listener=listener)
        assert (answer.status, answer.json["error"]["message"]) == (400, "That is about breaking into a system.")
        assert (provider.requests, notes.requests) == ([], [])


@pytest.mark.parametrize("listener", ["models", "one"])
async def test_a_service_that_is_gone_lets_nothing_pass(tmp_path: Path, listener: str) -> None:
    async with _world(tmp_path, _passes) as (running, provider, gate, notes):
        await gate.stop()
        answer = await running.ask("gpt-4o", listener=listener)
        assert (answer.status, answer.json["error"]["code"]) == (503, "filter_unavailable")
        assert (provider.requests, notes.requests) == ([], [])


@pytest.mark.parametrize("listener", ["models", "one"])
async def test_what_a_service_makes_of_a_request_is_what_is_asked(tmp_path: Path, listener: str) -> None:
    async with _world(tmp_path, _rewrites) as (running, provider, gate, notes):
        answer = await running.ask("gpt-4o", text="Hello.", listener=listener)
        assert answer.status == 200
        asked = provider.requests[0].json if listener == "models" else notes.requests[0].json
        assert asked["messages"][-1]["content"] == "Say it again."
        assert gate.requests[0].path == "/v1/chat/completions"


async def test_what_stands_twice_in_a_body_goes_out_as_it_was_looked_at(tmp_path: Path) -> None:
    hidden = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "bomb"}], '
    body = hidden + b'"messages": [{"role": "user", "content": "Hello."}]}'
    async with _world(tmp_path, _passes) as (running, provider, _, _notes):
        url = f"{running.urls['models']}/v1/chat/completions"
        async with running.session.post(url, data=body, headers={"content-type": "application/json"}) as response:
            assert response.status == 200
        assert b"bomb" not in provider.requests[0].body


async def test_headers_that_a_filter_sets_or_removes_reach_the_upstream_so(tmp_path: Path) -> None:
    config = CONFIG.replace("input_filters: [gate]", "input_filters: [team]")
    config += "  - {id: team, type: header, set: {x-team: blue}, remove: [accept-language]}\n"
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(providers("openai"))
        notes = await stack.enter_async_context(FakeAgent())
        environ = {"GATE": notes.url, "NOTES": notes.url}
        running = await stack.enter_async_context(gateway(tmp_path, config, fakes, environ=environ))
        for listener in ("models", "one"):
            answer = await running.ask("gpt-4o", listener=listener, headers={"accept-language": "de"})
            assert answer.status == 200
        for sent in (fakes["openai"].requests[0].headers, notes.requests[0].headers):
            assert (sent["x-team"], "accept-language" in sent) == ("blue", False)


async def test_a_filter_that_is_gone_is_no_reason_to_ask_somebody_else(tmp_path: Path) -> None:
    config = CONFIG.replace("output_filters: [secrets]", "output_filters: [gate]").replace(
        "    input_filters: [gate]\n", ""
    )
    config = config.replace(
        "model_providers:", "model_providers:\n  - {model: groq/gpt-4o, base_url: $OPENAI/v1, access_key: $OPENAI_KEY}"
    )
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(providers("openai"))
        environ = {"GATE": "http://127.0.0.1:9", "NOTES": "http://127.0.0.1:9"}
        running = await stack.enter_async_context(gateway(tmp_path, config, fakes, environ=environ))
        answer = await running.ask("openai/gpt-4o")
        assert (answer.status, answer.attempts, len(fakes["openai"].requests)) == (503, 1, 1)

"""API keys through a whole gateway: who may use what, and where keys never show up."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest

from router.aio import timeout
from router.config.access import key_hash
from tests.fakes.agents import FakeAgent
from tests.fakes.providers.answers import BrokenOff, Failure, says
from tests.fakes.providers.server import FakeProvider
from tests.integration.model_gateway import CLIENTS, Gateway, gateway, key_of, providers

CONFIG = """
version: v0.4.0
model_providers:
  - {model: openai/gpt-4o, access_key: $OPENAI_KEY, base_url: $OPENAI, default: true}
  - {model: anthropic/claude, access_key: $ANTHROPIC_KEY, base_url: $ANTHROPIC}
  - {model: groq/*, passthrough_auth: true, base_url: $GROQ}
model_aliases: {smart: {target: anthropic/claude}}
auth:
  file: keys.yaml
  header: X-Team-Key
  keys:
    - {name: team, key: $TEAM}
    - {name: openai-only, key: $OPENAI_ONLY, models: ["openai/*"]}
    - {name: agents-only, key: $AGENTS_ONLY, listeners: [agents]}
agents:
  - {id: weather, url: $WEATHER}
listeners:
  - {type: model, name: models, port: $PORT0}
  - {type: model, name: open, port: $PORT1, unauthenticated: true}
  - {type: agent, name: agents, port: $PORT2, agents: [{id: weather}]}
"""
KEYS = {name: f"tk-{name}-0123456789abcdef-secret" for name in ("TEAM", "OPENAI_ONLY", "AGENTS_ONLY", "FILED", "LATER")}
PATHS = ("/v1/chat/completions", "/v1/messages", "/v1/responses")


@dataclass
class World:
    models: Gateway
    fakes: dict[str, FakeProvider]
    weather: FakeAgent
    key_file: Path


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    key_file = tmp_path / "keys.yaml"
    key_file.write_text(f"keys: [{{name: filed, hash: '{key_hash(KEYS['FILED'])}'}}]")
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(providers("openai", "anthropic", "groq"))
        weather = await stack.enter_async_context(FakeAgent(reply="Sunny."))
        environ = {**KEYS, "WEATHER": weather.url}
        models = await stack.enter_async_context(gateway(tmp_path, CONFIG, fakes, environ=environ))
        yield World(models, fakes, weather, key_file)


@pytest.mark.parametrize("listener", ["models", "agents"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_without_a_known_key_it_is_401_in_the_clients_dialect(world: World, client: str, listener: str) -> None:
    for headers in ({}, {"authorization": "Bearer nobody's"}, {"x-api-key": KEYS["LATER"]}):
        answer = await world.models.ask("gpt-4o", client=client, listener=listener, headers=headers)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="trident"')
        error = answer.json["error"]
        assert error["type"] == "authentication_error"
        assert (answer.json.get("type") == "error") == (client == "messages")
        assert client == "messages" or error["code"] == "invalid_api_key"
        assert answer.headers["x-request-id"]
        assert "nobody's" not in answer.body.decode()
    assert not any(fake.requests for fake in (*world.fakes.values(), world.weather))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key", "X-Team-Key"])
async def test_a_key_is_taken_from_every_usual_header(world: World, header: str, client: str) -> None:
    for key in ("TEAM", "FILED"):
        value = f"Bearer {KEYS[key]}" if header == "authorization" else KEYS[key]
        answer = await world.models.ask("gpt-4o", client=client, headers={header: value})
        assert (answer.status, answer.text) == (200, "I am openai.")
        assert world.models.access.lines[-1]["key"] == {"TEAM": "team", "FILED": "filed"}[key]


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_key_is_for_its_models_only(world: World, client: str) -> None:
    headers = {"x-api-key": KEYS["OPENAI_ONLY"]}
    assert (await world.models.ask("gpt-4o", client=client, headers=headers)).status == 200
    for prefix, model in (("", "anthropic/claude"), ("", "smart"), ("/routing", "smart")):
        refused = await world.models.ask(model, client=client, prefix=prefix, headers=headers)
        assert (refused.status, refused.json["error"]["type"]) == (403, "permission_error")
        assert client == "messages" or refused.json["error"]["code"] == "model_not_allowed"
    hinted = {**headers, "x-arch-llm-provider-hint": "smart"}
    assert (await world.models.ask("gpt-4o", client=client, headers=hinted)).status == 403
    assert world.fakes["anthropic"].requests == []


@pytest.mark.parametrize("client", CLIENTS)
async def test_what_is_not_there_shows_no_models_that_a_key_is_not_for(world: World, client: str) -> None:
    headers = {"x-api-key": KEYS["OPENAI_ONLY"]}
    for hint in ({}, {"x-arch-llm-provider-hint": "nope/x"}):
        missing = await world.models.ask("nope/x", client=client, headers={**headers, **hint})
        assert (missing.status, "claude" in missing.body.decode()) == (404, False)
    listed = await world.models.get("/v1/models", headers=headers)
    assert [model["id"] for model in listed.json["data"]] == ["openai/gpt-4o"]


async def test_a_key_for_one_providers_models_is_not_for_those_of_that_name_at_another(world: World) -> None:
    refused = await world.models.ask("groq/openai/gpt-4o", headers={"x-team-key": KEYS["OPENAI_ONLY"]})
    assert (refused.status, refused.json["error"]["code"]) == (403, "model_not_allowed")


async def test_a_key_is_for_its_listeners_only(world: World) -> None:
    headers = {"x-api-key": KEYS["AGENTS_ONLY"]}
    refused = await world.models.ask("gpt-4o", headers=headers)
    assert (refused.status, refused.json["error"]["code"]) == (403, "listener_not_allowed")
    assert (await world.models.ask("gpt-4o", listener="agents", headers=headers)).text == "Sunny."
    assert (await world.models.get("/v1/models", headers=headers)).status == 403


async def test_health_needs_no_key_and_all_else_does(world: World) -> None:
    for listener in ("models", "agents"):
        assert (await world.models.get("/healthz", listener=listener)).status == 200
        assert (await world.models.get("/readyz", listener=listener)).status == 200
        assert (await world.models.get("/v1/models", listener=listener)).status == 401
    for path in ("/v1/embeddings", "/v1/moderations", *(f"/routing{path}" for path in PATHS)):
        assert (await world.models.post(path, {})).status == 401
    assert (await world.models.ask("gpt-4o", listener="open")).text == "I am openai."


async def test_the_key_file_is_read_again_when_it_changes(world: World) -> None:
    world.key_file.write_text(f"keys: [{{name: later, hash: '{key_hash(KEYS['LATER'])}'}}]")
    async with timeout(10):
        while (await world.models.get("/v1/models", headers={"x-api-key": KEYS["LATER"]})).status != 200:
            await asyncio.sleep(0.05)
    assert (await world.models.get("/v1/models", headers={"x-api-key": KEYS["FILED"]})).status == 401
    assert (await world.models.get("/v1/models", headers={"x-api-key": KEYS["TEAM"]})).status == 200


async def test_the_clients_own_key_goes_to_its_provider_and_nothing_of_the_gateways_does(world: World) -> None:
    own = key_of("groq")
    for headers in (
        {"x-team-key": KEYS["TEAM"], "authorization": f"Bearer {own}"},
        {"authorization": f"Bearer {KEYS['TEAM']}", "x-provider-authorization": f"Bearer {own}"},
        {"x-api-key": KEYS["TEAM"], "authorization": f"Bearer {own}"},
    ):
        assert (await world.models.ask("groq/llama", headers=headers)).text == "I am groq."
    without = await world.models.ask("groq/llama", headers={"authorization": f"Bearer {KEYS['TEAM']}"})
    assert (without.status, "x-provider-authorization" in without.json["error"]["message"]) == (401, True)
    assert len(world.fakes["groq"].requests) == 3


async def test_keys_are_in_no_request_line_or_answer(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said, received = [], []
    for header in ("authorization", "x-api-key", "api-key", "x-team-key", "cookie", "x-custom"):
        for key, client, listener in itertools.product(KEYS.values(), CLIENTS, ("models", "agents", "open")):
            headers = {header: f"Bearer {key}" if header == "authorization" else key}
            said.append(await world.models.ask("gpt-4o", client=client, listener=listener, headers=headers))
    for script in (Failure(500, "Broken."), Failure(401, "Wrong key."), BrokenOff(says("one two"), 3)):
        received += world.fakes["openai"].requests
        world.fakes["openai"].play(script)
        said += [
            await world.models.ask(model, stream=True, headers={"x-api-key": KEYS["TEAM"]})
            for model in ("gpt-4o", "anthropic/claude", "nobody/x")
        ]
    for fake in (*world.fakes.values(), world.weather):
        received += fake.requests
    assert len(received) > 50
    assert not any(key in str(request) for key in KEYS.values() for request in received)
    told = str([record.__dict__ for record in caplog.records] + world.models.access.lines)
    told += str([(answer.headers, answer.body) for answer in said])
    assert not any(secret in told for secret in (*KEYS.values(), *map(key_of, world.fakes)))


async def test_the_official_client_says_its_key_as_usual(world: World) -> None:
    url = f"{world.models.urls['models']}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key=KEYS["TEAM"], max_retries=0) as client:
        assert "openai/gpt-4o" in [model.id async for model in client.models.list()]
    async with openai.AsyncOpenAI(base_url=url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError, match="valid API key"):
            await client.models.list()

"""Cheapest and fastest models, and language models as orchestrators, through a whole gateway."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from router.aio import timeout
from router.telemetry import semconv
from tests.fakes.agents import Behaviour, FakeAgent, fail
from tests.fakes.http_exchange import Exchange
from tests.fakes.providers.answers import Failure, says
from tests.fakes.providers.server import FakeProvider
from tests.fakes.triton import FakeTriton
from tests.integration.model_gateway import CLIENTS, Gateway, gateway, providers

MEASUREMENTS = 5  # before there is an estimate
PROVIDERS = """
version: v0.4.0
model_providers:
  - {model: openai/one, access_key: $OPENAI_KEY, base_url: $OPENAI, default: true}
  - {model: groq/two, access_key: $GROQ_KEY, base_url: $GROQ}
  - {model: anthropic/three, access_key: $ANTHROPIC_KEY, base_url: $ANTHROPIC}
listeners:
  - {type: model, name: models, port: $PORT0}
"""
SELECTION = """
routing_preferences:
  - name: any
    description: Whatever there is.
    models: [openai/one, groq/two, anthropic/three]
    selection_policy: {prefer: %s}
"""
COST = """
model_metrics_sources:
  - type: cost
    provider: models.dev
    url: $SOURCE/api.json
    refresh_interval: 100ms
    model_aliases: {acme/x: anthropic/three}
"""
LATENCY = """
model_metrics_sources:
  - type: latency
    provider: prometheus
    url: $SOURCE
    query: histogram_quantile(0.5, latency)
    refresh_interval: 100ms
"""


@dataclass
class World:
    models: Gateway
    fakes: dict[str, FakeProvider]
    source: FakeAgent


def _answers(document: object) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        await exchange.send_json(document)

    return behave


def _catalogue(**prices: float) -> object:
    """A catalogue like that of models.dev, by provider."""
    names = {"openai": "one", "groq": "two", "acme": "x"}
    return {
        provider: {"models": {names[provider]: {"cost": {"input": price, "output": price}}}}
        for provider, price in prices.items()
    }


def _vector(**latencies: float) -> object:
    result = [{"metric": {"model_name": name}, "value": [0, str(value)]} for name, value in latencies.items()]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


@asynccontextmanager
async def _world(folder: Path, config: str, document: object = None) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(providers("openai", "groq", "anthropic"))
        source = await stack.enter_async_context(FakeAgent(behaviour=_answers(document)))
        triton = await stack.enter_async_context(FakeTriton())
        triton.orchestrator(lambda conversation, routes: [0.9] * len(routes))
        environ = {"SOURCE": source.url}
        models = await stack.enter_async_context(gateway(folder, config, fakes, triton=triton, environ=environ))
        yield World(models, fakes, source)


async def _until_decided(models: Gateway, expected: list[str]) -> None:
    async with timeout(5):
        while (decided := (await models.ask("openai/one", prefix="/routing")).json["models"]) != expected:
            assert set(decided) == set(expected)
            await asyncio.sleep(0.01)


async def test_the_cheapest_model_is_asked_as_prices_change(tmp_path: Path) -> None:
    prices = _catalogue(openai=3, groq=2, acme=1)
    async with _world(tmp_path, PROVIDERS + COST + SELECTION % "cheapest", prices) as world:
        await _until_decided(world.models, ["anthropic/three", "groq/two", "openai/one"])
        assert (await world.models.ask("openai/one")).text == "I am anthropic."
        world.source.behaviour = _answers(_catalogue(openai=1, groq=2))
        await _until_decided(world.models, ["openai/one", "groq/two", "anthropic/three"])
        world.source.behaviour = fail(500)
        await world.source.wait_requests(len(world.source.requests) + 2)
        await _until_decided(world.models, ["openai/one", "groq/two", "anthropic/three"])
        assert world.models.recorded.count(semconv.DEGRADED, "model_metrics") >= 1


async def test_the_fastest_model_is_asked_as_prometheus_says(tmp_path: Path) -> None:
    latencies = _vector(one=0.9, **{"groq/two": 0.3, "three": 0.5})
    async with _world(tmp_path, PROVIDERS + LATENCY + SELECTION % "fastest", latencies) as world:
        await _until_decided(world.models, ["groq/two", "anthropic/three", "openai/one"])
        assert (await world.models.ask("openai/one", stream=True)).text == "I am groq."
    url = urlsplit(world.source.requests[0].path)
    assert (world.source.requests[0].method, url.path) == ("GET", "/api/v1/query")
    assert parse_qs(url.query) == {"query": ["histogram_quantile(0.5, latency)"]}


async def test_without_a_source_everyone_is_measured_and_then_the_fastest_asked(tmp_path: Path) -> None:
    async with _world(tmp_path, PROVIDERS + SELECTION % "fastest") as world:
        for name in ("openai", "groq"):
            world.fakes[name].behaviour = _slowly(world.fakes[name])
        asked = [(await world.models.ask("openai/one")).upstream for _ in range(3 * MEASUREMENTS)]
        assert set(Counter(asked).values()) == {MEASUREMENTS}
        assert [(await world.models.ask("openai/one")).upstream for _ in range(5)] == ["anthropic/three"] * 5


async def test_without_a_policy_the_order_of_the_file_counts(tmp_path: Path) -> None:
    async with _world(tmp_path, PROVIDERS + SELECTION % "none") as world:
        await _until_decided(world.models, ["openai/one", "groq/two", "anthropic/three"])


def _slowly(fake: FakeProvider) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        await asyncio.sleep(0.05)
        await exchange.send_json(fake.api.whole(says("Slow."), exchange.request))

    return behave


LLM_ROUTER = """
version: v0.4.0
overrides: {llm_routing_model: %s, agent_orchestration_model: %s}
model_providers:
  - {model: openai/one, access_key: $OPENAI_KEY, base_url: $OPENAI, default: true}
  - {model: groq/two, access_key: $GROQ_KEY, base_url: $GROQ}
  - {model: openai/router, access_key: $ROUTER_KEY, base_url: $ROUTER}
  - {model: plano/katanemo/Plano-Orchestrator-4B, access_key: $ROUTER_KEY, base_url: $ROUTER}
  - {model: openai/keyless, access_key: $UNSET_KEY, base_url: $ROUTER}
  - {model: anthropic/router, access_key: $ANTHROPIC_ROUTER_KEY, base_url: $ANTHROPIC_ROUTER}
routing_preferences:
  - {name: code, description: Source code., models: [groq/two]}
  - {name: poems, description: Poems., models: [openai/one]}
agents:
  - {id: weather, url: $WEATHER}
  - {id: flights, url: $FLIGHTS}
listeners:
  - {type: model, name: models, port: $PORT0}
  - type: agent
    name: agents
    port: $PORT1
    router: plano_orchestrator_v1
    agents:
      - {id: weather, description: The weather., default: true}
      - {id: flights, description: Flights.}
"""


@asynccontextmanager
async def _routed(folder: Path, router: str) -> AsyncIterator[tuple[Gateway, dict[str, FakeProvider]]]:
    name = "anthropic_router" if router.startswith("anthropic") else "router"
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(providers("openai", "groq", "router", "anthropic_router"))
        agents = {}
        for agent in ("weather", "flights"):
            agents[agent.upper()] = (await stack.enter_async_context(FakeAgent(reply=f"I am {agent}."))).url
        models = await stack.enter_async_context(gateway(folder, LLM_ROUTER % (router, router), fakes, environ=agents))
        yield models, {**fakes, "router": fakes[name]}


@pytest.mark.parametrize("router", ["openai/router", "anthropic/router", "plano/katanemo/Plano-Orchestrator-4B"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_language_model_may_be_the_orchestrator(tmp_path: Path, router: str, client: str) -> None:
    async with _routed(tmp_path, router) as (models, fakes):
        fakes["router"].play(says('```json\n{"route": ["code"]}\n```'))
        answer = await models.ask("openai/one", client=client, text="Some <conversation> code.")
        assert (answer.text, answer.headers["x-trident-route"], answer.attempts) == ("I am groq.", "code", 1)
        assert fakes["router"].last.json["model"] == router.partition("/")[2]
        (asked,) = fakes["router"].last.messages
        content = asked["content"] if isinstance(asked["content"], str) else asked["content"][0]["text"]
        assert content.count("<conversation>") <= 2
        routes = [json.loads(line) for line in content.split("<routes>\n")[1].split("\n</routes>")[0].split("\n")]
        assert [route["name"] for route in routes] == ["code", "poems"]
        fakes["router"].play(says('{"route": []}'))
        assert (await models.ask("groq/two", client=client)).text == "I am groq."
        fakes["router"].play(says('{"route": ["flights", "weather"]}'))
        agents = await models.ask("any", client=client, listener="agents", text="Fly to the sun.")
        assert (agents.text, agents.headers["x-trident-route"]) == ("I am weather.", "flights, weather")


@pytest.mark.parametrize("script", [Failure(500, "Broken."), says("I think it is about code?"), says("")])
async def test_a_language_model_that_says_no_routes_is_degraded(tmp_path: Path, script: Any) -> None:
    async with _routed(tmp_path, "openai/router") as (models, fakes):
        fakes["router"].play(script)
        answer = await models.ask("openai/one", text="code")
        assert (answer.text, answer.headers["x-trident-degraded"]) == ("I am openai.", "orchestrator")
        agents = await models.ask("any", listener="agents")
        assert (agents.text, agents.headers["x-trident-degraded"]) == ("I am weather.", "orchestrator")


async def test_an_orchestrator_without_its_key_is_degraded_too(tmp_path: Path) -> None:
    async with _routed(tmp_path, "openai/keyless") as (models, _):
        answer = await models.ask("openai/one", text="code")
        assert (answer.text, answer.headers["x-trident-degraded"]) == ("I am openai.", "orchestrator")

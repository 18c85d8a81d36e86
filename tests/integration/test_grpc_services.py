"""gRPC in a whole gateway: served beside the listeners, and asked elsewhere instead of models of one's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
import pytest_asyncio

from router.config import Config, load_config
from router.protos.v1 import guardrail_pb2, router_pb2
from router.runtime import Runtime, Surroundings, models_in_use
from router.runtime.services import Part, ServicesRuntime, config_for
from router.telemetry import semconv
from router.telemetry.access_log import LoggedAccess
from tests.fakes.agents import FakeAgent
from tests.fakes.counters import RecordedMetrics
from tests.fakes.triton import FakeTriton
from tests.integration.dialect_gateway import free_ports
from tests.services.serving import ATTACK, Clients, connected

CONFIG = """
version: v0.4.0
agents: [{{id: flights, url: "{agent}"}}, {{id: weather, url: "{agent}"}}]
listeners:
  - type: agent
    name: travel
    port: {ports[0]}
    agents: [{{id: flights, description: Finds flights.}}, {{id: weather, description: Weather forecasts.}}]
prompt_guards: {{input_guards: {{jailbreak: {{on_exception: {{message: No.}}}}}}}}
guardrails:
  - {{name: topics, topic: {{allow: [{{name: travel, description: Trips.}}], threshold: 0.3}}, message: Off topic.}}
  - {{name: answers, model: jailbreak, direction: output, message: Not that.}}
grpc: {{port: {ports[1]}}}
{more}
"""
REMOTE = """
services:
  router: {{url: "127.0.0.1:{port}", api_key: a-key-that-is-long-enough}}
  guardrails: {{url: ["127.0.0.1:{port}"]}}
"""


def told(messages: list[dict[str, str]]) -> bool:
    return "weather" in messages[-1]["content"]


@dataclass
class World:
    """One agent, one Triton, and what a test starts in it."""

    stack: AsyncExitStack
    agent: FakeAgent
    triton: FakeTriton
    folder: Path
    session: aiohttp.ClientSession
    recorded: RecordedMetrics

    def config(self, more: str = "") -> Config:
        file = self.folder / "config.yaml"
        text = CONFIG.format(agent=self.agent.url, ports=free_ports(2), more=more)
        file.write_text(text, encoding="utf-8")
        return load_config(file, {}).config

    async def gateway(self, config: Config, triton_url: str) -> Runtime:
        surroundings = Surroundings(triton_url, self.folder)
        runtime = Runtime(config, surroundings, metrics=self.recorded.metrics, access_log=LoggedAccess())
        await runtime.start()
        self.stack.push_async_callback(runtime.close)
        return runtime

    async def part(self, config: Config, *parts: Part) -> ServicesRuntime:
        surroundings = Surroundings(self.triton.address, self.folder)
        runtime = ServicesRuntime(config, surroundings, parts, access_log=LoggedAccess())
        await runtime.start()
        self.stack.push_async_callback(runtime.close)
        return runtime

    async def ask(self, config: Config, text: str) -> tuple[int, Mapping[str, str], Any]:
        url = f"http://127.0.0.1:{config.listeners[0].port}/v1/chat/completions"
        body = {"model": "any", "messages": [{"role": "user", "content": text}]}
        async with self.session.post(url, json=body) as response:
            return response.status, response.headers, await response.json()

    async def clients(self, port: int) -> Clients:
        return await self.stack.enter_async_context(connected(f"127.0.0.1:{port}"))


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        agent = await stack.enter_async_context(FakeAgent(reply="Sunny."))
        triton = await stack.enter_async_context(FakeTriton())
        triton.orchestrator(
            lambda conversation, routes: [
                0.9 if route["name"] in ("weather" if told(conversation) else "flights", "travel") else 0.1
                for route in routes
            ]
        )
        labels = ["benign", "jailbreak", "injection"]
        bad = ATTACK.lower().rstrip(".")
        triton.classifier("jailbreak", labels, lambda text: [0, 1, 0] if bad in text.lower() else [1, 0, 0])
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield World(stack, agent, triton, tmp_path, session, RecordedMetrics())


def asking(text: str) -> router_pb2.RouteRequest:
    return router_pb2.RouteRequest(conversation=[router_pb2.Message(role="user", content=text)], listener="travel")


async def test_a_gateway_serves_both_ways_with_the_same_engines(world: World) -> None:
    config = world.config()
    await world.gateway(config, world.triton.address)
    assert config.grpc is not None
    clients = await world.clients(config.grpc.port)
    _, headers, _ = await world.ask(config, "Any weather news?")
    answer = await clients.router.Route(asking("Any weather news?"))
    assert [list(stage.routes) for stage in answer.stages] == [[headers["x-trident-route"]]] == [["weather"]]
    said = guardrail_pb2.Text(content=ATTACK)
    guards = ["jailbreak", "topics"]
    checked = await clients.guardrail.Check(guardrail_pb2.CheckRequest(texts=[said], guards=guards))
    assert [verdict.outcome for verdict in checked.verdicts] == [
        guardrail_pb2.OUTCOME_BLOCK,
        guardrail_pb2.OUTCOME_PASS,
    ]
    assert [verdict.model for verdict in checked.verdicts] == ["jailbreak", "orchestrator"]
    asked = [request for request in world.triton.requests if request.model == "jailbreak"]
    await world.ask(config, ATTACK)
    assert len([request for request in world.triton.requests if request.model == "jailbreak"]) == len(asked)


async def test_a_gateway_without_models_of_its_own_routes_and_guards_by_services_elsewhere(world: World) -> None:
    served = await world.part(config_for(world.config(), "all"), "router", "guardrail")
    assert served.server is not None
    config = config_for(world.config(REMOTE.format(port=served.server.port)), "gateway")
    assert models_in_use(config) == ()
    await world.gateway(config, "127.0.0.1:1")
    status, headers, _ = await world.ask(config, "Any weather news?")
    assert (status, headers["x-trident-route"]) == (200, "weather")
    status, headers, body = await world.ask(config, ATTACK)
    assert (headers["x-trident-guard"], body["choices"][0]["message"]["content"]) == ("jailbreak", "No.")
    world.triton.orchestrator(lambda conversation, routes: [0.1] * len(routes))
    status, headers, body = await world.ask(config, "Tell me a joke.")
    assert (headers["x-trident-guard"], body["choices"][0]["message"]["content"]) == ("topics", "Off topic.")


async def test_a_gateway_whose_services_are_gone_takes_the_default_and_refuses_what_it_cannot_judge(
    world: World,
) -> None:
    served = await world.part(config_for(world.config(), "all"), "router", "guardrail")
    assert served.server is not None
    more = REMOTE.format(port=served.server.port)
    guarded = config_for(world.config(more), "gateway")
    await world.gateway(guarded, "127.0.0.1:1")
    free = world.config(more).model_copy(update={"grpc": None, "guardrails": ()})
    free = free.model_copy(update={"prompt_guards": type(free.prompt_guards)()})
    await world.gateway(free, "127.0.0.1:1")
    await served.close()
    status, headers, _ = await world.ask(free, "Any weather news?")
    assert (status, headers["x-trident-route"], headers["x-trident-degraded"]) == (200, "flights", "orchestrator")
    status, _, body = await world.ask(guarded, "Any weather news?")
    assert (status, body["error"]["code"]) == (503, "guardrail_unavailable")
    assert world.recorded.count(semconv.DEGRADED, "guardrail") >= 1


async def test_each_part_serves_what_it_is_for_and_needs_its_models_only(world: World) -> None:
    whole = world.config(REMOTE.format(port=1))
    router, guardrail = config_for(whole, "router"), config_for(whole, "guardrail")
    assert models_in_use(router) == ("orchestrator",)
    assert set(models_in_use(guardrail)) == {"jailbreak", "orchestrator"}
    assert models_in_use(config_for(whole, "gateway")) == ()
    served = await world.part(router, "router")
    assert served.server is not None
    clients = await world.clients(served.server.port)
    assert (await clients.router.Route(asking("Any weather news?"))).stages[0].routes == ["weather"]
    request = guardrail_pb2.CheckRequest(texts=[guardrail_pb2.Text(content="Hi.")], guards=["jailbreak"])
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await clients.guardrail.Check(request)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    await served.close()
    served = await world.part(guardrail, "guardrail")
    assert served.server is not None
    clients = await world.clients(served.server.port)
    assert (await clients.guardrail.Check(request)).outcome == guardrail_pb2.OUTCOME_PASS

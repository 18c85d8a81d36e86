"""`trident serve` as a container runs it: one part, one process, until SIGTERM."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from router.aio import timeout
from router.protos.v1 import router_pb2
from tests.e2e.trident import TRIDENT, free_port, kill_tree, until
from tests.fakes.agents import FakeAgent
from tests.fakes.triton import FakeTriton
from tests.services.serving import connected

pytestmark = pytest.mark.e2e

CONFIG = """\
version: v0.4.0
agents: [{{id: flights, url: "{agent}"}}, {{id: weather, url: "{agent}"}}]
listeners:
  - type: agent
    name: travel
    port: {ports[0]}
    agents: [{{id: flights, description: Finds flights.}}, {{id: weather, description: Weather forecasts.}}]
triton: {{url: "{triton}"}}
grpc: {{port: {ports[1]}}}
limits: {{drain_timeout: 5s}}
services: {{router: {{url: "127.0.0.1:{ports[1]}"}}}}
"""
RAIN = router_pb2.RouteRequest(conversation=[router_pb2.Message(role="user", content="Rain?")], listener="travel")


@asynccontextmanager
async def served(part: str, config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`trident serve PART`, serving; killed at the end if it still runs."""
    log_file = config.parent / f"{part}.log"
    with log_file.open("wb") as log:
        command = (*TRIDENT, "serve", part, str(config), "--state-dir", str(config.parent / "state"))
        process = await asyncio.create_subprocess_exec(
            *command, "--log-format", "json", stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        await until(lambda: process.returncode is not None or '"serving"' in log_file.read_text())
        assert process.returncode is None, log_file.read_text()
        yield process
    finally:
        await kill_tree(process)


async def test_a_gateway_and_a_router_are_processes_of_their_own_and_drain_on_sigterm(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        agent = await stack.enter_async_context(FakeAgent(reply="Sunny."))
        triton = await stack.enter_async_context(FakeTriton())
        model = triton.orchestrator(lambda conversation, routes: [0.1, 0.9])
        ports = (free_port(), free_port())
        config = tmp_path / "config.yaml"
        config.write_text(CONFIG.format(agent=agent.url, triton=triton.address, ports=ports))
        router = await stack.enter_async_context(served("router", config))
        gateway = await stack.enter_async_context(served("gateway", config))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        clients = await stack.enter_async_context(connected(f"127.0.0.1:{ports[1]}"))
        health = health_pb2_grpc.HealthStub(clients.channel)
        await health.Check(health_pb2.HealthCheckRequest(service="router.v1.RouterService"))

        body = {"model": "any", "messages": [{"role": "user", "content": "Rain?"}]}
        async with session.post(f"http://127.0.0.1:{ports[0]}/v1/chat/completions", json=body) as response:
            assert (response.status, response.headers["x-trident-route"]) == (200, "weather")
            assert "x-trident-degraded" not in response.headers
        lines = [json.loads(line) for line in (tmp_path / "router.log").read_text().splitlines() if line[0] == "{"]
        assert {line["part"] for line in lines} == {"router"}

        model.delay_s = 0.5
        asked = len(triton.requests)
        answer = asyncio.ensure_future(_answer(clients.router.Route(RAIN)))
        await until(lambda: len(triton.requests) > asked)
        router.send_signal(signal.SIGTERM)
        assert (await answer).stages[0].routes == ["weather"]
        async with timeout(20):
            assert await router.wait() == 0

        async with session.post(f"http://127.0.0.1:{ports[0]}/v1/chat/completions", json=body) as response:
            assert (response.headers["x-trident-route"], response.headers["x-trident-degraded"]) == (
                "flights",
                "orchestrator",
            )
        gateway.send_signal(signal.SIGTERM)
        async with timeout(20):
            assert await gateway.wait() == 0


async def _answer(call: object) -> router_pb2.RouteResponse:
    answer: router_pb2.RouteResponse = await call  # type: ignore[misc]
    return answer

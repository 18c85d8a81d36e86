"""One gateway on the real Triton: HTTP and gRPC decide the same about 500 conversations of the corpus."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from router.config import load_config
from router.protos.v1 import guardrail_pb2, router_pb2
from router.runtime import Runtime, Surroundings, models_in_use
from router.telemetry.access_log import LoggedAccess
from router.triton.repository import embedded_repositories
from router.triton.server import EmbeddedTriton
from tests.fakes.agents import FakeAgent
from tests.integration.dialect_gateway import free_ports
from tests.services.serving import connected

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))
from corpus import read_text_rosters

pytestmark = pytest.mark.triton

CORPUS = Path(__file__).resolve().parents[2] / "training" / "data" / "routing"
INPUTS = 500
ROSTERS = 20
PER_ROSTER = INPUTS // ROSTERS
AT_A_TIME = 8

Conversation = Sequence[Mapping[str, str]]


async def test_both_ways_decide_the_same(tmp_path: Path) -> None:
    rosters = [roster for roster in read_text_rosters(CORPUS) if len(roster.cases) >= PER_ROSTER][:ROSTERS]
    inputs: list[tuple[str, Conversation]] = [
        (roster.id, [{"role": role, "content": content} for role, content in case.turns])
        for roster in rosters
        for case in roster.cases[:PER_ROSTER]
    ]
    assert len(inputs) == INPUTS
    async with AsyncExitStack() as stack:
        agent = await stack.enter_async_context(FakeAgent(reply="Done."))
        ports = free_ports(ROSTERS + 1)
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(_config(rosters, ports, agent.url)), encoding="utf-8")
        config = load_config(file, {}).config
        triton = EmbeddedTriton(embedded_repositories(), models_in_use(config), tmp_path / "state")
        await stack.enter_async_context(triton)
        runtime = Runtime(config, Surroundings(triton.grpc_address, tmp_path), access_log=LoggedAccess())
        await runtime.start()
        stack.push_async_callback(runtime.close)
        urls = {roster.id: f"http://127.0.0.1:{port}" for roster, port in zip(rosters, ports, strict=False)}
        session = await stack.enter_async_context(aiohttp.ClientSession())
        clients = await stack.enter_async_context(connected(f"127.0.0.1:{ports[-1]}"))
        over_grpc = await _over_grpc(clients.router, inputs)
        blocked = await _blocked(clients.guardrail, inputs)
        over_http = await _over_http(session, urls, inputs)
    assert all(reason != "degraded" for _, reason in over_grpc)
    assert len({routes for routes, _ in over_grpc}) > 2 * ROSTERS  # they do differ
    assert over_http == [
        (None if guard else routes, None, guard) for (routes, _), guard in zip(over_grpc, blocked, strict=True)
    ]


def _config(rosters: Sequence[Any], ports: Sequence[int], url: str) -> dict[str, Any]:
    def name(roster: Any, agent: Any) -> str:
        return f"{roster.id}.{agent.name}"

    return {
        "version": "v0.4.0",
        "agents": [{"id": name(roster, agent), "url": url} for roster in rosters for agent in roster.agents],
        "listeners": [
            {
                "type": "agent",
                "name": roster.id,
                "port": port,
                "agents": [{"id": name(roster, agent), "description": agent.description} for agent in roster.agents],
            }
            for roster, port in zip(rosters, ports, strict=False)
        ],
        "prompt_guards": {"input_guards": {"jailbreak": {}}},
        "orchestrators": [{"name": "plano_orchestrator_v1", "timeout": "30s"}],
        "grpc": {"port": ports[-1]},
    }


async def _over_grpc(stub: Any, inputs: Sequence[tuple[str, Conversation]]) -> list[tuple[str, str]]:
    async def requests() -> AsyncIterator[router_pb2.RouteStreamRequest]:
        for number, (listener, turns) in enumerate(inputs):
            said = [router_pb2.Message(**turn) for turn in turns]
            request = router_pb2.RouteRequest(conversation=said, listener=listener)
            yield router_pb2.RouteStreamRequest(id=str(number), request=request)

    found: dict[int, tuple[str, str]] = {}
    async for answer in stub.RouteStream(requests()):
        assert not answer.HasField("error"), answer.error
        routes = ", ".join(name for stage in answer.response.stages for name in stage.routes)
        reason = router_pb2.RouteReason.Name(answer.response.reason).removeprefix("ROUTE_REASON_").lower()
        found[int(answer.id)] = (routes, reason)
    return [found[number] for number in range(len(inputs))]


async def _blocked(stub: Any, inputs: Sequence[tuple[str, Conversation]]) -> list[str | None]:
    """For each input the guard that blocks it."""
    slots = asyncio.Semaphore(AT_A_TIME)

    async def one(turns: Conversation) -> str | None:
        texts = [guardrail_pb2.Text(**turn) for turn in turns]
        async with slots:
            answer = await stub.Check(guardrail_pb2.CheckRequest(texts=texts, guards=["jailbreak"]))
        return "jailbreak" if answer.outcome == guardrail_pb2.OUTCOME_BLOCK else None

    return await asyncio.gather(*(one(turns) for _, turns in inputs))


async def _over_http(
    session: aiohttp.ClientSession, urls: Mapping[str, str], inputs: Sequence[tuple[str, Conversation]]
) -> list[tuple[str | None, str | None, str | None]]:
    """For each input the route, what was degraded, and the guard that blocks it, as the headers say."""
    slots = asyncio.Semaphore(AT_A_TIME)

    async def one(listener: str, turns: Conversation) -> tuple[str | None, str | None, str | None]:
        body = {"model": "any", "messages": turns}
        async with slots, session.post(f"{urls[listener]}/v1/chat/completions", json=body) as response:
            assert response.status == 200, await response.text()
            names = ("x-trident-route", "x-trident-degraded", "x-trident-guard")
            route, degraded, guard = (response.headers.get(name) for name in names)
            return route, degraded, guard

    return await asyncio.gather(*(one(listener, turns) for listener, turns in inputs))

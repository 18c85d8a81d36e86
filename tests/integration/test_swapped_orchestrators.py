"""Whole gateways on the real tritonserver whose orchestrator scores, then generates, and does both in a row."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from router.aio import timeout
from router.config import load_config
from router.context import RouteDescription, Turn
from router.routing.router import AgentRouter
from router.runtime import Orchestrators, Runtime, Surroundings
from router.runtime.models import build_model_router
from router.telemetry import semconv
from router.telemetry.access_log import LoggedAccess
from router.triton.client import TritonClient
from router.triton.repository import find_model_repository
from router.triton.server import EmbeddedTriton
from tests.fakes.agents import FakeAgent
from tests.fakes.counters import RecordedMetrics
from tests.integration.generating_models import PROMPT, make_llama_model, require_weights

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="module")]

ROUTES = {
    "flights": "Searches and books flights.",
    "hotels": "Books hotel rooms.",
    "weather": "Tells the weather of any city.",
}
CONFIG = """
version: v0.4.0
agents: [{agents}]
orchestrators:
  - {{name: own, timeout: 60s, prompt_template: prompt.txt}}
  - {{name: both, model: scorer, second: orchestrator-llm, strategy: cascade, confidence: 1.0, timeout: 60s,
     prompt_template: prompt.txt}}
listeners: [{{type: agent, name: travel, port: {port}, router: own, agents: [{offered}]}}]
triton: {{url: "{triton}"}}
"""
HOTEL = "Find me a hotel in Rome"


@dataclass(frozen=True)
class Repository:
    """A folder of links: ``orchestrator`` leads to either kind of model."""

    folder: Path
    scoring: Path
    generating: Path

    def point(self, model: Path) -> None:
        """Let the next load take ``model``, at once and whole."""
        fresh = self.folder.parent / "fresh"
        fresh.symlink_to(model)
        fresh.rename(self.folder / "orchestrator")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    weights = require_weights()
    home = tmp_path_factory.mktemp("models")
    folder = home / "repository"
    folder.mkdir()
    generating = make_llama_model(home / "orchestrator", weights, threads="1", chat_format="plain")
    made = Repository(folder, find_model_repository() / "cpu" / "orchestrator", generating)
    (folder / "orchestrator-llm").symlink_to(generating)
    shutil.copytree(made.scoring, folder / "scorer", ignore=shutil.ignore_patterns("__pycache__"))
    config = folder / "scorer" / "config.pbtxt"
    config.write_text(config.read_text(encoding="utf-8").replace('"orchestrator"', '"scorer"'), encoding="utf-8")
    made.point(made.scoring)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def triton(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedTriton]:
    models = ["orchestrator", "orchestrator-llm", "scorer"]
    async with EmbeddedTriton([repository.folder], models, tmp_path_factory.mktemp("state")) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def client(triton: EmbeddedTriton) -> AsyncIterator[TritonClient]:
    client = TritonClient(triton.grpc_address)
    yield client
    await client.close()


@dataclass(frozen=True)
class Gateway:
    """A running gateway with three agents, each of which answers with its own name."""

    url: str
    session: aiohttp.ClientSession
    recorded: RecordedMetrics

    async def ask(self, text: str = HOTEL) -> list[str]:
        """The agents that were asked."""
        body = {"model": "any", "messages": [{"role": "user", "content": text}]}
        async with self.session.post(f"{self.url}/v1/chat/completions", json=body) as response:
            answer = await response.json()
            assert response.status == 200, answer
            assert answer["choices"][0]["message"]["content"] in ROUTES
            return response.headers["x-trident-route"].split(", ")


@asynccontextmanager
async def gateway(tmp_path: Path, triton: EmbeddedTriton) -> AsyncIterator[Gateway]:
    async with AsyncExitStack() as stack:
        agents = {name: await stack.enter_async_context(FakeAgent(reply=name)) for name in ROUTES}
        urls = {name: agent.url for name, agent in agents.items()}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        loaded = load_config(_configuration(tmp_path, triton.grpc_address, port, urls), {})
        recorded = RecordedMetrics()
        surroundings = Surroundings(triton.grpc_address, tmp_path)
        runtime = Runtime(loaded.config, surroundings, metrics=recorded.metrics, access_log=LoggedAccess())
        await runtime.start()
        stack.push_async_callback(runtime.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Gateway(f"http://127.0.0.1:{port}", session, recorded)


def _configuration(tmp_path: Path, triton: str, port: int, urls: Mapping[str, str]) -> Path:
    (tmp_path / "prompt.txt").write_text(PROMPT, encoding="utf-8")
    file = tmp_path / "config.yaml"
    known = ", ".join(f'{{id: {name}, url: "{url}"}}' for name, url in urls.items())
    offered = ", ".join(f"{{id: {name}, description: {text}}}" for name, text in ROUTES.items())
    file.write_text(CONFIG.format(agents=known, offered=offered, port=port, triton=triton), encoding="utf-8")
    return file


async def test_an_orchestrator_is_swapped_for_one_that_generates_and_back_while_clients_ask(
    repository: Repository, triton: EmbeddedTriton, client: TritonClient, tmp_path: Path
) -> None:
    async with gateway(tmp_path, triton) as running:
        assert await running.ask() == ["hotels"]
        asked = 0
        done = asyncio.Event()

        async def keep_asking() -> None:
            nonlocal asked
            while not done.is_set():
                assert set(await running.ask()) <= set(ROUTES)
                asked += 1

        async def until(more: int) -> None:
            goal = asked + more
            while asked < goal:
                await asyncio.sleep(0.01)

        askers = [asyncio.create_task(keep_asking()) for _ in range(2)]
        async with timeout(120):
            await until(4)
            for model in (repository.generating, repository.scoring, repository.generating):
                repository.point(model)
                await client.load("orchestrator")
                await until(4)
        done.set()
        await asyncio.gather(*askers)
        assert (await client.model_config("orchestrator", 5.0)).inputs[0].name == "text_input"
        assert await running.ask() == ["hotels"]
        assert running.recorded.count(semconv.DEGRADED, "orchestrator") == 0
        assert running.recorded.count(semconv.ROUTE_DECISIONS, "travel", "degraded") == 0


async def test_without_a_language_model_the_default_agent_answers_until_it_is_back(
    repository: Repository, triton: EmbeddedTriton, client: TritonClient, tmp_path: Path
) -> None:
    repository.point(repository.generating)
    await client.load("orchestrator")
    async with gateway(tmp_path, triton) as running:
        assert await running.ask() == ["hotels"]
        await client.unload("orchestrator")
        async with timeout(20):
            while await client.model_ready("orchestrator", 5.0):
                await asyncio.sleep(0.05)
        assert await running.ask() == ["flights"]
        assert running.recorded.count(semconv.ROUTE_DECISIONS, "travel", "degraded") == 1
        await client.load("orchestrator")
        assert await running.ask() == ["hotels"]


async def test_a_cascade_asks_the_language_model_and_does_without_it(
    triton: EmbeddedTriton, client: TritonClient, tmp_path: Path
) -> None:
    nobody = dict.fromkeys(ROUTES, "http://127.0.0.1:1")
    config = load_config(_configuration(tmp_path, triton.grpc_address, 1, nobody), {}).config
    recorded = RecordedMetrics()
    orchestrators = Orchestrators(config, client, build_model_router(config), {}, metrics=recorded.metrics)
    scorer, settings = orchestrators.named("both")
    router = AgentRouter(
        "travel",
        [RouteDescription(name, text) for name, text in ROUTES.items()],
        default="flights",
        orchestrator=scorer,
        threshold=settings.threshold,
        timeout_s=settings.timeout,
        metrics=recorded.metrics,
    )
    decision = await router.decide([Turn("user", HOTEL)], timeout_s=60)
    assert (decision.model, decision.routes) == ("orchestrator-llm", ("hotels",))
    assert recorded.count(semconv.CASCADE_DECISIONS, "second_agreed") == 1
    await client.unload("orchestrator-llm")
    async with timeout(20):
        while await client.model_ready("orchestrator-llm", 5.0):
            await asyncio.sleep(0.05)
    decision = await router.decide([Turn("user", HOTEL)], timeout_s=60)
    assert (decision.model, decision.routes, decision.reason) == ("scorer", ("hotels",), "orchestrator")
    assert recorded.count(semconv.CASCADE_DECISIONS, "second_unavailable") == 1
    await client.load("orchestrator-llm")

"""Runtimes that take over from each other within one process, between real connections and fake agents."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from router.config import load_config
from router.errors import OperatorError
from router.runtime import Assignment, Command, Runtime, Surroundings
from router.runtime.succession import Means, Succession
from router.telemetry import catalogue
from router.telemetry.access_log import LoggedAccess
from tests.e2e.trident import free_port
from tests.fakes.agents import FakeAgent, answer, hang
from tests.fakes.counters import RecordedMetrics
from tests.fakes.http_exchange import Exchange

CONFIG = """\
version: v0.4.0
agents:
  - {{id: weather_agent, url: {agent}}}
listeners:
{listeners}
limits:
  drain_timeout: {drain}
{more}
"""

LISTENER = """\
  - {{type: agent, name: {name}, port: {port}, agents: [{{id: weather_agent, description: Weather.}}]}}
"""
MODEL_LISTENER = """\
  - {{type: model, name: models, port: {port}}}
"""


LIMITED = """\
model_providers:
  - {{model: openai/gpt-4o, base_url: {agent}, access_key: sk-1}}
ratelimits:
  - {{model: openai/gpt-4o, selector: {{key: x-user}}, limit: {{requests: 2, unit: day}}}}
"""


class Gateway:
    """One process's succession, and the file that it is told to serve."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "config.yaml"
        self.recorded = RecordedMetrics()
        means = Means(Surroundings("127.0.0.1:9", folder), LoggedAccess(), self.recorded.metrics, reuse_port=True)
        self.succession = Succession(means)

    def assignment(
        self, agent: FakeAgent, *ports: int, drain: str = "5s", more: str = "", models: int | None = None
    ) -> Assignment:
        listeners = "".join(LISTENER.format(name=f"front{place}", port=port) for place, port in enumerate(ports))
        listeners += "" if models is None else MODEL_LISTENER.format(port=models)
        self._file.write_text(CONFIG.format(agent=agent.url, listeners=listeners.rstrip(), drain=drain, more=more))
        return Assignment(load_config(self._file, {}), "127.0.0.1:9")

    async def tell(self, action: str, assignment: Assignment | None = None, share: float = 0.0) -> None:
        await self.succession.carry_out(Command(action, assignment, share))  # type: ignore[arg-type]


@asynccontextmanager
async def serving(
    folder: Path, agent: FakeAgent, *ports: int, more: str = "", models: int | None = None
) -> AsyncIterator[Gateway]:
    gateway = Gateway(folder)
    await gateway.succession.start(gateway.assignment(agent, *ports, more=more, models=models))
    try:
        yield gateway
    finally:
        await gateway.succession.close()


@pytest.fixture
async def agents() -> AsyncIterator[tuple[FakeAgent, FakeAgent]]:
    async with FakeAgent(reply="old") as old, FakeAgent(reply="new") as new:
        yield old, new


async def ask(port: int, model: str = "any") -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "Weather?"}]}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body, headers={"x-user": "anna"}) as reply,
    ):
        if reply.status != 200:
            return str(reply.status)
        return str((await reply.json())["choices"][0]["message"]["content"])


async def test_a_swap_changes_who_answers_and_ports_come_and_go(
    agents: tuple[FakeAgent, FakeAgent], tmp_path: Path
) -> None:
    old, new = agents
    stays, goes, comes = free_port(), free_port(), free_port()
    async with serving(tmp_path, old, stays, goes) as gateway:
        await gateway.tell("prepare", gateway.assignment(new, stays, comes))
        assert await ask(stays) == "old"
        await gateway.tell("swap")
        await gateway.tell("settle")
        assert (await ask(stays), await ask(comes)) == ("new", "new")
        with pytest.raises(aiohttp.ClientConnectorError):
            await ask(goes)


async def test_what_is_abandoned_leaves_everything_as_it_was(
    agents: tuple[FakeAgent, FakeAgent], tmp_path: Path
) -> None:
    old, new = agents
    port, other = free_port(), free_port()
    async with serving(tmp_path, old, port) as gateway:
        await gateway.tell("prepare", gateway.assignment(new, port, other))
        await gateway.tell("share", share=1.0)
        assert await ask(port) == "new"
        await gateway.tell("abandon")
        await gateway.tell("settle")
        assert await ask(port) == "old"
        with pytest.raises(aiohttp.ClientConnectorError):
            await ask(other)
        with pytest.raises(OperatorError, match="No other configuration is prepared"):
            await gateway.tell("swap")


async def test_a_configuration_that_cannot_be_prepared_changes_nothing(
    agents: tuple[FakeAgent, FakeAgent], tmp_path: Path
) -> None:
    old, new = agents
    port = free_port()
    async with serving(tmp_path, old, port) as gateway:
        missing = f"overrides: {{upstream_tls_ca_path: {tmp_path}/gone.pem}}"
        with pytest.raises(OperatorError, match=r"gone\.pem"):
            await gateway.tell("prepare", gateway.assignment(new, port, more=missing))
        assert await ask(port) == "old"


async def test_a_request_in_flight_is_finished_by_whom_it_began_with(
    agents: tuple[FakeAgent, FakeAgent], tmp_path: Path
) -> None:
    old, new = agents
    port = free_port()
    go_on = asyncio.Event()

    async def wait(exchange: Exchange) -> None:
        await go_on.wait()
        await answer("old")(exchange)

    old.behaviour = wait
    async with serving(tmp_path, old, port) as gateway:
        asked = asyncio.create_task(ask(port))
        while not old.requests:
            await asyncio.sleep(0.001)
        await gateway.tell("prepare", gateway.assignment(new, port))
        await gateway.tell("swap")
        assert await ask(port) == "new"
        assert not asked.done()
        go_on.set()
        assert await asked == "old"


async def test_limits_go_on_counting_and_so_do_metrics(agents: tuple[FakeAgent, FakeAgent], tmp_path: Path) -> None:
    old, new = agents
    port, models = free_port(), free_port()
    more = LIMITED.format(agent=old.url)
    async with serving(tmp_path, old, port, more=more, models=models) as gateway:
        assert await ask(models, "gpt-4o") == "old"
        gateway.recorded.metrics.breaker_changed("openai/gpt-4o", "open")
        more = LIMITED.format(agent=new.url)
        await gateway.tell("prepare", gateway.assignment(new, port, more=more, models=models))
        await gateway.tell("swap")
        await gateway.tell("settle")
        assert await ask(models, "gpt-4o") == "new"
        assert await ask(models, "gpt-4o") == "429"
        taken = gateway.recorded.metrics.registry.snapshot()
        assert sum(count for _, count in taken[catalogue.REQUESTS.name]) == 3
        assert taken[catalogue.BREAKER_STATE.name] == [(["openai/gpt-4o", "open"], 0)]


async def test_what_has_retired_is_gone_from_memory(agents: tuple[FakeAgent, FakeAgent], tmp_path: Path) -> None:
    old, new = agents
    port = free_port()
    async with serving(tmp_path, old, port) as gateway:
        for agent in (new, old, new):
            await gateway.tell("prepare", gateway.assignment(agent, port))
            await gateway.tell("swap")
            assert await ask(port) == agent.reply
        await gateway.tell("settle")
        gc.collect()
        assert len([each for each in gc.get_objects() if type(each) is Runtime]) == 1


async def test_closing_cuts_off_what_an_earlier_runtime_still_answers(
    agents: tuple[FakeAgent, FakeAgent], tmp_path: Path
) -> None:
    old, new = agents
    old.behaviour = hang()
    port = free_port()
    gateway = Gateway(tmp_path)
    await gateway.succession.start(gateway.assignment(old, port))
    asked = asyncio.create_task(ask(port))
    while not old.requests:
        await asyncio.sleep(0.001)
    await gateway.tell("prepare", gateway.assignment(new, port, drain="100ms"))
    await gateway.tell("swap")
    await gateway.succession.close()
    with pytest.raises(aiohttp.ClientError):
        await asked

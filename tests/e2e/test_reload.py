"""Reloading the configuration of whole processes, while clients go on asking."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from router.aio import timeout
from tests.e2e.clients import CLIENTS, clients
from tests.e2e.trident import ask, body, free_port, refuses, trident, until, up
from tests.fakes.agents import FakeAgent

pytestmark = pytest.mark.e2e

CONFIG = """\
version: v0.4.0
agents:
  - {{id: weather_agent, url: {agent}}}
listeners:
{listeners}
limits: {{drain_timeout: 20s, max_body_bytes: {body}}}
"""
LISTENER = """\
  - {{type: agent, name: front{port}, port: {port}, agents: [{{id: weather_agent, description: Weather.}}]}}
"""
RELOADS = 20


def write(folder: Path, agent: FakeAgent, *ports: int, body_bytes: int = 100_000) -> Path:
    file = folder / "config.yaml"
    listeners = "".join(LISTENER.format(port=port) for port in ports).rstrip()
    file.write_text(CONFIG.format(agent=agent.url, listeners=listeners, body=body_bytes))
    return file


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
async def agents() -> AsyncIterator[tuple[FakeAgent, FakeAgent]]:
    async with FakeAgent(reply="old") as old, FakeAgent(reply="new") as new:
        yield old, new


async def test_a_reload_changes_agents_limits_and_listeners(
    agents: tuple[FakeAgent, FakeAgent], tmp_path: Path, state_dir: Path
) -> None:
    old, new = agents
    port, comes, goes = free_port(), free_port(), free_port()
    config = write(tmp_path, old, port, goes)
    async with up(config, state_dir, port, "--workers", "2") as instance:
        workers = {worker.pid for worker in instance.running("worker")}
        assert await ask(instance) == "old"
        write(tmp_path, new, port, comes, body_bytes=300)
        status, out, err = await trident("reload", str(config), state_dir=state_dir)
        assert (status, err) == (0, "")
        assert out.startswith(f"{config} is served now")
        assert await ask(instance) == "new"
        await until(lambda: refuses(goes))
        assert not refuses(comes)
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{instance.url}/v1/chat/completions", json=body("x" * 300)) as answer,
        ):
            assert answer.status == 413
        assert {worker.pid for worker in instance.running("worker")} == workers
        note = json.loads(next((state_dir / "instances").glob("*.json")).read_text())
        assert {port, comes} < set(note["ports"])
        assert goes not in note["ports"]


async def test_a_bad_file_changes_nothing_and_says_everything_that_is_wrong(
    agents: tuple[FakeAgent, FakeAgent], tmp_path: Path, state_dir: Path
) -> None:
    old, _ = agents
    port = free_port()
    config = write(tmp_path, old, port)
    async with up(config, state_dir, port) as instance:
        config.write_text("version: v0.4.0\nlisteners:\n  - type: agent\n    nmae: travel\n    port: 99999\n")
        status, out, err = await trident("reload", state_dir=state_dir)
        assert (status, out) == (1, "")
        assert f"{config}:4:" in err
        assert "nmae" in err
        assert "port" in err
        assert await ask(instance) == "old"
        assert "configuration is refused, nothing changes" in instance.messages()

        taken = free_port()
        async with FakeAgent() as other:
            taken = int(other.url.rpartition(":")[2])
            write(tmp_path, old, port, taken)
            status, _, err = await trident("reload", state_dir=state_dir)
        assert status == 1
        assert f"port {taken} on 127.0.0.1 is already in use" in err
        assert await ask(instance) == "old"


async def test_sighup_and_a_watched_file_reload_and_a_worker_that_dies_comes_back_with_the_new_one(
    agents: tuple[FakeAgent, FakeAgent], tmp_path: Path, state_dir: Path
) -> None:
    old, new = agents
    port = free_port()
    config = write(tmp_path, old, port)
    async with up(config, state_dir, port, "--watch") as instance:
        write(tmp_path, new, port)
        await until(lambda: "configuration reloaded" in instance.messages())
        assert await ask(instance) == "new"
        write(tmp_path, old, port)
        instance.process.send_signal(signal.SIGHUP)
        await until(lambda: instance.messages().count("configuration reloaded") > 1)
        assert await ask(instance) == "old"
        (worker,) = instance.running("worker")
        worker.kill()
        await until(lambda: "worker serves again" in instance.messages())
        assert await ask(instance) == "old"


async def test_reload_without_an_instance_says_so(tmp_path: Path, state_dir: Path) -> None:
    status, _, err = await trident("reload", state_dir=state_dir)
    assert status == 1
    assert "No instance runs." in err


async def test_twenty_reloads_under_fifty_clients_fail_no_request(
    agents: tuple[FakeAgent, FakeAgent], tmp_path: Path, state_dir: Path
) -> None:
    port = free_port()
    config = write(tmp_path, agents[0], port)
    async with up(config, state_dir, port, "--workers", "2") as instance, clients(instance) as load:
        async with timeout(60):
            for number in range(RELOADS):
                write(tmp_path, agents[number % 2], port, *([free_port()] if number % 3 else []))
                instance.process.send_signal(signal.SIGHUP)
                await until(lambda: instance.messages().count("configuration reloaded") > number)  # noqa: B023
        before = len(load.took_s)
        await until(lambda: len(load.took_s) > before + CLIENTS)
        assert len(instance.running("worker")) == 2
    assert load.failures == []
    assert len(load.took_s) > RELOADS * CLIENTS / 2
    assert load.longest_gap_s < 2 * load.p99_s

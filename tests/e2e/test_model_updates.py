"""Other versions of models in a running instance, with the real Triton, while clients go on asking."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import pytest_asyncio

from router.aio import timeout
from router.cli.control import Refused, tell
from router.cli.instances import instance_folder
from router.cli.promotion import AUDIT_FILE
from tests.e2e.clients import clients
from tests.e2e.trident import Instance, ask, body, free_port, trident, until, up
from tests.fakes.agents import FakeAgent
from tests.integration.small_models import (
    BROKEN,
    CONFIG,
    ECHO,
    HANGING,
    ORCHESTRATOR_CONFIG,
    write_model,
    write_orchestrator,
)

pytestmark = [pytest.mark.e2e, pytest.mark.triton, pytest.mark.asyncio(loop_scope="module")]

CONFIGURATION = """\
version: v0.4.0
agents:
  - {{id: first, url: {first}}}
  - {{id: second, url: {second}}}
listeners:
  - type: agent
    name: front
    port: {port}
    agents: [{{id: first, description: One.}}, {{id: second, description: Two.}}]
triton: {{model_repository: {repository}}}
limits: {{drain_timeout: {drain}}}
"""
AT_ONCE = {"shadow_s": 0.0, "canary": 0.0, "canary_s": 0.0}
UPDATES = 20
BACK = "embedded triton is back"


@dataclass
class Running:
    """An instance, and where its models come from."""

    instance: Instance
    config: Path
    folder: Path
    models: Path
    state_dir: Path
    write: Any
    last: int = 1

    async def promote(self, source: Path, version: int, **options: Any) -> list[Mapping[str, Any]]:
        """The steps; raises ``Refused`` where one fails."""
        fields = {"model": "orchestrator", "version": str(version), "source": str(source), **AT_ONCE, **options}
        async with aclosing(tell(self.folder, "promote", **fields)) as steps:
            return [step async for step in steps if "step" in step]

    async def tell(self, command: str, **fields: Any) -> Mapping[str, Any]:
        async with aclosing(tell(self.folder, command, **fields)) as steps:
            return [step async for step in steps][-1]

    def version(self, *, place: int, **more: float) -> tuple[Path, int]:
        """A new version that sends everything to the agent at ``place``."""
        self.last += 1
        return write_orchestrator(self.models / str(self.last), self.last, place=place, **more), self.last

    @property
    def audit(self) -> list[Mapping[str, Any]]:
        return [json.loads(line) for line in (self.folder / AUDIT_FILE).read_text().splitlines()]

    async def served(self) -> list[tuple[str, str]]:
        """Names and versions of the models that are ready."""
        status, out, err = await trident("models", "status", "--json", state_dir=self.state_dir)
        assert status == 0, err
        return [(each["model"], each["version"]) for each in json.loads(out) if each["state"] == "ready"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    folder = tmp_path_factory.mktemp("updates")
    repository, models, state_dir = folder / "repository", folder / "models", folder / "state"
    write_orchestrator(repository / "cpu", 1, place=0)
    write_model(repository / "cpu", "other", ECHO)
    port = free_port()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(FakeAgent(reply="first"))
        second = await stack.enter_async_context(FakeAgent(reply="second"))
        config = folder / "config.yaml"

        def write(drain: str = "20s") -> None:
            config.write_text(
                CONFIGURATION.format(first=first.url, second=second.url, port=port, repository=repository, drain=drain)
            )

        write()
        instance = await stack.enter_async_context(up(config, state_dir, port, "--workers", "2"))
        yield Running(instance, config, instance_folder(config, state_dir), models, state_dir, write)


async def test_a_version_goes_into_service_step_by_step_and_back(running: Running) -> None:
    assert await ask(running.instance) == "first"
    # It decides as the first one does on a scale of its own: with the old threshold it would decide nothing.
    source, version = running.version(place=0, threshold=0.02, high=0.05, low=0.01)
    async with clients(running.instance, 10) as load:
        steps = await running.promote(source, version, shadow_s=1.0, canary=0.5, canary_s=1.0)
    assert load.failures == []
    assert set(load.answers) == {"first"}
    outcomes = {step["step"]: step for step in steps}
    assert [(name, step["outcome"]) for name, step in outcomes.items()] == [
        ("copy", "ok"),
        ("load", "ok"),
        ("contract", "ok"),
        ("warm_up", "ok"),
        ("golden", "skipped"),
        ("eval", "skipped"),
        ("shadow", "ok"),
        ("canary", "ok"),
        ("switch", "ok"),
        ("replace", "ok"),
        ("done", "ok"),
    ]
    assert outcomes["shadow"]["compared"] == outcomes["shadow"]["agreed"] > 0
    assert outcomes["canary"]["asked"] > 0
    assert running.audit == steps
    assert await running.served() == [("orchestrator", str(version))]

    assert (await running.tell("rollback", model="orchestrator"))["version"] == "1"
    assert await running.served() == [("orchestrator", "1")]
    assert await ask(running.instance) == "first"


async def test_a_version_that_decides_otherwise_does_not_pass_the_shadow_or_the_golden_decisions(
    running: Running, tmp_path: Path
) -> None:
    source, version = running.version(place=1)
    async with clients(running.instance, 10) as load:
        with pytest.raises(Refused, match=r"It decides 0 of \d+ requests as the old version does"):
            await running.promote(source, version, shadow_s=1.0)
    assert set(load.answers) == {"first"}
    golden = tmp_path / "golden.json"
    case = {"roster": "two", "turns": ["hello"], "chosen": ["one"]}
    golden.write_text(json.dumps({"rosters": {"two": [["one", "One."], ["two", "Two."]]}, "cases": [case]}))
    with pytest.raises(Refused, match="0 of 1 golden cases"):
        await running.promote(source, version, golden=str(golden))
    tests = tmp_path / "routes.yaml"
    tests.write_text(f"config: {running.config}\nminimum: 1\ncases:\n  - {{text: hello, agents: [first]}}\n")
    with pytest.raises(Refused, match=r"0\.0% of the routing tests are right"):
        await running.promote(source, version, routing_tests=str(tests))
    assert running.audit[-1]["step"] == "go_back"
    assert await running.served() == [("orchestrator", "1")]
    assert await ask(running.instance) == "first"


WRONG_NAMES = ORCHESTRATOR_CONFIG.replace("ROUTES", "AGENTS")
SLOW_ANSWERS = """
import time

class TritonPythonModel:
    def execute(self, requests):
        time.sleep(2)
        return []
"""


@pytest.mark.parametrize(
    ("code", "config", "reason"),
    [
        (BROKEN, ORCHESTRATOR_CONFIG % 0.5, "the weights are missing"),
        ("this is no Python", ORCHESTRATOR_CONFIG % 0.5, "invalid syntax"),
        (ECHO, WRONG_NAMES % 0.5, "has no input ROUTES"),
        (ECHO, CONFIG, "has no input CONVERSATION"),
        (ECHO, ORCHESTRATOR_CONFIG % 0.5, "did not stand the warm-up"),
        (SLOW_ANSWERS, ORCHESTRATOR_CONFIG % 0.5, "did not stand the warm-up"),
        (HANGING, ORCHESTRATOR_CONFIG % 0.5, "Deadline Exceeded"),
    ],
    ids=["initialize", "syntax", "tensors", "contract", "inference", "no answers", "hangs"],
)
async def test_a_broken_version_never_serves(running: Running, code: str, config: str, reason: str) -> None:
    running.last += 1
    source = write_model(running.models / str(running.last), "orchestrator", code, config, running.last)
    async with clients(running.instance, 5) as load:
        with pytest.raises(Refused, match=reason):
            await running.promote(source, running.last, timeout_s=3.0)
    assert load.failures == []
    assert set(load.answers) == {"first"}
    assert [line["step"] for line in running.audit[-1:]] == ["go_back"]
    assert ("orchestrator", "1") in await running.served()


async def test_while_a_model_is_promoted_nothing_else_changes(running: Running) -> None:
    source, version = running.version(place=0)
    promoting = asyncio.create_task(running.promote(source, version, shadow_s=2.0))
    await until(lambda: running.audit[-1]["version"] == str(version))
    with pytest.raises(Refused, match="orchestrator is being promoted"):
        await running.tell("reload")
    await promoting
    await running.tell("rollback", model="orchestrator")


async def test_models_are_loaded_and_unloaded_by_hand(running: Running) -> None:
    status, out, err = await trident("models", "load", "other", state_dir=running.state_dir)
    assert (status, out, err) == (0, "other is served.\n", "")
    assert ("other", "1") in await running.served()
    status, out, _ = await trident("models", "list", state_dir=running.state_dir)
    assert out.splitlines()[0].split() == ["model", "version", "state", "reason"]
    assert ["other", "1", "ready"] in [line.split() for line in out.splitlines()]
    assert (await trident("models", "unload", "other", state_dir=running.state_dir))[0] == 0
    status, _, err = await trident("models", "unload", "orchestrator", state_dir=running.state_dir)
    assert status == 1
    assert "The configuration needs orchestrator." in err
    status, _, err = await trident("models", "load", "absent", state_dir=running.state_dir)
    assert status == 1
    assert "'absent' was not loaded" in err


async def test_a_triton_that_is_killed_after_an_update_comes_back_with_it(running: Running) -> None:
    source, version = running.version(place=1)
    await running.promote(source, version)
    assert await ask(running.instance) == "second"
    (server,) = [child for child in running.instance.children() if child.name() == "tritonserver"]
    restarts = running.instance.messages().count(BACK)
    os.kill(server.pid, signal.SIGKILL)
    async with timeout(30):
        while psutil.pid_exists(server.pid) or await ask(running.instance) != "second":
            await asyncio.sleep(0.05)
    await until(lambda: running.instance.messages().count(BACK) > restarts)
    assert await running.served() == [("orchestrator", str(version))]
    await running.tell("rollback", model="orchestrator")


async def test_the_commands_say_each_step_and_the_outcome(running: Running) -> None:
    source, version = running.version(place=1)
    promote = ("models", "promote", "orchestrator", str(version), "--from", str(source), "--shadow", "500ms")
    status, out, err = await trident(*promote, "--canary", "0%", state_dir=running.state_dir)
    assert (status, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()[:3]] == [["copy", "ok"], ["load", "ok"], ["contract", "ok"]]
    assert "canary     skipped" in out
    assert out.endswith(f"Version {version} of orchestrator is served.\n")
    assert await ask(running.instance) == "second"
    status, out, err = await trident("models", "rollback", "orchestrator", state_dir=running.state_dir)
    assert (status, err) == (0, "")
    assert out.endswith("is served again.\n")
    assert await ask(running.instance) == "first"
    status, out, err = await trident("models", "promote", "orchestrator", "77", state_dir=running.state_dir)
    assert status == 1
    assert out.startswith("copy       failed")
    assert "There is no version 77 of orchestrator." in err


async def degraded(instance: Instance) -> bool:
    """Whether the orchestrator was not asked for an answer; there is one in any case."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{instance.url}/v1/chat/completions", json=body()) as answer,
    ):
        assert answer.status == 200
        return "orchestrator" in answer.headers.get("x-trident-degraded", "")


@pytest.mark.parametrize("trouble", ["killed", "hangs", "out of memory"])
async def test_while_triton_is_in_trouble_the_default_answers_and_then_it_decides_again(
    running: Running, trouble: str
) -> None:
    (server,) = [child for child in running.instance.children() if child.name() == "tritonserver"]
    workers = {worker.pid for worker in running.instance.running("worker")}
    restarts = running.instance.messages().count(BACK)
    if trouble == "out of memory":  # the kernel kills the largest process: the model's
        max(server.children(), key=lambda process: process.memory_info().rss).kill()
    else:
        server.send_signal(signal.SIGSTOP if trouble == "hangs" else signal.SIGKILL)
    async with timeout(60):
        while not await degraded(running.instance):
            pass
        while await degraded(running.instance):
            await asyncio.sleep(0.05)
    await until(lambda: running.instance.messages().count(BACK) > restarts)
    assert {worker.pid for worker in running.instance.running("worker")} == workers


async def test_twenty_updates_and_twenty_reloads_under_fifty_clients_fail_no_request(running: Running) -> None:
    began = time.monotonic()
    async with clients(running.instance, 50) as load:
        for number in range(UPDATES):
            source, version = running.version(place=number % 2)
            await running.promote(source, version)
            running.write(drain=f"{20 + number}s")
            await running.tell("reload")
            assert await ask(running.instance) == ("first", "second")[number % 2]
    assert load.failures == []
    assert set(load.answers) == {"first", "second"}
    assert load.longest_gap_s < 2 * load.p99_s
    assert time.monotonic() - began < 60

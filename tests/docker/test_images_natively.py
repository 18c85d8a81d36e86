"""What the images run, run here: their entry points, commands and health checks, with the real Triton of the wheel.

Only what a container would give is put in place of it: paths, the names of other containers, and ports.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from router.aio import timeout
from router.triton.wheel import find_wheel
from tests.docker.dockerfile import ROOT, Stage, stages
from tests.e2e.trident import environment, free_port, kill_tree

pytestmark = [pytest.mark.e2e, pytest.mark.triton]

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
STAGES = stages()
KEY = "a-key-of-more-than-twenty-characters"
QUESTION = "Find flights from NYC to Paris and check the weather there"
READY_WITHIN_S = 50.0


class Machine:
    """One machine in the place of many containers: what stands for each path, address and port in the files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("http", "grpc", "metrics", "models", "agents", "admin")}
        self.ports |= {name: free_port() for name in ("weather-agent", "flight-agent", "router", "guardrail")}

    def file(self, name: str) -> Path:
        """A configuration file of ``docker/`` with this machine's addresses."""
        text = (ROOT / "docker" / name).read_text()
        ports = self.ports
        for name_in_file, here in {
            "triton:8001": f"127.0.0.1:{ports['grpc']}",
            "weather-agent:8000": f"127.0.0.1:{ports['weather-agent']}",
            "flight-agent:8000": f"127.0.0.1:{ports['flight-agent']}",
            "router:50051": f"127.0.0.1:{ports['router']}",
            "guardrail:50051": f"127.0.0.1:{ports['guardrail']}",
            "otel-collector:4317": f"127.0.0.1:{free_port()}",
            "address: 0.0.0.0": "address: 127.0.0.1",
            "port: 12000": f"port: {ports['models']}",
            "port: 8001": f"port: {ports['agents']}",
            "port: 9901": f"port: {ports['admin']}",
        }.items():
            assert name_in_file in text or "50051" in name_in_file, name_in_file
            text = text.replace(name_in_file, here)
        path = self.folder / name
        path.write_text(text)
        return path

    def command(self, service: str, words: list[str], port: int, config: Path | None) -> list[str]:
        """``words`` of a service as they are run here; its own port is ``port``."""
        known = {
            "trident": [sys.executable, "-m", "router"],
            "python": [sys.executable],
            "launch": [str(ROOT / "docker" / "triton" / "launch")],
        }
        here = {
            "/usr/local/lib/trident": str(ROOT / "docker"),
            "/opt/agents": str(ROOT / "examples" / "travel"),
            "/etc/trident/config.yaml": str(config),
            "/var/lib/trident": str(self.folder / service),
            "0.0.0.0": "127.0.0.1",
            "${TRIDENT_WORKERS:-2}": "2",
            "127.0.0.1:8000/v2": f"127.0.0.1:{self.ports['http']}/v2",
            "127.0.0.1:12000/": f"127.0.0.1:{self.ports['models']}/",
        }
        for own in ("8000", "9901", "50051"):
            here[f"127.0.0.1:{own}/"] = f"127.0.0.1:{port}/"
            here[f"--port={own}"] = f"--port={port}"
        command: list[str] = []
        for number, word in enumerate(words):
            if number == 0 and word in known:
                command += known[word]
                continue
            for there, place in here.items():
                word = word.replace(there, place)
            command.append(word)
        return command


def entry_point(service: str, stage: Stage) -> list[str]:
    return [*stage.entrypoint, *SERVICES[service].get("command", stage.command)]


@asynccontextmanager
async def running(
    machine: Machine, service: str, port: int, config: Path | None = None, more: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """A service of compose, healthy by its own health check; ended by SIGTERM, which it has to obey."""
    stage = STAGES[SERVICES[service]["build"]["target"]]
    log_file = machine.folder / f"{service}.log"
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *machine.command(service, entry_point(service, stage), port, config),
            cwd=machine.folder,
            env=environment(TRIDENT_API_KEY=KEY, **(more or {})),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        check = machine.command(service, SERVICES[service]["healthcheck"]["test"][1:], port, config)
        async with timeout(READY_WITHIN_S):
            while await _status(check) != 0:
                assert process.returncode is None, log_file.read_text()
        yield
        process.terminate()
        async with timeout(20):
            assert await process.wait() == 0, log_file.read_text()
    finally:
        await kill_tree(process)


async def _status(command: list[str]) -> int:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    return await process.wait()


def triton_environment(machine: Machine) -> dict[str, str]:
    """What the image sets, with this machine's paths; the folder of backends is made as the image makes it."""
    backends = machine.folder / "backends"
    subprocess.run([sys.executable, str(ROOT / "docker" / "triton" / "backends.py"), str(backends)], check=True)
    wheel = find_wheel()
    ports = {f"TRITON_{name.upper()}_PORT": str(machine.ports[name]) for name in ("http", "grpc", "metrics")}
    image = {name: "" for name in STAGES["triton-cpu"].environment if name.startswith("TRITON_")}
    here = {
        "TRITON_SERVER": str(wheel.server),
        "TRITON_LIBRARIES": wheel.environment()["LD_LIBRARY_PATH"],
        "TRITON_BACKENDS": str(backends),
    }
    assert set(here) == set(image)
    repositories = STAGES["triton-cpu"].environment["TRIDENT_MODEL_REPOSITORIES"]
    return {
        **here,
        **ports,
        "PATH": wheel.environment()["PATH"],
        "TRITON_WORK": str(machine.folder / "triton"),
        "TRITON_ADDRESS": "127.0.0.1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TRIDENT_MODELS": "orchestrator jailbreak moderation",
        "TRIDENT_MODEL_REPOSITORIES": repositories.replace("/opt/models", str(ROOT / "model_repository")),
    }


async def ask(machine: Machine, key: str | None) -> tuple[int, Mapping[str, str], str]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    body = {"model": "any", "messages": [{"role": "user", "content": QUESTION}]}
    url = f"http://127.0.0.1:{machine.ports['agents']}/v1/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as answer:
        return answer.status, answer.headers, await answer.text()


async def test_the_deployment_answers_as_a_whole_and_with_its_services_apart(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    ports = machine.ports
    async with AsyncExitStack() as stack:
        triton = triton_environment(machine)
        await stack.enter_async_context(running(machine, "triton-cpu", ports["http"], more=triton))
        for agent in ("weather-agent", "flight-agent"):
            await stack.enter_async_context(running(machine, agent, ports[agent]))

        async with running(machine, "gateway", ports["admin"], machine.file("config.yaml")):
            assert (await ask(machine, None))[0] == 401
            await _check_answer(machine)

        # Each service has its own port here, in a file that is the same but for that.
        for part in ("router", "guardrail"):
            apart = machine.file("microservices.yaml")
            config = apart.rename(tmp_path / f"{part}.yaml")
            config.write_text(config.read_text().replace("port: 50051", f"port: {ports[part]}"))
            await stack.enter_async_context(running(machine, part, ports[part], config))
        gateway = machine.file("microservices.yaml")
        gateway.write_text(gateway.read_text().replace("port: 50051", f"port: {free_port()}"))
        async with running(machine, "gateway", ports["admin"], gateway):
            await _check_answer(machine)
        for part, method in (("router", "RouterService/Route"), ("guardrail", "GuardrailService/")):
            assert method in (tmp_path / f"{part}.log").read_text(), part


async def _check_answer(machine: Machine) -> None:
    status, headers, text = await ask(machine, KEY)
    assert status == 200, text
    assert headers["x-trident-route"] == "flight_agent, weather_agent"
    assert "x-trident-degraded" not in headers
    assert "Flights from New York to Paris" in text
    assert "Weather in Paris" in text


async def test_a_health_check_says_why_something_is_not_ready() -> None:
    script = str(ROOT / "docker" / "healthcheck.py")
    nobody = free_port()
    for address in (f"http://127.0.0.1:{nobody}/readyz", f"grpc://127.0.0.1:{nobody}/router.v1.RouterService"):
        process = await asyncio.create_subprocess_exec(sys.executable, script, address, stderr=asyncio.subprocess.PIPE)
        _, reason = await process.communicate()
        assert process.returncode == 1
        assert reason.strip()

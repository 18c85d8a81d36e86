"""The gateway on MLServer, an implementation of the KServe v2 protocol that has nothing to do with Triton.

MLServer's dependencies do not fit beside ours (it holds FastAPI back), so that it gets an environment of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from router.aio import timeout
from router.config import load_config
from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable
from router.runtime import Runtime, Surroundings
from router.telemetry.access_log import LoggedAccess
from router.triton.client import TritonClient
from router.triton.models import Classifier, ScoringOrchestrator, orchestrator_contract
from tests.fakes.agents import FakeAgent
from tests.integration.dialect_gateway import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

MODEL = Path(__file__).parent / "kserve"
REQUIREMENT = "mlserver==1.7.1"
ENVIRONMENT = (
    Path(__file__).resolve().parents[2] / ".cache" / f"kserve-{sys.version_info.major}{sys.version_info.minor}"
)

CONFIG = """
version: v0.4.0
agents: [{{id: flights, url: "{agent}"}}, {{id: weather, url: "{agent}"}}, {{id: hotels, url: "{agent}"}}]
listeners:
  - type: agent
    name: travel
    port: {port}
    agents:
      - {{id: hotels, description: Books hotels.}}
      - {{id: flights, description: Finds flights.}}
      - {{id: weather, description: Weather forecasts.}}
triton: {{url: "{server}"}}
"""


def _python() -> Path:
    """MLServer's interpreter, installed once per checkout; skips, with the reason, where it cannot be."""
    if sys.version_info >= (3, 13):
        pytest.skip("MLServer does not support this version of Python")
    python = ENVIRONMENT / "bin" / "python"
    done = ENVIRONMENT / REQUIREMENT
    if not done.is_file():
        install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", REQUIREMENT]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True, timeout=120)
            subprocess.run(install, check=True, capture_output=True, timeout=400)
        except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
            shutil.rmtree(ENVIRONMENT, ignore_errors=True)
            pytest.skip(f"{REQUIREMENT} cannot be installed here")
        done.touch()
    return python


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Where MLServer answers over gRPC."""
    python = await asyncio.to_thread(_python)
    folder = tmp_path_factory.mktemp("kserve")
    for path in MODEL.glob("*.*"):
        shutil.copy(path, folder)
    http, rpc, metrics = free_ports(3)
    ports = {"http_port": http, "grpc_port": rpc, "metrics_port": metrics}
    settings = {"host": "127.0.0.1", "parallel_workers": 0, "metrics_endpoint": None, **ports}
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        server = await asyncio.create_subprocess_exec(
            *(python, "-c", "from mlserver.cli import main; main()", "start", folder),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"},
        )
    client = TritonClient(f"127.0.0.1:{rpc}")
    try:
        async with timeout(60):
            while not await client.model_ready("orchestrator", 1.0):
                assert server.returncode is None, (folder / "log").read_text(encoding="utf-8")
                await asyncio.sleep(0.1)
        yield client.url
    finally:
        await client.close()
        if server.returncode is None:
            server.kill()
        await server.wait()


async def test_an_orchestrator_elsewhere_speaks_the_scoring_contract(address: str) -> None:
    client = TritonClient(address)
    try:
        assert orchestrator_contract(await client.model_metadata("orchestrator", 5.0)) == "scoring"
        routes = [RouteDescription(name, f"About {name}.") for name in ("hotels", "flights", "weather")]
        said = [Turn("user", "weather, then flights")]
        scores = await ScoringOrchestrator(client).score(said, routes, timeout_s=5.0)
    finally:
        await client.close()
    assert scores.scores == pytest.approx((0.1, 0.9, 0.9))
    assert scores.order == (2, 1, 0)
    assert (scores.model, scores.version, scores.threshold) == ("orchestrator", "v7", 0.5)


async def test_the_gateway_routes_by_it(address: str, tmp_path: Path) -> None:
    [port] = free_ports(1)
    async with FakeAgent(reply="Done.") as agent, aiohttp.ClientSession() as session:
        file = tmp_path / "config.yaml"
        file.write_text(CONFIG.format(agent=agent.url, port=port, server=address), encoding="utf-8")
        runtime = Runtime(load_config(file, {}).config, Surroundings(address, tmp_path), access_log=LoggedAccess())
        await runtime.start()
        try:
            url = f"http://127.0.0.1:{port}"
            async with session.get(f"{url}/readyz") as ready:
                assert ready.status == 200
            body = {"model": "any", "messages": [{"role": "user", "content": "weather, then flights, please"}]}
            async with session.post(f"{url}/v1/chat/completions", json=body) as response:
                assert response.headers["x-trident-route"] == "weather, flights"
                assert "x-trident-degraded" not in response.headers
        finally:
            await runtime.close()


async def test_a_classifier_whose_labels_nobody_tells_is_no_guard(address: str) -> None:
    client = TritonClient(address)
    try:
        with pytest.raises(ModelUnavailable, match="names no labels"):
            await Classifier(client, "orchestrator").classify(["Hello."], timeout_s=5.0)
    finally:
        await client.close()

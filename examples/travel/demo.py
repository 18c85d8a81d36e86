"""The whole demo in one command: both travel agents, then the gateway in front of them.

python examples/travel/demo.py [arguments for "trident up"]

Needs no key. Ctrl-C or SIGTERM stops everything, the gateway first so that it can finish what it is doing. If one part
stops by itself, the others are stopped too and the exit status is 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
GATEWAY_PORT = 8001
READY_WITHIN_S = 120.0
STOP_WITHIN_S = 40.0  # longer than the gateway's own drain timeout

QUESTION = "Find flights from NYC to Paris and check the weather there"
TRY_IT = f"""
Try it:

  curl http://localhost:{GATEWAY_PORT}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model":"any","messages":[{{"role":"user","content":"{QUESTION}"}}]}}'

Add "stream": true to see it word by word, -i to see which agents were chosen. Ctrl-C stops the demo.
"""


class DemoError(Exception):
    """The demo cannot go on; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the demo and the address that answers 200 when it is ready."""

    name: str
    port: int
    arguments: tuple[str, ...]
    ready_path: str


def parts(gateway_arguments: list[str]) -> list[Part]:
    """What the demo starts, in this order."""
    config = str(FOLDER / "config.yaml")
    return [
        Part("weather_agent", 10510, (str(FOLDER / "weather_agent.py"),), "/healthz"),
        Part("flight_agent", 10520, (str(FOLDER / "flight_agent.py"),), "/healthz"),
        Part("gateway", GATEWAY_PORT, ("-m", "router", "up", config, *gateway_arguments), "/readyz"),
    ]


def check_ports(wanted: list[Part]) -> None:
    """Raise when a port is taken, before anything is started."""
    taken = [part for part in wanted if not _is_free(part.port)]
    if taken:
        listed = ", ".join(f"{part.port} ({part.name})" for part in taken)
        raise DemoError(f"These ports are in use: {listed}. Stop what uses them, perhaps another demo, and try again.")


class Demo:
    """The running processes, in the order of their start."""

    def __init__(self, *, stop_within_s: float = STOP_WITHIN_S) -> None:
        self._stop_within_s = stop_within_s
        self.running: list[tuple[Part, asyncio.subprocess.Process]] = []

    async def start(self, part: Part) -> None:
        """Start a part and wait until it is ready."""
        # A session of its own: Ctrl-C reaches only this process, which then stops the parts in order.
        process = await asyncio.create_subprocess_exec(
            sys.executable, *part.arguments, cwd=ROOT, start_new_session=True
        )
        self.running.append((part, process))
        deadline = asyncio.get_running_loop().time() + READY_WITHIN_S
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while not await _answers(session, f"http://127.0.0.1:{part.port}{part.ready_path}"):
                self._check_alive()
                if asyncio.get_running_loop().time() > deadline:
                    raise DemoError(f"The {part.name} is not ready after {READY_WITHIN_S:.0f} seconds.")
                await asyncio.sleep(0.1)

    async def watch(self) -> None:
        """Raise when a part stops by itself; otherwise never return."""
        await asyncio.wait(
            [asyncio.ensure_future(process.wait()) for _, process in self.running],
            return_when=asyncio.FIRST_COMPLETED,
        )
        self._check_alive()

    async def stop(self) -> None:
        """SIGTERM in reverse order of the start, each with its time to finish, SIGKILL after that."""
        for _, process in reversed(self.running):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            try:
                await asyncio.wait_for(process.wait(), self._stop_within_s)
            except asyncio.TimeoutError:
                process.kill()
                await process.wait()

    def _check_alive(self) -> None:
        for part, process in self.running:
            if process.returncode is not None:
                raise DemoError(f"The {part.name} stopped by itself (exit status {process.returncode}).")


async def run(gateway_arguments: list[str]) -> int:
    """The demo from start to stop; the exit status."""
    stop_asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop_asked.set)
    demo = Demo()
    work = asyncio.ensure_future(_work(demo, parts(gateway_arguments)))
    asked = asyncio.ensure_future(stop_asked.wait())
    try:
        await asyncio.wait([work, asked], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        return 0
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        for task in (work, asked):
            task.cancel()
        await asyncio.gather(work, asked, return_exceptions=True)
        await demo.stop()


async def _work(demo: Demo, wanted: list[Part]) -> None:
    check_ports(wanted)
    for part in wanted:
        await demo.start(part)
    print(TRY_IT, flush=True)
    await demo.watch()


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, asyncio.TimeoutError):
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


if __name__ == "__main__":
    sys.exit(asyncio.run(run(sys.argv[1:])))

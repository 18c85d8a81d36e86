"""The worker processes of one instance: started, restarted when they die, drained at the end."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from router.aio import TaskGroup, timeout
from router.cli.channel import READY, SIZE_BYTES
from router.cli.options import LogOptions
from router.config import LoadedConfig
from router.errors import OperatorError

logger = logging.getLogger(__name__)

# Nothing of the working directory may shadow a module of ours: it is first on the path of `python -c` and `python -m`.
_BOOT = "import sys; del sys.path[0]; from router.cli.main import main; main()"

# A worker imports the gateway and binds its ports; far above what a busy machine needs for that.
READY_WITHIN_S = 60.0

# On top of the drain timeout, for a worker to close what is left and exit.
EXIT_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the n-th restart in a row; a worker that lived ``forget_after_s`` starts afresh."""

    first_s: float = 0.2
    factor: float = 2.0
    longest_s: float = 30.0
    forget_after_s: float = 60.0

    def delay_s(self, failures: int) -> float:
        """The wait after ``failures`` (from 1) short lives in a row."""
        return float(min(self.longest_s, self.first_s * self.factor ** (failures - 1)))


class Worker:
    """One worker process and the supervisor's end of its channel."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket) -> None:
        self.process = process
        self._channel = channel

    @classmethod
    async def spawn(cls, arguments: Sequence[str], config: bytes) -> Worker:
        """Start a process and send it its configuration."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                descriptor = theirs.fileno()
                # A session of its own: Ctrl-C reaches the supervisor only, which decides what the workers are told.
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-c",
                    _BOOT,
                    "worker",
                    *arguments,
                    "--supervisor-fd",
                    str(descriptor),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(descriptor,),
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        worker = cls(process, ours)
        try:
            with suppress(ConnectionError):
                await asyncio.get_running_loop().sock_sendall(ours, len(config).to_bytes(SIZE_BYTES, "big") + config)
        except BaseException:
            await worker.end()
            raise
        return worker

    async def ready(self) -> bool:
        """Wait until it serves; ``False`` when it ended, or took too long, before that."""
        try:
            async with timeout(READY_WITHIN_S):
                return await asyncio.get_running_loop().sock_recv(self._channel, 1) == READY
        except (TimeoutError, asyncio.TimeoutError, ConnectionError):
            return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when it has ended."""
        # Not `process.send_signal`: it polls first, which takes the exit status away from asyncio's own wait.
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    async def end(self) -> None:
        """Kill it if it still runs, reap it, close the channel."""
        if self.process.returncode is None:
            self.send(signal.SIGKILL)
            await self.process.wait()
        self._channel.close()


class WorkerPool:
    """Keeps ``count`` workers running. `run` once; `drain` and `kill` from signal handlers, at any time."""

    backoff: ClassVar[Backoff] = Backoff()

    def __init__(self, loaded: LoadedConfig, *, count: int, triton_url: str, folder: Path, logs: LogOptions) -> None:
        self._config = pickle.dumps(loaded)
        self._drain_timeout_s = loaded.config.limits.drain_timeout
        self._count = count
        self._arguments = (
            str(Path(loaded.path)),
            f"--triton-url={triton_url}",
            f"--folder={folder}",
            f"--workers={count}",
            *logs.as_arguments(),
        )
        self._workers: dict[int, Worker] = {}
        self._served: set[int] = set()
        self._stopping = asyncio.Event()
        self.restarts = 0

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Run the workers until `drain` or `kill` has ended the last one; ``on_ready`` when all of them serve.

        Raises OperatorError when one ends before it has ever served: its own message is on standard error.
        """
        failures: list[OperatorError] = []
        async with TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._keep(number, on_ready, failures))
        if failures:
            raise failures[0]

    def drain(self) -> None:
        """Tell the workers to finish the requests in flight and exit; those that do not in time are killed."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        for worker in self._workers.values():
            worker.send(signal.SIGTERM)
        asyncio.get_running_loop().call_later(self._drain_timeout_s + EXIT_GRACE_S, self._give_up)

    def kill(self) -> None:
        """End every worker at once."""
        self._stopping.set()
        for worker in self._workers.values():
            worker.send(signal.SIGKILL)

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that run."""
        return tuple(worker.process.pid for worker in self._workers.values())

    def _give_up(self) -> None:
        if self._workers:
            logger.warning(
                "requests were still in flight after the drain timeout",
                extra={"drain_timeout_s": self._drain_timeout_s},
            )
            self.kill()

    async def _keep(self, number: int, on_ready: Callable[[], None], failures: list[OperatorError]) -> None:
        short_lives = 0
        while not self._stopping.is_set():
            began = asyncio.get_running_loop().time()
            pid, status = await self._live(number, on_ready)
            if self._stopping.is_set():
                return
            if number not in self._served:
                failures.append(_start_failure(status))
                self.kill()
                return
            lived_s = asyncio.get_running_loop().time() - began
            short_lives = 1 if lived_s > self.backoff.forget_after_s else short_lives + 1
            delay_s = self.backoff.delay_s(short_lives)
            logger.warning(
                "worker ended, restarting it",
                extra={"worker": number, "worker_pid": pid, "status": status, "in_s": delay_s},
            )
            self.restarts += 1
            with suppress(TimeoutError, asyncio.TimeoutError):
                async with timeout(delay_s):
                    await self._stopping.wait()

    async def _live(self, number: int, on_ready: Callable[[], None]) -> tuple[int, int | None]:
        """One life of a worker, from spawn to exit; its process id and exit status (negative: a signal)."""
        worker = await Worker.spawn((*self._arguments, f"--number={number}"), self._config)
        self._workers[number] = worker
        try:
            if self._stopping.is_set():
                worker.send(signal.SIGTERM)
            if await worker.ready():
                self._note_served(number, on_ready)
                await worker.process.wait()
        finally:
            await worker.end()
            del self._workers[number]
        return worker.process.pid, worker.process.returncode

    def _note_served(self, number: int, on_ready: Callable[[], None]) -> None:
        if number in self._served:
            logger.info("worker serves again", extra={"worker": number})
            return
        self._served.add(number)
        if len(self._served) == self._count and not self._stopping.is_set():
            on_ready()


def _start_failure(status: int | None) -> OperatorError:
    how = f"signal {-status}" if status is not None and status < 0 else f"exit status {status}"
    return OperatorError(
        f"A worker did not start ({how}).", fix="Its own message is above; `trident check` finds most causes."
    )

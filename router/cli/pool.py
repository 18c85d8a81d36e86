"""The worker processes of one instance: started, restarted when they die, drained at the end."""

from __future__ import annotations

import asyncio
import logging
import pickle
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from router.aio import TaskGroup, timeout
from router.cli.child import Backoff, Child
from router.cli.options import LogOptions
from router.config import LoadedConfig
from router.errors import OperatorError

logger = logging.getLogger(__name__)

# On top of the drain timeout, for a worker to close what is left and exit.
EXIT_GRACE_S = 5.0


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
        self._workers: dict[int, Child] = {}
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
        worker = await Child.spawn("worker", (*self._arguments, f"--number={number}"), self._config)
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

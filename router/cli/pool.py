"""The worker processes of one instance: started, restarted when they die, drained at the end."""

from __future__ import annotations

import asyncio
import logging
import pickle
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from router.aio import TaskGroup, timeout
from router.cli.child import Backoff, Child
from router.cli.options import LogOptions
from router.errors import OperatorError
from router.runtime import Assignment, Command

logger = logging.getLogger(__name__)

# On top of the drain timeout, for a worker to close what is left and exit.
EXIT_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What answers a share (0 to 1) of the requests beside what serves; with 0 it is only ready to."""

    assignment: Assignment
    share: float


class WorkerPool:
    """Keeps ``count`` workers running. `run` once; `drain` and `kill` from signal handlers, at any time."""

    backoff: ClassVar[Backoff] = Backoff()

    def __init__(self, assignment: Assignment, *, count: int, folder: Path, logs: Callable[[], LogOptions]) -> None:
        self._assignment = assignment
        self._trial: Trial | None = None
        self._count = count
        self._folder = folder
        self._logs = logs
        self._workers: dict[int, Child] = {}
        # Those that serve what the others serve. Joining them, and changing what they serve, takes turns.
        self._joined: dict[int, Child] = {}
        self._changing = asyncio.Lock()
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
        asyncio.get_running_loop().call_later(self.drain_timeout_s + EXIT_GRACE_S, self._give_up)

    def kill(self) -> None:
        """End every worker at once."""
        self._stopping.set()
        for worker in self._workers.values():
            worker.send(signal.SIGKILL)

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that run."""
        return tuple(worker.process.pid for worker in self._workers.values())

    @property
    def drain_timeout_s(self) -> float:
        """How long requests in flight may go on once everything stops."""
        return self._assignment.loaded.config.limits.drain_timeout

    async def replace(self, assignment: Assignment) -> None:
        """Have every worker serve ``assignment``, or none: raises ``OperatorError`` when one of them cannot."""
        await self.try_out(Trial(assignment, 0.0))
        await self.adopt()

    async def try_out(self, trial: Trial) -> None:
        """Have every worker answer a share of its requests as ``trial`` says; none where one of them cannot.

        Raises ``OperatorError`` then. Ends with `adopt`, or with `give_back`.
        """
        async with self._changing:
            self._trial = trial
            try:
                await self._tell(Command("prepare", trial.assignment))
                if trial.share:
                    await self._tell(Command("share", share=trial.share))
            except BaseException:
                await self._end_trial()
                raise

    async def give_back(self) -> None:
        """End the trial: everything is answered as before."""
        async with self._changing:
            await self._end_trial()

    async def adopt(self) -> None:
        """Have every worker answer everything as the trial does. A worker that cannot is started anew."""
        async with self._changing:
            if self._trial is None:
                raise RuntimeError("nothing is tried out")
            self._assignment, self._trial = self._trial.assignment, None
            await self._insist(Command("swap"))

    async def settle(self) -> None:
        """Wait until no worker answers anything as before any more, however it began."""
        async with self._changing:
            joined = list(self._joined.values())
        settling = (worker.tell(Command("settle"), within_s=None) for worker in joined)
        await asyncio.gather(*settling, return_exceptions=True)  # one that ends has settled, too

    async def report(self) -> list[Mapping[str, Any]]:
        """What every worker says to ``report`` (``Command``). Raises ``OperatorError`` when one does not answer."""
        async with self._changing:
            return await self._tell(Command("report"))

    async def _tell(self, command: Command) -> list[Mapping[str, Any]]:
        answers = await asyncio.gather(
            *(worker.tell(command) for worker in self._joined.values()), return_exceptions=True
        )
        said = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            said.append(answer)
        return said

    async def _insist(self, command: Command) -> None:
        """Tell every worker; those that do not do as told are ended, and come back as they should be."""
        workers = list(self._joined.values())
        answers = await asyncio.gather(*(worker.tell(command) for worker in workers), return_exceptions=True)
        for worker, answer in zip(workers, answers, strict=True):
            if isinstance(answer, BaseException):
                logger.warning("worker is restarted", extra={"action": command.action, "cause": str(answer)})
                worker.send(signal.SIGKILL)

    async def _end_trial(self) -> None:
        self._trial = None
        await self._insist(Command("abandon"))

    async def _join(self, number: int, worker: Child, served: Assignment) -> None:
        """Let a worker that has begun with ``served`` have part in what is changed, once it serves what all serve."""
        async with self._changing:
            if served is not self._assignment:
                await worker.tell(Command("prepare", self._assignment))
                await worker.tell(Command("swap"))
            if self._trial is not None:
                # Without it, the worker goes on as before, and is started anew where the trial is adopted.
                with suppress(OperatorError):
                    await worker.tell(Command("prepare", self._trial.assignment))
                    await worker.tell(Command("share", share=self._trial.share))
            self._joined[number] = worker

    def _give_up(self) -> None:
        if self._workers:
            logger.warning(
                "requests were still in flight after the drain timeout",
                extra={"drain_timeout_s": self.drain_timeout_s},
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
        serving = self._assignment
        arguments = (
            str(Path(serving.loaded.path)),
            f"--triton-url={serving.triton_url}",
            f"--folder={self._folder}",
            f"--workers={self._count}",
            *self._logs().as_arguments(),
            f"--number={number}",
        )
        worker = await Child.spawn("worker", arguments, pickle.dumps(serving.loaded))
        self._workers[number] = worker
        try:
            if self._stopping.is_set():
                worker.send(signal.SIGTERM)
            if await worker.ready():
                with suppress(OperatorError):  # ended, or cannot serve what the others do: its next life may
                    await self._join(number, worker, serving)
                    self._note_served(number, on_ready)
                    await worker.process.wait()
        finally:
            self._joined.pop(number, None)
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

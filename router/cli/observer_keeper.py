"""Keeps the telemetry process of one instance running. The gateway serves without it, too."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from router.aio import timeout
from router.cli.child import Backoff, Child
from router.cli.instances import process_start
from router.config import LoadedConfig

logger = logging.getLogger(__name__)

# How long the workers wait for it at the start: what they report before it listens is lost.
FIRST_READY_WITHIN_S = 10.0

# How long it gets, once the workers are gone, to send what it still has.
STOP_WITHIN_S = 8.0


def observer_arguments(
    triton_url: str, models: Sequence[str], folder: Path, workers: int, admin_port: int | None
) -> tuple[str, ...]:
    """Those of ``trident observer``, without the options for logs."""
    return (
        f"--triton-url={triton_url}",
        *(f"--model={model}" for model in models),
        f"--folder={folder}",
        f"--workers={workers}",
        *(() if admin_port is None else (f"--admin-port={admin_port}",)),
    )


def _this_run() -> str:
    """Names the life of this process, the same for every keeper in it."""
    started = process_start(os.getpid())
    return uuid.uuid4().hex if started is None else f"{os.getpid()}-{started}"


class ObserverKeeper:
    """A context: inside, the telemetry process runs, and is started again when it dies.

    ``arguments`` gives those of ``trident observer`` anew for each start.
    """

    backoff: ClassVar[Backoff] = Backoff()

    def __init__(self, loaded: LoadedConfig, arguments: Callable[[], Sequence[str]]) -> None:
        self._config = pickle.dumps(loaded)
        self._arguments = arguments
        self._run = _this_run()
        self._child: Child | None = None
        self._task: asyncio.Task[None] | None = None
        self._first = asyncio.Event()
        self._stopping = asyncio.Event()
        self._killed = False
        self.restarts = 0

    async def __aenter__(self) -> ObserverKeeper:
        self._task = asyncio.create_task(self._keep(), name="telemetry process")
        try:
            with suppress(TimeoutError, asyncio.TimeoutError):
                async with timeout(FIRST_READY_WITHIN_S):
                    await self._first.wait()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        self._stopping.set()
        if self._child is not None:
            self._child.send(signal.SIGKILL if self._killed else signal.SIGTERM)
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=STOP_WITHIN_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return None if self._child is None else self._child.process.pid

    def kill(self) -> None:
        """End it at once."""
        self._killed = True
        self._stopping.set()
        if self._child is not None:
            self._child.send(signal.SIGKILL)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        short_lives = 0
        while not self._stopping.is_set():
            began = loop.time()
            status = await self._live()
            self._first.set()
            if self._stopping.is_set():
                return
            short_lives = 1 if loop.time() - began > self.backoff.forget_after_s else short_lives + 1
            delay_s = self.backoff.delay_s(short_lives)
            logger.warning(
                "telemetry process ended, restarting it; requests are served meanwhile",
                extra={"status": status, "in_s": delay_s},
            )
            self.restarts += 1
            with suppress(TimeoutError, asyncio.TimeoutError):
                async with timeout(delay_s):
                    await self._stopping.wait()

    async def _live(self) -> int | None:
        """One life, from spawn to exit; its exit status (negative: a signal)."""
        try:
            child = self._child = await Child.spawn(
                "observer", (*self._arguments(), f"--run={self._run}"), self._config
            )
        except OSError as exc:  # no memory, no descriptors: the gateway may do without
            logger.warning("telemetry process cannot be started", extra={"cause": str(exc)})
            return None
        try:
            if self._stopping.is_set():
                child.send(signal.SIGTERM)
            if await child.ready():
                self._first.set()
                await child.process.wait()
        finally:
            await child.end()
            self._child = None
        return child.process.returncode

"""The runtimes of one process: each takes over from the one before it, which finishes its requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from router.config import LoadedConfig
from router.errors import OperatorError
from router.runtime.parts import Surroundings
from router.runtime.serving import Runtime
from router.telemetry.access_log import AccessLog
from router.telemetry.channel import Sink
from router.telemetry.metrics import Metrics
from router.triton.directed import Directions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a process is to serve, where Triton is meanwhile, and which versions of models are asked there."""

    loaded: LoadedConfig
    triton_url: str
    directions: Directions = field(default_factory=Directions)


@dataclass(frozen=True, slots=True)
class Command:
    """What a process is told about what it serves.

    ``prepare``: build a runtime for ``assignment`` beside the one that serves, up to bound ports. ``share``: let that
    one answer this share of the requests. ``swap``: let it answer all. ``abandon``: let go of it. ``settle``: answer
    once nothing but the runtime that serves is left. ``report``: say how the models have done that directions are
    about (``Tally``), for the runtime that serves and for the one beside it.
    """

    action: Literal["prepare", "share", "swap", "abandon", "settle", "report"]
    assignment: Assignment | None = None
    share: float = 0.0


CarryOut: TypeAlias = Callable[[Command], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Means:
    """What all runtimes of a process share."""

    surroundings: Surroundings
    access_log: AccessLog
    metrics: Metrics
    sink: Sink | None = None
    reuse_port: bool = False


@dataclass(slots=True)
class Succession:
    """`start` it, have it `carry_out` commands, `close` it, which drains."""

    means: Means
    _serving: Runtime | None = None
    _candidate: Runtime | None = None
    _retiring: dict[asyncio.Task[None], Runtime] = field(default_factory=dict)

    async def start(self, assignment: Assignment) -> None:
        """Serve ``assignment``. Raises ``OperatorError``, with nothing left open, when that cannot be done."""
        runtime = self._runtime(assignment)
        await runtime.start(reuse_port=self.means.reuse_port)
        self._serving = runtime

    async def carry_out(self, command: Command) -> Mapping[str, Any]:
        """Do as told; what there is to say about it. Raises ``OperatorError`` where a runtime cannot be prepared."""
        match command.action:
            case "prepare":
                if command.assignment is None:
                    raise ValueError("there is nothing to prepare")
                await self._prepare(command.assignment)
            case "share":
                self._prepared.share(command.share)
            case "swap":
                self._swap()
            case "abandon":
                self._abandon()
            case "settle":
                while self._retiring:
                    await asyncio.wait(set(self._retiring))
            case "report":
                return {"serving": _report(self._serving), "candidate": _report(self._candidate)}
        return {}

    @property
    def drain_timeout_s(self) -> float:
        """How long requests in flight may go on once everything stops."""
        return 0.0 if self._serving is None else self._serving.drain_timeout_s

    async def close(self) -> None:
        """Let the requests in flight finish for ``drain_timeout_s``, then cut off the rest, and close everything."""
        timeout_s = self.drain_timeout_s
        self._abandon()
        if self._serving is not None:
            self._retire(self._serving)
        if self._retiring:
            await asyncio.wait(set(self._retiring), timeout=timeout_s)
        for runtime in self._retiring.values():
            runtime.cut_off()
        if self._retiring:
            await asyncio.wait(set(self._retiring))

    @property
    def _prepared(self) -> Runtime:
        if self._candidate is None:
            raise OperatorError("No other configuration is prepared here.")
        return self._candidate

    def _runtime(self, assignment: Assignment) -> Runtime:
        means = self.means
        surroundings = replace(means.surroundings, triton_url=assignment.triton_url, directions=assignment.directions)
        return Runtime(
            assignment.loaded.config, surroundings, access_log=means.access_log, metrics=means.metrics, sink=means.sink
        )

    async def _prepare(self, assignment: Assignment) -> None:
        self._abandon()
        candidate = self._runtime(assignment)
        await candidate.start(reuse_port=self.means.reuse_port, predecessor=self._serving)
        self._candidate = candidate

    def _swap(self) -> None:
        candidate, before = self._prepared, self._serving
        candidate.take_over()
        self._serving, self._candidate = candidate, None
        if before is not None:
            self._retire(before)

    def _abandon(self) -> None:
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            candidate.share(0)
            self._retire(candidate)

    def _retire(self, runtime: Runtime) -> None:
        task = asyncio.create_task(runtime.close(), name="retiring")
        self._retiring[task] = runtime

        def done(ended: asyncio.Task[None]) -> None:
            del self._retiring[ended]
            if not ended.cancelled() and ended.exception() is not None:
                logger.error("a configuration did not close", exc_info=ended.exception())

        task.add_done_callback(done)


def _report(runtime: Runtime | None) -> Mapping[str, Any]:
    return {} if runtime is None else {name: tally.fields() for name, tally in runtime.tallies.items()}

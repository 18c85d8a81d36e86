"""The embedded Triton: a real tritonserver on loopback, started, watched, restarted and stopped by the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from router.errors import ModelUnavailable, OperatorError
from router.triton import shared_memory
from router.triton.client import TritonClient
from router.triton.health import HealthChecks, HealthWatch
from router.triton.launch import LOOPBACK, Launcher, reserve_port
from router.triton.process import TritonProcess
from router.triton.server_log import ServerLog
from router.triton.wheel import find_wheel

logger = logging.getLogger(__name__)

# Large models take a while to be read; above that, something else is wrong.
LOAD_TIMEOUT_S = 120.0

_POLL_S = 0.05

# Short, as it comes behind a health check that may have got no answer either; there is another one soon.
_INDEX_WITHIN_S = 0.25


@dataclass(frozen=True, slots=True)
class Supervision:
    """How patient the supervisor is.

    Restarts wait from ``first_backoff_s``, doubling, to ``max_backoff_s``, and begin anew after a run that lasted
    longer than that. A server that does not finish within ``exit_timeout_s`` is killed.
    """

    start_timeout_s: float = 60.0
    exit_timeout_s: float = 5.0
    first_backoff_s: float = 0.2
    max_backoff_s: float = 10.0
    health: HealthChecks = field(default_factory=HealthChecks)
    max_log_bytes: int = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TritonEvent:
    """A change in the life of the embedded server, for logs, counters and status lines.

    ``ready``: it serves all its models, at first or again. ``down``: it will be restarted; ``detail`` says why.
    ``restart_failed``: the next try follows. ``stopped``: it was stopped on purpose.
    """

    kind: Literal["ready", "down", "restart_failed", "stopped"]
    detail: str
    restarts: int


class EmbeddedTriton:
    """One supervised tritonserver that serves ``models`` from ``repositories`` (each a folder of model folders).

    ``start`` and ``stop``, or ``async with``. The addresses are known after ``start`` and stay the same over restarts.
    Requests that run into a restart fail; answering that is the caller's policy.

    The server listens on loopback only, without its HTTP endpoint. It inherits no environment variables, and it gets
    SIGTERM when the gateway dies, even by SIGKILL. ``state_dir`` gets the log file; nothing else is written outside
    /dev/shm. ``on_event`` is called in the event loop and must not raise. ``trace_url`` gets the server's own spans
    over OTLP/HTTP; those of requests with a trace context belong to that trace.
    """

    def __init__(
        self,
        repositories: Sequence[Path],
        models: Sequence[str],
        state_dir: Path,
        *,
        on_event: Callable[[TritonEvent], None] | None = None,
        supervision: Supervision | None = None,
        trace_url: str | None = None,
    ) -> None:
        self.models = tuple(models)
        # What else was served when it was last asked: loaded by whoever, and again after a restart where that goes.
        self._others: tuple[str, ...] = ()
        self.log_file = state_dir / "triton.log"
        self.grpc_address = ""
        self.metrics_address = ""
        self.version = ""
        self.restarts = 0
        self._repositories = tuple(path.resolve() for path in repositories)
        self._on_event = on_event
        self._trace_url = trace_url
        self._supervision = supervision or Supervision()
        self._log = ServerLog(self.log_file, max_bytes=self._supervision.max_log_bytes)
        self._prefix = shared_memory.new_prefix()
        self._resources = contextlib.AsyncExitStack()
        self._process: TritonProcess | None = None
        self._supervisor: asyncio.Task[None] | None = None

    async def __aenter__(self) -> EmbeddedTriton:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def pid(self) -> int | None:
        """The process id of the server; ``None`` before ``start`` and while it is down."""
        process = self._process
        return process.pid if process is not None and process.running else None

    @property
    def served(self) -> tuple[str, ...]:
        """The models it serves as far as is known, and begins with after a crash."""
        return self.models + self._others

    async def start(self, on_progress: Callable[[str], None] | None = None) -> None:
        """Start the server and return when it serves every model.

        ``OperatorError`` when this machine cannot run it, or when a model does not load (with Triton's own words);
        nothing is left running then. ``on_progress`` gets a short text whenever there is something new to say.
        """
        report = on_progress or (lambda _: None)
        report("looking for tritonserver")
        async with contextlib.AsyncExitStack() as stack:
            launcher, client = await self._prepare(stack)
            process = await self._launch(launcher, client, report)
            self.version = await self._ask_version(client)
            self._supervisor = asyncio.create_task(self._supervise(launcher, client, process), name="triton-supervisor")
            self._supervisor.add_done_callback(_report_failure)
            self._resources = stack.pop_all()
        self._emit("ready", f"tritonserver {self.version}")

    async def stop(self) -> None:
        """Stop the server and wait until its processes, ports and shared memory are gone. May be called twice."""
        if self._supervisor is None:
            return
        supervisor, self._supervisor = self._supervisor, None
        supervisor.cancel()
        try:
            await asyncio.wait({supervisor})
        finally:
            await self._resources.aclose()
        self._emit("stopped", "stopped")

    async def load(self, model: str, *, needed: bool = True, timeout_s: float = LOAD_TIMEOUT_S) -> None:
        """Load ``model``, or replace it by what the repository holds now; the old one serves until then.

        Raises ``OperatorError`` with Triton's own words when that fails; then the old one goes on serving. After a
        restart of the server it is loaded again; it does not start without a model that is ``needed``.
        """
        client = TritonClient(self.grpc_address)
        try:
            await client.load(model, timeout_s)
        except ModelUnavailable as exc:
            raise OperatorError(
                f"The model {model!r} was not loaded: {_reason(exc)}",
                fix=f"Correct the model, or read more in Triton's log: {self.log_file}",
            ) from exc
        finally:
            await client.close()
        self._others = tuple(other for other in self._others if other != model)
        if needed and model not in self.models:
            self.models = (*self.models, model)
        elif not needed and model not in self.models:
            self._others = (*self._others, model)

    async def unload(self, model: str, *, timeout_s: float = LOAD_TIMEOUT_S) -> None:
        """Stop serving ``model``, also after a restart; what it is being asked it may finish.

        Raises ``OperatorError`` when the server does not answer.
        """
        self.models = tuple(other for other in self.models if other != model)
        self._others = tuple(other for other in self._others if other != model)
        client = TritonClient(self.grpc_address)
        try:
            await client.unload(model, timeout_s)
        except ModelUnavailable as exc:
            raise OperatorError(f"The model {model!r} was not unloaded: {_reason(exc)}") from exc
        finally:
            await client.close()

    async def _prepare(self, stack: contextlib.AsyncExitStack) -> tuple[Launcher, TritonClient]:
        """Make what outlives a restart; ``stack`` ends it, after the process that runs by then."""
        wheel = await asyncio.to_thread(find_wheel)
        await asyncio.to_thread(shared_memory.sweep)
        self._log.rotate()
        grpc_port, metrics_port = (stack.enter_context(reserve_port()).getsockname()[1] for _ in range(2))
        self.grpc_address, self.metrics_address = f"{LOOPBACK}:{grpc_port}", f"{LOOPBACK}:{metrics_port}"
        client = TritonClient(self.grpc_address)
        stack.push_async_callback(client.close)
        stack.callback(shared_memory.remove, self._prefix)
        stack.push_async_callback(self._stop_process)
        launcher = Launcher(
            wheel=wheel,
            repositories=self._repositories,
            models=self.models,
            prefix=self._prefix,
            grpc_port=grpc_port,
            metrics_port=metrics_port,
            log=self._log,
            exit_timeout_s=self._supervision.exit_timeout_s,
            trace_url=self._trace_url,
        )
        return launcher, client

    async def _launch(
        self, launcher: Launcher, client: TritonClient, report: Callable[[str], None], others: Sequence[str] = ()
    ) -> TritonProcess:
        """Start a process and wait until every needed model is served; by then, ``others`` have been loaded, too.

        After a failure the process may still be there.
        """
        report("starting tritonserver")
        waiting = list(self.models)
        process = self._process = replace(launcher, models=(*waiting, *others)).spawn()
        deadline = time.monotonic() + self._supervision.start_timeout_s
        report(f"loading {', '.join(waiting)}")
        while process.running and time.monotonic() < deadline:
            waiting = [
                model for model in waiting if model in self.models and not await self._is_served(client, model, report)
            ]
            if not waiting and await client.server_ready(self._supervision.health.timeout_s):
                return process
            await asyncio.sleep(_POLL_S)
        problem = "could not start" if not process.running else "was not ready in time"
        raise OperatorError(
            f"The embedded Triton {problem} (waiting for {', '.join(waiting) or 'the server'}).\n{launcher.explain()}",
            fix=f"Correct the model, or read more in Triton's log: {self.log_file}",
        )

    async def _is_served(self, client: TritonClient, model: str, report: Callable[[str], None]) -> bool:
        served = await client.model_ready(model, self._supervision.health.timeout_s)
        if served:
            report(f"loaded {model}")
        return served

    async def _ask_version(self, client: TritonClient) -> str:
        try:
            return (await client.server_metadata(self._supervision.health.timeout_s)).version
        except ModelUnavailable as exc:
            raise OperatorError(
                "The embedded Triton stopped answering.", fix=f"Triton's log may say why: {self.log_file}"
            ) from exc

    async def _supervise(self, launcher: Launcher, client: TritonClient, process: TritonProcess) -> None:
        patience = self._supervision
        backoff_s = patience.first_backoff_s
        while True:
            ready_at = time.monotonic()
            reason = await self._until_unwell(HealthWatch(process, client, patience.health), client)
            if time.monotonic() - ready_at > patience.max_backoff_s:
                backoff_s = patience.first_backoff_s
            logger.warning("embedded triton went down", extra={"reason": reason, "log_tail": self._log.tail()})
            self._emit("down", reason)
            restarted: TritonProcess | None = None
            others = self._others
            while restarted is None:
                await self._kill_process()
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, patience.max_backoff_s)
                restarted = await self._restart(launcher, client, others)
                others = ()  # one of them may be what keeps it from starting
            process = restarted

    async def _until_unwell(self, watch: HealthWatch, client: TritonClient) -> str:
        while True:
            reason = await watch.check()
            if reason is not None:
                return reason
            self._log.bound()
            with contextlib.suppress(ModelUnavailable):
                served = await client.index(_INDEX_WITHIN_S, ready_only=True)
                names = dict.fromkeys(entry.name for entry in served)
                self._others = tuple(name for name in names if name not in self.models)

    async def _restart(self, launcher: Launcher, client: TritonClient, others: Sequence[str]) -> TritonProcess | None:
        self.restarts += 1
        try:
            process = await self._launch(launcher, client, lambda _: None, others)
        except (OperatorError, OSError) as exc:
            logger.warning("embedded triton did not restart", extra={"reason": str(exc)})
            self._emit("restart_failed", str(exc))
            return None
        logger.info("embedded triton is back", extra={"restarts": self.restarts})
        self._emit("ready", f"tritonserver {self.version}")
        return process

    async def _stop_process(self) -> None:
        if self._process is not None:
            # A moment longer than Triton gives itself.
            await self._process.stop(self._supervision.exit_timeout_s + 1.0)

    async def _kill_process(self) -> None:
        if self._process is not None:
            await self._process.kill()

    def _emit(self, kind: Literal["ready", "down", "restart_failed", "stopped"], detail: str) -> None:
        if self._on_event is not None:
            self._on_event(TritonEvent(kind, detail, self.restarts))


def _reason(failure: ModelUnavailable) -> str:
    """What Triton itself says about it, where it does."""
    details = getattr(failure.__cause__, "details", None)
    said = details() if callable(details) else None
    return " ".join(str(said or failure.message).split())


def _report_failure(supervisor: asyncio.Task[None]) -> None:
    """A supervisor only ends by being cancelled; anything else leaves the server unwatched: say so."""
    if not supervisor.cancelled() and (error := supervisor.exception()) is not None:
        logger.error("embedded triton is no longer supervised", exc_info=error)

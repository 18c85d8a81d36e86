"""The parent process of ``trident up``: claims the ports, runs Triton and the workers, and takes them down again."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from router import __version__
from router.cli.admin_port import admin_port
from router.cli.instances import Instance, InstanceDirectory, instance_folder, process_start
from router.cli.log_level import change_log_level
from router.cli.observer_keeper import STOP_WITHIN_S, ObserverKeeper, observer_arguments
from router.cli.options import LogOptions
from router.cli.pool import EXIT_GRACE_S, WorkerPool
from router.cli.ports import Binding, PortTakenError, claim_ports, release_ports
from router.cli.report import (
    admin_section,
    admin_url,
    config_sections,
    listener_url,
    log_section,
    model_section,
)
from router.cli.status import Section, print_status
from router.cli.triton import triton_for
from router.config import LoadedConfig
from router.config.log_level import reread_log_level
from router.errors import OperatorError
from router.runtime import Assignment, models_in_use

logger = logging.getLogger(__name__)

EXIT_STOPPED = 0
# What shells report for a process that Ctrl-C ended: here, requests in flight were dropped.
EXIT_FORCED = 128 + signal.SIGINT


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the command line decides, the configuration aside."""

    workers: int
    state_dir: Path
    logs: LogOptions


class Supervisor:
    """One run of one instance. The first SIGTERM or SIGINT drains it, a SIGINT after that ends it at once."""

    def __init__(self, loaded: LoadedConfig, options: UpOptions, *, out: Console, err: Console) -> None:
        self._loaded = loaded
        self._options = options
        self._out = out
        self._err = err
        self._directory = InstanceDirectory(options.state_dir)
        self._folder = instance_folder(loaded.path, options.state_dir)
        self._logs = options.logs
        self._pool: WorkerPool | None = None
        self._observer: ObserverKeeper | None = None
        self._changing_level: asyncio.Task[None] | None = None
        self._stopping = False
        self._forced = False

    async def run(self) -> int:
        """Run until stopped; the exit status. Raises OperatorError when it cannot start."""
        serving = asyncio.ensure_future(self._serve())
        self._install_signals(serving)
        await asyncio.wait({serving})
        if self._forced:
            return EXIT_FORCED
        if not serving.cancelled():
            serving.result()
        return EXIT_STOPPED

    def _install_signals(self, serving: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, number, serving)
        # Under nohup it is ignored already, and stays so.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self._on_hangup, serving)

    def _on_stop(self, number: signal.Signals, serving: asyncio.Future[None]) -> None:
        if not self._stopping:
            self._stopping = True
            logger.info("stopping, requests in flight finish first", extra={"signal": number.name})
            if self._pool is not None:
                self._pool.drain()
            else:
                serving.cancel()
        elif number == signal.SIGINT and not self._forced:
            self._forced = True
            logger.warning("stopping at once")
            if self._pool is not None:
                self._pool.kill()
            if self._observer is not None:
                self._observer.kill()
            serving.cancel()

    def _on_hangup(self, serving: asyncio.Future[None]) -> None:
        if self._err.is_terminal:
            # Our terminal is gone, and with it the one way the user had to stop us.
            self._on_stop(signal.SIGHUP, serving)
        else:
            self._reread_log_level()

    def _reread_log_level(self) -> None:
        level = reread_log_level(self._loaded.path)
        if level is None:
            logger.info("SIGHUP: no LOG_LEVEL to use; restart to use a changed configuration")
            return
        self._logs = replace(self._logs, level=level)
        self._changing_level = asyncio.create_task(change_log_level(self._folder, level), name="log level")

    async def _serve(self) -> None:
        async with AsyncExitStack() as stack:
            stack.callback(release_ports, self._claim_ports())
            port = self._claim_admin_port(stack)
            instance = self._instance(port)
            self._directory.sweep()
            stack.callback(self._directory.forget, instance.pid)
            self._directory.record(instance)
            triton = await stack.enter_async_context(triton_for(self._loaded, self._options.state_dir, self._err))
            instance = replace(instance, triton=triton.url, logs=dict(triton.logs))
            self._directory.record(instance)
            models = models_in_use(self._loaded.config)
            arguments = observer_arguments(triton.url, models, self._folder, self._options.workers, port)
            self._observer = ObserverKeeper(self._loaded, lambda: (*arguments, *self._logs.as_arguments()))
            shown, _ = await asyncio.gather(
                model_section(models, triton.url, triton.description),
                stack.enter_async_context(self._observer),
            )
            self._pool = WorkerPool(
                Assignment(self._loaded, triton.url),
                count=self._options.workers,
                folder=self._folder,
                logs=lambda: self._logs,
            )
            with self._err.status("Starting the gateway") as spinner:

                def show() -> None:
                    spinner.stop()
                    self._show(instance, shown)

                await self._pool.run(show)

    def _show(self, instance: Instance, models: Section) -> None:
        workers = "1 worker" if instance.workers == 1 else f"{instance.workers} workers"
        headline = f"trident {__version__} is ready (process {instance.pid}, {workers})"
        config = self._loaded.config
        sections = (
            *config_sections(config),
            admin_section(config.admin, instance.admin),
            models,
            log_section(instance.logs),
        )
        print_status(self._out, headline, sections, "Stop with Ctrl-C, or `trident down` from another terminal.")

    def _instance(self, port: int | None) -> Instance:
        config = self._loaded.config
        ports = [listener.port for listener in config.listeners]
        ports += [] if config.grpc is None else [config.grpc.port]
        return Instance(
            pid=os.getpid(),
            started=process_start(os.getpid()),
            config=str(self._loaded.path.resolve()),
            workers=self._options.workers,
            stop_within_s=config.limits.drain_timeout + EXIT_GRACE_S + STOP_WITHIN_S,
            listeners={listener.name: listener_url(listener) for listener in config.listeners},
            ports=(*ports, *([] if port is None else [port])),
            admin=None if port is None else admin_url(config.admin.address, port),
        )

    def _claim_admin_port(self, stack: AsyncExitStack) -> int | None:
        try:
            return stack.enter_context(admin_port(self._loaded.config.admin))
        except PortTakenError as exc:
            raise self._name_holder(exc) from exc

    def _claim_ports(self) -> list[socket.socket]:
        config = self._loaded.config
        bindings = [Binding(listener.name, listener.address, listener.port) for listener in config.listeners]
        if config.grpc is not None:
            bindings.append(Binding("grpc", config.grpc.address, config.grpc.port))
        try:
            return claim_ports(bindings)
        except PortTakenError as exc:
            raise self._name_holder(exc) from exc

    def _name_holder(self, refusal: PortTakenError) -> OperatorError:
        """The refusal again, with the instance that has the port where it is one of ours."""
        for instance in self._directory.running():
            if refusal.binding.port in instance.ports:
                return OperatorError(
                    f"{refusal.message} trident runs there with {instance.config} (process {instance.pid}).",
                    fix=f"Stop it with `trident down {instance.config}`, or give the listener another port.",
                )
        return refusal

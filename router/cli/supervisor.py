"""The parent process of ``trident up``: claims the ports, runs Triton and the workers, and takes them down again."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

from rich.console import Console

from router import __version__
from router.cli.control import ControlServer, Handler, Say
from router.cli.holdings import Holdings, UpOptions
from router.cli.log_level import change_log_level
from router.cli.model_commands import ModelCommands
from router.cli.pool import WorkerPool
from router.cli.reloading import Reloader, Watch
from router.cli.report import admin_section, config_sections, log_section, model_section
from router.cli.status import Section, print_status
from router.config import ConfigErrors, LoadedConfig
from router.config.log_level import reread_log_level
from router.dialects.canonical import JsonObject
from router.errors import OperatorError
from router.runtime import Assignment, models_in_use

__all__ = ["Supervisor", "UpOptions"]

logger = logging.getLogger(__name__)

EXIT_STOPPED = 0
# What shells report for a process that Ctrl-C ended: here, requests in flight were dropped.
EXIT_FORCED = 128 + signal.SIGINT


class Supervisor:
    """One run of one instance. The first SIGTERM or SIGINT drains it, a SIGINT after that ends it at once."""

    def __init__(
        self,
        loaded: LoadedConfig,
        options: UpOptions,
        *,
        out: Console,
        err: Console,
        load: Callable[[], LoadedConfig],
    ) -> None:
        """``load`` reads the configuration again; it may raise ``ConfigErrors``."""
        self._loaded = loaded
        self._load = load
        self._watch = Watch((loaded.path, loaded.path.parent / ".env"))
        self._options = options
        self._out = out
        self._err = err
        self._logs = options.logs
        self._holdings = Holdings(loaded.path, options, lambda: self._logs, err)
        self._pool: WorkerPool | None = None
        self._reloader: Reloader | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._serves = False
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
            self._holdings.kill()
            serving.cancel()

    def _on_hangup(self, serving: asyncio.Future[None]) -> None:
        if self._err.is_terminal:
            # Our terminal is gone, and with it the one way the user had to stop us.
            self._on_stop(signal.SIGHUP, serving)
        else:
            self._reread_log_level()
            self._in_background(self._reload())

    def _reread_log_level(self) -> None:
        level = reread_log_level(self._loaded.path)
        if level is not None:
            self._logs = replace(self._logs, level=level)
            self._in_background(change_log_level(self._holdings.folder, level))

    async def _end_background(self) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _serve(self) -> None:
        async with AsyncExitStack() as stack:
            holdings = self._holdings
            stack.push_async_callback(holdings.close)
            stack.push_async_callback(self._end_background)
            triton = await holdings.open(self._loaded)
            needed = models_in_use(self._loaded.config)
            shown, _ = await asyncio.gather(
                model_section(needed, triton.url, triton.description),
                holdings.present(self._loaded, triton),
            )
            self._pool = WorkerPool(
                Assignment(self._loaded, triton.url),
                count=self._options.workers,
                folder=holdings.folder,
                logs=lambda: self._logs,
            )
            reloader = self._reloader = Reloader(self._loaded, self._load, holdings, self._pool)
            stack.push_async_callback(reloader.close)
            models = ModelCommands(holdings, reloader, self._pool, self._options)
            handlers = {"reload": self._on_reload, **models.handlers}
            control = ControlServer({name: self._while_serving(handler) for name, handler in handlers.items()})
            stack.push_async_callback(control.close)
            await control.open(holdings.folder)
            with self._err.status("Starting the gateway") as spinner:

                def show() -> None:
                    spinner.stop()
                    self._show(shown)
                    if self._options.watch:
                        self._in_background(self._watch.run(lambda: self._in_background(self._reload())))

                await self._pool.run(show)
                self._stopping = True

    def _while_serving(self, handler: Handler) -> Handler:
        async def guarded(fields: Mapping[str, Any], say: Say) -> JsonObject:
            if not self._serves or self._stopping:
                raise OperatorError("The instance is starting or stopping.")
            return await handler(fields, say)

        return guarded

    async def _on_reload(self, fields: Mapping[str, Any], say: Say) -> JsonObject:
        if self._reloader is not None:
            await self._reloader.reload()
        return {}

    async def _reload(self) -> None:
        """Reload where nobody waits for the outcome: the log has it."""
        if self._reloader is not None and self._serves and not self._stopping:
            with suppress(ConfigErrors, OperatorError):
                await self._reloader.reload()

    def _show(self, models: Section) -> None:
        self._serves = True
        instance = self._holdings.note
        if instance is None:
            raise RuntimeError("nothing is held")
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

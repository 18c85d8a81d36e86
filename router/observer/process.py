"""The telemetry process: everything in it, from start to stop."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import platform
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from router import __version__
from router.aio import timeout
from router.config import Config
from router.config.log_level import LEVELS
from router.dialects.canonical import JsonObject
from router.errors import OperatorError
from router.observer.admin import AdminListener
from router.observer.conversations import Conversations, Meanings
from router.observer.metrics import MergedMetrics
from router.observer.metrics_file import MetricsFile
from router.observer.outlets import Outlets
from router.observer.pressure import Pressure
from router.observer.queries import Queries, QueryError
from router.observer.requests import Content, RequestPipeline
from router.observer.server import TelemetryServer
from router.observer.signal_reports import SignalReports
from router.observer.triton_statistics import TritonStatistics
from router.telemetry import catalogue
from router.telemetry.instruments import Registry
from router.telemetry.logs import set_log_level
from router.triton.client import TritonClient
from router.triton.models import Encoder

logger = logging.getLogger(__name__)

# For what workers have sent last to be handled, once they are gone.
SETTLE_WITHIN_S = 3.0

# With more than that to handle, signals are left out.
_BEHIND_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ObserverOptions:
    """Where the process finds itself: the folder with its socket, Triton, the workers that are to report.

    ``models`` are those on Triton that requests need; without ``admin_port`` there is no operator's port. ``run`` names
    the run of the gateway: telemetry processes that follow each other in one go on counting where the last one was.
    """

    folder: Path
    triton_url: str
    models: Sequence[str]
    workers: int
    admin_port: int | None
    log_level: str
    run: str | None = None


class Observer:
    """The parts of the telemetry process. ``start`` it, then ``close`` it, which hands on what it still has."""

    def __init__(self, config: Config, options: ObserverOptions) -> None:
        self._config = config
        self._options = options
        self._own = Registry()
        self.merged = MergedMetrics(self._own)
        self.queries = Queries()
        self.admin: AdminListener | None = None
        self._server: TelemetryServer | None = None
        self._statistics: TritonStatistics | None = None
        self._closing = AsyncExitStack()

    async def start(self) -> None:
        """Listen. Raises ``OperatorError``, with nothing left open, when an address cannot be had."""
        try:
            await self._start()
        except OSError as exc:
            await self.close()
            raise OperatorError(f"The telemetry process cannot listen: {exc.strerror or exc}.") from exc
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Handle what has come in, for a few seconds at most; then stop everything, what feeds others first."""
        await self._closing.aclose()

    async def _start(self) -> None:
        config, options = self._config, self._options
        self._own.gauge(catalogue.BUILD_INFO).set(1, __version__, platform.python_version())
        self._own.gauge(catalogue.CONFIG_INFO).set(1, config_hash(config))
        outlets = Outlets(config.tracing, self.merged, self._own)
        self._closing.push_async_callback(outlets.close)
        if options.run is not None:
            self._keep_sums(MetricsFile(options.folder, options.run, self.merged))
        outlets.register(self.queries)
        await outlets.open()
        triton = TritonClient(options.triton_url)  # loads nothing before it is asked
        self._closing.push_async_callback(triton.close)
        content = _content(config)
        pipeline = RequestPipeline(
            outlets.takers,
            static=config.tracing.span_attributes.static,
            service=config.tracing.service_name,
            content=content,
            signals=None if config.overrides.disable_signals else self._signals(triton, content),
        )
        if options.models:
            self._statistics = TritonStatistics(triton, options.models, self._own)
            self._run(self._statistics.run())
        # With an encoder to ask, handling a request also waits for Triton, which says nothing about the CPU.
        pressure = Pressure() if config.signals.encoder is None else None
        server = self._server = TelemetryServer(self.merged, self.queries, pipeline, self._own, pressure)
        self._closing.push_async_callback(server.close)
        self._run(server.run())
        self._closing.push_async_callback(_within, SETTLE_WITHIN_S, server.settled)
        server.set_log_level(options.log_level)
        self.queries.register("log_level", _log_level(server))
        if options.admin_port is not None:
            self.admin = AdminListener(self.merged, self.missing)
            self._closing.push_async_callback(self.admin.close)
            await self.admin.open(config.admin.address, options.admin_port, reuse_port=True)
        # Last: whoever can connect finds everything there.
        await server.open(options.folder)

    def _keep_sums(self, file: MetricsFile) -> None:
        file.load()
        self._closing.push_async_callback(file.save)
        self._run(file.keep())

    def _signals(self, triton: TritonClient, content: Content | None) -> SignalReports:
        encoder = self._config.signals.encoder
        conversations = Conversations(None if encoder is None else Meanings(Encoder(triton, encoder)))
        self._run(conversations.warm_up())
        return SignalReports(conversations.analyse, self._own, content, is_behind=self._is_behind)

    def _is_behind(self) -> bool:
        return self._server is not None and self._server.pending_bytes > _BEHIND_BYTES

    def missing(self) -> list[str]:
        """What is not there yet, of what the configuration needs."""
        absent = self._options.workers - self.merged.workers
        missing = [f"{absent} of {self._options.workers} workers"] if absent > 0 else []
        return missing + (self._statistics.missing if self._statistics is not None else [])

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._closing.push_async_callback(end)


def config_hash(config: Config) -> str:
    """What tells this configuration from others; the same for the same one. Secrets have no part in it."""
    fields = orjson.dumps(config.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.sha256(fields).hexdigest()[:12]


def _content(config: Config) -> Content | None:
    tracing = config.tracing
    asked_for = [exporter for exporter in tracing.exporters if exporter.enabled and exporter.capture_messages]
    if not tracing.capture_content and not asked_for:
        return None
    from router.observer.content import ContentCapture  # the recognisers of personal data are large, and rarely needed

    return ContentCapture()


def _log_level(server: TelemetryServer) -> Callable[[Mapping[str, Any]], AsyncIterator[JsonObject]]:
    async def answer(query: Mapping[str, Any]) -> AsyncIterator[JsonObject]:
        level = str(query.get("level")).lower()
        if level not in LEVELS:
            raise QueryError(f"A log level is one of {', '.join(LEVELS)}.")
        logger.info("log level changed", extra={"to": level})
        set_log_level(level)
        yield {"level": level, "workers": server.set_log_level(level)}

    return answer


async def _within(timeout_s: float, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        async with timeout(timeout_s):
            await function()
    except (TimeoutError, asyncio.TimeoutError):
        logger.warning("telemetry was still coming in at the end")


async def observe(config: Config, options: ObserverOptions, *, on_ready: Callable[[], None]) -> None:
    """Run the telemetry process until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    observer = Observer(config, options)
    await observer.start()
    try:
        gc.freeze()
        on_ready()
        await stop.wait()
    finally:
        await observer.close()

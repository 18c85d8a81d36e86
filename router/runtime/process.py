"""A process that serves a configuration: from start to SIGTERM, through changes of the configuration."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack

from router.config import LoadedConfig
from router.runtime.models import metric_models
from router.runtime.parts import Surroundings
from router.runtime.succession import Assignment, CarryOut, Means, Succession
from router.telemetry.access_log import AccessLog
from router.telemetry.channel import Channel
from router.telemetry.logs import set_log_level
from router.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


async def serve(
    loaded: LoadedConfig,
    surroundings: Surroundings,
    *,
    access_log: AccessLog,
    reuse_port: bool = False,
    on_ready: Callable[[], None] = lambda: None,
    take_commands: Callable[[CarryOut], None] = lambda carry_out: None,
) -> None:
    """Serve every listener of ``loaded`` until SIGTERM or SIGINT, then let the requests in flight finish.

    ``take_commands`` is called once, when everything serves, with what carries out commands about what is served.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        stack.callback(access_log.flush)
        metrics = Metrics(models=metric_models(loaded.config))
        channel = None
        if surroundings.telemetry is not None:
            channel = Channel(
                surroundings.telemetry, metrics.registry, worker=surroundings.number, on_log_level=set_log_level
            )
            stack.push_async_callback(channel.close)
        succession = Succession(Means(surroundings, access_log, metrics, channel, reuse_port))
        await succession.start(Assignment(loaded, surroundings.triton_url))
        stack.push_async_callback(succession.close)
        if channel is not None:
            await channel.open()  # now that it serves: whom the telemetry process knows is ready
        gc.freeze()  # what is here now stays; the collector need not look at it again
        take_commands(succession.carry_out)
        on_ready()
        await stop.wait()
        logger.info("draining", extra={"timeout_s": succession.drain_timeout_s})

"""Metrics on their way to one collector: everything there is, every so often."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress

from router.aio import timeout
from router.observer.export_queue import Destination, FailedForNow, Refused
from router.observer.metrics import MergedMetrics
from router.observer.otlp_encoding import OtlpEncoder
from router.upstream.retry import Backoff

logger = logging.getLogger(__name__)

_BACKOFF = Backoff(base_s=1.0, max_s=15.0)
_MAX_PAUSE_S = 60.0


class MetricsExport:
    """Sends all of ``metrics`` every ``interval_s`` and once at the end; ``dropped`` is told how many points were lost.

    What is not delivered before the next turn is not sent any more: the next one has it, since values are cumulative.
    """

    def __init__(
        self,
        metrics: MergedMetrics,
        encoder: OtlpEncoder,
        destination: Destination,
        dropped: Callable[[int], None],
        *,
        interval_s: float,
        backoff: Backoff = _BACKOFF,
    ) -> None:
        self._metrics = metrics
        self._encoder = encoder
        self._destination = destination
        self._dropped = dropped
        self._interval_s = interval_s
        self._backoff = backoff
        self._task: asyncio.Task[None] | None = None
        self._is_failing = False

    def open(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._run(), name=f"export to {self._destination.name}")

    async def close(self, within_s: float) -> None:
        """Send the last values within this time, and let go."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with suppress(asyncio.TimeoutError, TimeoutError):
            async with timeout(within_s):
                await self._send_all(within_s)
        await self._destination.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        turn_at = loop.time() + self._interval_s
        while True:
            await asyncio.sleep(turn_at - loop.time())
            turn_at = max(turn_at, loop.time()) + self._interval_s
            try:
                await self._send_all(self._interval_s)
            except Exception:  # the next turn may go better
                logger.exception("metrics not exported", extra={"destination": self._destination.name})

    async def _send_all(self, within_s: float) -> None:
        until = asyncio.get_running_loop().time() + within_s
        families = self._metrics.families()
        for body, points in self._encoder.metrics_requests(families, self._metrics.started_ns, time.time_ns()):
            delivered = False
            try:
                refused = await self._send(body, until)
                delivered = True
                if refused:
                    self._dropped(min(refused, points))
            except Refused as exc:
                self._note_failure(str(exc))
            finally:
                if not delivered:
                    self._dropped(points)

    async def _send(self, body: bytes, until: float) -> int:
        """What was refused. Raises ``Refused``, also where it would take longer than ``until`` (loop time)."""
        loop = asyncio.get_running_loop()
        tries = 0
        while True:
            try:
                refused = await self._destination.send(body)
            except FailedForNow as exc:
                self._note_failure(str(exc))
                pause_s = exc.after_s if exc.after_s is not None else self._backoff.pause_s(tries, random.random)
                pause_s = min(pause_s, _MAX_PAUSE_S)
                if loop.time() + pause_s >= until:
                    raise Refused("no delivery in time") from exc
                await asyncio.sleep(pause_s)
                tries += 1
            else:
                if self._is_failing:
                    self._is_failing = False
                    logger.info("metrics are taken again", extra={"destination": self._destination.name})
                return refused

    def _note_failure(self, cause: str) -> None:
        if not self._is_failing:
            self._is_failing = True
            logger.warning("metrics are not taken", extra={"destination": self._destination.name, "cause": cause})

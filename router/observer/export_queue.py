"""From encoded items to deliveries: batched, retried, bounded. Whatever a destination does, nobody waits for it.

event                               what happens
item arrives, room is there         it waits for its batch
item arrives, no room               dropped and counted
enough items, or the oldest waits   a batch leaves, at most ``concurrency`` at a time
delivered                           what the destination refused of it is counted
refused                             the batch is dropped and counted
failed for now                      again after a pause: what the destination asks for, else up to twice the one before;
                                    nothing else is sent meanwhile. After ``retry_for_s`` dropped and counted
closed                              what waits is sent, as far as the time that is given allows, the rest is counted
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from router.aio import timeout
from router.upstream.retry import Backoff

logger = logging.getLogger(__name__)

_MAX_PAUSE_S = 60.0  # whatever a destination asks for
_BACKOFF = Backoff(base_s=1.0, max_s=15.0)


class Refused(Exception):
    """The destination does not take this, now or later."""


class FailedForNow(Exception):
    """The same may be sent again, after ``after_s`` where the destination said so."""

    def __init__(self, cause: str, after_s: float | None = None) -> None:
        super().__init__(cause)
        self.after_s = after_s


class Destination(Protocol):
    """Where bodies go. ``name`` is for logs: no URL, no key."""

    name: str

    async def send(self, body: bytes) -> int:
        """Deliver one; how many of its items were refused. Raises ``Refused`` and ``FailedForNow``."""

    async def close(self) -> None:
        """Let go of the connections."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much waits, and how much is sent at once and for how long."""

    queue_bytes: int = 32 * 1024 * 1024
    queue_items: int = 100_000
    batch_items: int = 2048
    batch_bytes: int = 2 * 1024 * 1024  # half of what receivers of OTLP take by default
    batch_after_s: float = 1.0
    concurrency: int = 4
    retry_for_s: float = 60.0
    backoff: Backoff = _BACKOFF


class ExportQueue:
    """Delivers to one destination. ``open`` it in the event loop, ``close`` it.

    ``assemble`` makes a body of items; ``dropped`` is told how many items were lost.
    """

    def __init__(
        self,
        destination: Destination,
        assemble: Callable[[Sequence[bytes]], bytes],
        dropped: Callable[[int], None],
        limits: QueueLimits = QueueLimits(),
    ) -> None:
        self._destination = destination
        self._assemble = assemble
        self._dropped = dropped
        self._limits = limits
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._oldest_at = 0.0
        self._arrived = asyncio.Event()
        self._closing = asyncio.Event()
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._sending: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None
        self._paused_until = 0.0
        self._failures = 0

    def open(self) -> None:
        """Begin to deliver."""
        self._loop_task = asyncio.create_task(self._run(), name=f"export to {self._destination.name}")

    def put(self, items: Sequence[bytes]) -> None:
        """Take items, as many as there is room for."""
        limits, waiting = self._limits, self._waiting
        if items and not waiting:
            self._oldest_at = asyncio.get_running_loop().time()
        lost = 0
        for item in items:
            is_full = self._waiting_bytes + len(item) > limits.queue_bytes or len(waiting) >= limits.queue_items
            if is_full or self._closing.is_set():
                lost += 1
                continue
            waiting.append(item)
            self._waiting_bytes += len(item)
        if lost:
            self._dropped(lost)
        if waiting:
            self._arrived.set()

    async def close(self, within_s: float) -> None:
        """Deliver what waits within this time, drop the rest, and let go."""
        self._closing.set()
        self._arrived.set()
        with suppress(asyncio.TimeoutError, TimeoutError):
            async with timeout(within_s):
                if self._loop_task is not None:
                    await asyncio.wait({self._loop_task})
                while self._sending:
                    await asyncio.wait(set(self._sending))
        tasks = [task for task in (self._loop_task, *self._sending) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._waiting:
            self._dropped(len(self._waiting))
            self._waiting.clear()
        await self._destination.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._batch_is_due(loop)
            if not self._waiting:
                return  # closing, and all of it has left
            await self._slots.acquire()
            batch = self._next_batch(loop.time())
            task = loop.create_task(self._deliver(batch))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _batch_is_due(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until there is a batch, or nothing more to come."""
        limits = self._limits
        while not self._closing.is_set():
            if len(self._waiting) >= limits.batch_items or self._waiting_bytes >= limits.batch_bytes:
                return
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            left_s = self._oldest_at + limits.batch_after_s - loop.time()
            if left_s <= 0:
                return
            self._arrived.clear()
            with suppress(asyncio.TimeoutError, TimeoutError):
                async with timeout(left_s):
                    await self._arrived.wait()

    def _next_batch(self, now: float) -> list[bytes]:
        limits, waiting = self._limits, self._waiting
        batch: list[bytes] = []
        size = 0
        while (
            waiting and len(batch) < limits.batch_items and (not batch or size + len(waiting[0]) <= limits.batch_bytes)
        ):
            item = waiting.popleft()
            size += len(item)
            batch.append(item)
        self._waiting_bytes -= size
        self._oldest_at = now
        return batch

    async def _deliver(self, batch: list[bytes]) -> None:
        delivered = False
        try:
            refused = await self._send_until_taken(self._assemble(batch))
            delivered = True
            if refused:
                self._dropped(min(refused, len(batch)))
        except Refused as exc:
            self._note_failure(str(exc))
        except Exception:  # the queue has to go on, whatever a destination does
            logger.exception("telemetry not exported", extra={"destination": self._destination.name})
        finally:
            self._slots.release()
            if not delivered:
                self._dropped(len(batch))

    async def _send_until_taken(self, body: bytes) -> int:
        """What the destination refused. Raises ``Refused``, also when it took too long."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._limits.retry_for_s
        tries = 0
        while True:
            left_s = self._paused_until - loop.time()
            if left_s > 0:
                await asyncio.sleep(left_s)
                continue
            try:
                refused = await self._destination.send(body)
            except FailedForNow as exc:
                self._note_failure(str(exc))
                pause_s = self._pause_s(tries, exc.after_s)
                tries += 1
                if loop.time() + pause_s > give_up_at:
                    raise Refused("no delivery in time") from exc
                self._paused_until = max(self._paused_until, loop.time() + pause_s)
            else:
                self._note_success()
                return refused

    def _pause_s(self, tries: int, asked_s: float | None) -> float:
        if asked_s is not None:
            return min(_MAX_PAUSE_S, asked_s)
        return self._limits.backoff.pause_s(tries, random.random)

    def _note_failure(self, cause: str) -> None:
        self._failures += 1
        if self._failures == 1:
            logger.warning(
                "telemetry is not taken, and dropped if that goes on",
                extra={"destination": self._destination.name, "cause": cause},
            )

    def _note_success(self) -> None:
        if self._failures:
            logger.info(
                "telemetry is taken again", extra={"destination": self._destination.name, "failures": self._failures}
            )
            self._failures = 0

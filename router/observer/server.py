"""The socket of the telemetry process: workers report over it, the command line asks over it. See ``telemetry.frames``.

Only processes of the same user, or root's, are heard. What comes in is handled in order by one task; while it is
behind, nothing more is read, and what then piles up is the workers' to drop (and to count). A peer that sends what is
no frame is cut off; one that sends frames of no meaning is not listened to.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from router.observer.connection import Connection
from router.observer.metrics import MergedMetrics
from router.observer.pressure import Pressure
from router.observer.queries import Queries
from router.observer.unix_socket import bind_in
from router.telemetry import catalogue
from router.telemetry.channel import SOCKET_NAME
from router.telemetry.instruments import Registry

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 128

PAUSE_BYTES = 8 * 1024 * 1024
_RESUME_BYTES = 4 * 1024 * 1024


class RequestHandler(Protocol):
    """What is done about finished requests."""

    async def handle(self, message: Mapping[str, Any], answer: bytes) -> None:
        """Take one ``request`` message and the bytes of its answer."""


class TelemetryServer:
    """Listens in one folder. ``open`` it, ``close`` it; ``run`` handles what comes in until it is cancelled.

    ``pending_bytes`` is how much has come in that is not handled yet. ``pressure`` judges whether handling takes time
    from requests; it needs handling that never waits.
    """

    def __init__(
        self,
        merged: MergedMetrics,
        queries: Queries,
        requests: RequestHandler,
        own: Registry,
        pressure: Pressure | None = None,
    ) -> None:
        self._pressure = pressure
        self._merged = merged
        self.queries = queries
        self.connections: set[Connection] = set()
        self._requests = requests
        self._dropped = own.sum(catalogue.TELEMETRY_DROPPED)
        self._pending: deque[tuple[Mapping[str, Any], bytes, int]] = deque()
        self.pending_bytes = 0
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._log_level: str | None = None
        self._server: asyncio.Server | None = None
        self._path: Path | None = None

    async def open(self, folder: Path) -> None:
        """Listen in ``folder``, which becomes this user's alone. Raises ``OSError``, also where another one listens."""
        endpoint = bind_in(folder)
        self._path = folder / SOCKET_NAME
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: Connection(self), sock=endpoint)

    async def run(self) -> None:
        """Handle what comes in, one after the other."""
        while True:
            while self._pending:
                message, answer, size = self._pending.popleft()
                started, used_s = time.perf_counter(), time.thread_time()
                try:
                    await self._requests.handle(message, answer)
                except Exception:
                    logger.exception("request not recorded")
                    self._dropped.add(1, "requests")
                self._taken(size)
                self._yield_to_requests(time.thread_time() - used_s, time.perf_counter() - started)
                await asyncio.sleep(0)  # whoever scrapes or asks gets their turn
            self._idle.set()
            self._arrived.clear()
            await self._arrived.wait()

    async def settled(self) -> None:
        """Wait until all workers have left and all that came in is handled, while ``run`` runs."""
        while workers := [connection for connection in self.connections if connection.worker is not None]:
            await asyncio.gather(*(connection.gone.wait() for connection in workers))
        await self._idle.wait()

    async def close(self) -> None:
        """Stop listening, and cut everybody off."""
        if self._server is not None:
            self._server.close()
            if self._path is not None:
                with suppress(OSError):
                    self._path.unlink()
        for connection in list(self.connections):
            connection.cut_off()

    def set_log_level(self, level: str) -> int:
        """Tell all workers, also those that come later, how much to log; how many were told now."""
        self._log_level = level
        workers = [connection for connection in self.connections if connection.worker is not None]
        for connection in workers:
            connection.send({"type": "log_level", "level": level})
        return len(workers)

    def _yield_to_requests(self, cpu_s: float, wall_s: float) -> None:
        """Where there is not enough CPU for everybody, ask workers to hold back, and give up what is pending."""
        rest_s = None if self._pressure is None else self._pressure.worked(cpu_s, wall_s)
        if rest_s is None:
            return
        for connection in self.connections:
            if connection.worker is not None:
                connection.send({"type": "hold_back", "seconds": rest_s})
        while self._pending:
            _, _, size = self._pending.popleft()
            self._dropped.add(1, "requests")
            self._taken(size)

    def opened(self, connection: Connection) -> bool:
        """See ``Owner``, as the other methods below."""
        if len(self.connections) >= MAX_CONNECTIONS:
            return False
        self.connections.add(connection)
        if self.pending_bytes > PAUSE_BYTES:
            connection.pause()
        return True

    def closed(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if connection.worker is not None:
            self._merged.disconnected(*connection.worker)

    def greeted(self, connection: Connection) -> None:
        if connection.worker is not None:
            self._merged.connected(*connection.worker)
        if self._log_level is not None:
            connection.send({"type": "log_level", "level": self._log_level})

    def counted(self, connection: Connection, snapshot: object) -> None:
        if connection.worker is not None:
            self._merged.replace(*connection.worker, snapshot)

    def reported(self, message: Mapping[str, Any], answer: bytes, size: int) -> None:
        self._pending.append((message, answer, size))
        self._idle.clear()
        self._arrived.set()
        before = self.pending_bytes
        self.pending_bytes = before + size
        if before <= PAUSE_BYTES < self.pending_bytes:
            for connection in self.connections:
                connection.pause()

    def _taken(self, size: int) -> None:
        before = self.pending_bytes
        self.pending_bytes = before - size
        if self.pending_bytes <= _RESUME_BYTES < before:
            for connection in self.connections:
                connection.resume()

"""One peer of the telemetry process: its frames in, the server's frames out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Protocol, cast

from router.observer.queries import Queries
from router.observer.unix_socket import is_trusted
from router.telemetry import frames

logger = logging.getLogger(__name__)

MAX_QUERIES = 8  # at once, of one connection


class Owner(Protocol):
    """The server, as its connections see it."""

    queries: Queries

    def opened(self, connection: Connection) -> bool:
        """Somebody is here; whether there is room for them."""

    def closed(self, connection: Connection) -> None:
        """Somebody has left."""

    def greeted(self, connection: Connection) -> None:
        """A worker has said who it is. Raises ``ValueError`` where there are too many of them."""

    def counted(self, connection: Connection, snapshot: object) -> None:
        """A worker says what it has counted so far."""

    def reported(self, message: Mapping[str, Any], answer: bytes, size: int) -> None:
        """A ``request`` message is here, of about ``size`` bytes."""


class Connection(asyncio.Protocol):
    """One peer. ``worker`` is its number and process id once it has said them."""

    def __init__(self, owner: Owner) -> None:
        self.worker: tuple[int, int] | None = None
        self.gone = asyncio.Event()
        self._owner = owner
        self._reader = frames.FrameReader()
        self._carried = 0
        self._queries: set[asyncio.Task[None]] = set()
        self._writable = asyncio.Event()
        self._writable.set()
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not is_trusted(transport.get_extra_info("socket")) or not self._owner.opened(self):
            logger.warning("connection to the telemetry process refused")
            self._refused = True
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._carried += len(data)
        try:
            received = list(self._reader.feed(data))
        except frames.FrameError as exc:
            logger.warning("connection to the telemetry process closed", extra={"cause": str(exc)})
            self.cut_off()
            return
        if received:
            size, self._carried = self._carried // len(received), 0
            for message, payload in received:
                self._dispatch(message, payload, size)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._refused:
            return
        self._writable.set()
        for query in self._queries:
            query.cancel()
        self._owner.closed(self)
        self.gone.set()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one frame."""
        if not self._transport.is_closing():
            self._transport.write(frames.encode(message))

    def pause(self) -> None:
        """Read nothing more for now."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def cut_off(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _dispatch(self, message: Mapping[str, Any], payload: bytes, size: int) -> None:
        match message.get("type"):
            case "request":
                self._owner.reported(message, payload, size)
            case "metrics" if self.worker is not None:
                self._owner.counted(self, message.get("series"))
            case "hello" if self.worker is None:
                self._greet(message.get("worker"), message.get("pid"))
            case "query":
                self._ask(message)
            case _:
                logger.debug("frame without a meaning", extra={"frame": str(message.get("type"))[:40]})

    def _greet(self, worker: object, pid: object) -> None:
        if not isinstance(worker, int) or not isinstance(pid, int):
            logger.warning("worker does not say who it is")
            return
        self.worker = (worker, pid)
        try:
            self._owner.greeted(self)
        except ValueError as exc:
            self.worker = None
            logger.warning("worker refused by the telemetry process", extra={"cause": str(exc)})
            self.cut_off()

    def _ask(self, query: Mapping[str, Any]) -> None:
        if len(self._queries) >= MAX_QUERIES:
            self.send({"type": "result", "end": True, "error": "Too many questions at once."})
            return
        task = asyncio.get_running_loop().create_task(self._answer(query))
        self._queries.add(task)
        task.add_done_callback(self._queries.discard)

    async def _answer(self, query: Mapping[str, Any]) -> None:
        async with aclosing(self._owner.queries.answer(query)) as results:
            async for result in results:
                await self._writable.wait()
                if self._transport.is_closing():
                    return
                try:
                    self.send(result)
                except TypeError:  # what JSON has no word for, such as half a surrogate pair
                    self.send({"type": "result", "end": True, "error": "The answer cannot be encoded."})
                    return

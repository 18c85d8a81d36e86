"""A worker's way to the telemetry process: never waits, never grows without bound, never fails a request.

What cannot be sent, because the process is gone or too slow, is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from router.aio import timeout
from router.telemetry import catalogue, frames
from router.telemetry.instruments import Registry

logger = logging.getLogger(__name__)

SOCKET_NAME = "telemetry.sock"

_MAX_PENDING_BYTES = 8 * 1024 * 1024
_FLUSH_AFTER_S = 0.05
_FLUSH_BYTES = 256 * 1024
_METRICS_EVERY_S = 1.0
_RECONNECT_AFTER_S = 1.0
_CLOSE_WITHIN_S = 1.0
_TOLD_ANYWAY = 50  # of so many requests, one while everybody holds back
_MAX_PATH_BYTES = 100  # the kernel's sun_path has room for 107


class Sink(Protocol):
    """Who is told about finished requests."""

    def wants(self) -> bool:
        """Whether the next request is to be told of; asked once for each."""

    def request(self, message: Mapping[str, Any], payload: Sequence[bytes]) -> None:
        """Take one ``request`` message (``frames``) and the bytes that belong to it. Never waits, never raises."""


def socket_address(folder: Path, name: str = SOCKET_NAME) -> str:
    """The address of the process that keeps its socket in ``folder``, also where its path is too long."""
    path = folder / name
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES or not Path("/proc/self/fd").is_dir():
        return str(path)
    # The descriptor stays open as long as the process: addresses are made once.
    return f"/proc/self/fd/{os.open(folder, os.O_PATH | os.O_DIRECTORY)}/{name}"


class Channel:
    """One connection to the telemetry process, made again whenever it is lost. ``open`` it, ``close`` it."""

    def __init__(
        self,
        address: str,
        registry: Registry,
        *,
        worker: int,
        on_log_level: Callable[[str], None] = lambda level: None,
    ) -> None:
        self._address = address
        self._registry = registry
        self._dropped = registry.sum(catalogue.TELEMETRY_DROPPED)
        self._worker = worker
        self._on_log_level = on_log_level
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._transport: asyncio.WriteTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._holds_back_until = 0.0
        self._held_back = 0

    def wants(self) -> bool:
        """See ``Sink``."""
        if not self._holds_back_until:
            return True
        if time.monotonic() >= self._holds_back_until:
            self._holds_back_until = 0.0
            return True
        self._held_back += 1
        if self._held_back % _TOLD_ANYWAY == 0:
            return True
        self._dropped.add(1, "requests")
        return False

    async def open(self) -> None:
        """Connect where that is possible at once, else as soon as it is."""
        await self._connect()
        self._task = asyncio.create_task(self._keep(), name="telemetry channel")

    def request(self, message: Mapping[str, Any], payload: Sequence[bytes]) -> None:
        """See ``Sink``."""
        transport = self._transport
        if transport is None or self._pending_bytes + transport.get_write_buffer_size() > _MAX_PENDING_BYTES:
            self._dropped.add(1, "requests")
            return
        try:
            frame = frames.encode(message, payload)
        except (TypeError, ValueError):  # such as a lone surrogate, which JSON has no room for
            self._dropped.add(1, "requests")
            return
        self._pending.append(frame)
        self._pending_bytes += len(frame)
        if self._pending_bytes >= _FLUSH_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_AFTER_S, self.flush)

    def flush(self) -> None:
        """Hand on what is pending, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        if self._transport is not None and pending:
            self._transport.write(b"".join(pending))
        elif pending:
            self._dropped.add(len(pending), "requests")

    async def close(self) -> None:
        """Send what is pending and the last numbers, and let go."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.flush()
        self._send_metrics()
        if (transport := self._transport) is not None:
            transport.close()  # sends what is buffered first
            try:
                async with timeout(_CLOSE_WITHIN_S):
                    await self._lost.wait()
            except (asyncio.TimeoutError, TimeoutError):
                transport.abort()
                await self._lost.wait()

    def lost(self) -> None:
        """The connection is gone."""
        self._transport = None
        self._lost.set()

    def received(self, message: Mapping[str, Any]) -> None:
        """The telemetry process has said something."""
        if message.get("type") == "log_level":
            self._on_log_level(str(message.get("level")))
        elif message.get("type") == "hold_back":
            self._holds_back_until = time.monotonic() + float(message.get("seconds") or 0.0)

    async def _keep(self) -> None:
        while True:
            if self._transport is None:
                await asyncio.sleep(_RECONNECT_AFTER_S)
                await self._connect()
            else:
                await asyncio.sleep(_METRICS_EVERY_S)
                self._send_metrics()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            transport, _ = await loop.create_unix_connection(lambda: _Incoming(self), self._address)
            hello = frames.encode({"type": "hello", "worker": self._worker, "pid": os.getpid()})
            transport.write(hello)
            self._transport = transport
            self._lost.clear()
            self._send_metrics()

    def _send_metrics(self) -> None:
        transport = self._transport
        if transport is not None and transport.get_write_buffer_size() <= _MAX_PENDING_BYTES:
            transport.write(frames.encode({"type": "metrics", "series": self._registry.snapshot()}))


class _Incoming(asyncio.Protocol):
    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._reader = frames.FrameReader()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for message, _ in self._reader.feed(data):
                self._channel.received(message)
        except frames.FrameError:
            logger.warning("telemetry process is not understood, connection closed")
            if self._transport is not None:
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._channel.lost()

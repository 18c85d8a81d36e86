"""A transport without a network, and connections on it."""

from __future__ import annotations

import asyncio

from router.upstream.connection import Connection


class Wire(asyncio.Transport):
    """A transport that records what it is told and takes ``room`` bytes before it asks for a pause."""

    def __init__(self, room: int = 1_000_000_000) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.room = room
        self.reading = True
        self.aborted = False
        self.connection: Connection | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        self.room -= len(data)
        if self.room < 0 and self.connection is not None:
            self.connection.pause_writing()

    def drained(self, room: int) -> None:
        assert self.connection is not None
        self.room = room
        self.connection.resume_writing()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class Watcher:
    """An owner that counts."""

    def __init__(self) -> None:
        self.open = 0

    def opened(self, connection: Connection) -> None:
        self.open += 1

    def lost(self, connection: Connection) -> None:
        self.open -= 1


def connected(wire: Wire, owner: Watcher | None = None, *, idle_s: float = 60) -> Connection:
    connection = Connection(asyncio.get_running_loop(), owner or Watcher(), idle_s=idle_s)
    connection.connection_made(wire)
    wire.connection = connection
    return connection


def asked(wire: Wire, body: bytes = b"{}", *, timeout_s: float = 5) -> Connection:
    connection = connected(wire)
    connection.send(b"HEAD ", body, timeout_s)
    return connection


async def rest(connection: Connection) -> bytes:
    parts = []
    while data := await connection.read():
        parts.append(data)
    return b"".join(parts)

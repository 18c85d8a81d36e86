"""The HTTP/1.1 server under the fake agents: whole requests in, and answers down to single bytes out."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request as it arrived; header names are in lower case, of a repeated header the last one counts."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self.body))

    @property
    def messages(self) -> list[dict[str, Any]]:
        return cast("list[dict[str, Any]]", self.json["messages"])

    @property
    def wants_stream(self) -> bool:
        return self.json.get("stream") is True

    @property
    def wants_usage(self) -> bool:
        return (self.json.get("stream_options") or {}).get("include_usage") is True


class Exchange:
    """One request and the means to answer it, from well-formed answers down to single bytes."""

    def __init__(self, request: RecordedRequest, connection: Connection) -> None:
        self.request = request
        self._connection = connection

    async def send(self, data: bytes) -> None:
        """Write bytes as they are and wait until the transport takes more."""
        await self._connection.write(data)

    async def send_json(self, payload: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(payload, ensure_ascii=False).encode()
        fields = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        await self.send(head(status, fields) + body)

    async def begin_stream(self) -> None:
        """Start a chunked SSE answer."""
        await self.send(head(200, {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"}))

    async def send_part(self, data: bytes) -> None:
        """One HTTP chunk of a chunked answer."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end_stream(self) -> None:
        await self.send(b"0\r\n\r\n")

    async def wait_closed(self) -> None:
        """Wait until the client has gone."""
        await self._connection.gone.wait()

    def reset(self) -> None:
        """Drop the connection with RST."""
        self._connection.close(reset=True)

    def finish(self) -> None:
        """Close the connection with FIN after what was written."""
        self._connection.close(reset=False)


class Server(Protocol):
    """What a connection tells its server."""

    async def serve(self, exchange: Exchange) -> None: ...

    def opened(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection, *, abandoned: bool) -> None: ...


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one exchange at a time, as few rules as the gateway's client needs."""

    def __init__(self, server: Server) -> None:
        self.gone = asyncio.Event()
        self._server = server
        self._buffer = bytearray()
        self._wanted = 0  # bytes below which parsing again is pointless: large bodies come in many pieces
        self._task: asyncio.Task[None] | None = None
        self._closed_by_us = False
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._begin_next()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        unfinished = self._task is not None and not self._closed_by_us
        self.gone.set()
        self._writable.set()
        self._server.closed(self, abandoned=unfinished)
        if self._task is not None:
            self._task.cancel()

    async def write(self, data: bytes) -> None:
        await self._writable.wait()
        self._transport.write(data)

    def close(self, *, reset: bool) -> None:
        self._closed_by_us = True
        if not reset:
            self._transport.close()
            return
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _begin_next(self) -> None:
        """Start on the next whole request of the buffer, unless one is being answered."""
        if self._task is not None or self._transport.is_closing() or len(self._buffer) < self._wanted:
            return
        parsed = _parse(bytes(self._buffer))
        if isinstance(parsed, int):
            self._wanted = parsed
        else:
            request, rest = parsed
            self._buffer, self._wanted = bytearray(rest), 0
            self._task = asyncio.get_running_loop().create_task(self._server.serve(Exchange(request, self)))
            self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self.close(reset=True)
            raise error
        self._begin_next()


def _parse(buffer: bytes) -> tuple[RecordedRequest, bytes] | int:
    """The first whole request of the buffer and what follows it, or how long the buffer has to be at least for one."""
    start, separator, rest = buffer.partition(b"\r\n\r\n")
    if not separator:
        return len(buffer) + 1
    request_line, *lines = start.decode("latin-1").split("\r\n")
    method, path, _ = request_line.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "chunked" in headers.get("transfer-encoding", ""):
        whole = _unchunk(rest)
        if whole is None:
            return len(buffer) + 1
        body, rest = whole
    else:
        size = int(headers.get("content-length", "0"))
        if len(rest) < size:
            return len(start) + len(separator) + size
        body, rest = rest[:size], rest[size:]
    return RecordedRequest(method, path, headers, body), rest


def _unchunk(data: bytes) -> tuple[bytes, bytes] | None:
    parts: list[bytes] = []
    while True:
        line, separator, data = data.partition(b"\r\n")
        if not separator:
            return None
        size = int(line.split(b";")[0], 16)
        if len(data) < size + 2:
            return None
        parts.append(data[:size])
        data = data[size + 2 :]
        if size == 0:
            return b"".join(parts), data


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Fake", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

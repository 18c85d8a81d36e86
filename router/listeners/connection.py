"""One connection of a client: requests in, answers out, one after the other.

state     event                             next      what happens
idle      head of a request                 serving   its handler begins, in a task of its own
idle      ``keepalive_s`` without one       closed
idle      a head that takes ``head_s``      closed
idle      what is no HTTP                   closing   400
serving   more requests                     serving   they wait for their turn; reading pauses
serving   answer is whole                   idle      or closing, where the answer has said so
serving   handler ends without an answer    closed
serving   end of the connection             closed    the handler is cancelled
closing   all of it is sent, client leaves  closed    what the client still sends is thrown away
closing   ``LINGER_S``                      closed

A client that is still sending when it is refused would lose the answer if the connection were closed at once (RFC 9112,
section 9.6), so only this side of it is.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, cast

from router.listeners.exchange import Exchange
from router.listeners.request_parser import MalformedRequest, Request, RequestParser
from router.listeners.response_head import ResponseHeads

logger = logging.getLogger(__name__)

LINGER_S = 10.0

_CORKED_BYTES = 64 * 1024

Handler = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """What a client may do: the size of a body, the time without a request, and that for the head of one."""

    max_body_bytes: int
    keepalive_s: float
    head_s: float


class Owner(Protocol):
    """What all connections of a server share, and who is told of them."""

    options: ConnectionOptions
    heads: ResponseHeads
    draining: bool

    def opened(self, connection: Connection) -> None: ...

    def gone(self, connection: Connection) -> None: ...

    async def handle(self, exchange: Exchange) -> None: ...

    def refuse(self, error: MalformedRequest) -> bytes: ...


class Connection(asyncio.Protocol):
    """Made by the server, for as long as the client stays and its last request is being served."""

    __slots__ = (
        "_closing",
        "_corked",
        "_corked_bytes",
        "_deadline",
        "_drain_waiter",
        "_head_awaited",
        "_loop",
        "_lost",
        "_malformed",
        "_owner",
        "_parser",
        "_reading_paused",
        "_serving",
        "_settle_waiter",
        "_task",
        "_timer",
        "_timer_at",
        "_transport",
        "heads",
        "writing_paused",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner) -> None:
        self.heads = owner.heads
        self.writing_paused = False
        self._loop = loop
        self._owner = owner
        self._parser = RequestParser(max_body_bytes=owner.options.max_body_bytes)
        self._task: asyncio.Task[None] | None = None
        self._serving: Request | None = None
        self._malformed: MalformedRequest | None = None
        self._corked: list[bytes] = []
        self._corked_bytes = 0
        self._drain_waiter: asyncio.Future[None] | None = None
        self._settle_waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._deadline = 0.0
        self._head_awaited = False
        self._reading_paused = False
        self._closing = False
        self._lost = False

    @property
    def draining(self) -> bool:
        """Whether the connection is to be closed behind the request that is served."""
        return self._owner.draining

    # What an exchange does

    def write(self, data: bytes) -> None:
        """Send ``data``, behind what was held back, now."""
        if self._corked:
            self._corked.append(data)
            self._uncork()
        elif data and not self._transport.is_closing():
            self._transport.write(data)

    def write_soon(self, data: bytes) -> None:
        """Send ``data`` with whatever follows in this turn of the event loop: one packet is cheaper than two."""
        corked = self._corked
        if not corked:
            self._loop.call_soon(self._uncork)
        corked.append(data)
        self._corked_bytes += len(data)
        if self._corked_bytes > _CORKED_BYTES:
            self._uncork()

    async def drained(self) -> None:
        """Wait until the client has taken most of what was written."""
        self._uncork()
        while self.writing_paused and not self._lost:
            self._drain_waiter = self._loop.create_future()
            try:
                await self._drain_waiter
            finally:
                self._drain_waiter = None

    async def settled(self, request: Request) -> None:
        """Wait until nothing more of the body of ``request`` is to come."""
        while not request.settled:
            self._settle_waiter = self._loop.create_future()
            try:
                await self._settle_waiter
            finally:
                self._settle_waiter = None

    def abort(self) -> None:
        """Close at once."""
        self._corked.clear()
        self._transport.abort()

    # What the server does

    def drain(self) -> None:
        """Close as soon as nothing is being served."""
        if self._task is None and not self._lost and not self._closing:
            self._close(self._transport.close)

    def cut_off(self) -> None:
        """Close at once, and end what is being served."""
        if self._task is not None:
            self._task.cancel()
        if not self._lost:
            self.abort()

    # What the event loop does

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        accepted = transport.get_extra_info("socket")
        if accepted is not None and accepted.family in {socket.AF_INET, socket.AF_INET6}:
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._owner.opened(self)
        self._rest()

    def data_received(self, data: bytes) -> None:
        if self._closing or self._malformed is not None:
            return
        parser = self._parser
        try:
            parser.feed(data)
        except MalformedRequest as exc:
            self._malformed = exc
        if self._task is None:
            self._next()
        if parser.begun and not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()
        waiter = self._settle_waiter
        if waiter is not None and not waiter.done() and self._serving is not None and self._serving.settled:
            waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._corked.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            self._task.cancel()
        else:
            self._owner.gone(self)

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_result(None)

    # From one request to the next

    def _next(self) -> None:
        """Serve who is next, or rest."""
        if self._parser.begun:
            self._head_awaited = False
            self._serving = request = self._parser.begun.popleft()
            if not self._parser.begun:
                self._resume_reading()
            self._task = self._loop.create_task(self._serve(request))
        elif self._malformed is not None:
            self.write(self._owner.refuse(self._malformed))
            self._linger()
        elif self._owner.draining:
            self._close(self._transport.close)
        elif not self._head_awaited:
            self._rest()

    async def _serve(self, request: Request) -> None:
        exchange = Exchange(request, self)
        try:
            await self._owner.handle(exchange)
        finally:
            self._served(exchange, request)

    def _served(self, exchange: Exchange, request: Request) -> None:
        self._task = self._serving = None
        if self._lost:
            self._owner.gone(self)
        elif not exchange.ended:
            self.abort()
        elif not request.complete:
            self._linger()
        elif exchange.closes:
            self._close(self._transport.close)
        else:
            self._next()

    def _rest(self) -> None:
        options = self._owner.options
        self._head_awaited = self._parser.head_begun  # however slowly it comes, it has this long
        self._deadline = self._loop.time() + (options.head_s if self._head_awaited else options.keepalive_s)
        self._watch()

    def _linger(self) -> None:
        """Close our side, and hear the client out before its own is."""
        self._close(self._transport.write_eof)
        self._resume_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _close(self, how: Callable[[], None]) -> None:
        self._uncork()
        self._closing = True
        self._deadline = self._loop.time() + LINGER_S
        self._watch()
        if not self._transport.is_closing():
            how()

    def _uncork(self) -> None:
        corked = self._corked
        if not corked:
            return
        data = corked[0] if len(corked) == 1 else b"".join(corked)
        corked.clear()
        self._corked_bytes = 0
        if not self._transport.is_closing():
            self._transport.write(data)

    # Time: one timer serves all deadlines, and looks at the one of that moment when it fires

    def _watch(self) -> None:
        if self._timer is None or self._deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = self._deadline
            self._timer = self._loop.call_at(self._deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._task is not None:
            return  # requests have times of their own; the timer is set again behind this one
        if self._loop.time() < self._deadline:
            self._watch()
        elif self._closing:
            self.abort()
        else:
            self._close(self._transport.close)

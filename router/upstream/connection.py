"""One connection to an upstream: a request out, its answer in, then perhaps the next.

    state       event                              next      what happens
    idle        ``send``                           asked     head and a small body leave in one write
    idle        any byte, end, idle_s               closed    nothing was asked, so it can be trusted no longer
    asked       room to write                      asked     more of a large body leaves; the deadline moves
    asked       head of the answer                 answered  (``AnswerParser`` has its own table)
    asked       deadline                           closed    ``TimedOut``
    answered    body                               answered  above MAX_UNREAD_BYTES reading pauses until ``read``
    answered    deadline, while ``read`` waits     closed    ``TimedOut``
    asked, ...  end of the connection              closed    ``BrokenOff``, unless that is where the body ends
    asked, ...  what is no HTTP                    closed    ``MalformedAnswer``
    answered    complete, ``release``              idle      when the answer and the request are whole and allow it
    any         ``abort``                          closed

"asked" and "answered" are the phases ``head`` and then ``body`` or ``complete`` of the parser. What had arrived of a
body before the connection closed can still be read; the failure comes after it.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from router.upstream.answer import AnswerParser, BrokenOff, ConnectionFailure, MalformedAnswer

MAX_UNREAD_BYTES = 256 * 1024

_ONE_WRITE_BYTES = 64 * 1024
_SLICE_BYTES = 128 * 1024
_NOTHING = memoryview(b"")


class TimedOut(ConnectionFailure):
    """The upstream kept us waiting for too long."""


class Owner(Protocol):
    """Who is told that a connection has come to be and that it is gone."""

    def opened(self, connection: Connection) -> None: ...

    def lost(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """Made idle; whoever holds it sends, awaits ``head``, reads until ``b""``, and then releases or aborts it.

    One timer serves all deadlines: it is set again only when a deadline is earlier than the one it waits for, and
    otherwise looks at the deadline of that time when it fires.
    """

    __slots__ = (
        "_deadline",
        "_failure",
        "_idle",
        "_idle_s",
        "_loop",
        "_owner",
        "_reading_paused",
        "_timeout_s",
        "_timer",
        "_timer_at",
        "_transport",
        "_unsent",
        "_waiter",
        "_writing_paused",
        "answer",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner, *, idle_s: float) -> None:
        self.answer = AnswerParser()
        self._loop = loop
        self._owner = owner
        self._idle_s = idle_s
        self._idle = True
        self._failure: ConnectionFailure | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._deadline = 0.0
        self._timeout_s = 0.0
        self._unsent = _NOTHING
        self._writing_paused = False
        self._reading_paused = False

    @property
    def usable(self) -> bool:
        """Nothing is known that would keep a request from going out here."""
        return self._failure is None and not self._transport.is_closing()

    # What its holder does

    def send(self, head: bytes, body: bytes, timeout_s: float) -> None:
        """Begin an exchange. ``timeout_s`` bounds the wait for the head, and each wait for more of the body."""
        self._idle = False
        self._timeout_s = timeout_s
        self._deadline = self._loop.time() + timeout_s
        if not self.usable:
            return  # lost already, which the wait for the head will say; uvloop raises when a closed one is written to
        if len(body) <= _ONE_WRITE_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._unsent = memoryview(body)
            self._write_on()

    async def head(self) -> None:
        """Wait for the head of the answer. Raises ``ConnectionFailure``."""
        while self.answer.phase == "head":
            await self._wait()

    async def read(self) -> bytes:
        """What has arrived of the body, at least one byte; ``b""`` at its end. Raises ``ConnectionFailure``."""
        if self.answer.starved:
            self._deadline = self._loop.time() + self._timeout_s
            while self.answer.starved:
                await self._wait()
        if self._reading_paused:
            self._resume_reading()
        return self.answer.take()

    def take_rest(self, max_bytes: int) -> bytes | None:
        """What is left of the body, where all of it is here and no more than ``max_bytes``; else ``None``."""
        answer = self.answer
        return answer.take() if answer.phase == "complete" and answer.buffered <= max_bytes else None

    def release(self) -> bool:
        """End the exchange: back to idle when another one may follow (``True``), else the connection is closed."""
        if not (self.answer.phase == "complete" and self.answer.keep_alive and not self._unsent and self.usable):
            self.abort()
            return False
        if self._reading_paused:
            self._resume_reading()
        self.answer.reset()
        self._idle = True
        self._deadline = self._loop.time() + self._idle_s
        self._watch()
        return True

    def abort(self) -> None:
        """Close at once, whatever is going on; whoever waits gets ``BrokenOff``."""
        self._fail(BrokenOff("the connection was closed on this side"))

    # What the event loop does

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._idle:
            self.abort()
            return
        answer = self.answer
        try:
            answer.feed(data)
        except MalformedAnswer as exc:
            self._fail(exc)
            return
        if answer.buffered > MAX_UNREAD_BYTES and not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()
        if answer.phase != "head":
            self._wake()

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._unsent = _NOTHING
        self._owner.lost(self)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._unsent:
            if self.answer.phase == "head":
                self._deadline = self._loop.time() + self._timeout_s
            self._write_on()

    def _write_on(self) -> None:
        # An answer that is already complete makes the rest of the request pointless.
        while self._unsent and not self._writing_paused and self.answer.phase != "complete" and self.usable:
            piece, self._unsent = self._unsent[:_SLICE_BYTES], self._unsent[_SLICE_BYTES:]
            self._transport.write(piece)

    def _resume_reading(self) -> None:
        self._reading_paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _end(self, cause: Exception | None) -> None:
        if self._failure is not None:
            return
        try:
            if cause is not None and self.answer.phase != "complete":
                raise BrokenOff("the connection broke") from cause
            self.answer.end()
        except BrokenOff as exc:
            self._fail(exc)
        else:
            self._wake()

    def _fail(self, failure: ConnectionFailure) -> None:
        if self._failure is None:
            self._failure = failure
        self._transport.abort()
        self._wake()

    # Waiting

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = self._loop.create_future()
        self._watch()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._failure is not None and self.answer.starved:
            raise self._failure

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _watch(self) -> None:
        if self._timer is None or self._deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = self._deadline
            self._timer = self._loop.call_at(self._deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if not self._idle and self._waiter is None:
            return  # nobody waits; the next wait sets the timer again
        if self._loop.time() < self._deadline:
            self._watch()
        else:
            self._fail(TimedOut("no answer in time"))

"""Listeners that go on at the port of another one, with its connections: nothing is refused, nothing is closed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

from router.errors import OperatorError
from router.listeners.auth import Authenticate
from router.listeners.connection import ConnectionOptions
from router.listeners.exchange import Exchange
from router.listeners.http import HttpListener, ListenerOptions
from router.listeners.middleware import Resource
from router.listeners.recording import Recorder
from router.listeners.server import Server
from router.telemetry.access_log import AccessLog

_CUT_OFF_WITHIN_S = 10.0


class Port:
    """A listening socket and its connections. Which listener answers is decided anew for each request."""

    def __init__(self, listener: SuccessiveListener) -> None:
        self._listener = listener
        self._trial: SuccessiveListener | None = None
        self._share = 0.0
        self._server = Server(self._serve, _connection_options(listener.options))

    @property
    def number(self) -> int | None:
        """The port in use, ``None`` while there is none."""
        return self._server.port

    async def listen(self, options: ListenerOptions, *, reuse_port: bool) -> None:
        """Bind and accept. Raises ``OSError``."""
        await self._server.listen(options.address, options.port, reuse_port=reuse_port)

    def belongs_to(self, listener: SuccessiveListener) -> bool:
        """Whether ``listener`` answers here, trials aside."""
        return self._listener is listener

    def share(self, listener: SuccessiveListener | None, share: float) -> None:
        """Let ``listener`` answer this share (0 to 1) of the requests, chosen at random; ``None`` ends that."""
        self._trial, self._share = listener, share

    def hand_to(self, listener: SuccessiveListener) -> None:
        """Let ``listener`` answer from now on. Connections that are open keep the limit on bodies they began with."""
        self._listener, self._trial = listener, None
        self._server.options = _connection_options(listener.options)

    async def close(self, timeout_s: float) -> None:
        """Stop accepting, let what is being served finish for ``timeout_s``, then cut off the rest."""
        await self._server.drain(timeout_s)

    async def _serve(self, exchange: Exchange) -> None:
        trial = self._trial
        # Not a secret: which of two answers is no decision that an attacker gains from.
        if trial is not None and random.random() < self._share:  # noqa: S311
            await trial.serve(exchange)
        else:
            await self._listener.serve(exchange)


class SuccessiveListener(HttpListener):
    """A listener with a port of its own (``start``), or with that of a ``predecessor``, once it has taken it over."""

    def __init__(
        self,
        options: ListenerOptions,
        paths: Mapping[str, Resource],
        recorder: Recorder,
        access_log: AccessLog,
        authenticate: Authenticate | None = None,
    ) -> None:
        super().__init__(options, paths, recorder, access_log, authenticate)
        self.predecessor: SuccessiveListener | None = None
        self._port: Port | None = None
        self._in_flight: set[asyncio.Task[object]] = set()

    @property
    def port(self) -> int:
        """The port in use, also where the options said 0."""
        return (self._port and self._port.number) or self.options.port

    async def start(self, *, reuse_port: bool = False) -> None:
        """Bind and accept. Raises ``OperatorError`` when the address cannot be had."""
        options = self.options
        port = Port(self)
        try:
            await port.listen(options, reuse_port=reuse_port)
        except OSError as exc:
            raise OperatorError(
                f"Listener '{options.name}' cannot bind {options.address}:{options.port}: {exc.strerror}.",
                fix="Stop what uses the port, or change 'port' or 'address' of this listener.",
            ) from exc
        self._port = port

    def succeeds(self, other: HttpListener) -> bool:
        """Whether ``other`` is where this one is to listen; one at any free port is known by its name."""
        ours, theirs = self.options, other.options
        return (ours.address, ours.port) == (theirs.address, theirs.port) and (
            ours.port != 0 or ours.name == theirs.name
        )

    def share(self, share: float) -> None:
        """Answer this share of what arrives at the predecessor's port; a listener without one answers everything."""
        port = None if self.predecessor is None else self.predecessor._port
        if port is not None:
            port.share(self if share > 0 else None, share)

    def take_over(self) -> None:
        """Answer what arrives at the predecessor's port from now on. What it is answering, it answers itself."""
        if self.predecessor is not None:
            self._port = self.predecessor._port
            self.predecessor = None
            if self._port is not None:
                self._port.hand_to(self)

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("requests are answered in tasks")
        in_flight = self._in_flight
        in_flight.add(task)
        try:
            await self._serve(exchange)
        finally:
            in_flight.discard(task)

    async def drain(self) -> None:
        """Let requests in flight finish, then cut off the rest.

        With a port, it stops accepting, and they have ``drain_timeout_s``. Where another listener has taken the port
        over nobody waits, and they have all the time that they had: ``timeout_s``.
        """
        options, port = self.options, self._port
        self.share(0)
        if port is not None and port.belongs_to(self):
            await port.close(options.drain_timeout_s)
            self._port = None
        elif self._in_flight:
            await asyncio.wait(set(self._in_flight), timeout=max(options.timeout_s, options.drain_timeout_s))
            self.cut_off()
            if self._in_flight:
                await asyncio.wait(set(self._in_flight), timeout=_CUT_OFF_WITHIN_S)

    def cut_off(self) -> None:
        """End what is being answered, now."""
        for task in self._in_flight:
            task.cancel()


def _connection_options(options: ListenerOptions) -> ConnectionOptions:
    return ConnectionOptions(options.max_body_bytes, options.keepalive_s, options.body_timeout_s)

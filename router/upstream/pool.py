"""Connections to upstreams by origin: opened on demand, kept while idle, the one used last taken first."""

from __future__ import annotations

import asyncio
import functools
import ssl
from typing import Any, NamedTuple

from router.aio import timeout
from router.upstream.answer import BrokenOff, ConnectionFailure
from router.upstream.connection import Connection, TimedOut

_HAPPY_EYEBALLS_DELAY_S = 0.25  # RFC 8305, section 8
_MAX_REMEMBERED_ORIGINS = 1024  # those without a connection are forgotten above that


class Origin(NamedTuple):
    """Where a connection leads; requests to the same origin share theirs.

    ``address`` is the IP address of ``host`` that is to be used, ``None`` for whichever is found.
    """

    scheme: str
    host: str
    port: int
    address: str | None = None


class CannotConnect(ConnectionFailure):
    """There is no connection to be had."""


class _OriginConnections:
    """What is open to one origin, and which of it is idle, the one used last at the end."""

    __slots__ = ("_closing", "idle", "open", "opening")

    def __init__(self) -> None:
        self.opening = 0
        self.open: set[Connection] = set()
        self.idle: list[Connection] = []
        self._closing: asyncio.Future[None] | None = None

    @property
    def in_use(self) -> bool:
        return bool(self.open) or self.opening > 0

    def opened(self, connection: Connection) -> None:
        self.open.add(connection)

    def lost(self, connection: Connection) -> None:
        self.open.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        if self._closing is not None and not self.open and not self._closing.done():
            self._closing.set_result(None)

    async def close(self) -> None:
        for connection in list(self.open):
            connection.abort()
        if self.open:
            self._closing = asyncio.get_running_loop().create_future()
            await self._closing


class ConnectionPool:
    """All connections of one client: any number open, at most ``max_idle`` per origin kept idle, for ``idle_s``.

    ``tls`` says who is trusted and what is shown to them; without it, whom the system trusts.
    """

    def __init__(
        self,
        *,
        connect_timeout_s: float,
        max_idle: int = 512,
        idle_s: float = 60.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._max_idle = max_idle
        self._idle_s = idle_s
        self._given_tls = tls
        self._origins: dict[Origin, _OriginConnections] = {}
        self._closed = False

    def take(self, origin: Origin) -> Connection | None:
        """An idle connection, which belongs to the caller until it is given back; ``None`` when there is none."""
        known = self._origins.get(origin)
        if known is None:
            return None
        while known.idle:
            connection = known.idle.pop()
            if connection.usable:
                return connection
        return None

    async def connect(self, origin: Origin) -> Connection:
        """A new connection. Raises ``CannotConnect``, or ``TimedOut`` after the connect timeout."""
        if self._closed:
            raise CannotConnect("the client is closed")
        loop = asyncio.get_running_loop()
        owner = self._owner(origin)
        options: dict[str, Any] = {}
        if isinstance(loop, asyncio.BaseEventLoop):  # uvloop has no such option: it tries one address after the other
            options["happy_eyeballs_delay"] = _HAPPY_EYEBALLS_DELAY_S
        if origin.scheme == "https":
            options |= {"ssl": self._tls, "server_hostname": origin.host.rstrip(".")}
        owner.opening += 1
        try:
            async with timeout(self._connect_timeout_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, owner, idle_s=self._idle_s),
                    origin.address or origin.host,
                    origin.port,
                    **options,
                )
        except (asyncio.TimeoutError, TimeoutError) as exc:
            raise TimedOut("no connection in time") from exc
        except (OSError, UnicodeError) as exc:  # UnicodeError: a host name that DNS has no form for
            raise CannotConnect("no connection") from exc
        finally:
            owner.opening -= 1
        if self._closed:
            connection.abort()
            raise BrokenOff("the client was closed")
        return connection

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """End the exchange on ``connection``: it is kept for the next one, or closed."""
        if not connection.release():
            return
        idle = self._origins[origin].idle
        if len(idle) >= self._max_idle:
            connection.abort()
        else:
            idle.append(connection)

    async def close(self) -> None:
        """Close every connection; whoever uses one gets ``BrokenOff``. Returns when all are closed."""
        self._closed = True
        for connections in self._origins.values():
            await connections.close()

    def _owner(self, origin: Origin) -> _OriginConnections:
        owner = self._origins.get(origin)
        if owner is None:
            if len(self._origins) >= _MAX_REMEMBERED_ORIGINS:
                self._origins = {known: each for known, each in self._origins.items() if each.in_use}
            owner = self._origins[origin] = _OriginConnections()
        return owner

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        context = self._given_tls or ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

"""Upstreams that Envoy asks: what the client of upstreams is to the handlers of requests that Envoy carries."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Protocol, cast

from router.aio import timeout
from router.context import RequestContext
from router.dialects.canonical import ChatRequest, JsonObject
from router.errors import UpstreamTimeout, UpstreamUnreachable
from router.handlers.filtered_agent import Agent
from router.upstream.answer import BrokenOff
from router.upstream.connection import Connection, TimedOut
from router.upstream.credentials import CLIENT_KEY_HEADERS
from router.upstream.http import Endpoint, Exchange, HttpClient, UpstreamResponse

_MAX_UNREAD_BYTES = 256 * 1024


class CarriedAnswer:
    """An upstream's answer as Envoy brings it: ``begin``, ``feed``, ``finish``; or ``lose`` it at any time.

    To ``UpstreamResponse`` it is a connection whose head has arrived.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.begun = False
        self.finished = False
        self._lost = False
        self._abandoned = False
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._timeout_s: float | None = None

    @property
    def answer(self) -> CarriedAnswer:
        """The head."""
        return self

    def begin(self, status: int, headers: dict[bytes, bytes]) -> None:
        """The head is here."""
        self.status, self.headers, self.begun = status, headers, True
        self._news.set()

    async def feed(self, data: bytes) -> None:
        """A piece of the body is here; waits while too much of it has not been read."""
        if not data or self._abandoned:
            return
        self._pieces.append(data)
        self._unread += len(data)
        self._news.set()
        while self._unread > _MAX_UNREAD_BYTES and not self._abandoned:
            self._room.clear()
            await self._room.wait()

    def finish(self) -> None:
        """Nothing more of the body follows."""
        self.finished = True
        self._news.set()

    def lose(self) -> None:
        """Nothing more follows, whether or not that was all."""
        self._lost = True
        self._news.set()

    def abandon(self) -> None:
        """Nobody reads on; what is fed from now on is let go."""
        self._abandoned = True
        self._pieces.clear()
        self._room.set()

    async def head(self, timeout_s: float) -> None:
        """Wait for the head; ``timeout_s`` also bounds each wait for more of the body. Raises ``TimeoutError``."""
        self._timeout_s = timeout_s
        async with timeout(timeout_s):
            while not self.begun and not self._lost:
                await self._more()
        if not self.begun:
            raise BrokenOff("Envoy brought no answer")

    async def read(self) -> bytes:
        """What has arrived of the body; ``b""`` at its end. Raises ``ConnectionFailure``."""
        try:
            async with timeout(self._timeout_s):
                while not (self._pieces or self.finished or self._lost):
                    await self._more()
        except (asyncio.TimeoutError, TimeoutError) as exc:
            raise TimedOut("Envoy brought no more of the answer") from exc
        if self._pieces:
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._unread = 0
            self._room.set()
            return data
        if not self.finished:
            raise BrokenOff("Envoy did not bring the rest of the answer")
        return b""

    def take_rest(self, max_bytes: int) -> bytes | None:
        """What is left of the body, where all of it is here and no more than ``max_bytes``; else ``None``."""
        if not self.finished or self._unread > max_bytes:
            return None
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._unread = 0
        return data

    async def _more(self) -> None:
        self._news.clear()
        await self._news.wait()


def forwarded_head(endpoint: Endpoint, headers: Mapping[str, str], *, credentials: bool) -> dict[str, str]:
    """What a request to ``endpoint`` has in its head; keys only with ``credentials``. Envoy knows the host."""
    own = {name.lower(): value for name, value in (*headers.items(), *endpoint.headers.items())}
    if not credentials:
        own = {name: value for name, value in own.items() if name not in CLIENT_KEY_HEADERS}
    own.pop("host", None)
    return {
        "content-type": "application/json",
        "accept": "text/event-stream, application/json",
        "accept-encoding": "identity",
        **own,
        ":path": endpoint.url.raw_path_qs,
    }


class Carrier(Protocol):
    """The exchange with Envoy that an upstream is asked through."""

    def forward(self, endpoint: Endpoint, headers: Mapping[str, str], body: bytes) -> CarriedAnswer:
        """Let the request go on to ``endpoint`` with this body. Raises ``UpstreamUnreachable`` the second time."""


class CarriedExchange(Exchange):
    """One request that Envoy makes, and its answer."""

    __slots__ = ("_answer", "_carrier", "_headers")

    def __init__(self, carrier: Carrier, endpoint: Endpoint, headers: Mapping[str, str], body: bytes) -> None:
        self._carrier = carrier
        self._endpoint = endpoint
        self._headers = headers
        self._body = body

    async def __aenter__(self) -> UpstreamResponse:
        self._answer = self._carrier.forward(self._endpoint, self._headers, self._body)
        name = self._endpoint.name
        try:
            await self._answer.head(self._endpoint.timeout_s)
        except (asyncio.TimeoutError, TimeoutError) as exc:
            raise UpstreamTimeout(f"'{name}' did not answer in time.") from exc
        except BrokenOff as exc:
            raise UpstreamUnreachable(f"The connection to '{name}' broke.") from exc
        # It has everything that an answer is read through.
        self._response = UpstreamResponse(self._endpoint, cast("Connection", self._answer))
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._response.detach()
        self._answer.abandon()


class EnvoyClient(HttpClient):
    """Sends requests on through the exchange with Envoy that they came from: whatever runs under ``carrying`` it.

    One upstream can be asked for each exchange: Envoy is who tries again.
    """

    def __init__(self) -> None:
        super().__init__(connect_timeout_s=1.0)
        self._carrier: ContextVar[Carrier] = ContextVar("carrier")

    def carrying(self, carrier: Carrier) -> None:
        """From now on, requests of this task and of those that it starts go through ``carrier``."""
        self._carrier.set(carrier)

    def post(self, endpoint: Endpoint, body: bytes, headers: Mapping[str, str]) -> Exchange:
        """As any client does. Raises ``InvalidRequest`` for a header that would break out of its line."""
        endpoint.request_head.encode(headers, len(body))
        return CarriedExchange(self._carrier.get(), endpoint, headers, body)


class CarriedAgent:
    """An agent that Envoy asks where its answer is the client's, and ``itself`` where only other agents read it."""

    def __init__(self, itself: Agent, carried: Agent) -> None:
        self._itself = itself
        self._carried = carried

    @property
    def name(self) -> str:
        return self._itself.name

    async def complete(self, request: ChatRequest, context: RequestContext) -> bytes:
        """A whole answer in the client's dialect."""
        return await self._agent(context).complete(request, context)

    async def ask(self, request: ChatRequest, context: RequestContext) -> str:
        """The text of the answer."""
        return await self._agent(context).ask(request, context)

    def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
        """The answer as events in the client's dialect."""
        return self._agent(context).stream(request, context)

    def chunks(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[list[JsonObject], None]:
        """The answer as batches of canonical chunks."""
        return self._agent(context).chunks(request, context)

    def _agent(self, context: RequestContext) -> Agent:
        decision = context.decision
        return self._carried if decision is None or decision.routes[-1] == self.name else self._itself

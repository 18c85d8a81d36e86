"""The server of one listener: accepts connections, and sees them off."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable

from router.aio import timeout
from router.dialects import openai_chat
from router.errors import GatewayError, InvalidRequest
from router.handlers.reply import JSON
from router.listeners.connection import Connection, ConnectionOptions
from router.listeners.exchange import Exchange
from router.listeners.request_parser import MalformedRequest
from router.listeners.response_head import ResponseHeads

logger = logging.getLogger(__name__)

_BACKLOG = 1024
_CUT_OFF_WITHIN_S = 10.0


class Server:
    """Hands every request to ``handler``, which is cancelled when its client goes away."""

    def __init__(self, handler: Callable[[Exchange], Awaitable[None]], options: ConnectionOptions) -> None:
        self.options = options
        self.heads = ResponseHeads()
        self.draining = False
        self._handler = handler
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._empty: asyncio.Future[None] | None = None

    @property
    def port(self) -> int | None:
        """The port in use, ``None`` while there is none."""
        if self._server is None or not self._server.sockets:
            return None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def listen(self, address: str, port: int, *, reuse_port: bool) -> None:
        """Bind and accept. Raises ``OSError``."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(loop, self), address, port, reuse_port=reuse_port, backlog=_BACKLOG
        )

    async def drain(self, timeout_s: float) -> None:
        """Stop accepting, let what is being served finish for ``timeout_s``, then cut off the rest."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.drain()
        if await self._are_gone(timeout_s):
            return
        for connection in list(self._connections):
            connection.cut_off()
        if not await self._are_gone(_CUT_OFF_WITHIN_S):
            logger.error("requests did not end", extra={"connections": len(self._connections)})

    def opened(self, connection: Connection) -> None:
        """A client is here."""
        self._connections.add(connection)
        if self.draining:
            connection.drain()

    def gone(self, connection: Connection) -> None:
        """A client has left, and nothing is served to it any more."""
        self._connections.discard(connection)
        if not self._connections and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    async def handle(self, exchange: Exchange) -> None:
        """Have one request answered."""
        try:
            await self._handler(exchange)
        except Exception:
            request_id = os.urandom(16).hex()
            logger.exception("request failed outside its handler", extra={"request_id": request_id})
            if not exchange.begun:
                error = GatewayError("Something went wrong in the gateway; its log has the details.")
                exchange.send(error.status, _headers(request_id), openai_chat.encode_error(error, request_id))

    def refuse(self, error: MalformedRequest) -> bytes:
        """The answer to what is not a request, behind which the connection is closed."""
        request_id = os.urandom(16).hex()
        cause = repr(error.__cause__ or error)
        logger.info("not an HTTP request", extra={"request_id": request_id, "cause": cause})
        refusal = InvalidRequest("This is not a valid HTTP/1.1 request.")
        body = openai_chat.encode_error(refusal, request_id)
        framing = f"Content-Length: {len(body)}\r\nConnection: close\r\n"
        return self.heads.encode(refusal.status, _headers(request_id), framing) + body

    async def _are_gone(self, timeout_s: float) -> bool:
        if self._connections:
            self._empty = asyncio.get_running_loop().create_future()
            try:
                async with timeout(timeout_s):
                    await self._empty
            except (asyncio.TimeoutError, TimeoutError):
                return False
        return True


def _headers(request_id: str) -> dict[str, str]:
    return {"Content-Type": JSON, "Server": "trident", "x-request-id": request_id}

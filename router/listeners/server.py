"""aiohttp's server with our manners: our request limits, and our error shape for bytes that are not HTTP."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from router.dialects import openai_chat
from router.errors import GatewayError, InvalidRequest
from router.handlers.reply import JSON

logger = logging.getLogger(__name__)

_INTERNAL_SERVER_ERROR = 500


class Server(web.Server):
    """Hands every request to ``handler``, which is cancelled when its client goes away."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        max_body_bytes: int,
        keepalive_s: float,
    ) -> None:
        super().__init__(handler, request_factory=self._make, handler_cancellation=True)
        self._max_body_bytes = max_body_bytes
        self._keepalive_s = keepalive_s

    def __call__(self) -> RequestHandler:
        """The protocol of one new connection."""
        loop = asyncio.get_running_loop()
        no_log: Any = None  # which aiohttp takes to mean: none, whatever its annotation says
        return _Connection(self, loop=loop, access_log=no_log, keepalive_timeout=self._keepalive_s)

    def _make(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=self._max_body_bytes)


class _Connection(RequestHandler):
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = _INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that never reached a handler, and the end of its connection."""
        if request.writer.output_size > 0:
            raise ConnectionError("A response has already begun.")
        request_id = os.urandom(16).hex()
        if status >= _INTERNAL_SERVER_ERROR:
            logger.error("request failed outside its handler", exc_info=exc, extra={"request_id": request_id})
            error = GatewayError("Something went wrong in the gateway; its log has the details.")
        else:
            logger.info("not an HTTP request", extra={"request_id": request_id, "cause": repr(exc)})
            error = InvalidRequest("This is not a valid HTTP/1.1 request.")
        response = web.Response(
            status=status,
            body=openai_chat.encode_error(error, request_id),
            headers={"Content-Type": JSON, "Server": "trident", "x-request-id": request_id},
        )
        response.force_close()
        return response

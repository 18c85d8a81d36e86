"""The HTTP listener: accepts requests, bounds them, finds the handler of the path, sends the reply."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import web

from router.aio import timeout
from router.context import RequestContext
from router.errors import (
    MethodNotAllowed,
    NotFound,
    OperatorError,
    PayloadTooLarge,
    PermissionDenied,
    RequestTimeout,
    Unauthorized,
)
from router.handlers.reply import ByteStream, Reply
from router.listeners import middleware
from router.listeners.auth import Authenticate
from router.listeners.middleware import CLIENT_CLOSED_REQUEST, Resource
from router.listeners.server import Server
from router.listeners.stream_response import write_stream, write_whole
from router.telemetry.access_log import AccessLog
from router.telemetry.metrics import Metrics

_SAFE_IN_HEADER = " !#$&'()*+,/:;=?@[]~\"<>{}|^`\\"


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """Where a listener binds and what it lets a client do.

    ``timeout_s`` is how long a request may take from its head to the last byte of its answer; ``body_timeout_s`` how
    long the client may take to send it; ``drain_timeout_s`` how long requests in flight may go on once the listener
    stops.
    """

    name: str
    address: str
    port: int
    timeout_s: float
    max_body_bytes: int
    drain_timeout_s: float
    body_timeout_s: float
    keepalive_s: float = 75.0


class HttpListener:
    """One listening socket and what it offers at which path.

    ``authenticate`` looks at every request for a path before its body is read; without one, everybody is served.
    """

    def __init__(
        self,
        options: ListenerOptions,
        paths: Mapping[str, Resource],
        metrics: Metrics,
        access_log: AccessLog,
        authenticate: Authenticate | None = None,
    ) -> None:
        self.options = options
        self._authenticate = authenticate
        self._access_log = access_log
        self._paths = paths
        self._metrics = metrics
        self._runner: web.ServerRunner | None = None

    @property
    def port(self) -> int:
        """The port in use, also where the options said 0."""
        if self._runner is None or not self._runner.addresses:
            return self.options.port
        port: int = self._runner.addresses[0][1]
        return port

    async def start(self, *, reuse_port: bool = False) -> None:
        """Bind and accept. Raises ``OperatorError`` when the address cannot be had."""
        server = Server(self._serve, max_body_bytes=self.options.max_body_bytes, keepalive_s=self.options.keepalive_s)
        runner = web.ServerRunner(server, shutdown_timeout=self.options.drain_timeout_s)
        await runner.setup()
        site = web.TCPSite(runner, self.options.address, self.options.port, reuse_port=reuse_port, backlog=1024)
        try:
            await site.start()
        except OSError as exc:
            await runner.cleanup()
            raise OperatorError(
                f"Listener '{self.options.name}' cannot bind {self.options.address}:{self.options.port}: "
                f"{exc.strerror}.",
                fix="Stop what uses the port, or change 'port' or 'address' of this listener.",
            ) from exc
        self._runner = runner

    async def drain(self) -> None:
        """Stop accepting, let requests in flight finish for ``drain_timeout_s``, then cut off the rest."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        started = time.perf_counter()
        resource = self._paths.get(request.path)
        context = RequestContext(
            request_id=middleware.request_id(request.headers),
            listener=self.options.name,
            path=request.path,
            headers=request.headers,
            deadline=time.monotonic() + self.options.timeout_s,
            dialect=resource.dialect if resource is not None else "openai_chat",
        )
        status = CLIENT_CLOSED_REQUEST
        try:
            reply = await self._reply(request, resource, context)
            headers = _headers(reply, context)
            if isinstance(reply.body, ByteStream):
                headers["Cache-Control"] = "no-cache"
                response = await write_stream(request, reply, reply.body, headers, context)
            else:
                response = await write_whole(request, reply, reply.body, headers, context)
            status = reply.status
        finally:
            for finished in context.on_finished:
                finished(context)
            self._metrics.request_finished(context.listener, status)
            self._access_log.write(middleware.access_entry(context, status, started))
        return response

    async def _reply(self, request: web.BaseRequest, resource: Resource | None, context: RequestContext) -> Reply:
        if resource is None:
            known = ", ".join(sorted(self._paths))
            return middleware.error_reply(NotFound(f"No such path; this listener serves {known}."), context)
        handler = resource.methods.get(request.method)
        if handler is None:
            error = MethodNotAllowed(f"{request.method} is not allowed here; use {', '.join(resource.methods)}.")
            return middleware.error_reply(error, context)
        try:
            if self._authenticate is not None:
                self._authenticate(context)
            body = await self._body(request)
        except (Unauthorized, PermissionDenied) as exc:
            return middleware.error_reply(exc, context)
        except web.HTTPRequestEntityTooLarge:
            limit = self.options.max_body_bytes
            error_large = PayloadTooLarge(f"The body is larger than {limit} bytes (limits.max_body_bytes).")
            return middleware.error_reply(error_large, context)
        except (asyncio.TimeoutError, TimeoutError):
            return middleware.error_reply(RequestTimeout("The body did not arrive in time."), context)
        return await middleware.answer(handler, context, body)

    async def _body(self, request: web.BaseRequest) -> bytes:
        if request.content.is_eof():  # all of it came with the head, as small bodies do
            return await request.read()
        async with timeout(self.options.body_timeout_s):
            return await request.read()


def _headers(reply: Reply, context: RequestContext) -> dict[str, str]:
    headers = {"Content-Type": reply.content_type, "Server": "trident", "x-request-id": context.request_id}
    headers.update((name, quote(value, safe=_SAFE_IN_HEADER)) for name, value in reply.headers.items())
    headers.update(context.response_headers)
    if context.attempts:
        headers["x-trident-upstream"] = context.attempts[-1].upstream
        headers["x-trident-attempts"] = str(len(context.attempts))
    if context.degraded:
        headers["x-trident-degraded"] = ", ".join(context.degraded)
    return headers

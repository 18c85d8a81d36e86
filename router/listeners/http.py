"""The HTTP listener: accepts requests, bounds them, finds the handler of the path, sends the reply."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from router.context import RequestContext
from router.errors import (
    GatewayError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    OperatorError,
    PayloadTooLarge,
    RequestTimeout,
)
from router.handlers.reply import ByteStream, Reply
from router.listeners import middleware
from router.listeners.auth import Authenticate
from router.listeners.body import decoded
from router.listeners.connection import ConnectionOptions
from router.listeners.exchange import BodyTooLarge, Exchange
from router.listeners.middleware import CLIENT_CLOSED_REQUEST, Resource
from router.listeners.origins import check_origin
from router.listeners.paths import PathTable
from router.listeners.recording import Outcome, Recorder
from router.listeners.request_parser import MalformedRequest
from router.listeners.server import Server
from router.listeners.stream_response import write_stream, write_whole
from router.telemetry.access_log import AccessLog

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
    """One listening socket and what it offers at which path; ``paths`` may be templates (``PathTable``).

    ``authenticate`` looks at every request for a path before its body is read; without one, everybody is served.
    """

    def __init__(
        self,
        options: ListenerOptions,
        paths: Mapping[str, Resource],
        recorder: Recorder,
        access_log: AccessLog,
        authenticate: Authenticate | None = None,
    ) -> None:
        self.options = options
        self._authenticate = authenticate
        self._access_log = access_log
        self._paths = PathTable(paths)
        self._recorder = recorder
        self._server: Server | None = None

    @property
    def port(self) -> int:
        """The port in use, also where the options said 0."""
        return (self._server and self._server.port) or self.options.port

    async def start(self, *, reuse_port: bool = False) -> None:
        """Bind and accept. Raises ``OperatorError`` when the address cannot be had."""
        options = self.options
        server = Server(
            self._serve, ConnectionOptions(options.max_body_bytes, options.keepalive_s, options.body_timeout_s)
        )
        try:
            await server.listen(options.address, options.port, reuse_port=reuse_port)
        except OSError as exc:
            raise OperatorError(
                f"Listener '{options.name}' cannot bind {options.address}:{options.port}: {exc.strerror}.",
                fix="Stop what uses the port, or change 'port' or 'address' of this listener.",
            ) from exc
        self._server = server

    async def drain(self) -> None:
        """Stop accepting, let requests in flight finish for ``drain_timeout_s``, then cut off the rest."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.drain(self.options.drain_timeout_s)

    async def _serve(self, exchange: Exchange) -> None:
        started = time.perf_counter()
        match = self._paths.find(exchange.path)
        resource = None if match is None else match.found
        context = RequestContext(
            request_id=middleware.request_id(exchange.headers),
            listener=self.options.name,
            path=exchange.path,
            headers=exchange.headers,
            deadline=time.monotonic() + self.options.timeout_s,
            dialect=resource.dialect if resource is not None else "openai_chat",
        )
        outcome = Outcome(None)
        if match is not None:
            outcome.route = match.template
            context.path_parameters = match.parameters
            context.query = exchange.query
        outcome.status = CLIENT_CLOSED_REQUEST
        self._recorder.begin(exchange.method, outcome.route, context)
        try:
            reply = await self._reply(exchange, resource, context)
            headers = _headers(reply, context)
            if isinstance(reply.body, ByteStream):
                headers["Cache-Control"] = "no-cache"
                outcome.stream = True
                outcome.first_byte_s = time.perf_counter() - started
                kept = outcome.keep if self._recorder.wants_answers else None
                await write_stream(exchange, reply, reply.body, headers, context, kept)
            else:
                await write_whole(exchange, reply, reply.body, headers, context)
                outcome.keep(reply.body)
            outcome.status = reply.status
        finally:
            middleware.finish(context)
            outcome.duration_s = time.perf_counter() - started
            cost_usd = self._recorder.finish(context, outcome)
            self._access_log.write(middleware.access_entry(context, outcome, cost_usd))

    async def _reply(self, exchange: Exchange, resource: Resource | None, context: RequestContext) -> Reply:
        if resource is None:
            known = ", ".join(sorted(self._paths))
            return middleware.error_reply(NotFound(f"No such path; this listener serves {known}."), context)
        handler = resource.methods.get(exchange.method)
        if handler is None:
            error = MethodNotAllowed(f"{exchange.method} is not allowed here; use {', '.join(resource.methods)}.")
            return middleware.error_reply(error, context)
        try:
            if self._authenticate is not None:
                self._authenticate(context)
            check_origin(context)
            body = await self._body(exchange)
        except GatewayError as exc:
            return middleware.error_reply(exc, context)
        return await middleware.answer(handler, context, body)

    async def _body(self, exchange: Exchange) -> bytes:
        """The body, without a content coding. Raises ``GatewayError``."""
        try:
            body = await exchange.read(self.options.body_timeout_s)
            if "content-encoding" not in exchange.headers:
                return body
            return await decoded(body, exchange.headers["content-encoding"], max_bytes=self.options.max_body_bytes)
        except BodyTooLarge as exc:
            limit = self.options.max_body_bytes
            raise PayloadTooLarge(f"The body is larger than {limit} bytes (limits.max_body_bytes).") from exc
        except MalformedRequest as exc:
            raise InvalidRequest("The body is not valid HTTP/1.1.") from exc
        except (asyncio.TimeoutError, TimeoutError) as exc:
            raise RequestTimeout("The body did not arrive in time.") from exc


def _headers(reply: Reply, context: RequestContext) -> dict[str, str]:
    headers = {"Content-Type": reply.content_type, "Server": "trident", "x-request-id": context.request_id}
    headers.update((name, quote(value, safe=_SAFE_IN_HEADER)) for name, value in reply.headers.items())
    headers.update(context.response_headers)
    if context.dialect == "anthropic_messages":
        headers["request-id"] = context.request_id  # the name that Anthropic's clients read
    if context.attempts:
        headers["x-trident-upstream"] = context.attempts[-1].upstream
        headers["x-trident-attempts"] = str(len(context.attempts))
    if context.degraded:
        headers["x-trident-degraded"] = ", ".join(context.degraded)
    return headers

"""Writing answers to clients that may be slow or gone: with back-pressure, in bounded time, and with a proper end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from router.aio import timeout
from router.context import RequestContext
from router.errors import GatewayError, UpstreamTimeout
from router.handlers.reply import ByteStream, Reply
from router.listeners.exchange import Exchange

logger = logging.getLogger(__name__)


async def write_whole(
    exchange: Exchange, reply: Reply, body: bytes, headers: dict[str, str], context: RequestContext
) -> None:
    """Send a whole answer; a client that does not take it within the listener's timeout is cut off."""
    exchange.send(reply.status, headers, body)
    if not exchange.writing_paused:
        return
    try:
        async with timeout(context.remaining_s()):
            await exchange.drained()
    except (asyncio.TimeoutError, TimeoutError):
        _cut_off(exchange, context)


async def write_stream(
    exchange: Exchange,
    reply: Reply,
    body: ByteStream,
    headers: dict[str, str],
    context: RequestContext,
    keep: Callable[[bytes], None] | None = None,
) -> None:
    """Send ``body`` chunk by chunk; every write waits for the client. Always closes ``body``.

    ``keep`` gets whatever is sent of it.

    After the first byte no status can change any more: whatever is raised, the listener's timeout included, becomes one
    error event in the client's dialect, then the stream ends. A client that goes away cancels the caller, which closes
    the upstream.
    """
    exchange.begin(reply.status, headers)
    try:
        try:
            await _copy(body, exchange, context, keep)
        except Exception as exc:
            error = _told(exc, context)
            context.error_code = error.code
            if exchange.writing_paused:  # it was the client that kept us waiting; it will not read this either
                _cut_off(exchange, context)
            else:
                _say_farewell(exchange, reply, error, context)
    finally:
        await body.aclose()


def _told(exc: Exception, context: RequestContext) -> GatewayError:
    """What the client is told of a stream that broke; a defect of ours is in the log, and the client reads no more."""
    if not isinstance(exc, GatewayError):
        fields = {"request_id": context.request_id, "path": context.path}
        logger.error("stream failed", exc_info=exc, extra=fields)
        return GatewayError("Something went wrong in the gateway; its log has the details.")
    cause = repr(exc.__cause__ or exc)
    logger.warning("stream broke off", extra={"request_id": context.request_id, "code": exc.code, "cause": cause})
    return exc


async def _copy(
    body: ByteStream, exchange: Exchange, context: RequestContext, keep: Callable[[bytes], None] | None
) -> None:
    try:
        async with timeout(context.remaining_s()):
            async for data in body:
                exchange.write(data)
                if keep is not None:
                    keep(data)
                context.streamed_events += data.count(b"\n\n")
                if exchange.writing_paused:
                    await exchange.drained()
            exchange.end()
    except (asyncio.TimeoutError, TimeoutError) as exc:
        raise UpstreamTimeout("The answer was not finished within the listener's timeout.") from exc


def _say_farewell(exchange: Exchange, reply: Reply, error: GatewayError, context: RequestContext) -> None:
    if reply.encode_stream_error is not None:
        exchange.write(reply.encode_stream_error(error, context.request_id))
    exchange.end()


def _cut_off(exchange: Exchange, context: RequestContext) -> None:
    logger.info("client does not read, connection closed", extra={"request_id": context.request_id})
    exchange.abort()

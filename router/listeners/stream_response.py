"""Writing answers to clients that may be slow or gone: with back-pressure, in bounded time, and with a proper end."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from router.aio import timeout
from router.context import RequestContext
from router.errors import GatewayError, UpstreamTimeout
from router.handlers.reply import ByteStream, Reply

logger = logging.getLogger(__name__)

_NEVER_BLOCKS_BYTES = 64 * 1024  # a write up to the transport's high-water mark returns at once
_FAREWELL_S = 2.0


async def write_whole(
    request: web.BaseRequest, reply: Reply, body: bytes, headers: dict[str, str], context: RequestContext
) -> web.StreamResponse:
    """Send a whole answer; a client that does not take it within the listener's timeout is cut off."""
    response = web.Response(status=reply.status, body=body, headers=headers)
    await response.prepare(request)
    if len(body) <= _NEVER_BLOCKS_BYTES:
        await response.write_eof()
        return response
    try:
        async with timeout(context.remaining_s()):
            await response.write_eof()
    except (asyncio.TimeoutError, TimeoutError):
        _cut_off(request, context)
    return response


async def write_stream(
    request: web.BaseRequest, reply: Reply, body: ByteStream, headers: dict[str, str], context: RequestContext
) -> web.StreamResponse:
    """Send ``body`` chunk by chunk; every write waits for the client. Always closes ``body``.

    After the first byte no status can change any more: a ``GatewayError``, the listener's timeout included, becomes one
    error event in the client's dialect, then the stream ends. A client that goes away cancels the caller, which closes
    the upstream.
    """
    response = web.StreamResponse(status=reply.status, headers=headers)
    try:
        await response.prepare(request)
        try:
            await _copy(body, response, context.remaining_s())
        except GatewayError as exc:
            logger.warning(
                "stream broke off",
                extra={"request_id": context.request_id, "code": exc.code, "cause": repr(exc.__cause__ or exc)},
            )
            if request.protocol.writing_paused:  # it was the client that kept us waiting; it will not read this either
                _cut_off(request, context)
            else:
                await _say_farewell(request, response, reply, exc, context)
    finally:
        await body.aclose()
    return response


async def _copy(body: ByteStream, response: web.StreamResponse, timeout_s: float) -> None:
    try:
        async with timeout(timeout_s):
            async for data in body:
                await response.write(data)
            await response.write_eof()
    except (asyncio.TimeoutError, TimeoutError) as exc:
        raise UpstreamTimeout("The answer was not finished within the listener's timeout.") from exc


async def _say_farewell(
    request: web.BaseRequest, response: web.StreamResponse, reply: Reply, error: GatewayError, context: RequestContext
) -> None:
    try:
        async with timeout(_FAREWELL_S):
            if reply.encode_stream_error is not None:
                await response.write(reply.encode_stream_error(error, context.request_id))
            await response.write_eof()
    except (asyncio.TimeoutError, TimeoutError):
        _cut_off(request, context)


def _cut_off(request: web.BaseRequest, context: RequestContext) -> None:
    logger.info("client does not read, connection closed", extra={"request_id": context.request_id})
    if request.transport is not None:
        request.transport.abort()

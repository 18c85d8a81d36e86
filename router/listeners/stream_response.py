"""Writing a stream to the client with back-pressure, and ending it well when its source breaks."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from router.aio import timeout
from router.context import RequestContext
from router.errors import GatewayError, UpstreamTimeout
from router.handlers.reply import ByteStream, Reply

logger = logging.getLogger(__name__)


async def write_stream(
    request: web.BaseRequest, reply: Reply, body: ByteStream, headers: dict[str, str], context: RequestContext
) -> web.StreamResponse:
    """Send ``body`` chunk by chunk; every write waits for the client. Always closes ``body``.

    After the first byte no status can change any more: a ``GatewayError`` becomes one error event in the client's
    dialect, then the stream ends. A client that goes away cancels the caller, which closes the upstream.
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
            if reply.encode_stream_error is not None:
                await response.write(reply.encode_stream_error(exc, context.request_id))
        await response.write_eof()
    finally:
        await body.aclose()
    return response


async def _copy(body: ByteStream, response: web.StreamResponse, timeout_s: float) -> None:
    try:
        async with timeout(timeout_s):
            async for data in body:
                await response.write(data)
    except (asyncio.TimeoutError, TimeoutError) as exc:
        raise UpstreamTimeout("The answer was not finished within the listener's timeout.") from exc

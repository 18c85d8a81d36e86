"""Bodies of requests that come in a content coding."""

from __future__ import annotations

import asyncio

from router.errors import InvalidRequest
from router.listeners.exchange import BodyTooLarge
from router.upstream.answer import MalformedAnswer
from router.upstream.content_coding import Decoder

_AT_ONCE_BYTES = 16 * 1024  # more than that is left to a thread: it would keep the event loop


async def decoded(body: bytes, coding: str, *, max_bytes: int) -> bytes:
    """``body`` without its ``coding``, a ``Content-Encoding``: gzip, deflate, or none.

    Raises ``BodyTooLarge`` for what unpacks to more than ``max_bytes``, and ``InvalidRequest``.
    """
    coding = coding.strip().lower()
    if coding in {"", "identity"} or not body:
        return body
    try:
        decoder = Decoder(coding)
    except MalformedAnswer as exc:
        raise InvalidRequest("The body's content encoding is neither gzip nor deflate.") from exc
    try:
        if len(body) <= _AT_ONCE_BYTES:
            return _unpack(decoder, body, max_bytes)
        return await asyncio.to_thread(_unpack, decoder, body, max_bytes)
    except MalformedAnswer as exc:
        raise InvalidRequest("The body is not in the content encoding that it names.") from exc


def _unpack(decoder: Decoder, body: bytes, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    for piece in decoder.decode(body):
        size += len(piece)
        if size > max_bytes:
            raise BodyTooLarge
        pieces.append(piece)
    decoder.finish()
    return b"".join(pieces)

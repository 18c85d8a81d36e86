"""What a handler hands back: status, headers, and bytes or a stream of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from router.errors import GatewayError, UpstreamProtocolError

JSON = "application/json"
EVENT_STREAM = "text/event-stream"


class ByteStream:
    """A generator of bytes whose first item is already here.

    So everything that can fail before the first byte has failed while a status could still be chosen, and ``aclose``
    always reaches the generator's ``finally``.
    """

    __slots__ = ("_first", "_rest")

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        self._first: bytes | None = first
        self._rest = rest

    @classmethod
    async def start(cls, generator: AsyncGenerator[bytes, None]) -> ByteStream:
        """Run ``generator`` to its first item. Raises what it raises; an empty one is an ``UpstreamProtocolError``."""
        try:
            first = await anext(generator)
        except StopAsyncIteration:
            raise UpstreamProtocolError("The upstream's answer is empty.") from None
        return cls(first, generator)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return await anext(self._rest)

    async def aclose(self) -> None:
        """Stop reading and release the upstream."""
        await self._rest.aclose()


@dataclass(frozen=True, slots=True)
class Reply:
    """A response that has not been sent yet.

    ``body`` is either whole, or a stream that the listener consumes and closes. A stream may raise ``GatewayError``;
    ``encode_stream_error`` then makes the last bytes that the client gets.
    """

    status: int
    content_type: str
    body: bytes | ByteStream
    headers: Mapping[str, str] = field(default_factory=dict)
    encode_stream_error: Callable[[GatewayError, str], bytes] | None = None

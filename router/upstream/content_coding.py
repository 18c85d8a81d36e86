"""Content codings that upstreams apply although ``identity`` was asked for: gzip and deflate, in bounded pieces."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from router.upstream.answer import MalformedAnswer

MAX_PIECE_BYTES = 256 * 1024

_GZIP = 16 + zlib.MAX_WBITS


class Decoder:
    """Undoes one content coding; never holds or gives more than ``MAX_PIECE_BYTES`` of decoded bytes at a time."""

    __slots__ = ("_coding", "_inflate", "_started", "_undecided")

    def __init__(self, coding: str) -> None:
        """Raises ``MalformedAnswer`` for a coding other than gzip and deflate."""
        if coding not in {"gzip", "x-gzip", "deflate"}:
            raise MalformedAnswer("a content coding that was not asked for")
        self._coding = coding
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS if coding == "deflate" else _GZIP)
        self._started = False
        self._undecided = b""  # the first byte, when it came alone: two tell whether deflate has its zlib head

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The decoded bytes of ``data``, one piece at a time. Raises ``MalformedAnswer`` when it is not so coded."""
        if self._coding == "deflate" and not self._started:
            data = self._undecided + data
            if len(data) < 2:
                self._undecided = data
                return
            if not _has_zlib_head(data):
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._started = True
        piece = b""
        while data or len(piece) == MAX_PIECE_BYTES:  # after a full piece zlib may hold more
            if self._inflate.eof:
                if not data:
                    return
                self._next_member()
            try:
                piece = self._inflate.decompress(data, MAX_PIECE_BYTES)
            except zlib.error as exc:
                raise MalformedAnswer(f"the body is not {self._coding}") from exc
            data = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            if piece:
                yield piece

    def finish(self) -> None:
        """Nothing follows. Raises ``MalformedAnswer`` when the coded bytes need more; no body at all is fine."""
        if (self._undecided and not self._started) or (self._started and not self._inflate.eof):
            raise MalformedAnswer(f"the {self._coding} body is cut short")

    def _next_member(self) -> None:
        if self._coding == "deflate":
            raise MalformedAnswer("bytes behind the deflate body")
        self._inflate = zlib.decompressobj(_GZIP)  # RFC 1952, section 2.2: members follow one another


def decoder_of(headers: dict[bytes, bytes]) -> Decoder | None:
    """What the body has to go through, ``None`` for nothing. Raises ``MalformedAnswer`` for an unknown coding."""
    value = headers.get(b"content-encoding")
    if value is None:
        return None
    coding = value.decode("latin-1").strip().lower()
    return None if coding in {"", "identity"} else Decoder(coding)


def _has_zlib_head(data: bytes) -> bool:
    # RFC 1950, section 2.2. Many servers send raw deflate (RFC 1951) by the same name.
    return data[0] & 0x0F == zlib.DEFLATED and (data[0] << 8 | data[1]) % 31 == 0

"""What an API dialect has to offer, on either side of the gateway. A dialect is a module (or package) of functions.

Two dialects never know each other: what a client says becomes canonical (``canonical``), and what is canonical becomes
what a provider understands; answers go back the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from router.dialects.canonical import ChatRequest, DialectName, JsonObject, Usage
from router.errors import GatewayError, UpstreamError


class StreamEncoder(Protocol):
    """Turns the canonical chunks of one stream into events of a client's dialect."""

    def feed(self, chunk: JsonObject) -> bytes:
        """The events that one chunk amounts to; empty where it says nothing that the dialect has a word for."""

    def finish(self) -> bytes:
        """The events that end the stream well."""


class StreamDecoder(Protocol):
    """Turns the bytes of one provider's stream into canonical chunks, framing included; bytes may be cut anywhere."""

    def feed(self, data: bytes) -> list[JsonObject]:
        """The chunks that ``data`` completes. Raises ``UpstreamError`` for an error event or what is no event."""

    def finish(self) -> list[JsonObject]:
        """What is left at the end. Raises ``UpstreamProtocolError`` when the answer was not finished."""


class StreamObserver(Protocol):
    """Watches a stream that is relayed as it is.

    ``finished``: the stream has said that its answer is complete. ``error``: it has said that it failed, and why.
    ``usage``: the tokens that it counted so far.
    """

    finished: bool
    error: UpstreamError | None
    usage: Usage | None

    def watch(self, events: bytes) -> None:
        """Look at whole events. Never raises: what is relayed is the client's to judge."""


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """What a provider's error body says; ``type`` and ``code`` are the provider's words."""

    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None


class ClientDialect(Protocol):
    """The side that clients see: ``PATH`` is where they post to."""

    NAME: DialectName
    PATH: str

    def decode_request(self, body: bytes) -> ChatRequest:
        """Raises ``InvalidRequest`` that names the field as the client wrote it."""

    def encode_completion(self, completion: JsonObject, request: ChatRequest) -> bytes:
        """The whole answer to ``request``."""

    def stream_encoder(self, request: ChatRequest) -> StreamEncoder:
        """The encoder of one streamed answer to ``request``."""

    def stream_observer(self, source: str) -> StreamObserver:
        """An observer of a stream in this dialect that ``source`` sends and that is relayed."""

    def check_completion(self, body: bytes, source: str) -> Usage | None:
        """See that an answer which is relayed is one; its tokens. Raises ``UpstreamError``, errors in it included."""

    def encode_error(self, error: GatewayError, request_id: str) -> bytes:
        """The body of an error response."""

    def encode_stream_error(self, error: GatewayError, request_id: str) -> bytes:
        """The event that ends a stream which broke after its first byte."""


class ProviderDialect(Protocol):
    """The side that providers and agents see: ``STREAM_TYPE`` is the media type of a streamed answer.

    ``ADVISORY`` has the canonical fields that only say how to serve a request, and that are left out here.
    """

    NAME: DialectName
    STREAM_TYPE: str
    ADVISORY: frozenset[str]

    def encode_request(self, request: ChatRequest) -> bytes:
        """Raises ``InvalidRequest`` that names the field which has no counterpart in this dialect."""

    def decode_completion(self, body: bytes, source: str) -> JsonObject:
        """The canonical completion. Raises ``UpstreamError`` when it is none, or an error with status 200."""

    def stream_decoder(self, source: str, max_event_bytes: int) -> StreamDecoder:
        """The decoder of one streamed answer of ``source``."""

    def decode_error(self, body: bytes) -> ErrorDetails | None:
        """What an error body says; ``None`` when it is not an error in this dialect's shape."""

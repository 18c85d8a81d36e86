"""The Anthropic Messages dialect, both sides.

Reference: https://platform.claude.com/docs/en/api/messages. Clients may speak version 2023-06-01 or 2026-10-21 of the
API, whose bodies differ in what they allow; what is relayed has to be sent with the client's own ``anthropic-version``.
"""

from __future__ import annotations

from router.dialects.anthropic_messages.answers import check_completion as check_completion
from router.dialects.anthropic_messages.answers import decode_completion as decode_completion
from router.dialects.anthropic_messages.answers import encode_completion as encode_completion
from router.dialects.anthropic_messages.errors import decode_error as decode_error
from router.dialects.anthropic_messages.errors import encode_error as encode_error
from router.dialects.anthropic_messages.errors import encode_stream_error as encode_stream_error
from router.dialects.anthropic_messages.requests_in import NAME as NAME
from router.dialects.anthropic_messages.requests_in import decode_request as decode_request
from router.dialects.anthropic_messages.requests_out import ADVISORY as ADVISORY
from router.dialects.anthropic_messages.requests_out import encode_request as encode_request
from router.dialects.anthropic_messages.stream_in import Decoder, Observer
from router.dialects.anthropic_messages.stream_out import Encoder
from router.dialects.base import StreamDecoder, StreamEncoder, StreamObserver
from router.dialects.canonical import ChatRequest

PATH = "/v1/messages"
STREAM_TYPE = "text/event-stream"


def stream_encoder(request: ChatRequest) -> StreamEncoder:
    """The encoder of one streamed answer."""
    return Encoder(request)


def stream_decoder(source: str, max_event_bytes: int) -> StreamDecoder:
    """The decoder of one streamed answer."""
    return Decoder(source, max_event_bytes)


def stream_observer(source: str) -> StreamObserver:
    """The observer of one relayed answer."""
    return Observer(source)

"""The OpenAI Responses dialect, as clients speak it and as providers and agents do.

Reference: https://platform.openai.com/docs/api-reference/responses. ``client_request``, ``response`` and
``stream_encoder`` face clients; ``provider_request``, ``completion`` and ``stream_decoder`` face providers. What a
provider keeps between requests (``previous_response_id``) is not known here: such a request can only be relayed.
"""

from __future__ import annotations

from router.dialects.base import StreamDecoder, StreamEncoder, StreamObserver
from router.dialects.canonical import ChatRequest
from router.dialects.openai_chat import decode_error as decode_error
from router.dialects.openai_chat import encode_error as encode_error
from router.dialects.openai_responses.client_request import NAME as NAME
from router.dialects.openai_responses.client_request import decode_request as decode_request
from router.dialects.openai_responses.completion import check_completion as check_completion
from router.dialects.openai_responses.completion import decode_completion as decode_completion
from router.dialects.openai_responses.provider_request import encode_request as encode_request
from router.dialects.openai_responses.response import encode_completion as encode_completion
from router.dialects.openai_responses.stream_decoder import Decoder, Observer
from router.dialects.openai_responses.stream_encoder import Encoder
from router.dialects.openai_responses.stream_items import encode_stream_error as encode_stream_error

PATH = "/v1/responses"
STREAM_TYPE = "text/event-stream"
ADVISORY: frozenset[str] = frozenset()


def stream_encoder(request: ChatRequest) -> StreamEncoder:
    """The encoder of one streamed answer to ``request``."""
    return Encoder(request)


def stream_decoder(source: str, max_event_bytes: int) -> StreamDecoder:
    """The decoder of one streamed answer of ``source``."""
    return Decoder(source, max_event_bytes)


def stream_observer(source: str) -> StreamObserver:
    """The observer of one relayed answer of ``source``."""
    return Observer(source)

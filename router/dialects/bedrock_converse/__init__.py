"""Amazon Bedrock's Converse and ConverseStream, for providers.

Reference: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html. The model and whether the
answer is streamed are said by the URL, so neither is part of the body.
"""

from __future__ import annotations

from router.dialects import aws_eventstream
from router.dialects.base import StreamDecoder
from router.dialects.bedrock_converse.answers import decode_completion as decode_completion
from router.dialects.bedrock_converse.errors import decode_error as decode_error
from router.dialects.bedrock_converse.fields import NAME as NAME
from router.dialects.bedrock_converse.requests import ADVISORY as ADVISORY
from router.dialects.bedrock_converse.requests import encode_request as encode_request
from router.dialects.bedrock_converse.stream import Decoder

STREAM_TYPE = aws_eventstream.MEDIA_TYPE


def stream_decoder(source: str, max_event_bytes: int) -> StreamDecoder:
    """The decoder of one streamed answer."""
    return Decoder(source, max_event_bytes)

"""The OpenAI chat completion dialect, whole answers and requests; ``openai_chat_stream`` has the streams.

Reference: https://platform.openai.com/docs/api-reference/chat. The canonical form is this dialect plus a few fields of
ours, so decoding is checking, and encoding is leaving those out. Fields that are not read here are kept as they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import NotRequired, TypedDict

from router.dialects.base import ErrorDetails, StreamDecoder, StreamEncoder, StreamObserver
from router.dialects.canonical import (
    ChatRequest,
    DialectName,
    JsonObject,
    Message,
    Usage,
    encode_json,
    usage_of,
)
from router.dialects.openai_chat_stream import Decoder, Encoder, Observer, error_payload, failure
from router.dialects.openai_chat_stream import encode_stream_error as encode_stream_error
from router.errors import GatewayError, InvalidRequest, UpstreamProtocolError

NAME: DialectName = "openai_chat"
PATH = "/v1/chat/completions"
STREAM_TYPE = "text/event-stream"

# Fields of the canonical form that no provider of this dialect knows.
_OWN_MESSAGE_FIELDS = ("thinking_blocks", "reasoning_content")
_OWN_PART_FIELDS = ("cache_control",)


@with_config(ConfigDict(extra="allow", strict=True))
class _Payload(TypedDict):
    messages: list[Message]
    model: NotRequired[str | None]
    stream: NotRequired[bool | None]


_PAYLOAD = TypeAdapter(_Payload)


def decode_request(body: bytes) -> ChatRequest:
    """Decode a request body. Raises ``InvalidRequest`` that names the field."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(f"The body is not valid JSON: {exc}.") from exc
    try:
        _PAYLOAD.validate_python(payload)
    except ValidationError as exc:
        raise _invalid(exc) from None
    if not payload["messages"]:
        raise InvalidRequest("'messages' is empty; send at least one message.", param="messages")
    return ChatRequest(payload, body)


def _invalid(exc: ValidationError) -> InvalidRequest:
    errors = exc.errors(include_url=False, include_context=False, include_input=False)
    # The first field that is wrong; where it is a union, the branch that got furthest.
    error = max((e for e in errors if e["loc"][:2] == errors[0]["loc"][:2]), key=lambda e: len(e["loc"]))
    param = ""
    for part in error["loc"]:
        if isinstance(part, int):
            param += f"[{part}]"
        elif part != "str" and not part.startswith("list["):  # how pydantic names the branches of ``content``
            param += f".{part}" if param else part
    if not param:
        return InvalidRequest("The body must be a JSON object with 'messages'.")
    if error["type"] == "missing":
        return InvalidRequest(f"'{param}' is required.", param=param)
    if param.endswith(".content"):
        return InvalidRequest(f"'{param}' must be a string, a list of parts or null.", param=param)
    return InvalidRequest(f"'{param}': {error['msg'].lower()}.", param=param)


def encode_request(request: ChatRequest) -> bytes:
    """The request's bytes: as received where it came in this dialect and nothing was changed."""
    if request.dialect == NAME:
        native = request.native_body()
        if native is not None:
            return native
    return encode_json({**request.payload, "messages": [_plain_message(message) for message in request.messages]})


def _plain_message(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message without the fields that only other dialects have a word for."""
    content = message.get("content")
    marked = isinstance(content, list) and any(name in part for part in content for name in _OWN_PART_FIELDS)
    if not marked and not any(name in message for name in _OWN_MESSAGE_FIELDS):
        return message
    plain = {name: value for name, value in message.items() if name not in _OWN_MESSAGE_FIELDS}
    if marked and isinstance(content, list):
        plain["content"] = [
            {name: value for name, value in part.items() if name not in _OWN_PART_FIELDS} for part in content
        ]
    return plain


def encode_completion(completion: JsonObject, request: ChatRequest) -> bytes:
    """A whole completion, which is canonical already."""
    return orjson.dumps(completion)


def decode_completion(body: bytes, source: str) -> JsonObject:
    """Decode a whole completion of ``source``. Raises ``UpstreamError`` when it is none."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise UpstreamProtocolError(f"'{source}' sent an answer that is not valid JSON.") from exc
    if not isinstance(payload, dict):
        raise UpstreamProtocolError(f"'{source}' sent an answer that is not a JSON object.")
    choices = payload.get("choices")
    if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
        error = payload.get("error")
        if isinstance(error, dict) and "message" in error:
            raise failure(error, source)
        raise UpstreamProtocolError(f"'{source}' sent an answer without 'choices'.")
    return payload


def check_completion(body: bytes, source: str) -> Usage | None:
    """See that ``body`` is a completion; its tokens. Raises ``UpstreamError``."""
    return usage_of(decode_completion(body, source).get("usage"))


def stream_encoder(request: ChatRequest) -> StreamEncoder:
    """The encoder of one streamed answer."""
    return Encoder(with_usage=request.wants_usage)


def stream_decoder(source: str, max_event_bytes: int) -> StreamDecoder:
    """The decoder of one streamed answer."""
    return Decoder(source, max_event_bytes)


def stream_observer(source: str) -> StreamObserver:
    """The observer of one relayed answer."""
    return Observer(source)


def encode_error(error: GatewayError, request_id: str) -> bytes:
    """The body of an error response."""
    return orjson.dumps(error_payload(error, request_id))


def decode_error(body: bytes) -> ErrorDetails | None:
    """What an error body says, ``None`` when it is none in this dialect's shape."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    error = payload.get("error") if isinstance(payload, dict) else None
    if not (isinstance(error, dict) and error.get("message")):
        return None
    known = {name: None if error.get(name) is None else str(error[name]) for name in ("type", "code", "param")}
    return ErrorDetails(str(error["message"]), **known)

"""The OpenAI chat completion dialect, whole answers and requests; ``openai_chat_stream`` has the streams.

Reference: https://platform.openai.com/docs/api-reference/chat. The canonical form is this dialect plus a few fields of
ours, so decoding is checking, and encoding is leaving those out. Fields that are not read here are kept as they came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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
    encode_answer,
    encode_json,
    usage_of,
)
from router.dialects.openai_chat_choices import check_choices
from router.dialects.openai_chat_stream import Decoder, Encoder, Observer, error_payload, failure
from router.dialects.openai_chat_stream import encode_stream_error as encode_stream_error
from router.errors import GatewayError, InvalidRequest, UpstreamProtocolError

NAME: DialectName = "openai_chat"
PATH = "/v1/chat/completions"
STREAM_TYPE = "text/event-stream"
ADVISORY: frozenset[str] = frozenset()

# Fields of the canonical form that no provider of this dialect knows: of messages, and of parts, tools and tool calls.
_OWN_MESSAGE_FIELDS = frozenset(
    {"anthropic", "cache_control", "citations", "is_error", "native_blocks", "reasoning_content", "thinking_blocks"}
)
_OWN_PART_FIELDS = frozenset({"anthropic", "cache_control"})
# OpenAI's own models that reason take no ``max_tokens``; most other servers know only that.
_TAKES_COMPLETION_TOKENS = re.compile(r"(?:^|/)(?:o\d|gpt-(?:[5-9]|\d\d))")


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
    """The request's bytes: as received where it came in this dialect and nothing was changed.

    Raises ``InvalidRequest`` that names the field which has no counterpart in this dialect.
    """
    if request.dialect == NAME:
        native = request.native_body()
        if native is not None:
            return native
    request.require_translatable(NAME)
    body = {**request.payload, "messages": _plain_messages(request.messages)}
    if isinstance(body.get("tools"), list):
        body["tools"] = [_without(tool, _OWN_PART_FIELDS) for tool in body["tools"]]
    if not request.stream:
        body.pop("stream_options", None)
    if "max_tokens" in body and _TAKES_COMPLETION_TOKENS.search(request.model or ""):
        body["max_completion_tokens"] = body.pop("max_tokens")
    return encode_json(body)


def without_foreign_reasoning(request: ChatRequest) -> ChatRequest:
    """``request`` without the signed reasoning of other dialects, where a client of this one sent some back.

    The gateway gives it to clients of this dialect as ``thinking_blocks``; a model provider has no such field. The
    ``reasoning_content`` beside it came from the same place.
    """
    if not any("thinking_blocks" in message for message in request.messages):
        return request
    foreign = frozenset({"thinking_blocks", "reasoning_content"})
    messages = [_without(message, foreign) if "thinking_blocks" in message else message for message in request.messages]
    return request.replace(messages=messages)


def _plain_messages(messages: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Messages as this dialect has them: nothing of our own in them, and what is no text in no tool's result.

    Images and files that tools gave back follow in a message of the user, behind the results of the turn.
    """
    plain: list[Mapping[str, Any]] = []
    shown: list[Any] = []
    for message in messages:
        if shown and message["role"] != "tool":
            plain.append({"role": "user", "content": shown})
            shown = []
        message = _plain_message(message)
        content = message.get("content")
        if message["role"] == "tool" and isinstance(content, list):
            texts = [part for part in content if part.get("type") == "text"]
            if len(texts) < len(content):
                shown = shown + [part for part in content if part.get("type") != "text"]
                message = {**message, "content": texts or "The result follows."}
        plain.append(message)
    if shown:
        plain.append({"role": "user", "content": shown})
    return plain


def _plain_message(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message without the fields that only other dialects have a word for."""
    plain = _without(message, _OWN_MESSAGE_FIELDS)
    for name in ("content", "tool_calls"):
        parts = plain.get(name)
        if isinstance(parts, list) and not all(_OWN_PART_FIELDS.isdisjoint(part) for part in parts):
            plain = {**plain, name: [_without(part, _OWN_PART_FIELDS) for part in parts]}
    return plain


def _without(holder: Mapping[str, Any], names: frozenset[str]) -> Mapping[str, Any]:
    if names.isdisjoint(holder):
        return holder
    return {name: value for name, value in holder.items() if name not in names}


def encode_completion(completion: JsonObject, request: ChatRequest) -> bytes:
    """A whole completion, which is canonical already. Raises ``UpstreamProtocolError`` for what JSON cannot say."""
    return encode_answer(completion)


def decode_completion(body: bytes, source: str) -> JsonObject:
    """Decode a whole completion of ``source``. Raises ``UpstreamError`` when it is none."""
    payload = _completion(body, source)
    check_choices(payload["choices"], "message", source)
    return payload


def _completion(body: bytes, source: str) -> JsonObject:
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
    return usage_of(_completion(body, source).get("usage"))


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

"""The OpenAI chat completion dialect, which is also the canonical form: requests, completions and errors.

Reference: https://platform.openai.com/docs/api-reference/chat. Fields that are not read here are kept as they came.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import orjson
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import NotRequired, TypedDict

from router.errors import GatewayError, InvalidRequest, UpstreamProtocolError

JsonObject: TypeAlias = dict[str, Any]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]

PATH = "/v1/chat/completions"

_KEEP_UNKNOWN = ConfigDict(extra="allow", strict=True)


@with_config(_KEEP_UNKNOWN)
class ContentPart(TypedDict):
    """One part of a message; ``text`` is there when ``type`` is ``text``."""

    type: str
    text: NotRequired[str]


@with_config(_KEEP_UNKNOWN)
class Message(TypedDict):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: NotRequired[str | list[ContentPart] | None]
    name: NotRequired[str | None]


@with_config(_KEEP_UNKNOWN)
class _Payload(TypedDict):
    messages: list[Message]
    model: NotRequired[str | None]
    stream: NotRequired[bool | None]


_PAYLOAD = TypeAdapter(_Payload)


class ChatRequest:
    """A decoded request and the bytes that it came in, so that an unchanged one is never encoded again."""

    __slots__ = ("_payload", "_raw")

    def __init__(self, payload: JsonObject, raw: bytes | None = None) -> None:
        self._payload = payload
        self._raw = raw

    @property
    def messages(self) -> list[Message]:
        messages: list[Message] = self._payload["messages"]
        return messages

    @property
    def model(self) -> str | None:
        return self._payload.get("model") or None

    @property
    def stream(self) -> bool:
        return bool(self._payload.get("stream"))

    def replace(self, *, drop: Iterable[str] = (), **fields: object) -> ChatRequest:
        """A copy with ``fields`` set and those in ``drop`` removed; this request stays as it is."""
        payload = {**self._payload, **fields}
        for name in drop:
            payload.pop(name, None)
        return ChatRequest(payload)

    def encode(self) -> bytes:
        """The request's bytes: as received where nothing was changed."""
        if self._raw is None:
            try:
                self._raw = orjson.dumps(self._payload)
            except (TypeError, orjson.JSONEncodeError) as exc:
                raise InvalidRequest(f"The request cannot be passed on: {exc}.") from exc
        return self._raw


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


def message_text(message: Mapping[str, Any]) -> str:
    """The text of a message: its string content, or its text parts joined by line ends. Other parts have no text."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))


def completion_id() -> str:
    """An id for a completion that the gateway makes itself."""
    return f"chatcmpl-{uuid.uuid4().hex}"


def encode_completion(text: str, *, model: str, finish_reason: FinishReason = "stop", **extra: object) -> bytes:
    """A whole completion with one assistant message, encoded; ``extra`` fields are added at the top level."""
    whole = {
        "id": completion_id(),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": finish_reason,
            }
        ],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        **extra,
    }
    return orjson.dumps(whole)


def decode_answer(data: bytes, source: str) -> JsonObject:
    """Decode an answer or a chunk of ``source``. Raises ``UpstreamProtocolError`` when it is not a JSON object."""
    try:
        payload = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise UpstreamProtocolError(f"'{source}' sent an answer that is not valid JSON.") from exc
    if not isinstance(payload, dict):
        raise UpstreamProtocolError(f"'{source}' sent an answer that is not a JSON object.")
    return payload


def decode_completion(body: bytes, source: str) -> JsonObject:
    """Decode a whole completion of ``source``. Raises ``UpstreamProtocolError`` when it has no choices."""
    payload = decode_answer(body, source)
    choices = payload.get("choices")
    if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
        raise UpstreamProtocolError(f"'{source}' sent an answer without 'choices'.")
    return payload


def completion_text(payload: Mapping[str, Any]) -> str:
    """The assistant text of a whole completion's first choice."""
    return message_text(payload["choices"][0].get("message") or {})


def error_payload(error: GatewayError, request_id: str) -> JsonObject:
    """The error object of this dialect; the request id is an addition that OpenAI carries in a header only."""
    return {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
            "request_id": request_id,
        }
    }


def encode_error(error: GatewayError, request_id: str) -> bytes:
    """The body of an error response."""
    return orjson.dumps(error_payload(error, request_id))


def is_error_payload(body: bytes) -> bool:
    """Whether ``body`` is an error in this dialect's shape, fit to be passed on."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(payload, dict) and isinstance(payload.get("error"), dict) and "message" in payload["error"]

"""What services see of requests and answers, and what becomes of what they send back.

On ``model`` listeners a service gets the whole body in the client's own dialect, and its answer replaces that body. On
all others it gets ``{"model", "messages"}`` in canonical form, and only ``messages`` of its answer count. An object
whose only key is ``answer`` is neither: it is the answer to the client, as text or as a whole chat completion.
"""

from __future__ import annotations

from typing import Any, Protocol

import orjson

from router.dialects import openai_chat
from router.dialects.canonical import ChatRequest, JsonObject, encode_json
from router.dialects.registry import CLIENT_DIALECTS, PROVIDER_DIALECTS
from router.errors import GatewayError, UpstreamProtocolError
from router.filters.base import LocalAnswer

ANSWER_KEY = "answer"


class BodyView(Protocol):
    """One way to show requests to services."""

    def encode(self, request: ChatRequest) -> bytes:
        """What the service gets."""

    def apply(self, request: ChatRequest, changed: JsonObject) -> ChatRequest:
        """``request`` with what the service sent back. Raises ``GatewayError`` where that is no request."""


class WholeBody:
    """The body as the client wrote it, or would write what earlier filters made of it."""

    def encode(self, request: ChatRequest) -> bytes:
        return request.native_body() or PROVIDER_DIALECTS[request.dialect].encode_request(request)

    def apply(self, request: ChatRequest, changed: JsonObject) -> ChatRequest:
        """The new body, read as one of the client. How the client reads its answer (``stream``) stays its choice."""
        decoded = CLIENT_DIALECTS[request.dialect].decode_request(encode_json(changed))
        return decoded if decoded.stream == request.stream else decoded.replace(stream=request.stream)


class MessagesBody:
    """``{"model", "messages"}``, of which only ``messages`` can be changed."""

    def encode(self, request: ChatRequest) -> bytes:
        return encode_json({"model": request.model, "messages": request.messages})

    def apply(self, request: ChatRequest, changed: JsonObject) -> ChatRequest:
        decoded = openai_chat.decode_request(encode_json({"messages": changed.get("messages")}))
        return request if decoded.messages == request.messages else request.replace(messages=decoded.messages)


def read_back(view: BodyView, request: ChatRequest, sent: bytes, answer: Any, source: str) -> ChatRequest | LocalAnswer:
    """What ``answer``, the service's JSON to the body ``sent``, makes of the request.

    Raises ``UpstreamProtocolError`` where it is neither a body nor an answer.
    """
    if not isinstance(answer, dict):
        raise UpstreamProtocolError(f"'{source}' sent something that is not a JSON object.")
    if answer.keys() == {ANSWER_KEY}:
        return _answered(answer[ANSWER_KEY], request, source)
    if answer == orjson.loads(sent):
        return request
    try:
        return view.apply(request, answer)
    except GatewayError as exc:
        raise UpstreamProtocolError(f"'{source}' sent a body that is no request.") from exc


def _answered(answer: object, request: ChatRequest, source: str) -> LocalAnswer:
    if isinstance(answer, str):
        return LocalAnswer.saying(answer, request)
    return LocalAnswer(openai_chat.decode_completion(encode_json(answer), source))

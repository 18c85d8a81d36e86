"""What filters and guards make of requests to APIs that answer no conversation: what leaves here is looked at, too.

Filters and guards know conversations, so what is sent is told to them as one. What they make of it is sent. A request
that one of them refuses, or answers itself, gets an error: these APIs have no words for a refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from router.context import LocalReply, RequestContext
from router.dialects import anthropic_messages
from router.dialects.canonical import ChatRequest, encode_json
from router.dialects.registry import PROVIDER_DIALECTS
from router.errors import ContentBlocked, InvalidRequest
from router.handlers.admission import Admission


class RelayAdmission(Protocol):
    """Whether a request to one API may go on."""

    async def admitted(self, request: ChatRequest, context: RequestContext) -> ChatRequest:
        """The request as it may go on; ``request`` itself where nobody looks.

        Raises ``ContentBlocked`` and what ``Admission`` raises; ``InvalidRequest`` for what cannot be looked at.
        """


class TextsAdmission:
    """For APIs with texts in ``input``: embeddings, moderations. Each text is a user message of its own.

    Token ids and pictures are refused where somebody looks: they could say anything. ``guarded=False``: only filters
    look, which keep secrets and personal data here; guards would refuse what a moderation is asked about.
    """

    def __init__(self, admission: Admission, *, guarded: bool = True) -> None:
        self._admission = admission
        self._guarded = guarded

    async def admitted(self, request: ChatRequest, context: RequestContext) -> ChatRequest:
        if not (self._admission if self._guarded else self._admission.filters):
            return request
        body = request.payload
        given = body.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            message = "'input' must be a string or a list of strings: filters and guards have to read it."
            raise InvalidRequest(message, param="input")
        beside = {name: value for name, value in body.items() if name != "input"}
        told = ChatRequest({**beside, "messages": [{"role": "user", "content": text} for text in texts]})
        admitted = await _admitted(self._admission, told, context, guarded=self._guarded)
        read = [_user_text(message) for message in admitted.messages]
        if len(read) != len(texts) or None in read:
            raise ContentBlocked("A filter made something of this request that this API cannot be asked.")
        kept = {name: admitted.payload[name] for name in beside if name in admitted.payload}
        return ChatRequest({**kept, "input": read[0] if isinstance(given, str) else read})


class ConversationAdmission:
    """For the count of tokens: a conversation in the dialect of Anthropic, without ``max_tokens``."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def admitted(self, request: ChatRequest, context: RequestContext) -> ChatRequest:
        if not self._admission:
            return request
        told = anthropic_messages.decode_request(encode_json({"max_tokens": 1, **request.payload}))
        admitted = await _admitted(self._admission, told, context, guarded=True)
        body = admitted.native_body() or PROVIDER_DIALECTS["anthropic_messages"].encode_request(admitted)
        payload: dict[str, Any] = orjson.loads(body)
        unasked = {"max_tokens", "stream"} - request.payload.keys()
        return ChatRequest({name: value for name, value in payload.items() if name not in unasked})


async def _admitted(admission: Admission, told: ChatRequest, context: RequestContext, *, guarded: bool) -> ChatRequest:
    filtered = await admission.filtered(told, context)
    if not isinstance(filtered, ChatRequest):
        raise ContentBlocked("A filter has answered this request itself, and this API has no such answer.")
    if not guarded:
        return filtered
    ruling = await admission.admit(filtered, context)
    if isinstance(ruling, LocalReply):
        raise ContentBlocked(f"{ruling.message} (Blocked by the guard '{ruling.guard}'.)")
    return ruling.request


def _user_text(message: Mapping[str, Any]) -> str | None:
    content = message.get("content")
    return content if message.get("role") == "user" and isinstance(content, str) else None

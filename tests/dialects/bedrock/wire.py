"""botocore's model of the service as judge of what we emit, and streams of events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from router.dialects import anthropic_messages, bedrock_converse
from router.dialects.canonical import ChatRequest, CompletionAssembler, JsonObject
from router.errors import InvalidRequest
from tests.fakes.aws_eventstream import encode_message
from tests.fakes.http_exchange import RecordedRequest
from tests.fakes.providers.converse import ConverseApi

SOURCE = "bedrock"
LIMIT = 1_000_000
CLAUDE = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
ADAPTIVE_CLAUDE = "global.anthropic.claude-opus-4-8-20260601-v1:0"
NOVA = "amazon.nova-pro-v1:0"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"
USER: JsonObject = {"role": "user", "content": "Hi"}
TOOL: JsonObject = {
    "type": "function",
    "function": {"name": "weather", "description": "Now", "parameters": {"type": "object", "properties": {"x": {}}}},
}
CALL: JsonObject = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Zürich"}'},
}
TEXT: JsonObject = {"text": "Hi"}
CALLED: list[JsonObject] = [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}]
RESULT: JsonObject = {"role": "tool", "tool_call_id": "call_1", "content": "21 °C"}


def encoded(request: ChatRequest) -> JsonObject:
    """The request as it is sent, when Bedrock would take it."""
    body = bedrock_converse.encode_request(request)
    headers = {"authorization": "Bearer k", "content-type": "application/json"}
    path = f"/model/{quote(request.model or '', safe='')}/converse"
    ConverseApi("k").check(RecordedRequest("POST", path, headers, body))
    payload: JsonObject = orjson.loads(body)
    return payload


def converse(*messages: JsonObject, model: str = CLAUDE, **fields: Any) -> JsonObject:
    """What a canonical request of an OpenAI client becomes."""
    return encoded(ChatRequest({"model": model, "messages": list(messages or (USER,)), **fields}))


def converse_anthropic(model: str = CLAUDE, **fields: Any) -> JsonObject:
    """What an Anthropic client's request becomes."""
    payload = {"model": model, "max_tokens": 9000, "messages": [USER], **fields}
    return encoded(anthropic_messages.decode_request(orjson.dumps(payload)))


def refused(*messages: JsonObject, model: str = CLAUDE, **fields: Any) -> InvalidRequest:
    """The error for what has no counterpart."""
    with pytest.raises(InvalidRequest) as caught:
        bedrock_converse.encode_request(ChatRequest({"model": model, "messages": list(messages or (USER,)), **fields}))
    return caught.value


def event(kind: str, payload: object) -> bytes:
    """One event of a stream."""
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encode_message(headers, orjson.dumps(payload))


def exception(kind: str, payload: object) -> bytes:
    """The event with which a stream fails."""
    return encode_message({":exception-type": kind, ":message-type": "exception"}, orjson.dumps(payload))


def delta(index: int, **what: object) -> bytes:
    """A piece of a content block."""
    return event("contentBlockDelta", {"delta": what, "contentBlockIndex": index, "p": "abc"})


def decoded(data: bytes, *, step: int | None = None) -> list[JsonObject]:
    """The chunks of a whole stream that comes in pieces of ``step`` bytes."""
    decoder = bedrock_converse.stream_decoder(SOURCE, LIMIT)
    chunks: list[JsonObject] = []
    for begin in range(0, len(data), step or len(data) or 1):
        chunks += decoder.feed(data[begin : begin + (step or len(data))])
    return chunks + decoder.finish()


def assembled(chunks: Iterable[Mapping[str, Any]]) -> JsonObject:
    """The completion that chunks amount to."""
    assembler = CompletionAssembler()
    for chunk in chunks:
        assembler.add(chunk)
    return assembler.completion()

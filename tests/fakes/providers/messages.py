"""Anthropic's Messages.

Reference: https://platform.claude.com/docs/en/api/messages, .../messages-streaming and .../versioning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from anthropic.types.message_create_params import MessageCreateParams

from tests.fakes.http_exchange import RecordedRequest
from tests.fakes.providers.answers import (
    Answer,
    Failure,
    Refusal,
    Text,
    Thinking,
    Tokens,
    ToolCall,
    pieces,
    signature_of,
    slices,
)
from tests.fakes.providers.checks import (
    IMAGE_TYPES,
    TOOL_USE_ID,
    check_type,
    payload_of,
    require,
    require_base64,
    require_range,
    require_tool_names,
    sse,
)
from tests.fakes.providers.server import Refused
from tests.fakes.providers.strict import StrictType

_REQUEST = StrictType(MessageCreateParams)
_FIRST_VERSION, _NEWEST_VERSION = "2023-06-01", "2026-10-21"
_SAMPLING = ("temperature", "top_p", "top_k")  # gone in the newest version, and with it from the SDK's type
_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_LEAST_BUDGET = 1024


class MessagesApi:
    """``POST /v1/messages`` with the key in ``x-api-key``, or as a bearer token, which newer SDKs prefer."""

    stream_type = "text/event-stream"

    def __init__(self, key: str) -> None:
        self.key = key

    def check(self, request: RecordedRequest) -> None:
        if request.path != "/v1/messages":
            raise Refused(404, "Not found")
        given = {request.headers.get("x-api-key"), request.headers.get("authorization")} - {None}
        if given != {self.key} and given != {f"Bearer {self.key}"}:
            raise Refused(401, "invalid x-api-key")
        version = request.headers.get("anthropic-version")
        require(version in {_FIRST_VERSION, _NEWEST_VERSION}, "not a valid version", "anthropic-version")
        payload = payload_of(request)
        allowed = _SAMPLING if version == _FIRST_VERSION else ()
        check_type({name: value for name, value in payload.items() if name not in allowed}, _REQUEST)
        _check_fields(payload)
        _check_thinking(payload)
        _check_conversation(payload["messages"])

    def wants_stream(self, request: RecordedRequest) -> bool:
        return request.wants_stream

    def whole(self, answer: Answer, request: RecordedRequest) -> object:
        return {
            **self._head(answer, request),
            "content": [_block(part) for part in answer.parts],
            **_end(answer),
            "usage": _usage(answer.tokens),
        }

    def events(self, answer: Answer, request: RecordedRequest) -> list[bytes]:
        return [sse(event, event["type"]) for event in self._events(answer, request)]

    def failure(self, failure: Failure) -> tuple[object, Mapping[str, str]]:
        error = {"type": _ERROR_TYPES.get(failure.status, "api_error"), "message": failure.message}
        return {"type": "error", "error": error, "request_id": "req_fake"}, {"request-id": "req_fake"}

    def stream_failure(self, message: str) -> bytes:
        return sse({"type": "error", "error": {"type": "overloaded_error", "message": message}}, "error")

    def _head(self, answer: Answer, request: RecordedRequest) -> dict[str, Any]:
        return {"id": "msg_fake", "type": "message", "role": "assistant", "model": request.json["model"]}

    def _events(self, answer: Answer, request: RecordedRequest) -> Iterator[dict[str, Any]]:
        usage = _usage(answer.tokens)
        begun: dict[str, Any] = {
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {**usage, "output_tokens": 1},
        }
        yield {"type": "message_start", "message": {**self._head(answer, request), **begun}}
        yield {"type": "ping"}
        for index, part in enumerate(answer.parts):
            block = _block(part)
            yield {"type": "content_block_start", "index": index, "content_block": {**block, **_EMPTY[block["type"]]}}
            for delta in _deltas(part, block):
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "content_block_stop", "index": index}
        yield {
            "type": "message_delta",
            "delta": _end(answer),
            "usage": {"output_tokens": answer.tokens.output, **usage},
        }
        yield {"type": "message_stop"}


_EMPTY: Mapping[str, Mapping[str, object]] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "redacted_thinking": {},
    "tool_use": {"input": {}},
}


def _check_fields(payload: Mapping[str, Any]) -> None:
    require_range(payload, "temperature", 0, 1)
    require_range(payload, "top_p", 0, 1)
    require_range(payload, "top_k", 0, 500)
    require_range(payload, "max_tokens", 0, 1 << 20)
    for sequence in payload.get("stop_sequences", ()):
        require(sequence.strip(), "each stop sequence must contain non-whitespace", "stop_sequences")
    if isinstance(payload.get("system"), list):
        _check_texts(payload["system"], "system")
    names = [tool["name"] for tool in payload.get("tools", ())]
    require_tool_names(names, "tools")
    for tool in payload.get("tools", ()):
        require(
            tool["input_schema"].get("type") == "object", "must be 'object'", f"tools.{tool['name']}.input_schema.type"
        )
    choice = payload.get("tool_choice")
    if choice is not None:
        require(names, "may only be specified while providing `tools`", "tool_choice")
        require(choice["type"] != "tool" or choice.get("name") in names, "not one of the tools", "tool_choice.name")


def _check_thinking(payload: Mapping[str, Any]) -> None:
    thinking = payload.get("thinking") or {}
    if thinking.get("type") != "enabled":
        return
    budget = thinking["budget_tokens"]
    require(budget >= _LEAST_BUDGET, f"must be at least {_LEAST_BUDGET}", "thinking.budget_tokens")
    require(budget < payload["max_tokens"], "must be less than max_tokens", "thinking.budget_tokens")
    require(payload.get("temperature") in {None, 1}, "may only be 1 when thinking is enabled", "temperature")
    forced = (payload.get("tool_choice") or {}).get("type") in {"any", "tool"}
    require(not forced, "thinking may not be enabled when tool_choice forces tool use", "thinking")
    said = [message for message in payload["messages"] if message["role"] == "assistant"]
    if said and isinstance(said[-1]["content"], list) and _blocks(said[-1], "tool_use"):
        first = said[-1]["content"][0]["type"]
        require(first in {"thinking", "redacted_thinking"}, f"expected `thinking`, but found `{first}`", "messages")


def _check_conversation(messages: list[dict[str, Any]]) -> None:
    require(messages, "at least one message is required", "messages")
    require(messages[0]["role"] == "user", "the first message must use the user role", "messages[0].role")
    waiting: list[str] = []
    for position, message in enumerate(messages):
        where = f"messages[{position}]"
        _check_content(message, where, last=position == len(messages) - 1)
        results = _blocks(message, "tool_result")
        given = [block["tool_use_id"] for block in results]
        require(set(given) == set(waiting) and len(given) == len(waiting), _unmatched(waiting, given), where)
        if results:
            first = [block["type"] for block in message["content"][: len(results)]]
            require(set(first) == {"tool_result"}, "tool results must come before all else", f"{where}.content")
        waiting = [block["id"] for block in _blocks(message, "tool_use")]
        require(len(set(waiting)) == len(waiting), "tool use ids must be unique", where)
        for id_ in waiting:
            require(TOOL_USE_ID.fullmatch(id_), f"must match {TOOL_USE_ID.pattern}", f"{where}.content.id")
    require(not waiting, _unmatched(waiting, []), "messages")


def _check_content(message: Mapping[str, Any], where: str, *, last: bool) -> None:
    content = message["content"]
    if not (last and message["role"] == "assistant"):
        require(content, "must have non-empty content", f"{where}.content")
    if isinstance(content, str):
        return
    _check_texts(content, f"{where}.content")
    allowed = {"user": ("tool_use", "thinking", "redacted_thinking"), "assistant": ("tool_result", "image", "document")}
    for position, block in enumerate(content):
        field = f"{where}.content[{position}]"
        require(block["type"] not in allowed.get(message["role"], ()), "not in a message of this role", field)
        if block["type"] == "image" and block["source"]["type"] == "base64":
            require(block["source"]["media_type"] in IMAGE_TYPES, "not an image type", f"{field}.source.media_type")
            require_base64(block["source"]["data"], f"{field}.source.data")
        if block["type"] == "thinking":
            good = block["signature"] == signature_of(block["thinking"])
            require(good, "Invalid `signature` in `thinking` block", field)
        if block["type"] == "tool_result" and isinstance(block.get("content"), list):
            _check_texts(block["content"], f"{field}.content")


def _check_texts(blocks: list[dict[str, Any]], where: str) -> None:
    for position, block in enumerate(blocks):
        if block["type"] == "text":
            require(block["text"].strip(), "text content blocks must be non-empty", f"{where}[{position}].text")


def _blocks(message: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    content = message["content"]
    return [] if isinstance(content, str) else [block for block in content if block["type"] == kind]


def _unmatched(waiting: list[str], given: list[str]) -> str:
    missing = ", ".join(sorted(set(waiting) - set(given)))
    if missing:
        return f"`tool_use` ids were found without `tool_result` blocks immediately after: {missing}"
    return f"unexpected `tool_use_id` found in `tool_result` blocks: {', '.join(given)}"


def _block(part: Text | Refusal | Thinking | ToolCall) -> dict[str, Any]:
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": json.loads(part.arguments or "{}")}
    if isinstance(part, Thinking) and part.redacted:
        return {"type": "redacted_thinking", "data": part.signature}
    if isinstance(part, Thinking):
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    return {"type": "text", "text": part.text}


def _deltas(part: Text | Refusal | Thinking | ToolCall, block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if isinstance(part, ToolCall):
        yield {"type": "input_json_delta", "partial_json": ""}
        for piece in slices(part.arguments, part.cut):
            yield {"type": "input_json_delta", "partial_json": piece}
    elif block["type"] == "thinking":
        for piece in pieces(part.text):
            yield {"type": "thinking_delta", "thinking": piece}
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif block["type"] == "text":
        yield from ({"type": "text_delta", "text": piece} for piece in pieces(part.text))


def _end(answer: Answer) -> dict[str, Any]:
    end: dict[str, Any] = {
        "stop_reason": _STOP_REASONS.get(answer.reason, answer.reason),
        "stop_sequence": answer.sequence,
    }
    if answer.reason == "refusal":
        end["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    return end


def _usage(tokens: Tokens) -> dict[str, Any]:
    return {
        "input_tokens": tokens.input - tokens.cached - tokens.cache_write,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": tokens.output,
        "output_tokens_details": {"thinking_tokens": tokens.reasoning},
    }

"""OpenAI's chat completions, and the same API as Azure offers it.

Reference: https://platform.openai.com/docs/api-reference/chat and
https://learn.microsoft.com/azure/ai-services/openai/reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from openai.types.chat.completion_create_params import CompletionCreateParams

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
    slices,
)
from tests.fakes.providers.checks import (
    IMAGE_TYPES,
    check_type,
    payload_of,
    require,
    require_base64,
    require_bearer,
    require_range,
    require_tool_names,
    sse,
    texts,
)
from tests.fakes.providers.server import Refused
from tests.fakes.providers.strict import StrictType

_REQUEST = StrictType(CompletionCreateParams)
_FINISH_REASONS = {"refusal": "stop", "stop_sequence": "stop"}
_DATA_URL = re.compile(r"data:([a-z]+/[a-z+.-]+);base64,(.*)", re.DOTALL)
_ERROR_TYPES = {401: "authentication_error", 429: "rate_limit_error"}
CREATED = 1_700_000_000


class ChatCompletionsApi:
    """``POST /v1/chat/completions`` with a bearer key.

    ``reasons``: a compatible server that says its reasoning in ``reasoning_content``, and takes it back; OpenAI's own
    does neither.
    """

    stream_type = "text/event-stream"

    def __init__(self, key: str, *, reasons: bool = True) -> None:
        self.key = key
        self._reasons = reasons

    def check(self, request: RecordedRequest) -> None:
        self.check_address(request)
        payload = payload_of(request)
        check_type(self._known(payload), _REQUEST)
        _check_fields(payload)
        _check_tools(payload)
        _check_conversation(payload["messages"])

    def _known(self, payload: dict[str, Any]) -> dict[str, Any]:
        """``payload`` without what only compatible servers know."""
        messages = payload.get("messages")
        if not self._reasons or not isinstance(messages, list):
            return payload
        return {**payload, "messages": [_without_reasoning(message) for message in messages]}

    def check_address(self, request: RecordedRequest) -> None:
        """Path and key."""
        if request.path != "/v1/chat/completions":
            raise Refused(404, f"Invalid URL (POST {request.path})")
        require_bearer(request, self.key)

    def wants_stream(self, request: RecordedRequest) -> bool:
        return request.wants_stream

    def whole(self, answer: Answer, request: RecordedRequest) -> object:
        message: dict[str, Any] = {"role": "assistant", "content": _text(answer, Text), "annotations": []}
        message["refusal"] = _text(answer, Refusal)
        if self._reasons and (reasoning := _text(answer, Thinking)) is not None:
            message["reasoning_content"] = reasoning
        if calls := [_call(part) for part in answer.parts if isinstance(part, ToolCall)]:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
        return {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "created": CREATED,
            "model": request.json.get("model"),
            "choices": [choice],
            "usage": _usage(answer.tokens),
            "service_tier": "default",
            "system_fingerprint": None,
        }

    def events(self, answer: Answer, request: RecordedRequest) -> list[bytes]:
        base = {
            "id": "chatcmpl-fake",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": request.json.get("model"),
            "system_fingerprint": None,
        }
        counted: dict[str, Any] = {"usage": None} if request.wants_usage else {}
        events = [
            sse({**base, "choices": [_delta(delta)], **counted})
            for delta in [{"role": "assistant", "content": "", "refusal": None}, *self._deltas(answer)]
        ]
        events.append(sse({**base, "choices": [_delta({}, _finish_reason(answer))], **counted}))
        if request.wants_usage:
            events.append(sse({**base, "choices": [], "usage": _usage(answer.tokens)}))
        return [*events, b"data: [DONE]\n\n"]

    def failure(self, failure: Failure) -> tuple[object, Mapping[str, str]]:
        kind = _ERROR_TYPES.get(failure.status, "server_error" if failure.status >= 500 else "invalid_request_error")
        error = {"message": failure.message, "type": kind, "param": failure.param, "code": failure.code}
        return {"error": error}, {"x-request-id": "req_fake"}

    def stream_failure(self, message: str) -> bytes:
        return sse({"error": {"message": message, "type": "server_error", "param": None, "code": None}})

    def _deltas(self, answer: Answer) -> Iterator[dict[str, Any]]:
        index = -1
        for part in answer.parts:
            if isinstance(part, Text):
                yield from ({"content": piece} for piece in pieces(part.text))
            elif isinstance(part, Refusal):
                yield from ({"refusal": piece} for piece in pieces(part.text))
            elif isinstance(part, ToolCall):
                index += 1
                whole = _call(part)
                start = {**whole, "index": index, "function": {"name": part.name, "arguments": ""}}
                yield {"tool_calls": [start]}
                for piece in slices(part.arguments, part.cut):
                    yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
            elif self._reasons and not part.redacted:
                yield from ({"reasoning_content": piece} for piece in pieces(part.text))


class AzureOpenAiApi(ChatCompletionsApi):
    """``POST /openai/deployments/{deployment}/chat/completions?api-version=...`` with the key in ``api-key``.

    ``deployment`` is a pattern of the names that there are.
    """

    def __init__(self, key: str, *, api_version: str, deployment: str) -> None:
        super().__init__(key, reasons=False)
        self._api_version = api_version
        self._path = re.compile(rf"/openai/deployments/{deployment}/chat/completions")

    def check_address(self, request: RecordedRequest) -> None:
        url = urlsplit(request.path)
        if not self._path.fullmatch(url.path):
            raise Refused(404, "The API deployment for this resource does not exist.")
        if request.headers.get("api-key") != self.key or "authorization" in request.headers:
            raise Refused(401, "Access denied due to invalid subscription key or wrong API endpoint.")
        if parse_qs(url.query) != {"api-version": [self._api_version]}:
            raise Refused(404, "Resource not found")


def _without_reasoning(message: object) -> object:
    if isinstance(message, dict) and message.get("role") == "assistant":
        return {name: value for name, value in message.items() if name != "reasoning_content"}
    return message


def _check_fields(payload: Mapping[str, Any]) -> None:
    require_range(payload, "temperature", 0, 2)
    require_range(payload, "top_p", 0, 1)
    require_range(payload, "n", 1, 128)
    require_range(payload, "max_tokens", 1, 1 << 20)
    require_range(payload, "max_completion_tokens", 1, 1 << 20)
    both = payload.get("max_tokens") is not None and payload.get("max_completion_tokens") is not None
    require(not both, "not together with max_completion_tokens", "max_tokens")
    stop = payload.get("stop")
    require(not isinstance(stop, list) or 1 <= len(stop) <= 4, "must have one to four entries", "stop")
    require(not payload.get("stream_options") or payload.get("stream"), "only when streaming", "stream_options")
    wanted = payload.get("response_format") or {}
    if wanted.get("type") == "json_object":
        says_json = any("json" in text.lower() for text in texts(payload["messages"]))
        require(says_json, "must contain the word 'json' in some form", "messages")
    if wanted.get("type") == "json_schema":
        require_tool_names([wanted["json_schema"]["name"]], "response_format.json_schema.name")


def _check_tools(payload: Mapping[str, Any]) -> None:
    tools = payload.get("tools")
    require(tools != [], "must not be empty", "tools")
    names = [tool[tool["type"]]["name"] for tool in tools or ()]
    require_tool_names(names, "tools")
    if not tools:
        require("tool_choice" not in payload, "only allowed when tools are specified", "tool_choice")
        require("parallel_tool_calls" not in payload, "only allowed when tools are specified", "parallel_tool_calls")
    choice = payload.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] == "function":
        require(choice["function"]["name"] in names, "not one of the tools", "tool_choice.function.name")


def _check_conversation(messages: list[dict[str, Any]]) -> None:
    require(messages, "must not be empty", "messages")
    waiting: list[str] = []
    for position, message in enumerate(messages):
        where = f"messages[{position}]"
        if message["role"] == "tool":
            require(
                message["tool_call_id"] in waiting,
                "messages with role 'tool' must be a response to a preceding message with 'tool_calls'",
                where,
            )
            waiting.remove(message["tool_call_id"])
            continue
        require(not waiting, f"tool_call_ids without response messages: {', '.join(waiting)}", where)
        if message["role"] == "assistant":
            waiting = [call["id"] for call in message.get("tool_calls", ())]
            require(message.get("tool_calls") != [], "must not be empty", f"{where}.tool_calls")
            require(len(waiting) == len(set(waiting)), "ids must be unique", f"{where}.tool_calls")
            said = message.get("content") is not None or message.get("refusal") or waiting
            require(said, "an assistant message needs content or tool calls", where)
        _check_parts(message.get("content"), f"{where}.content")
    require(not waiting, f"tool_call_ids without response messages: {', '.join(waiting)}", "messages")


def _check_parts(content: object, where: str) -> None:
    if not isinstance(content, list):
        return
    require(content, "must not be empty", where)
    for position, part in enumerate(content):
        if part["type"] == "image_url":
            url = part["image_url"]["url"]
            data = _DATA_URL.fullmatch(url)
            require(data or url.startswith(("http://", "https://")), "not a URL", f"{where}[{position}].image_url")
            if data:
                require(data[1] in IMAGE_TYPES, "not an image type", f"{where}[{position}].image_url")
                require_base64(data[2], f"{where}[{position}].image_url")


def _text(answer: Answer, kind: type[Text | Refusal | Thinking]) -> str | None:
    said = [part.text for part in answer.parts if isinstance(part, kind) and not getattr(part, "redacted", False)]
    return "".join(said) if said else None


def _call(part: ToolCall) -> dict[str, Any]:
    return {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}


def _delta(delta: Mapping[str, object], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _finish_reason(answer: Answer) -> str:
    return _FINISH_REASONS.get(answer.reason, answer.reason)


def _usage(tokens: Tokens) -> dict[str, Any]:
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {
            "cached_tokens": tokens.cached,
            "audio_tokens": 0,
            "cache_write_tokens": tokens.cache_write,
        },
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }

"""OpenAI's Responses.

Reference: https://platform.openai.com/docs/api-reference/responses and .../responses-streaming.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from openai.types.responses.response_create_params import ResponseCreateParams

from tests.fakes.http_exchange import RecordedRequest
from tests.fakes.providers.answers import Answer, Failure, Refusal, Text, Thinking, Tokens, ToolCall, pieces, slices
from tests.fakes.providers.checks import (
    payload_of,
    require,
    require_bearer,
    require_range,
    require_tool_names,
    sse,
    texts,
)
from tests.fakes.providers.server import Refused
from tests.fakes.providers.strict import StrictType

_REQUEST = StrictType(ResponseCreateParams)
_ID_PREFIXES = {"message": "msg", "function_call": "fc", "reasoning": "rs"}
_LEAST_OUTPUT_TOKENS = 16
CREATED = 1_700_000_000


class ResponsesApi:
    """``POST /v1/responses`` with a bearer key.

    Remembers which reasoning it has given out: it comes back by id where it was stored, else encrypted.
    """

    stream_type = "text/event-stream"

    def __init__(self, key: str) -> None:
        self.key = key
        self._stored: set[str] = set()
        self._signed: set[str] = set()
        self._numbers = itertools.count(1)

    def check(self, request: RecordedRequest) -> None:
        if request.path != "/v1/responses":
            raise Refused(404, f"Invalid URL (POST {request.path})")
        require_bearer(request, self.key)
        payload = payload_of(request, _REQUEST)
        _check_fields(payload)
        items = payload["input"]
        if isinstance(items, list):
            _check_calls(items)
            for position, item in enumerate(items):
                self._check_item(item, f"input[{position}]", items[position + 1 :], stored=payload.get("store", True))

    def _check_item(
        self, item: Mapping[str, Any], where: str, following: list[dict[str, Any]], *, stored: bool | None
    ) -> None:
        kind = item.get("type", "message")
        prefix = _ID_PREFIXES.get(kind)
        if prefix and item.get("id") is not None:
            require(item["id"].startswith(prefix), f"Expected an ID that begins with '{prefix}'", f"{where}.id")
        if kind == "message":
            _check_message(item, where)
        if kind == "reasoning":
            known = item["id"] in self._stored if stored is not False else False
            proven = item.get("encrypted_content") in self._signed
            require(known or proven, "not found; reasoning that is not stored must be encrypted", where)
            followed = bool(following) and following[0].get("role") != "user"
            require(followed, "was provided without its required following item", where)

    def wants_stream(self, request: RecordedRequest) -> bool:
        return request.wants_stream

    def whole(self, answer: Answer, request: RecordedRequest) -> object:
        output = [self._item(part, request) for part in answer.parts]
        return self._response(answer, request, output)

    def events(self, answer: Answer, request: RecordedRequest) -> list[bytes]:
        number = itertools.count()
        return [
            sse({**event, "sequence_number": next(number)}, event["type"]) for event in self._events(answer, request)
        ]

    def failure(self, failure: Failure) -> tuple[object, Mapping[str, str]]:
        kind = "server_error" if failure.status >= 500 else "invalid_request_error"
        error = {"message": failure.message, "type": kind, "param": failure.param, "code": failure.code}
        return {"error": error}, {"x-request-id": "req_fake"}

    def stream_failure(self, message: str) -> bytes:
        event = {"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": 99}
        return sse(event, "error")

    def _events(self, answer: Answer, request: RecordedRequest) -> Iterator[dict[str, Any]]:
        begun = {**self._response(answer, request, []), "status": "in_progress", "usage": None}
        begun["incomplete_details"] = None
        yield {"type": "response.created", "response": begun}
        yield {"type": "response.in_progress", "response": begun}
        output = []
        for index, part in enumerate(answer.parts):
            item = self._item(part, request)
            output.append(item)
            yield {"type": "response.output_item.added", "output_index": index, "item": _begun(item)}
            where = {"item_id": item["id"], "output_index": index}
            yield from _item_events(part, item, where)
            yield {"type": "response.output_item.done", "output_index": index, "item": item}
        whole = self._response(answer, request, output)
        yield {"type": f"response.{whole['status']}", "response": whole}

    def _item(self, part: Text | Refusal | Thinking | ToolCall, request: RecordedRequest) -> dict[str, Any]:
        number = next(self._numbers)
        if isinstance(part, ToolCall):
            call = {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments}
            return {"id": f"fc_{number}", "status": "completed", **call}
        if isinstance(part, Thinking):
            return self._reasoning(part, f"rs_{number}", request)
        content: dict[str, Any] = {"type": "refusal", "refusal": part.text}
        if isinstance(part, Text):
            content = {"type": "output_text", "text": part.text, "annotations": [], "logprobs": []}
        message = {"type": "message", "role": "assistant", "content": [content]}
        return {"id": f"msg_{number}", "status": "completed", **message}

    def _reasoning(self, part: Thinking, id_: str, request: RecordedRequest) -> dict[str, Any]:
        summary = [] if part.redacted else [{"type": "summary_text", "text": part.text}]
        item: dict[str, Any] = {"id": id_, "type": "reasoning", "summary": summary}
        if request.json.get("store") is not False:
            self._stored.add(id_)
        if "reasoning.encrypted_content" in (request.json.get("include") or ()):
            item["encrypted_content"] = part.signature
            self._signed.add(part.signature)
        return item

    def _response(self, answer: Answer, request: RecordedRequest, output: list[dict[str, Any]]) -> dict[str, Any]:
        asked = request.json
        cut_off = answer.reason == "length"
        return {
            "id": "resp_fake",
            "object": "response",
            "created_at": CREATED,
            "status": "incomplete" if cut_off else "completed",
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut_off else None,
            "instructions": asked.get("instructions"),
            "max_output_tokens": asked.get("max_output_tokens"),
            "metadata": asked.get("metadata") or {},
            "model": asked.get("model"),
            "output": output,
            "parallel_tool_calls": asked.get("parallel_tool_calls", True),
            "previous_response_id": None,
            "reasoning": asked.get("reasoning") or {"effort": None, "summary": None},
            "store": asked.get("store", True),
            "temperature": asked.get("temperature", 1.0),
            "text": asked.get("text") or {"format": {"type": "text"}},
            "tool_choice": asked.get("tool_choice") or "auto",
            "tools": asked.get("tools") or [],
            "top_p": asked.get("top_p", 1.0),
            "truncation": "disabled",
            "usage": _usage(answer.tokens),
            "user": None,
        }


def _check_fields(payload: Mapping[str, Any]) -> None:
    require(payload.get("model"), "required", "model")
    require(payload.get("input"), "required", "input")
    require_range(payload, "temperature", 0, 2)
    require_range(payload, "top_p", 0, 1)
    require_range(payload, "max_output_tokens", _LEAST_OUTPUT_TOKENS, 1 << 20)
    require(not payload.get("stream_options") or payload.get("stream"), "only when streaming", "stream_options")
    unknown = payload.get("previous_response_id")
    require(unknown is None, f"Previous response with id '{unknown}' not found.", "previous_response_id")
    names = [tool["name"] for tool in payload.get("tools") or () if tool["type"] == "function"]
    require_tool_names(names, "tools")
    choice = payload.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] == "function":
        require(choice["name"] in names, "not one of the tools", "tool_choice.name")
    require(choice != "required" or names, "only allowed when tools are specified", "tool_choice")
    wanted = (payload.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_object":
        says_json = any("json" in text.lower() for text in texts(payload["input"]))
        require(says_json, "must contain the word 'json' in some form", "input")


def _check_message(item: Mapping[str, Any], where: str) -> None:
    if not isinstance(item["content"], list):
        return
    allowed = ("output_text", "refusal") if item["role"] == "assistant" else ("input_text", "input_image", "input_file")
    for position, part in enumerate(item["content"]):
        field = f"{where}.content[{position}]"
        require(part["type"] in allowed, f"supported values are {allowed}", f"{field}.type")
        if part["type"] == "input_image":
            url = part.get("image_url") or ""
            good = part.get("file_id") or url.startswith(("data:image/", "https://", "http://"))
            require(good, "not a URL", f"{field}.image_url")


def _check_calls(items: list[dict[str, Any]]) -> None:
    called = [item["call_id"] for item in items if item.get("type") == "function_call"]
    given = [item.get("call_id") for item in items if item.get("type") == "function_call_output"]
    require(len(set(called)) == len(called), "call ids must be unique", "input")
    for call_id in given:
        require(call_id in called, f"No tool call found for function call output with call_id {call_id}.", "input")
    for call_id in called:
        require(call_id in given, f"No tool output found for function call {call_id}.", "input")


def _item_events(part: object, item: dict[str, Any], where: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if isinstance(part, ToolCall):
        for piece in slices(part.arguments, part.cut):
            yield {"type": "response.function_call_arguments.delta", **where, "delta": piece}
        yield {"type": "response.function_call_arguments.done", **where, "name": part.name, "arguments": part.arguments}
    elif isinstance(part, Thinking):
        yield from _summary_events(part, item, {**where, "summary_index": 0})
    else:
        yield from _content_events(item["content"][0], {**where, "content_index": 0})


def _summary_events(part: Thinking, item: dict[str, Any], where: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for summary in item["summary"]:
        yield {"type": "response.reasoning_summary_part.added", **where, "part": {**summary, "text": ""}}
        for piece in pieces(part.text):
            yield {"type": "response.reasoning_summary_text.delta", **where, "delta": piece}
        yield {"type": "response.reasoning_summary_text.done", **where, "text": part.text}
        yield {"type": "response.reasoning_summary_part.done", **where, "part": summary}


def _content_events(content: dict[str, Any], where: dict[str, Any]) -> Iterator[dict[str, Any]]:
    field = "refusal" if content["type"] == "refusal" else "text"
    name = "response.refusal" if field == "refusal" else "response.output_text"
    extra: dict[str, Any] = {} if field == "refusal" else {"logprobs": []}
    yield {"type": "response.content_part.added", **where, "part": {**content, field: ""}}
    for piece in pieces(content[field]):
        yield {"type": f"{name}.delta", **where, "delta": piece, **extra}
    yield {"type": f"{name}.done", **where, field: content[field], **extra}
    yield {"type": "response.content_part.done", **where, "part": content}


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    empty = {"content": [], "arguments": "", "summary": []}
    begun = {**item, **{name: value for name, value in empty.items() if name in item}}
    return {**begun, "status": "in_progress"} if "status" in item else begun


def _usage(tokens: Tokens) -> dict[str, Any]:
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.cache_write},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    }

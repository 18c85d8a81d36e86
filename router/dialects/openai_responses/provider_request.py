"""Requests to providers and agents that speak this dialect, made of canonical ones.

Answers are not stored at the provider unless the client asked for it, so reasoning has to travel encrypted with the
conversation. Fields that are not known keep their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from router.dialects.canonical import ChatRequest, JsonObject, encode_json
from router.dialects.openai_responses.client_request import ENCRYPTED_REASONING, LOGPROBS, NAME, SAME_FIELDS
from router.dialects.openai_responses.content import no_counterpart
from router.dialects.openai_responses.fields import read_object
from router.dialects.openai_responses.message_items import encode_messages
from router.dialects.openai_responses.reasoning import is_replayable
from router.dialects.openai_responses.tools import encode_format, encode_tool_choice, encode_tools

# Canonical fields that this API has no word for, with the values that ask for nothing.
_NO_COUNTERPART: Mapping[str, tuple[object, ...]] = {
    "audio": (None,),
    "frequency_penalty": (None, 0),
    "function_call": (None, "auto", "none"),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "modalities": (None, [], ["text"]),
    "n": (None, 1),
    "prediction": (None,),
    "presence_penalty": (None, 0),
    "seed": (None,),
    "stop": (None, "", []),
    "web_search_options": (None,),
}


def encode_request(request: ChatRequest) -> bytes:
    """The request's bytes: what the client wrote where it speaks this dialect and its body is still at hand.

    Raises ``InvalidRequest`` that names the canonical field which has no counterpart.
    """
    if request.dialect == NAME:
        native = request.native_body()
        if native is not None:
            return native
        # Fields of the top level are put back; what stood inside of the conversation is lost.
        lost = next((path for path in request.refused if path.startswith("input[")), None)
        if lost is not None:
            raise no_counterpart(lost)
    else:
        request.require_translatable(NAME)
    for name, harmless in _NO_COUNTERPART.items():
        if request.payload.get(name) not in harmless:
            raise no_counterpart(name)
    body = encode_fields(request.payload)
    body["input"] = encode_messages(request.messages)
    body["store"] = request.payload.get("store") is True
    if wanted := _wanted(request.payload):
        body["include"] = wanted
    if request.dialect == NAME:
        _put_back(body, request.extras)
    return encode_json(body)


def encode_fields(payload: Mapping[str, Any]) -> JsonObject:
    """Everything but the conversation. Raises ``InvalidRequest`` that names the canonical field."""
    body: JsonObject = {}
    for name, value in payload.items():
        encode = _FIELDS.get(name)
        if encode is not None:
            if value is not None:
                encode(value, body)
        elif name not in _NOT_FIELDS and (value is not None or name not in SAME_FIELDS):
            body[name] = value
    return body


def _wanted(payload: Mapping[str, Any]) -> list[str]:
    """``include``. Models that do not reason refuse to encrypt, so that is asked for only where there is reasoning."""
    include = []
    effort = payload.get("reasoning_effort")
    if (effort is not None and effort != "none") or any(
        is_replayable(block)
        for message in payload["messages"]
        if isinstance(message.get("thinking_blocks"), list)
        for block in message["thinking_blocks"]
    ):
        include.append(ENCRYPTED_REASONING)
    if payload.get("logprobs"):
        include.append(LOGPROBS)
    return include


def _put_back(body: JsonObject, extras: Mapping[str, Any]) -> None:
    """Add what a client of this dialect wrote and the canonical form has no place for."""
    for name, value in extras.items():
        if name in {"tools", "include"}:
            body[name] = [*body.get(name, ()), *value]
        elif name in {"reasoning", "text"}:
            body[name] = {**value, **body.get(name, {})}
        else:
            body.setdefault(name, value)
    if extras.get("store"):
        body["store"] = extras["store"]


def _encode_max_tokens(value: object, body: JsonObject) -> None:
    body.setdefault("max_output_tokens", value)


def _encode_max_completion_tokens(value: object, body: JsonObject) -> None:
    body["max_output_tokens"] = value


def _encode_effort(value: object, body: JsonObject) -> None:
    body["reasoning"] = {"effort": value}


def _encode_verbosity(value: object, body: JsonObject) -> None:
    body.setdefault("text", {})["verbosity"] = value


def _encode_response_format(value: object, body: JsonObject) -> None:
    body.setdefault("text", {})["format"] = encode_format(value)


def _encode_tools(value: object, body: JsonObject) -> None:
    if tools := encode_tools(value):
        body["tools"] = tools


def _encode_tool_choice(value: object, body: JsonObject) -> None:
    body["tool_choice"] = encode_tool_choice(value)


def _encode_stream_options(value: object, body: JsonObject) -> None:
    """Answers of this API always count their tokens; whatever else is asked for has the same name."""
    options = read_object(value, "stream_options")
    if more := {name: said for name, said in options.items() if name != "include_usage"}:
        body["stream_options"] = more


_FIELDS: Mapping[str, Callable[[Any, JsonObject], None]] = {
    "max_completion_tokens": _encode_max_completion_tokens,
    "max_tokens": _encode_max_tokens,
    "reasoning_effort": _encode_effort,
    "response_format": _encode_response_format,
    "stream_options": _encode_stream_options,
    "tool_choice": _encode_tool_choice,
    "tools": _encode_tools,
    "verbosity": _encode_verbosity,
}
_NOT_FIELDS = frozenset({"messages", "store", "logprobs", *_NO_COUNTERPART})

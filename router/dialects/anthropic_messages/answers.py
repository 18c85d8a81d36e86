"""Whole answers, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from router.dialects.anthropic_messages.arguments import answer_json, parsed_arguments
from router.dialects.anthropic_messages.endings import (
    ending,
    message_id,
    refusal_details,
    refusal_explanation,
    stop_fields,
    tool_use_id,
    usage_from,
    usage_to,
)
from router.dialects.anthropic_messages.errors import failure
from router.dialects.anthropic_messages.thinking import block_from_canonical
from router.dialects.canonical import ChatRequest, JsonObject, Usage, completion, usage_of
from router.errors import UpstreamProtocolError


def _message(body: bytes, source: str) -> JsonObject:
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise UpstreamProtocolError(f"'{source}' sent an answer that is not valid JSON.") from exc
    if not isinstance(payload, dict):
        raise UpstreamProtocolError(f"'{source}' sent an answer that is not a JSON object.")
    if payload.get("type") == "error":
        raise failure(payload.get("error"), source)
    if not isinstance(payload.get("content"), list):
        raise UpstreamProtocolError(f"'{source}' sent an answer without 'content'.")
    return payload


def check_completion(body: bytes, source: str) -> Usage | None:
    """See that ``body`` is a message; its tokens. Raises ``UpstreamError``."""
    usage = _message(body, source).get("usage")
    return usage_from(usage) if isinstance(usage, dict) else None


def decode_completion(body: bytes, source: str) -> JsonObject:
    """The canonical completion of a message. Raises ``UpstreamError`` when it is none."""
    payload = _message(body, source)
    reader = _BlockReader(source)
    for block in payload["content"]:
        reader.add(block)
    message = reader.message()
    if (explanation := refusal_explanation(payload)) is not None:
        message["refusal"] = explanation
    id_, model, usage = payload.get("id"), payload.get("model"), payload.get("usage")
    whole = completion(
        message,
        model=model if isinstance(model, str) else "",
        id_=id_ if isinstance(id_, str) else None,
        usage=usage_from(usage) if isinstance(usage, dict) else None,
    )
    whole["choices"][0].update(ending(payload))
    return whole


class _BlockReader:
    """Sorts the blocks of a message into the fields of a canonical one."""

    __slots__ = ("_calls", "_citations", "_native", "_source", "_texts", "_thinking")

    def __init__(self, source: str) -> None:
        self._source = source
        self._texts: list[str] = []
        self._thinking: list[JsonObject] = []
        self._calls: list[JsonObject] = []
        self._citations: list[JsonObject] = []
        self._native: list[JsonObject] = []

    def add(self, block: object) -> None:
        """Take the next block. Raises ``UpstreamProtocolError``."""
        kind = block.get("type") if isinstance(block, dict) else None
        if not (isinstance(block, dict) and isinstance(kind, str)):
            raise UpstreamProtocolError(f"'{self._source}' sent a content block without a type.")
        if kind == "text":
            self._texts.append(string(block, "text", self._source))
            self._citations += _objects(block.get("citations"))
        elif kind == "tool_use":
            self._calls.append(tool_call(block, self._source))
        elif kind == "thinking":
            string(block, "thinking", self._source)
            self._thinking.append(block)
        elif kind == "redacted_thinking":
            self._thinking.append(block)
        else:
            self._native.append(block)

    def message(self) -> JsonObject:
        """The canonical message."""
        message: JsonObject = {"content": "".join(self._texts) if self._texts else None}
        if reasoning := "".join(block.get("thinking", "") for block in self._thinking):
            message["reasoning_content"] = reasoning
        if self._thinking:
            message["thinking_blocks"] = self._thinking
        if self._calls:
            message["tool_calls"] = self._calls
        if self._citations:
            message["citations"] = self._citations
        if self._native:
            message["native_blocks"] = self._native
        return message


def string(holder: Mapping[str, Any], name: str, source: str) -> str:
    """The string that ``holder`` has to have. Raises ``UpstreamProtocolError``."""
    value = holder.get(name)
    if not isinstance(value, str):
        raise UpstreamProtocolError(f"'{source}' sent an answer whose '{name}' is not a string.")
    return value


def tool_call(block: Mapping[str, Any], source: str) -> JsonObject:
    """The canonical tool call of a ``tool_use`` block."""
    arguments = block.get("input")
    if not isinstance(arguments, dict):
        raise UpstreamProtocolError(f"'{source}' sent a tool call whose 'input' is not an object.")
    function = {"name": string(block, "name", source), "arguments": answer_json(arguments).decode()}
    return {"id": string(block, "id", source), "type": "function", "function": function}


def encode_completion(whole: JsonObject, request: ChatRequest) -> bytes:
    """A canonical completion as a message (its first choice). Raises ``UpstreamProtocolError`` for torn tool calls."""
    choice = whole["choices"][0]
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    refusal = message.get("refusal")
    filtered = choice.get("finish_reason") == "content_filter"
    content = _thinking_blocks(message)
    content += _objects(message.get("native_blocks"))
    content += _text_blocks(message, "" if filtered else refusal)
    calls = _tool_uses(message.get("tool_calls"), torn_is_fine=choice.get("finish_reason") == "length")
    stop = stop_fields(choice, calls_tools=bool(calls), refuses=bool(refusal))
    if filtered and (details := refusal_details(refusal)):
        stop["stop_details"] = details
    return answer_json(
        {
            "id": whole.get("id") or message_id(),
            "type": "message",
            "role": "assistant",
            "model": whole.get("model") or request.model or "",
            "content": content + calls,
            **stop,
            "usage": usage_to(usage_of(whole.get("usage"))),
        }
    )


def _objects(value: object) -> list[JsonObject]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _thinking_blocks(message: Mapping[str, Any]) -> list[JsonObject]:
    blocks = [block_from_canonical(block) for block in _objects(message.get("thinking_blocks"))]
    if found := [block for block in blocks if block is not None]:
        return found
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if not isinstance(reasoning, str) or not reasoning:
        return []
    return [{"type": "thinking", "thinking": reasoning, "signature": ""}]


def _text_blocks(message: Mapping[str, Any], refusal: object) -> list[JsonObject]:
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part["text"] for part in _objects(content) if isinstance(part.get("text"), str))
    text = (content if isinstance(content, str) else "") + (refusal if isinstance(refusal, str) else "")
    if not text:
        return []
    block: JsonObject = {"type": "text", "text": text}
    if citations := _objects(message.get("citations")):
        block["citations"] = citations
    return [block]


def _tool_uses(calls: object, *, torn_is_fine: bool) -> list[JsonObject]:
    blocks = []
    for call in _objects(calls):
        function = call.get("function")
        if not isinstance(function, dict):
            continue
        arguments = parsed_arguments(function.get("arguments"))
        if arguments is None:
            if torn_is_fine:  # cut off at the limit of tokens, as ``stop_reason`` says
                continue
            raise UpstreamProtocolError("The upstream called a tool with arguments that are not a JSON object.")
        blocks.append(
            {
                "type": "tool_use",
                "id": call.get("id") or tool_use_id(),
                "name": function.get("name") or "",
                "input": arguments,
            }
        )
    return blocks

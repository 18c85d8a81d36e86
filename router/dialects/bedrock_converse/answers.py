"""Whole answers of Converse, and what they share with streams: how an answer ends, and what it cost.

stopReason                                        finish_reason
``end_turn``                                      ``stop``
``stop_sequence``                                 ``stop``; Claude tells which one: ``stop_reason`` of the choice
``max_tokens``, ``model_context_window_exceeded`` ``length``
``tool_use``                                      ``tool_calls``
``guardrail_intervened``, ``content_filtered``    ``content_filter``
``malformed_model_output``, ``malformed_tool_use`` an error: there is no answer, and another try may give one

``native_finish_reason`` has Bedrock's word where ours says less. ``inputTokens`` leaves out what was read from or
written to the prompt cache (https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html),
``prompt_tokens`` includes it. Blocks that the canonical form has no word for, such as calls of tools that run at
Amazon, are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from router.dialects.bedrock_converse.errors import failure
from router.dialects.canonical import JsonObject, Usage, completion, encode_answer
from router.errors import UpstreamProtocolError

_FINISH_REASONS: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_SAYS_MORE = frozenset({"model_context_window_exceeded", "guardrail_intervened"})
_MALFORMED = frozenset({"malformed_model_output", "malformed_tool_use"})


def decode_completion(body: bytes, source: str) -> JsonObject:
    """The canonical completion of a Converse answer. Raises ``UpstreamError`` when it is none."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise UpstreamProtocolError(f"'{source}' sent an answer that is not valid JSON.") from exc
    if not isinstance(payload, dict):
        raise UpstreamProtocolError(f"'{source}' sent an answer that is not a JSON object.")
    output = payload.get("output")
    message = output.get("message") if isinstance(output, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        if "message" in payload or "__type" in payload:
            raise failure(payload, source)
        raise UpstreamProtocolError(f"'{source}' sent an answer without 'output.message.content'.")
    reader = _BlockReader(source)
    for block in content:
        reader.add(block)
    whole = completion(reader.message(), model=_model(payload), usage=usage_from(payload.get("usage")))
    whole["choices"][0].update(ending(payload, source))
    return whole


def ending(holder: Mapping[str, Any], source: str) -> JsonObject:
    """The canonical choice's fields for a ``stopReason``, whole or in a stream. Raises ``UpstreamError``."""
    reason = holder.get("stopReason")
    if not isinstance(reason, str):
        return {"finish_reason": "stop"}
    if reason in _MALFORMED:
        raise UpstreamProtocolError(f"'{source}' made an answer that it could not read itself ({reason}).")
    fields: JsonObject = {"finish_reason": _FINISH_REASONS.get(reason, "stop")}
    if reason in _SAYS_MORE:
        fields["native_finish_reason"] = reason
    more = holder.get("additionalModelResponseFields")
    sequence = more.get("stop_sequence") if isinstance(more, dict) else None
    if isinstance(sequence, str) and sequence:
        fields["stop_reason"] = sequence
    return fields


def usage_from(usage: object) -> Usage | None:
    """The tokens that a ``usage`` object of this dialect counts."""
    if not isinstance(usage, dict):
        return None
    cached = _count(usage.get("cacheReadInputTokens"))
    written = _count(usage.get("cacheWriteInputTokens"))
    return Usage(
        input=_count(usage.get("inputTokens")) + cached + written,
        output=_count(usage.get("outputTokens")),
        cached=cached,
        cache_write=written,
    )


def tool_call(block: object, arguments: str, source: str) -> JsonObject:
    """The canonical call for a ``toolUse``."""
    id_, name = (block.get("toolUseId"), block.get("name")) if isinstance(block, dict) else (None, None)
    if not (isinstance(id_, str) and isinstance(name, str)):
        raise UpstreamProtocolError(f"'{source}' called a tool without an id or a name.")
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def runs_at_amazon(tool_use: Mapping[str, Any]) -> bool:
    """Whether a ``toolUse`` is no call for the client."""
    return tool_use.get("type") == "server_tool_use"


def thinking_block(text: str, signature: str) -> JsonObject | None:
    """The block that has to come back: none without a signature."""
    return {"type": "thinking", "thinking": text, "signature": signature} if signature else None


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _model(payload: Mapping[str, Any]) -> str:
    """The model that a prompt router chose; Converse names none otherwise."""
    holder: Any = payload
    for name in ("trace", "promptRouter", "invokedModelId"):
        holder = holder.get(name) if isinstance(holder, dict) else None
    return holder if isinstance(holder, str) else ""


class _BlockReader:
    """Sorts the blocks of a message into the fields of a canonical one."""

    __slots__ = ("_calls", "_reasoning", "_source", "_texts", "_thinking")

    def __init__(self, source: str) -> None:
        self._source = source
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._thinking: list[JsonObject] = []
        self._calls: list[JsonObject] = []

    def add(self, block: object) -> None:
        """Take the next block. Raises ``UpstreamProtocolError``."""
        if not isinstance(block, dict):
            raise UpstreamProtocolError(f"'{self._source}' sent a content block that is not a JSON object.")
        if isinstance(block.get("text"), str):
            self._texts.append(block["text"])
        elif isinstance(block.get("citationsContent"), dict):
            self._cite(block["citationsContent"].get("content"))
        elif isinstance(block.get("reasoningContent"), dict):
            self._reason(block["reasoningContent"])
        elif isinstance(block.get("toolUse"), dict) and not runs_at_amazon(block["toolUse"]):
            tool_use = block["toolUse"]
            arguments = encode_answer(tool_use.get("input") or {}).decode()
            self._calls.append(tool_call(tool_use, arguments, self._source))

    def message(self) -> JsonObject:
        """The canonical message."""
        message: JsonObject = {"content": "".join(self._texts) if self._texts else None}
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        if self._thinking:
            message["thinking_blocks"] = self._thinking
        if self._calls:
            message["tool_calls"] = self._calls
        return message

    def _cite(self, content: object) -> None:
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                self._texts.append(part["text"])

    def _reason(self, reasoning: JsonObject) -> None:
        told = reasoning.get("reasoningText")
        if isinstance(told, dict) and isinstance(told.get("text"), str):
            self._reasoning.append(told["text"])
            signature = told.get("signature")
            block = thinking_block(told["text"], signature if isinstance(signature, str) else "")
            self._thinking += [block] if block else []
        elif isinstance(reasoning.get("redactedContent"), str):
            self._thinking.append({"type": "redacted_thinking", "data": reasoning["redactedContent"]})

"""Answers of providers and agents: a response object as a canonical completion."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import orjson

from router.dialects import canonical
from router.dialects.canonical import FinishReason, JsonObject, Usage
from router.dialects.openai_responses.failures import failure
from router.dialects.openai_responses.reasoning import item_text
from router.errors import UpstreamError, UpstreamProtocolError

MESSAGE_GAP = "\n\n"  # between the texts of two messages in one answer

# Items that wait for the client to do something which the canonical form has no word for. Other unknown items tell what
# the provider has done already, and an answer is whole without them.
_AWAITING_CLIENT = frozenset(
    {
        "apply_patch_call",
        "computer_call",
        "custom_tool_call",
        "local_shell_call",
        "mcp_approval_request",
        "shell_call",
    }
)


def _load(body: bytes, source: str) -> JsonObject:
    """A response object that has an output. Raises ``UpstreamError`` when it is none, or one that failed."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise UpstreamProtocolError(f"'{source}' sent an answer that is not valid JSON.") from exc
    if not isinstance(payload, dict):
        raise UpstreamProtocolError(f"'{source}' sent an answer that is not a JSON object.")
    if isinstance(payload.get("error"), dict) or payload.get("status") == "failed":
        raise failed(payload, source)
    if not isinstance(payload.get("output"), list):
        raise UpstreamProtocolError(f"'{source}' sent an answer without 'output'.")
    return payload


def failed(response: Mapping[str, Any], source: str) -> UpstreamError:
    """Why a response failed."""
    error = response.get("error")
    return failure(error if isinstance(error, dict) else {}, source)


def check_completion(body: bytes, source: str) -> Usage | None:
    """See that ``body`` is a response that did not fail; its tokens, once it has them. Raises ``UpstreamError``."""
    return usage_from(_load(body, source).get("usage"))


def decode_completion(body: bytes, source: str) -> JsonObject:
    """The canonical completion. Raises ``UpstreamError`` when it is none, or an error with status 200."""
    payload = _load(body, source)
    if payload.get("status") not in ("completed", "incomplete", None):
        raise UpstreamProtocolError(f"'{source}' sent an answer that is not finished.")
    return completion_from(payload, source)


def completion_from(response: JsonObject, source: str) -> JsonObject:
    """The canonical completion of a finished response. Raises ``UpstreamProtocolError``."""
    usage = usage_from(response.get("usage"))
    message = _Message()
    for item in _objects(response.get("output")):
        message.add(item, source)
    model = response.get("model")
    id_ = response.get("id")
    extra: JsonObject = {"created": created_at(response)}
    if isinstance(response.get("service_tier"), str):
        extra["service_tier"] = response["service_tier"]
    whole = canonical.completion(
        message.fields(),
        model=model if isinstance(model, str) else "",
        finish_reason=finish_reason(response, called=bool(message.calls)),
        id_=id_ if isinstance(id_, str) else None,
        usage=usage,
        **extra,
    )
    if usage is None:
        del whole["usage"]
    if message.logprobs:
        whole["choices"][0]["logprobs"] = {"content": message.logprobs, "refusal": None}
    return whole


class _Message:
    """Puts the output items of one answer into one message."""

    __slots__ = ("_annotations", "_blocks", "_reasoning", "_refusals", "_text", "calls", "logprobs")

    def __init__(self) -> None:
        self.calls: list[JsonObject] = []
        self.logprobs: list[JsonObject] = []
        self._annotations: list[JsonObject] = []
        self._blocks: list[JsonObject] = []
        self._reasoning: list[str] = []
        self._refusals: list[str] = []
        self._text = ""

    def add(self, item: JsonObject, source: str) -> None:
        """Take one item. Raises ``UpstreamProtocolError`` for one that the client would have to understand."""
        kind = item.get("type")
        if kind == "message":
            self._add_message(item)
        elif kind == "function_call":
            self.calls.append(tool_call(item))
        elif kind == "reasoning":
            self._blocks.append(item)
            if text := item_text(item):
                self._reasoning.append(text)
        else:
            check_item(kind, source)

    def _add_message(self, item: JsonObject) -> None:
        begun = False
        for part in _objects(item.get("content")):
            text, refusal = part.get("text"), part.get("refusal")
            if part.get("type") == "output_text" and isinstance(text, str) and text:
                if self._text and not begun:
                    self._text += MESSAGE_GAP
                begun = True
                self._annotations += citations(_objects(part.get("annotations")), len(self._text))
                self._text += text
                self.logprobs += _objects(part.get("logprobs"))
            elif part.get("type") == "refusal" and isinstance(refusal, str):
                self._refusals.append(refusal)

    def fields(self) -> JsonObject:
        """The fields of the message that have something to say."""
        message: JsonObject = {"content": self._text or None, "refusal": "".join(self._refusals) or None}
        if not (self._text or self._refusals or self.calls):
            message["content"] = ""
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        for name, values in (
            ("thinking_blocks", self._blocks),
            ("tool_calls", self.calls),
            ("annotations", self._annotations),
        ):
            if values:
                message[name] = values
        return message


def check_item(kind: object, source: str) -> None:
    """Raises ``UpstreamProtocolError`` for an item that waits for the client to do what it has no word for."""
    if isinstance(kind, str) and kind in _AWAITING_CLIENT:
        raise UpstreamProtocolError(f"'{source}' answered with a '{kind}', which cannot be translated for the client.")


def tool_call(item: Mapping[str, Any]) -> JsonObject:
    """A function call as a canonical tool call."""
    name, arguments = item.get("name"), item.get("arguments")
    function = {
        "name": name if isinstance(name, str) else "",
        "arguments": arguments if isinstance(arguments, str) else "",
    }
    return {"id": str(item.get("call_id") or item.get("id") or ""), "type": "function", "function": function}


def citations(annotations: list[JsonObject], offset: int) -> list[JsonObject]:
    """Citations of web pages, whose positions count from ``offset`` in the whole text; other annotations name files."""
    found = []
    for annotation in annotations:
        if annotation.get("type") != "url_citation":
            continue
        fields = {name: value for name, value in annotation.items() if name != "type"}
        for name in ("start_index", "end_index"):
            if isinstance(fields.get(name), int):
                fields[name] += offset
        found.append({"type": "url_citation", "url_citation": fields})
    return found


def finish_reason(response: Mapping[str, Any], *, called: bool) -> FinishReason:
    """Why a finished response stopped; whatever else left it incomplete, it stopped short."""
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        filtered = isinstance(details, dict) and details.get("reason") == "content_filter"
        return "content_filter" if filtered else "length"
    return "tool_calls" if called else "stop"


def usage_from(usage: object) -> Usage | None:
    """The tokens that a ``usage`` object of this API counts; ``None`` where there is none."""
    if not isinstance(usage, dict):
        return None
    read, written = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    return canonical.usage_of(
        {
            "prompt_tokens": usage.get("input_tokens"),
            "completion_tokens": usage.get("output_tokens"),
            "prompt_tokens_details": read,
            "completion_tokens_details": written,
        }
    )


def created_at(response: Mapping[str, Any]) -> int:
    """When a response was made, in Unix seconds."""
    created = response.get("created_at")
    if isinstance(created, int | float) and math.isfinite(created):
        return int(created)
    return int(time.time())


def _objects(values: object) -> list[JsonObject]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []

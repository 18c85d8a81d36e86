"""Streams of the OpenAI chat completion dialect: chunks out, chunks in, and a whole completion from or to a stream.

Reference: https://platform.openai.com/docs/api-reference/chat-streaming.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from router.dialects import sse
from router.dialects.openai_chat import (
    FinishReason,
    JsonObject,
    completion_id,
    decode_answer,
    error_payload,
)
from router.errors import GatewayError


def chunk(delta: Mapping[str, object], *, base: Mapping[str, object], finish_reason: str | None = None) -> bytes:
    """One encoded chunk event; ``base`` has the fields that all chunks of a stream share (``chunk_base``)."""
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]
    return sse.encode_event(orjson.dumps({**base, "choices": choices}))


def chunk_base(model: str, *, id_: str | None = None, created: int | None = None) -> JsonObject:
    """The fields that all chunks of one stream share."""
    return {
        "id": id_ or completion_id(),
        "object": "chat.completion.chunk",
        "created": int(time.time()) if created is None else created,
        "model": model,
    }


STREAM_END = sse.encode_event(sse.DONE)


def stream_text(text: str, *, model: str, finish_reason: FinishReason = "stop") -> bytes:
    """A whole stream that says ``text``: role, content, finish reason, end."""
    base = chunk_base(model)
    return (
        chunk({"role": "assistant", "content": text}, base=base)
        + chunk({}, base=base, finish_reason=finish_reason)
        + STREAM_END
    )


def stream_from_completion(payload: Mapping[str, Any]) -> bytes:
    """The stream that says the same as a whole completion, for a client that asked for one."""
    base = chunk_base(str(payload.get("model") or ""), id_=payload.get("id"), created=payload.get("created"))
    events = []
    for choice in payload["choices"]:
        index = choice.get("index", 0)
        message = {name: value for name, value in (choice.get("message") or {}).items() if value is not None}
        for position, call in enumerate(message.get("tool_calls") or []):
            call.setdefault("index", position)
        first = {"index": index, "delta": {"role": "assistant", **message}, "finish_reason": None}
        last = {"index": index, "delta": {}, "finish_reason": choice.get("finish_reason") or "stop"}
        events += [{**base, "choices": [first]}, {**base, "choices": [last]}]
    if payload.get("usage"):
        events.append({**base, "choices": [], "usage": payload["usage"]})
    return b"".join(sse.encode_event(orjson.dumps(event)) for event in events) + STREAM_END


class CompletionAssembler:
    """Builds the whole completion out of the chunks of a stream (first choice only).

    Feed it whole events of ``source``. ``error`` is set when the stream carried an error event.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self.error: JsonObject | None = None
        self._head: JsonObject = {}
        self._texts: dict[str, list[str]] = {}
        self._tool_calls: dict[int, JsonObject] = {}
        self._finish_reason: str | None = None
        self._usage: JsonObject | None = None

    def feed(self, events: bytes) -> str:
        """Take whole events; give back the assistant text in them.

        Raises ``UpstreamProtocolError`` when one is not a chunk.
        """
        texts = self._texts.setdefault("content", [])
        known = len(texts)
        for data in sse.event_data(events):
            if data.strip() == sse.DONE:
                continue
            payload = decode_answer(data, self._source)
            if isinstance(payload.get("error"), dict):
                self.error = payload["error"]
            else:
                self._add(payload)
        return "".join(texts[known:])

    def completion(self) -> JsonObject:
        """The completion that the chunks so far amount to."""
        message: JsonObject = {"role": "assistant", "content": None, "refusal": None}
        message.update((name, "".join(parts)) for name, parts in self._texts.items() if parts)
        if self._tool_calls:
            message["tool_calls"] = [self._tool_calls[index] for index in sorted(self._tool_calls)]
        whole: JsonObject = {
            "id": self._head.get("id") or completion_id(),
            "object": "chat.completion",
            "created": self._head.get("created") or int(time.time()),
            "model": self._head.get("model") or "",
            "choices": [
                {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish_reason or "stop"}
            ],
        }
        if self._usage:
            whole["usage"] = self._usage
        return whole

    def _add(self, payload: JsonObject) -> None:
        self._head = self._head or payload
        self._usage = payload.get("usage") or self._usage
        for choice in payload.get("choices") or ():
            if choice.get("index", 0) != 0:
                continue
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
            for name, value in (choice.get("delta") or {}).items():
                if name == "tool_calls":
                    self._add_tool_calls(value or ())
                elif isinstance(value, str) and name != "role":
                    self._texts.setdefault(name, []).append(value)

    def _add_tool_calls(self, calls: Sequence[JsonObject]) -> None:
        for call in calls:
            known = self._tool_calls.setdefault(
                call.get("index", 0), {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
            )
            known["id"] = call.get("id") or known["id"]
            function = call.get("function") or {}
            known["function"]["name"] += function.get("name") or ""
            known["function"]["arguments"] += function.get("arguments") or ""


def encode_stream_error(error: GatewayError, request_id: str) -> bytes:
    """The one event that ends a stream which broke after its first byte; no ``[DONE]`` follows."""
    return sse.encode_event(orjson.dumps(error_payload(error, request_id)))

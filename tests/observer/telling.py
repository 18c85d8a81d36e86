"""Frames as a worker sends them, made with the worker's own parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from router.observer.spans import FinishedSpan
from router.telemetry import frames, semconv
from router.telemetry.tracing import Sampler, Span


class Taken:
    """Takes spans, and keeps them by name."""

    def __init__(self) -> None:
        self.spans: list[FinishedSpan] = []

    def take(self, spans: Sequence[FinishedSpan]) -> None:
        self.spans += spans

    def named(self, name: str) -> FinishedSpan:
        (span,) = [span for span in self.spans if span.name == name]
        return span


def traced(*, failed_first: bool = False) -> Span:
    """A request's span with that of the upstream that answered, and one that failed before, if so wished."""
    root = Sampler(1.0).begin("POST /v1/chat/completions", {}, {semconv.LISTENER: "web"})
    if failed_first:
        failed = root.child("chat slow", "client", {semconv.OPERATION: "chat", semconv.UPSTREAM: "slow"})
        failed.fail("timeout")
        failed.end()
    with root.child("chat gpt", "client", {semconv.OPERATION: "chat", semconv.UPSTREAM: "openai"}):
        pass
    root.end()
    return root


def request_message(
    root: Span | None,
    messages: Sequence[dict[str, Any]] = (),
    *,
    dialect: str = "openai_chat",
    stream: bool = False,
    start: int = 0,
) -> dict[str, Any]:
    """A ``request`` message as it arrives."""
    exchange = {
        "key": "a conversation",
        "start": start,
        "messages": list(messages),
        "status": 200,
        "error_code": None,
        "attempts": ["ok"],
        "listener": "web",
    }
    message = {
        "type": "request",
        "trace": None if root is None else frames.trace_fields(root.trace),
        "exchange": exchange,
        "dialect": dialect,
        "stream": stream,
    }
    reader = frames.FrameReader()
    ((arrived, _),) = reader.feed(frames.encode(message))
    return arrived


def chat_answer(message: dict[str, Any], finish_reason: str = "stop") -> bytes:
    """A whole answer in the OpenAI dialect."""
    return orjson.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-4o-2024-08-06",
            "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}],
        }
    )


def tool_call(name: str, arguments: str, call_id: str = "call_1") -> dict[str, Any]:
    """One call, as an assistant's message has it."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}

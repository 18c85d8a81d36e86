"""Canonical chunks as Anthropic's streams.

Blocks of an Anthropic stream follow each other: one is closed before the next begins. OpenAI's chunks may mix them, so
a tool call that begins while the arguments of another are not complete waits for them (an object whose braces are
closed cannot go on), and text that comes in between waits for the end. ``message_delta`` waits for the tokens, which
may come in a chunk of their own behind the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from router.dialects.anthropic_messages.arguments import StreamedCall, answer_json
from router.dialects.anthropic_messages.endings import (
    message_id,
    refusal_details,
    stop_fields,
    tool_use_id,
    usage_to,
)
from router.dialects.anthropic_messages.thinking import block_from_canonical
from router.dialects.canonical import ChatRequest, JsonObject, usage_of

_TEXT_START: JsonObject = {"type": "text", "text": ""}
_THINKING_START: JsonObject = {"type": "thinking", "thinking": "", "signature": ""}


class Encoder:
    """The events of one answer to ``request``."""

    __slots__ = (
        "_call",
        "_calls",
        "_done",
        "_index",
        "_late_text",
        "_model",
        "_open",
        "_out",
        "_piece",
        "_refuses",
        "_started",
        "_stop",
        "_usage",
        "_waiting",
    )

    def __init__(self, request: ChatRequest) -> None:
        self._model = request.model or ""
        self._out: list[bytes] = []
        self._started = False
        self._index = -1
        self._open: str | None = None
        self._piece = b""
        """How an event with a piece of the open text or thinking begins."""
        self._calls: dict[int, StreamedCall] = {}
        self._call: StreamedCall | None = None
        self._waiting: list[StreamedCall] = []
        self._late_text: list[str] = []
        self._refuses = False
        self._stop: JsonObject | None = None
        self._usage: Any = None
        self._done = False

    def feed(self, chunk: JsonObject) -> bytes:
        """The events of one chunk; empty where it has to wait."""
        if not self._started:
            self._start(chunk)
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        choices = chunk.get("choices")
        if isinstance(choices, list) and choices:
            for choice in choices:
                if isinstance(choice, dict) and not choice.get("index"):
                    self._read(choice)
        elif self._stop is not None and self._usage is not None:
            self._end()
        return self._taken()

    def finish(self) -> bytes:
        """The end of the answer."""
        if not self._started:
            self._start({})
        self._end()
        self._event("message_stop", {"type": "message_stop"})
        return self._taken()

    def _taken(self) -> bytes:
        out = self._out
        if not out:
            return b""
        taken = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return taken

    def _event(self, name: str, payload: JsonObject) -> None:
        self._out.append(b"event: %b\ndata: %b\n\n" % (name.encode(), answer_json(payload)))

    def _start(self, chunk: Mapping[str, Any]) -> None:
        self._started = True
        message: JsonObject = {
            "id": str(chunk.get("id") or message_id()),
            "type": "message",
            "role": "assistant",
            "model": str(chunk.get("model") or self._model),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_to(usage_of(chunk.get("usage"))),
        }
        self._event("message_start", {"type": "message_start", "message": message})

    def _read(self, choice: Mapping[str, Any]) -> None:
        delta = choice.get("delta")
        finish = choice.get("finish_reason")
        if isinstance(delta, dict) and delta:
            content = delta.get("content")
            if len(delta) == 1 and content and isinstance(content, str):  # nearly all chunks of an answer
                self._say(content)
            else:
                self._read_delta(delta, explained=finish == "content_filter")
        if finish:
            self._stop = stop_fields(choice, calls_tools=bool(self._calls), refuses=self._refuses)
            if isinstance(delta, dict) and finish == "content_filter":
                details = refusal_details(delta.get("refusal"))
                self._stop.update({"stop_details": details} if details else {})

    def _read_delta(self, delta: Mapping[str, Any], *, explained: bool) -> None:
        self._read_reasoning(delta)
        for block in _list(delta.get("native_blocks")):
            self._pass_on(block)
        content, refusal = delta.get("content"), delta.get("refusal")
        if isinstance(content, str) and content:
            self._say(content)
        if isinstance(refusal, str) and refusal and not explained:
            self._refuses = True
            self._say(refusal)
        if self._open == "text":
            for citation in _list(delta.get("citations")):
                self._delta({"type": "citations_delta", "citation": citation})
        for call in _list(delta.get("tool_calls")):
            if isinstance(call, dict):
                self._call_tool(call)

    def _read_reasoning(self, delta: Mapping[str, Any]) -> None:
        blocks = _list(delta.get("thinking_blocks"))
        for block in blocks:
            self._keep_thinking(block)
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(reasoning, str) and reasoning and not blocks:
            self._think(reasoning)

    def _open_block(self, kind: str, block: JsonObject) -> None:
        self._close_block()
        self._index += 1
        self._open = kind
        self._event(
            "content_block_start", {"type": "content_block_start", "index": self._index, "content_block": block}
        )
        if kind in {"text", "thinking"}:
            self._piece = (
                b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
                b'"delta":{"type":"%b_delta","%b":' % (self._index, kind.encode(), kind.encode())
            )

    def _close_block(self) -> None:
        if self._open is not None:
            self._open = None
            self._event("content_block_stop", {"type": "content_block_stop", "index": self._index})

    def _delta(self, delta: JsonObject) -> None:
        self._event("content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": delta})

    def _say(self, text: str) -> None:
        if self._open != "text":
            if not self._may_leave_calls():
                self._late_text.append(text)
                return
            self._open_block("text", _TEXT_START)
        self._out.append(self._piece + orjson.dumps(text) + b"}}\n\n")

    def _think(self, text: str) -> None:
        if self._open != "thinking":
            if not self._may_leave_calls():
                return  # no client expects reasoning inside of a tool call
            self._open_block("thinking", _THINKING_START)
        self._out.append(self._piece + orjson.dumps(text) + b"}}\n\n")

    def _keep_thinking(self, kept: object) -> None:
        """A whole block of reasoning: its signature where its text has been streamed, else all of it."""
        block = block_from_canonical(kept) if isinstance(kept, dict) else None
        if block is None or not self._may_leave_calls():
            return
        if block["type"] == "redacted_thinking":
            self._open_block("redacted_thinking", block)
        else:
            if self._open != "thinking":
                self._open_block("thinking", _THINKING_START)
                if block["thinking"]:
                    self._delta({"type": "thinking_delta", "thinking": block["thinking"]})
            self._delta({"type": "signature_delta", "signature": block["signature"]})
        self._close_block()

    def _pass_on(self, block: object) -> None:
        """A block of an Anthropic provider that the canonical form only carries."""
        if not isinstance(block, dict) or not self._may_leave_calls():
            return
        given = block.get("input")
        if isinstance(given, dict) and given:
            self._open_block("native", {**block, "input": {}})
            self._delta({"type": "input_json_delta", "partial_json": answer_json(given).decode()})
        else:
            self._open_block("native", block)
        self._close_block()

    def _may_leave_calls(self) -> bool:
        """Whether another block may begin: no call is open, or it is complete."""
        if self._call is not None and not self._call.is_complete():
            return False
        self._call = None
        return True

    def _call_tool(self, piece: Mapping[str, Any]) -> None:
        index = piece.get("index")
        key = index if isinstance(index, int) else len(self._calls)
        call = self._calls.get(key)
        id_, function = piece.get("id"), piece.get("function")
        if call is None or (id_ and call.id and id_ != call.id):  # some servers count all of their calls as the first
            call = self._calls[key] = StreamedCall()
            self._waiting.append(call)
        if isinstance(id_, str) and id_:
            call.id = id_
        arguments = None
        if isinstance(function, dict):
            name, arguments = function.get("name"), function.get("arguments")
            call.name += name if isinstance(name, str) else ""
        if isinstance(arguments, str) and arguments:
            call.pieces.append(arguments)
            if call is self._call:
                self._delta({"type": "input_json_delta", "partial_json": arguments})
        self._admit()

    def _admit(self, *, all_of_them: bool = False) -> None:
        """Open the next calls that wait, while none before them can go on."""
        while self._waiting:
            if not all_of_them:
                if self._call is not None and not self._call.is_complete():
                    return
                if not self._waiting[0].name:
                    return
            call = self._waiting.pop(0)
            self._call = call
            self._open_block(
                "tool_use",
                {"type": "tool_use", "id": call.id or tool_use_id(), "name": call.name, "input": {}},
            )
            if call.pieces:
                self._delta({"type": "input_json_delta", "partial_json": "".join(call.pieces)})

    def _end(self) -> None:
        """Everything but ``message_stop``, once."""
        if self._done:
            return
        self._done = True
        self._admit(all_of_them=True)
        self._call = None
        if self._late_text:
            self._say("".join(self._late_text))
        self._close_block()
        stop = self._stop or stop_fields({}, calls_tools=bool(self._calls), refuses=self._refuses)
        self._event("message_delta", {"type": "message_delta", "delta": stop, "usage": usage_to(usage_of(self._usage))})


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []

"""The items of a streamed response: the events that open, fill and close each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson

from router.dialects.canonical import JsonObject, encode_answer
from router.dialects.openai_responses.message_items import message_id
from router.dialects.openai_responses.reasoning import block_text, encode_block, encode_text, reasoning_id
from router.dialects.openai_responses.response import call_id, call_item_id, message_item, refusal_part, text_part
from router.errors import GatewayError

# An error that ends a stream does not know how many events went before it, in a relayed stream nobody does.
_LAST_NUMBER = 2**31 - 1


class Events:
    """Numbers events and gathers their bytes until they are taken."""

    __slots__ = ("_bytes", "_number")

    def __init__(self) -> None:
        self._number = 0
        self._bytes: list[bytes] = []

    def add(self, type_: str, fields: Mapping[str, Any]) -> None:
        """One event."""
        self._bytes.append(encode_event(type_, fields, self._number))
        self._number += 1

    def add_delta(self, head: tuple[bytes, bytes], piece: str) -> None:
        """One event of a part that ``delta_head`` has begun: nearly all events are of this kind."""
        self._bytes.append(b"%b%d%b%b}\n\n" % (head[0], self._number, head[1], orjson.dumps(piece)))
        self._number += 1

    def take(self) -> bytes:
        """The events since the last call."""
        taken, self._bytes = b"".join(self._bytes), []
        return taken


def encode_event(type_: str, fields: Mapping[str, Any], number: int) -> bytes:
    """One event as it goes over the wire; the API names its type twice."""
    data = encode_answer({"type": type_, "sequence_number": number, **fields})
    return b"event: " + type_.encode() + b"\ndata: " + data + b"\n\n"


def encode_stream_error(error: GatewayError, request_id: str) -> bytes:
    """The event that ends a stream which broke after its first byte; its number is higher than any before it."""
    fields = {"code": error.code, "message": error.message, "param": error.param, "request_id": request_id}
    return encode_event("error", fields, _LAST_NUMBER)


def delta_head(type_: str, fields: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """What stays the same in the delta events of one part: the bytes before the event's number, and those after it."""
    name = type_.encode()
    start = b'event: %b\ndata: {"type":"%b","sequence_number":' % (name, name)
    return start, b"," + orjson.dumps(fields)[1:-1] + b',"delta":'


class OpenItem(Protocol):
    """An item of the output; ``whole`` is what it amounts to once it is closed."""

    whole: JsonObject

    def close(self, status: str) -> None:
        """Say that the item is complete; once only, later calls do nothing."""


class MessageItem:
    """A message: parts of text and refusal, of which one at a time is open."""

    __slots__ = (
        "_annotations",
        "_at",
        "_closed",
        "_content",
        "_events",
        "_head",
        "_kind",
        "_logprobs",
        "_pieces",
        "whole",
    )

    def __init__(self, events: Events, output_index: int) -> None:
        self._events = events
        self._head = (b"", b"")
        self._kind: str | None = None
        self._content: list[JsonObject] = []
        self._pieces: list[str] = []
        self._logprobs: list[JsonObject] = []
        self._annotations: list[JsonObject] = []
        self._closed = False
        self.whole = message_item(message_id(), [], status="in_progress")
        self._at: JsonObject = {"item_id": self.whole["id"], "output_index": output_index, "content_index": -1}
        events.add("response.output_item.added", {"output_index": output_index, "item": self.whole})

    def say(self, kind: str, piece: str, logprobs: Sequence[JsonObject] = ()) -> None:
        """Add ``piece`` to the open part; ``kind`` is ``output_text`` or ``refusal``."""
        if kind != self._kind:
            self._open_part(kind)
        self._pieces.append(piece)
        if logprobs:
            self._logprobs += logprobs
            fields = {**self._at, "delta": piece, "logprobs": _bare(logprobs)}
            self._events.add("response.output_text.delta", fields)
        elif piece:
            self._events.add_delta(self._head, piece)

    def annotate(self, annotations: Sequence[JsonObject]) -> None:
        """Add annotations to the text."""
        if annotations and self._kind != "output_text":
            self._open_part("output_text")
        for annotation in annotations:
            fields = {**self._at, "annotation_index": len(self._annotations), "annotation": annotation}
            self._annotations.append(annotation)
            self._events.add("response.output_text.annotation.added", fields)

    def close(self, status: str) -> None:
        """Close the part that is open, and the message."""
        if self._closed:
            return
        self._closed = True
        if self._kind is None:
            self._open_part("output_text")
        self._close_part()
        self.whole = {**self.whole, "status": status, "content": self._content}
        fields = {"output_index": self._at["output_index"], "item": self.whole}
        self._events.add("response.output_item.done", fields)

    def _open_part(self, kind: str) -> None:
        self._close_part()
        self._kind = kind
        self._at["content_index"] += 1
        if kind == "refusal":
            part = refusal_part("")
            self._head = delta_head("response.refusal.delta", self._at)
        else:
            part = text_part("")
            self._head = delta_head("response.output_text.delta", {**self._at, "logprobs": []})
        self._events.add("response.content_part.added", {**self._at, "part": part})

    def _close_part(self) -> None:
        if self._kind is None:
            return
        text = "".join(self._pieces)
        if self._kind == "refusal":
            part = refusal_part(text)
            self._events.add("response.refusal.done", {**self._at, "refusal": text})
        else:
            part = text_part(text, self._annotations, self._logprobs)
            self._events.add("response.output_text.done", {**self._at, "text": text, "logprobs": _bare(self._logprobs)})
        self._events.add("response.content_part.done", {**self._at, "part": part})
        self._content.append(part)
        self._pieces, self._annotations, self._logprobs = [], [], []


def _bare(logprobs: Sequence[JsonObject]) -> list[JsonObject]:
    """Log probabilities as events have them: without the bytes, which are in the part only."""
    return [
        {
            "token": token.get("token"),
            "logprob": token.get("logprob"),
            "top_logprobs": [
                {"token": top.get("token"), "logprob": top.get("logprob")} for top in token["top_logprobs"]
            ],
        }
        for token in logprobs
    ]


class ReasoningItem:
    """Reasoning: one part of summary; ``seal`` sets what has to come back with it."""

    __slots__ = ("_at", "_block", "_closed", "_events", "_head", "_pieces", "whole")

    def __init__(self, events: Events, output_index: int) -> None:
        self._events = events
        self._pieces: list[str] = []
        self._block: JsonObject | None = None
        self._closed = False
        self.whole: JsonObject = {"id": reasoning_id(), "type": "reasoning", "summary": [], "status": "in_progress"}
        self._at: JsonObject = {"item_id": self.whole["id"], "output_index": output_index, "summary_index": 0}
        self._head = delta_head("response.reasoning_summary_text.delta", self._at)
        events.add("response.output_item.added", {"output_index": output_index, "item": self.whole})

    def say(self, piece: str) -> None:
        """Add ``piece`` to the summary."""
        if not self._pieces:
            self._part("added", "")
        self._pieces.append(piece)
        self._events.add_delta(self._head, piece)

    def seal(self, block: JsonObject) -> None:
        """The canonical block that the item stands for; its text is said where no piece of it has been."""
        self._block = block
        if not self._pieces and (text := block_text(block)):
            self.say(text)

    def close(self, status: str) -> None:
        """Close the summary and the item, which is then as the block says."""
        if self._closed:
            return
        self._closed = True
        text = "".join(self._pieces)
        if text:
            self._events.add("response.reasoning_summary_text.done", {**self._at, "text": text})
            self._part("done", text)
        id_ = self.whole["id"]
        self.whole = encode_text(text, id_=id_) if self._block is None else encode_block(self._block, id_=id_)
        self.whole["status"] = status
        fields = {"output_index": self._at["output_index"], "item": self.whole}
        self._events.add("response.output_item.done", fields)

    def _part(self, step: str, text: str) -> None:
        part = {"type": "summary_text", "text": text}
        self._events.add(f"response.reasoning_summary_part.{step}", {**self._at, "part": part})


class CallItem:
    """A function call, which is announced as soon as its name is known; ``call_id`` is empty until it is."""

    __slots__ = ("_at", "_closed", "_events", "_head", "_name", "_opened", "_pieces", "call_id", "whole")

    def __init__(self, events: Events, output_index: int) -> None:
        self._events = events
        self._name = ""
        self._pieces: list[str] = []
        self._opened = False
        self._closed = False
        self.call_id = ""
        self._at: JsonObject = {"item_id": call_item_id(), "output_index": output_index}
        self._head = delta_head("response.function_call_arguments.delta", self._at)
        self.whole: JsonObject = {}

    def add(self, name: str, arguments: str) -> None:
        """Take a piece of the name and one of the arguments."""
        self._name += name
        if arguments:
            self._pieces.append(arguments)
        if not self._opened:
            if not self._name:
                return
            self._open()
            arguments = "".join(self._pieces)
        if arguments:
            self._events.add_delta(self._head, arguments)

    def close(self, status: str) -> None:
        """Close the call."""
        if self._closed:
            return
        self._closed = True
        if not self._opened:
            self._open()
        arguments = "".join(self._pieces)
        # Version 2 of the official SDK wants the name here, later ones do not know it.
        done = {**self._at, "name": self._name, "arguments": arguments}
        self._events.add("response.function_call_arguments.done", done)
        self.whole = {**self.whole, "status": status, "name": self._name, "arguments": arguments}
        fields = {"output_index": self._at["output_index"], "item": self.whole}
        self._events.add("response.output_item.done", fields)

    def _open(self) -> None:
        self._opened = True
        self.call_id = self.call_id or call_id()
        self.whole = {
            "id": self._at["item_id"],
            "type": "function_call",
            "status": "in_progress",
            "call_id": self.call_id,
            "name": self._name,
            "arguments": "",
        }
        self._events.add("response.output_item.added", {"output_index": self._at["output_index"], "item": self.whole})

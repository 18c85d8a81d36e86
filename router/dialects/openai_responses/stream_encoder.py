"""Streams to clients: canonical chunks as the events of a response.

Reference: https://platform.openai.com/docs/api-reference/responses-streaming. A response is a list of items, each of
which is opened, filled and closed by events of its own. Reasoning and text close when something else follows; function
calls stay open to the end, because servers may send the arguments of several in turns. The tokens come after everything
else, so the last event waits for the end of the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.dialects.canonical import ChatRequest, JsonObject
from router.dialects.openai_responses.reasoning import block_text
from router.dialects.openai_responses.response import annotated, begun, ended, spoken_text, token_logprobs
from router.dialects.openai_responses.stream_items import CallItem, Events, MessageItem, OpenItem, ReasoningItem
from router.errors import UpstreamProtocolError

# An answer is held in memory until its end, because the last events repeat all of it.
_MAX_ANSWER_CHARS = 64 * 1024 * 1024
_ITEM_CHARS = 512  # what an item takes beside its text


class Encoder:
    """The events of one response. Raises ``UpstreamProtocolError`` when the answer is too long to be repeated."""

    __slots__ = (
        "_calls",
        "_events",
        "_finish_reason",
        "_items",
        "_max_chars",
        "_open",
        "_request",
        "_response",
        "_size",
        "_usage",
    )

    def __init__(self, request: ChatRequest, *, max_chars: int = _MAX_ANSWER_CHARS) -> None:
        self._request = request
        self._events = Events()
        self._response: JsonObject | None = None
        self._items: list[OpenItem] = []
        self._open: MessageItem | ReasoningItem | None = None
        self._calls: dict[object, CallItem] = {}
        self._finish_reason: object = None
        self._usage: object = None
        self._size = 0
        self._max_chars = max_chars

    def feed(self, chunk: JsonObject) -> bytes:
        """The events that one chunk amounts to."""
        if self._response is None:
            self._begin(chunk)
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("index", 0) == 0:
                self._take(choice)
        return self._events.take()

    def finish(self) -> bytes:
        """What closes the items that are open, and the whole response."""
        response = self._begin({}) if self._response is None else self._response
        if not self._items:
            self._message().say("output_text", "")
        status, whole = ended(response, (), finish_reason=self._finish_reason, usage=self._usage)
        last = len(self._items) - 1
        for index, item in enumerate(self._items):
            item.close(status if index == last else "completed")
        whole["output"] = [item.whole for item in self._items]
        self._events.add(f"response.{status}", {"response": whole})
        return self._events.take()

    def _begin(self, source: Mapping[str, Any]) -> JsonObject:
        response = self._response = begun(self._request, source)
        self._events.add("response.created", {"response": response})
        self._events.add("response.in_progress", {"response": response})
        return response

    def _take(self, choice: JsonObject) -> None:
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")  # some servers' other name for it
        if reasoning or delta.get("thinking_blocks"):
            self._reason(reasoning, delta.get("thinking_blocks"))
        if text := spoken_text(delta.get("content")):
            logprobs = token_logprobs(choice["logprobs"]) if choice.get("logprobs") else ()
            self._message().say("output_text", text, logprobs)
            self._grow(len(text))
        if cited := annotated(delta.get("annotations")):
            self._message().annotate(cited)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._message().say("refusal", refusal)
            self._grow(len(refusal))
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self._call(call)

    def _grow(self, chars: int) -> None:
        self._size += chars
        if self._size > self._max_chars:
            raise UpstreamProtocolError(f"The answer has more than {self._max_chars} characters.")

    def _keep(self, item: OpenItem) -> None:
        self._items.append(item)
        self._grow(_ITEM_CHARS)

    def _message(self) -> MessageItem:
        if not isinstance(self._open, MessageItem):
            self._close_open()
            self._open = MessageItem(self._events, len(self._items))
            self._keep(self._open)
        return self._open

    def _reasoning(self) -> ReasoningItem:
        if not isinstance(self._open, ReasoningItem):
            self._close_open()
            self._open = ReasoningItem(self._events, len(self._items))
            self._keep(self._open)
        return self._open

    def _close_open(self) -> None:
        if self._open is not None:
            self._open.close("completed")
            self._open = None

    def _reason(self, text: object, blocks: object) -> None:
        """Text goes on in the open item; a block completes it, or is an item of its own where none is open.

        A chunk that has both is a whole message (``chunks_of``): its text is the text of its blocks.
        """
        known = [block for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
        repeated = any(map(block_text, known)) and not isinstance(self._open, ReasoningItem)
        if isinstance(text, str) and text and not repeated:
            self._reasoning().say(text)
            self._grow(len(text))
        for block in known:
            if block.get("type") == "redacted_thinking":
                self._close_open()  # it has no text: what has been said is not its
            self._reasoning().seal(block)
            self._grow(len(block_text(block)))
            self._close_open()

    def _call(self, call: JsonObject) -> None:
        """One piece of a call. Servers that give no index, or the same one to all, tell calls apart by their ids."""
        index, id_ = call.get("index", 0), call.get("id")
        key = index if isinstance(index, int) else 0
        item = self._calls.get(key)
        if item is None or (id_ and item.call_id and id_ != item.call_id):
            self._close_open()
            item = self._calls[key] = CallItem(self._events, len(self._items))
            self._keep(item)
        function = call.get("function")
        known = function if isinstance(function, dict) else {}
        if isinstance(id_, str) and id_:
            item.call_id = item.call_id or id_
        name, arguments = known.get("name"), known.get("arguments")
        piece = arguments if isinstance(arguments, str) else ""
        item.add(name if isinstance(name, str) else "", piece)
        self._grow(len(piece))

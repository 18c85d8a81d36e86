"""Streams of providers and agents: the events of a response as canonical chunks, and watching a relayed one.

Everything has a delta event and an event that repeats it whole when it is done. Servers that leave out the deltas are
understood too: what has not been said by then is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from router.dialects import sse
from router.dialects.canonical import JsonObject, Usage, chunk, chunk_base, chunks_of, usage_chunk
from router.dialects.openai_chat_stream import decode_event
from router.dialects.openai_responses.completion import (
    MESSAGE_GAP,
    check_item,
    citations,
    completion_from,
    created_at,
    failed,
    finish_reason,
    tool_call,
    usage_from,
)
from router.dialects.openai_responses.failures import failure
from router.dialects.openai_responses.reasoning import PART_GAP
from router.errors import UpstreamError, UpstreamProtocolError

# The events that end a stream. A type that stands inside of a text has its quotes escaped.
_NOTABLE = re.compile(rb'"type"\s*:\s*"(?:response\.(?:completed|incomplete|failed)|error)"')


@dataclass(slots=True)
class _Item:
    """What has been said of one output item.

    ``call`` is the index of a function call among the calls, ``part`` the kind and index of the part that was said
    last, ``start`` where its text begins in the canonical text.
    """

    call: int | None = None
    part: tuple[str, object] | None = None
    start: int = 0
    said: bool = False


class Decoder:
    """Bytes to chunks. Nothing comes out before the answer itself begins: until then another provider can be tried."""

    __slots__ = ("_base", "_calls", "_finished", "_items", "_source", "_splitter", "_started", "_text_chars")

    def __init__(self, source: str, max_event_bytes: int) -> None:
        self._source = source
        self._splitter = sse.EventSplitter(max_event_bytes)
        self._base: JsonObject | None = None
        self._items: dict[object, _Item] = {}
        self._calls = 0
        self._text_chars = 0
        self._started = False
        self._finished = False

    def feed(self, data: bytes) -> list[JsonObject]:
        """The chunks of the events that ``data`` completes. Raises ``UpstreamError``."""
        return self._chunks(self._splitter.feed(data))

    def finish(self) -> list[JsonObject]:
        """The chunks of an event that was not closed. Raises ``UpstreamProtocolError`` when no end was seen."""
        chunks = self._chunks(self._splitter.finish())
        if not self._finished:
            raise UpstreamProtocolError(f"'{self._source}' ended its answer before it was finished.")
        return chunks

    def _chunks(self, events: bytes) -> list[JsonObject]:
        chunks: list[JsonObject] = []
        for data in sse.event_data(events):
            if self._finished or data.strip() == sse.DONE:
                continue
            event = decode_event(data, self._source)
            kind = event.get("type")
            handle = _HANDLERS.get(kind) if isinstance(kind, str) else None
            if handle is not None:
                chunks += handle(self, event)
            elif kind is None and isinstance(event.get("error"), dict):
                raise failure(event, self._source)
        return chunks

    def _delta(self, delta: JsonObject, logprobs: list[JsonObject] | None = None) -> list[JsonObject]:
        if not self._started:
            self._started = True
            delta = {"role": "assistant", **delta}
        piece = chunk(delta, base=self._chunk_base({}))
        if logprobs:
            piece["choices"][0]["logprobs"] = {"content": logprobs, "refusal": None}
        return [piece]

    def _chunk_base(self, response: Mapping[str, Any]) -> JsonObject:
        if self._base is None:
            model, id_ = response.get("model"), response.get("id")
            self._base = chunk_base(
                model if isinstance(model, str) else "",
                id_=id_ if isinstance(id_, str) else None,
                created=created_at(response),
            )
        return self._base

    def _item(self, event: JsonObject) -> _Item:
        index = event.get("output_index")
        key = index if isinstance(index, int) else 0
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = _Item()
        return item

    def _on_created(self, event: JsonObject) -> list[JsonObject]:
        self._chunk_base(_object(event.get("response")))
        return []

    def _on_item_added(self, event: JsonObject) -> list[JsonObject]:
        item = _object(event.get("item"))
        check_item(item.get("type"), self._source)
        if item.get("type") != "function_call":
            return []
        known = self._item(event)
        if known.call is not None:
            return []
        known.call = self._calls
        self._calls += 1
        call = tool_call(item)
        known.said = bool(call["function"]["arguments"])
        return self._delta({"tool_calls": [{"index": known.call, **call}]})

    def _on_text(self, event: JsonObject) -> list[JsonObject]:
        piece = event.get("delta")
        if not isinstance(piece, str) or not piece:
            return []
        item = self._item(event)
        part = ("text", event.get("content_index"))
        if item.part is None and self._text_chars:
            piece = MESSAGE_GAP + piece
            self._text_chars += len(MESSAGE_GAP)
        if item.part != part:
            item.start = self._text_chars
        item.part, item.said = part, True
        self._text_chars += len(event["delta"])
        return self._delta({"content": piece}, _objects(event["logprobs"]) if event.get("logprobs") else None)

    def _on_refusal(self, event: JsonObject) -> list[JsonObject]:
        piece = event.get("delta")
        if not isinstance(piece, str) or not piece:
            return []
        self._item(event).said = True
        return self._delta({"refusal": piece})

    def _on_summary(self, event: JsonObject) -> list[JsonObject]:
        return self._reason(event, ("summary", event.get("summary_index")))

    def _on_reasoning_text(self, event: JsonObject) -> list[JsonObject]:
        return self._reason(event, ("reasoning", event.get("content_index")))

    def _reason(self, event: JsonObject, part: tuple[str, object]) -> list[JsonObject]:
        piece = event.get("delta")
        item = self._item(event)
        if not isinstance(piece, str) or not piece:
            return []
        if item.part is not None and item.part != part:
            if item.part[0] != part[0]:
                return []  # a server that tells its reasoning twice: open, and in summary
            piece = PART_GAP + piece
        item.part, item.said = part, True
        return self._delta({"reasoning_content": piece})

    def _on_arguments(self, event: JsonObject) -> list[JsonObject]:
        item = self._item(event)
        piece = event.get("delta")
        if item.call is None or not isinstance(piece, str) or not piece:
            return []
        item.said = True
        return self._delta({"tool_calls": [{"index": item.call, "function": {"arguments": piece}}]})

    def _on_arguments_done(self, event: JsonObject) -> list[JsonObject]:
        return [] if self._item(event).said else self._on_arguments({**event, "delta": event.get("arguments")})

    def _on_annotation(self, event: JsonObject) -> list[JsonObject]:
        found = citations([_object(event.get("annotation"))], self._item(event).start)
        return self._delta({"annotations": found}) if found else []

    def _on_item_done(self, event: JsonObject) -> list[JsonObject]:
        item = _object(event.get("item"))
        kind = item.get("type")
        check_item(kind, self._source)
        if kind == "reasoning":
            return self._delta({"thinking_blocks": [item]})
        known = self._item(event)
        if kind == "function_call":
            announced = self._on_item_added(event)
            return announced + self._on_arguments_done({**event, "arguments": item.get("arguments")})
        if kind == "message" and not known.said:
            parts = _objects(item.get("content"))
            text = [self._on_text({**event, "delta": p.get("text")}) for p in parts if p.get("type") == "output_text"]
            refusals = [self._on_refusal({**event, "delta": p.get("refusal")}) for p in parts]
            return [piece for pieces in text + refusals for piece in pieces]
        return []

    def _on_end(self, event: JsonObject) -> list[JsonObject]:
        response = _object(event.get("response"))
        if event["type"] == "response.incomplete":
            response = {**response, "status": "incomplete"}
        self._finished = True
        if not self._started:  # nothing but the whole answer
            return chunks_of(completion_from(response, self._source))
        base = self._chunk_base(response)
        chunks = [chunk({}, base=base, finish_reason=finish_reason(response, called=self._calls > 0))]
        usage = usage_from(response.get("usage"))
        if usage is not None:
            chunks.append(usage_chunk(usage, base=base))
        return chunks

    def _on_failed(self, event: JsonObject) -> list[JsonObject]:
        raise failed(_object(event.get("response")), self._source)

    def _on_error(self, event: JsonObject) -> list[JsonObject]:
        raise failure(event, self._source)


_HANDLERS: Mapping[str, Callable[[Decoder, JsonObject], list[JsonObject]]] = {
    "error": Decoder._on_error,
    "response.completed": Decoder._on_end,
    "response.created": Decoder._on_created,
    "response.failed": Decoder._on_failed,
    "response.function_call_arguments.delta": Decoder._on_arguments,
    "response.function_call_arguments.done": Decoder._on_arguments_done,
    "response.in_progress": Decoder._on_created,
    "response.incomplete": Decoder._on_end,
    "response.output_item.added": Decoder._on_item_added,
    "response.output_item.done": Decoder._on_item_done,
    "response.output_text.annotation.added": Decoder._on_annotation,
    "response.output_text.delta": Decoder._on_text,
    "response.reasoning_summary_text.delta": Decoder._on_summary,
    "response.reasoning_text.delta": Decoder._on_reasoning_text,
    "response.refusal.delta": Decoder._on_refusal,
}


class Observer:
    """Looks for the event that ends the stream, and decodes nothing else."""

    __slots__ = ("_source", "error", "finished", "usage")

    def __init__(self, source: str) -> None:
        self._source = source
        self.finished = False
        self.error: UpstreamError | None = None
        self.usage: Usage | None = None

    def watch(self, events: bytes) -> None:
        """Look at whole events."""
        if _NOTABLE.search(events) is None:
            return
        for data in sse.event_data(events):
            if _NOTABLE.search(data) is not None:
                self._read(data)

    def _read(self, data: bytes) -> None:
        try:
            event = decode_event(data, self._source)
        except UpstreamProtocolError:
            return
        response = _object(event.get("response"))
        match event.get("type"):
            case "error":
                self.error = failure(event, self._source)
            case "response.failed":
                self.error = failed(response, self._source)
            case "response.completed" | "response.incomplete":
                pass
            case _:
                return
        self.usage = usage_from(response.get("usage")) or self.usage
        self.finished = True


def _object(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _objects(values: object) -> list[JsonObject]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []

"""Anthropic's streams as canonical chunks, and watching those that are relayed.

A stream is ``message_start``, then for each block of the answer ``content_block_start``, ``content_block_delta``s and
``content_block_stop``, then ``message_delta`` with the reason and the tokens, and ``message_stop``; ``ping`` and
unknown events may stand anywhere (https://platform.claude.com/docs/en/build-with-claude/streaming).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import orjson

from router.dialects import sse
from router.dialects.anthropic_messages.answers import string, tool_call
from router.dialects.anthropic_messages.arguments import answer_json
from router.dialects.anthropic_messages.endings import ending, refusal_explanation, usage_from
from router.dialects.anthropic_messages.errors import failure
from router.dialects.canonical import JsonObject, Usage, chunk, chunk_base, usage_chunk
from router.errors import UpstreamError, UpstreamProtocolError

# The events that say more than a piece of the answer. Quotes in JSON strings are escaped, so no text can look like it.
_NOTABLE = re.compile(rb'"type":\s*"(?:message_start|message_delta|message_stop|error)"')


class _Block:
    """One block of the answer while it is being sent. ``call`` counts the tool calls of the answer."""

    __slots__ = ("block", "call", "kind", "pieces", "signature")

    def __init__(self, block: JsonObject, kind: str, call: int) -> None:
        self.block = block
        self.kind = kind
        self.call = call
        self.pieces: list[str] = []
        self.signature = ""


class Decoder:
    """Bytes to canonical chunks. Reasoning is ``reasoning_content``, and its signed block follows when it is whole."""

    __slots__ = ("_base", "_blocks", "_calls", "_finished", "_source", "_splitter", "_usage")

    def __init__(self, source: str, max_event_bytes: int) -> None:
        self._source = source
        self._splitter = sse.EventSplitter(max_event_bytes)
        self._base = chunk_base("")
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._usage: JsonObject = {}
        self._finished = False

    def feed(self, data: bytes) -> list[JsonObject]:
        """The chunks of the events that ``data`` completes. Raises ``UpstreamError``."""
        return self._chunks(self._splitter.feed(data))

    def finish(self) -> list[JsonObject]:
        """The chunks of an event that was not closed. Raises ``UpstreamProtocolError`` when no end was announced."""
        chunks = self._chunks(self._splitter.finish())
        if not self._finished:
            raise UpstreamProtocolError(f"'{self._source}' ended its answer before it was finished.")
        return chunks

    def _chunks(self, events: bytes) -> list[JsonObject]:
        chunks: list[JsonObject] = []
        for data in sse.event_data(events):
            if self._finished:  # some servers say ``[DONE]`` behind the end
                break
            payload = _event(data, self._source)
            kind = payload.get("type")
            read = _READERS.get(kind) if isinstance(kind, str) else None
            if read is not None:
                read(self, payload, chunks)
        return chunks

    def _start(self, payload: JsonObject, chunks: list[JsonObject]) -> None:
        message = self._object(payload, "message")
        id_, model = message.get("id"), message.get("model")
        self._base = chunk_base(
            model if isinstance(model, str) else "", id_=id_ if isinstance(id_, str) and id_ else None
        )
        self._count(message)
        chunks.append(chunk({"role": "assistant", "content": ""}, base=self._base))

    def _block_start(self, payload: JsonObject, chunks: list[JsonObject]) -> None:
        block = self._object(payload, "content_block")
        kind = string(block, "type", self._source)
        started = _Block(block, kind, self._calls)
        self._blocks[self._index(payload)] = started
        if kind == "text":
            if text := string(block, "text", self._source):
                chunks.append(chunk({"content": text}, base=self._base))
        elif kind == "tool_use":
            self._calls += 1
            call = tool_call({**block, "input": {}}, self._source)
            call["function"]["arguments"] = ""
            chunks.append(chunk({"tool_calls": [{"index": started.call, **call}]}, base=self._base))
        elif kind == "thinking":
            self._think(started, block.get("thinking"), chunks)

    def _block_delta(self, payload: JsonObject, chunks: list[JsonObject]) -> None:
        delta = self._object(payload, "delta")
        block = self._blocks.get(self._index(payload))
        if block is None:
            raise UpstreamProtocolError(f"'{self._source}' sent a piece of a content block that it did not start.")
        kind = delta.get("type")
        if kind == "text_delta":
            chunks.append(chunk({"content": string(delta, "text", self._source)}, base=self._base))
        elif kind == "input_json_delta":
            self._argue(block, string(delta, "partial_json", self._source), chunks)
        elif kind == "thinking_delta":
            self._think(block, string(delta, "thinking", self._source), chunks)
        elif kind == "signature_delta":
            block.signature += string(delta, "signature", self._source)
        elif kind == "citations_delta":
            chunks.append(chunk({"citations": [self._object(delta, "citation")]}, base=self._base))

    def _block_stop(self, payload: JsonObject, chunks: list[JsonObject]) -> None:
        block = self._blocks.pop(self._index(payload), None)
        if block is None or block.kind == "text":
            return
        if block.kind == "tool_use":
            if not block.pieces:  # no arguments, or all of them at the start
                whole = block.block.get("input")
                self._argue(block, answer_json(whole if isinstance(whole, dict) else {}).decode(), chunks)
        elif block.kind == "thinking":
            signature = block.signature or block.block.get("signature") or ""
            kept = {"type": "thinking", "thinking": "".join(block.pieces), "signature": signature}
            chunks.append(chunk({"thinking_blocks": [kept]}, base=self._base))
        elif block.kind == "redacted_thinking":
            chunks.append(chunk({"thinking_blocks": [block.block]}, base=self._base))
        else:
            chunks.append(chunk({"native_blocks": [self._whole(block)]}, base=self._base))

    def _think(self, block: _Block, text: object, chunks: list[JsonObject]) -> None:
        if isinstance(text, str) and text:
            block.pieces.append(text)
            chunks.append(chunk({"reasoning_content": text}, base=self._base))

    def _argue(self, block: _Block, text: str, chunks: list[JsonObject]) -> None:
        if not text:
            return
        block.pieces.append(text)
        if block.kind == "tool_use":
            call = {"index": block.call, "function": {"arguments": text}}
            chunks.append(chunk({"tool_calls": [call]}, base=self._base))

    def _whole(self, block: _Block) -> JsonObject:
        """A block of a server tool, with the input that came in pieces."""
        if not block.pieces:
            return block.block
        try:
            return {**block.block, "input": orjson.loads("".join(block.pieces))}
        except orjson.JSONDecodeError as exc:
            raise UpstreamProtocolError(f"'{self._source}' sent a tool call whose 'input' is not valid JSON.") from exc

    def _delta(self, payload: JsonObject, chunks: list[JsonObject]) -> None:
        self._count(payload)
        delta = self._object(payload, "delta")
        if delta.get("stop_reason") is None:
            return
        explanation = refusal_explanation(delta)
        said = {} if explanation is None else {"refusal": explanation}
        piece = chunk(said, base=self._base)
        piece["choices"][0].update(ending(delta))
        chunks.append(piece)

    def _stop(self, payload: JsonObject, chunks: list[JsonObject]) -> None:
        self._finished = True
        if self._usage:
            chunks.append(usage_chunk(usage_from(self._usage), base=self._base))

    def _fail(self, payload: JsonObject, chunks: list[JsonObject]) -> None:
        raise failure(payload.get("error"), self._source)

    def _count(self, holder: JsonObject) -> None:
        """Counts are cumulative: what is told last holds."""
        usage = holder.get("usage")
        if isinstance(usage, dict):
            self._usage.update((name, value) for name, value in usage.items() if value is not None)

    def _object(self, holder: JsonObject, name: str) -> JsonObject:
        value = holder.get(name)
        if not isinstance(value, dict):
            raise UpstreamProtocolError(f"'{self._source}' sent an event whose '{name}' is not an object.")
        return value

    def _index(self, payload: JsonObject) -> int:
        index = payload.get("index")
        if not isinstance(index, int):
            raise UpstreamProtocolError(f"'{self._source}' sent an event whose 'index' is not a number.")
        return index


def _event(data: bytes, source: str) -> JsonObject:
    try:
        payload = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise UpstreamProtocolError(f"'{source}' sent an event that is not valid JSON.") from exc
    if not isinstance(payload, dict):
        raise UpstreamProtocolError(f"'{source}' sent an event that is not a JSON object.")
    return payload


_READERS: dict[str, Callable[[Decoder, JsonObject, list[JsonObject]], None]] = {
    "message_start": Decoder._start,
    "content_block_start": Decoder._block_start,
    "content_block_delta": Decoder._block_delta,
    "content_block_stop": Decoder._block_stop,
    "message_delta": Decoder._delta,
    "message_stop": Decoder._stop,
    "error": Decoder._fail,
}


class Observer:
    """Looks for the end, an error and the tokens, and decodes only the events that have one of them."""

    __slots__ = ("_counts", "_source", "error", "finished", "usage")

    def __init__(self, source: str) -> None:
        self._source = source
        self._counts: JsonObject = {}
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
            payload = _event(data, self._source)
        except UpstreamProtocolError:
            return
        kind = payload.get("type")
        if kind == "message_stop":
            self.finished = True
        elif kind == "error":
            self.error = failure(payload.get("error"), self._source)
            self.finished = True
        elif kind in ("message_start", "message_delta"):
            holder = payload.get("message") if kind == "message_start" else payload
            usage = holder.get("usage") if isinstance(holder, dict) else None
            if isinstance(usage, dict):
                self._counts.update((name, value) for name, value in usage.items() if value is not None)
                self.usage = usage_from(self._counts)

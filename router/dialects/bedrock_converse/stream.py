"""ConverseStream: events as canonical chunks.

A stream is ``messageStart``, then for each block of the answer ``contentBlockStart`` (of tool calls only),
``contentBlockDelta``s and ``contentBlockStop``, then ``messageStop`` with the reason, and ``metadata`` with the tokens.
An exception may stand anywhere and ends it. Events that are not known are passed over.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping

import orjson

from router.dialects import aws_eventstream
from router.dialects.bedrock_converse.answers import ending, runs_at_amazon, thinking_block, tool_call, usage_from
from router.dialects.bedrock_converse.errors import failure
from router.dialects.canonical import JsonObject, chunk, chunk_base, usage_chunk
from router.errors import UpstreamProtocolError, UpstreamStatus


class _Block:
    """One block of the answer while it is being sent. ``call`` is the position of a tool call, ``None`` for others."""

    __slots__ = ("begun", "call", "hidden", "redacted", "signature", "size", "texts")

    def __init__(self, call: int | None = None, *, hidden: bool = False) -> None:
        self.call = call
        self.hidden = hidden
        """Whether it is about a tool that runs at Amazon."""
        self.begun = False
        self.texts: list[str] = []
        self.signature = ""
        self.redacted: list[str] = []
        self.size = 0  # of what is kept until it ends


class Decoder:
    """Bytes to chunks. Reasoning is ``reasoning_content``, and the block that has to come back follows as a whole."""

    __slots__ = ("_base", "_blocks", "_calls", "_finished", "_framing", "_kept", "_max_bytes", "_source")

    def __init__(self, source: str, max_event_bytes: int) -> None:
        self._source = source
        self._max_bytes = max_event_bytes
        self._framing = aws_eventstream.Decoder(max_event_bytes)
        self._base = chunk_base("")
        self._blocks: dict[int, _Block] = {}
        self._kept = 0
        self._calls = 0
        self._finished = False

    def feed(self, data: bytes) -> list[JsonObject]:
        """The chunks of the events that ``data`` completes. Raises ``UpstreamError``."""
        chunks: list[JsonObject] = []
        for message in self._framing.feed(data):
            self._read(message, chunks)
        return chunks

    def finish(self) -> list[JsonObject]:
        """Nothing is ever left. Raises ``UpstreamProtocolError`` when no end was announced."""
        if not self._finished or not self._framing.empty:
            raise UpstreamProtocolError(f"'{self._source}' ended its answer before it was finished.")
        return []

    def _read(self, message: aws_eventstream.Message, chunks: list[JsonObject]) -> None:
        kind = message.text(":message-type")
        if kind == "error":
            text = message.text(":error-message") or f"'{self._source}' failed in the middle of its answer."
            raise UpstreamStatus(text, status=502, code="upstream_error", type_=message.text(":error-code") or kind)
        payload = self._payload(message.payload)
        if kind == "exception":
            raise failure(payload, self._source, message.text(":exception-type"))
        read = _READERS.get(message.text(":event-type"))
        if read is not None:
            read(self, payload, chunks)

    def _payload(self, data: bytes) -> JsonObject:
        try:
            payload = orjson.loads(data)
        except orjson.JSONDecodeError as exc:
            raise UpstreamProtocolError(f"'{self._source}' sent an event that is not valid JSON.") from exc
        if not isinstance(payload, dict):
            raise UpstreamProtocolError(f"'{self._source}' sent an event that is not a JSON object.")
        return payload

    def _start(self, payload: JsonObject, chunks: list[JsonObject]) -> None:
        chunks.append(chunk({"role": "assistant", "content": ""}, base=self._base))

    def _block_start(self, payload: JsonObject, chunks: list[JsonObject]) -> None:
        start = self._object(payload, "start")
        tool_use = start.get("toolUse")
        if not isinstance(tool_use, dict) or runs_at_amazon(tool_use):
            self._open(payload, _Block(hidden=True))
            return
        block = self._open(payload, _Block(self._calls))
        self._calls += 1
        call = tool_call(tool_use, "", self._source)
        chunks.append(chunk({"tool_calls": [{"index": block.call, **call}]}, base=self._base))

    def _block_delta(self, payload: JsonObject, chunks: list[JsonObject]) -> None:
        delta = self._object(payload, "delta")
        text = delta.get("text")
        if isinstance(text, str):  # nearly all events of an answer
            chunks.append(chunk({"content": text}, base=self._base))
            return
        block = self._blocks.get(self._index(payload)) or self._open(payload, _Block())
        tool_use, reasoning = delta.get("toolUse"), delta.get("reasoningContent")
        if isinstance(tool_use, dict) and isinstance(tool_use.get("input"), str):
            self._argue(block, tool_use["input"], chunks)
        elif isinstance(reasoning, dict):
            self._reason(block, reasoning, chunks)

    def _argue(self, block: _Block, arguments: str, chunks: list[JsonObject]) -> None:
        if block.hidden or not arguments:
            return
        if block.call is None:
            raise UpstreamProtocolError(f"'{self._source}' sent arguments of a tool call that it did not start.")
        block.begun = True
        call = {"index": block.call, "function": {"arguments": arguments}}
        chunks.append(chunk({"tool_calls": [call]}, base=self._base))

    def _reason(self, block: _Block, reasoning: JsonObject, chunks: list[JsonObject]) -> None:
        text, signature, redacted = (reasoning.get(name) for name in ("text", "signature", "redactedContent"))
        if isinstance(text, str) and text:
            self._keep(block, len(text))
            block.texts.append(text)
            chunks.append(chunk({"reasoning_content": text}, base=self._base))
        if isinstance(signature, str):
            self._keep(block, len(signature))
            block.signature += signature
        if isinstance(redacted, str):
            self._keep(block, len(redacted))
            block.redacted.append(redacted)

    def _block_stop(self, payload: JsonObject, chunks: list[JsonObject]) -> None:
        block = self._blocks.pop(self._index(payload), None)
        if block is None:
            return
        self._kept -= block.size
        if block.call is not None and not block.begun:  # a call without arguments
            call = {"index": block.call, "function": {"arguments": "{}"}}
            chunks.append(chunk({"tool_calls": [call]}, base=self._base))
        kept = thinking_block("".join(block.texts), block.signature)
        if block.redacted:
            kept = {"type": "redacted_thinking", "data": self._joined(block.redacted)}
        if kept is not None:
            chunks.append(chunk({"thinking_blocks": [kept]}, base=self._base))

    def _stop(self, payload: JsonObject, chunks: list[JsonObject]) -> None:
        last = chunk({}, base=self._base)
        last["choices"][0].update(ending(payload, self._source))
        chunks.append(last)
        self._finished = True

    def _metadata(self, payload: JsonObject, chunks: list[JsonObject]) -> None:
        usage = usage_from(payload.get("usage"))
        if usage is not None:
            chunks.append(usage_chunk(usage, base=self._base))

    def _open(self, payload: JsonObject, block: _Block) -> _Block:
        self._keep(block, 1)
        self._blocks[self._index(payload)] = block
        return block

    def _keep(self, block: _Block, size: int) -> None:
        """See that what is kept until blocks end has a bound."""
        block.size += size
        self._kept += size
        if self._kept > self._max_bytes:
            raise UpstreamProtocolError(f"'{self._source}' sent content blocks of more than {self._max_bytes} bytes.")

    def _joined(self, pieces: list[str]) -> str:
        """Every piece is encoded for itself, so only their bytes can be joined."""
        if len(pieces) == 1:
            return pieces[0]
        try:
            return base64.b64encode(b"".join([base64.b64decode(piece, validate=True) for piece in pieces])).decode()
        except (binascii.Error, ValueError) as exc:
            raise UpstreamProtocolError(f"'{self._source}' sent encrypted reasoning that is not base64.") from exc

    def _object(self, payload: JsonObject, name: str) -> JsonObject:
        value = payload.get(name)
        if not isinstance(value, dict):
            raise UpstreamProtocolError(f"'{self._source}' sent an event without '{name}'.")
        return value

    def _index(self, payload: JsonObject) -> int:
        index = payload.get("contentBlockIndex")
        if not isinstance(index, int):
            raise UpstreamProtocolError(f"'{self._source}' sent a piece of a content block without its index.")
        return index


_READERS: Mapping[str, Callable[[Decoder, JsonObject, list[JsonObject]], None]] = {
    "messageStart": Decoder._start,
    "contentBlockStart": Decoder._block_start,
    "contentBlockDelta": Decoder._block_delta,
    "contentBlockStop": Decoder._block_stop,
    "messageStop": Decoder._stop,
    "metadata": Decoder._metadata,
}

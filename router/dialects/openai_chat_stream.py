"""Streams of the OpenAI chat completion dialect: encoding, decoding, watching.

Reference: https://platform.openai.com/docs/api-reference/chat-streaming.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from router.dialects import sse
from router.dialects.canonical import JsonObject, Usage, encode_answer, usage_of
from router.dialects.openai_chat_choices import check_choices
from router.errors import GatewayError, UpstreamError, UpstreamProtocolError, UpstreamStatus

STREAM_END = sse.encode_event(sse.DONE)

# A stream is whole when it says why it finished, or says that it is done; many servers leave out one of the two.
_COUNTED = re.compile(rb'"usage":\s*\{')
_FINISHED = re.compile(rb'"finish_reason":\s*"')
_DONE_LINES = (b"\ndata: [DONE]", b"\ndata:[DONE]", b"\rdata: [DONE]", b"\rdata:[DONE]")


class Encoder:
    """Canonical chunks as events; the chunk that counts tokens only for a client that asked for it.

    Lists other than ``tool_calls``, such as ``thinking_blocks``, are sent whole with the ``finish_reason``: the
    accumulators of the official clients add to a list by the ``index`` of its members, and refuse those without one.
    """

    __slots__ = ("_held", "_with_usage")

    def __init__(self, *, with_usage: bool) -> None:
        self._with_usage = with_usage
        self._held: dict[int, dict[str, list[Any]]] = {}

    def feed(self, chunk: JsonObject) -> bytes:
        """One chunk as one event; nothing for one that has nothing but what is held until the end."""
        choices = chunk.get("choices")
        if not choices:
            return b"" if chunk.get("usage") and not self._with_usage else sse.encode_event(encode_answer(chunk))
        if self._held or any(_lists_of(choice.get("delta")) for choice in choices):
            choices = [kept for choice in choices if (kept := self._hold_lists(choice))]
            if not choices:
                return b""
            chunk = {**chunk, "choices": choices}
        return sse.encode_event(encode_answer(chunk))

    def _hold_lists(self, choice: JsonObject) -> JsonObject | None:
        """``choice`` without its lists, the last one with all of them; ``None`` where nothing is left."""
        delta: JsonObject = choice.get("delta") or {}
        index = choice.get("index", 0)
        lists = _lists_of(delta)
        for name in lists:
            self._held.setdefault(index, {}).setdefault(name, []).extend(delta[name])
        rest = {name: value for name, value in delta.items() if name not in lists}
        if choice.get("finish_reason"):
            return {**choice, "delta": {**rest, **self._held.pop(index, {})}}
        return {**choice, "delta": rest} if rest or not lists else None

    def finish(self) -> bytes:
        """``[DONE]``."""
        return STREAM_END


def _lists_of(delta: JsonObject | None) -> list[str]:
    return [name for name, value in (delta or {}).items() if isinstance(value, list) and name != "tool_calls"]


class Decoder:
    """Bytes to chunks, which are canonical already."""

    __slots__ = ("_finished", "_source", "_splitter")

    def __init__(self, source: str, max_event_bytes: int) -> None:
        self._source = source
        self._splitter = sse.EventSplitter(max_event_bytes)
        self._finished = False

    def feed(self, data: bytes) -> list[JsonObject]:
        """The chunks of the events that ``data`` completes. Raises ``UpstreamError``."""
        return self._chunks(self._splitter.feed(data))

    def finish(self) -> list[JsonObject]:
        """The chunks of an event that was not closed. Raises ``UpstreamProtocolError`` when no finish was seen."""
        chunks = self._chunks(self._splitter.finish())
        if not self._finished:
            raise UpstreamProtocolError(f"'{self._source}' ended its answer before it was finished.")
        return chunks

    def _chunks(self, events: bytes) -> list[JsonObject]:
        chunks = []
        for data in sse.event_data(events):
            if data.strip() == sse.DONE:
                self._finished = True
                continue
            payload = decode_event(data, self._source)
            if isinstance(payload.get("error"), dict):
                raise failure(payload["error"], self._source)
            for choice in check_choices(payload.get("choices"), "delta", self._source):
                self._finished = self._finished or bool(choice.get("finish_reason"))
            chunks.append(payload)
        return chunks


class Observer:
    """Looks for the end, an error and the tokens, and decodes only the events that have one of them."""

    __slots__ = ("_source", "error", "finished", "usage")

    def __init__(self, source: str) -> None:
        self._source = source
        self.finished = False
        self.error: UpstreamError | None = None
        self.usage: Usage | None = None

    def watch(self, events: bytes) -> None:
        """Look at whole events."""
        if _says(events, b'"usage"') or _says(events, b'"error"'):
            self._read(events)
        elif not self.finished:
            reason = _says(events, b'"finish_reason"') and _FINISHED.search(events) is not None
            self.finished = reason or (b"[DONE]" in events and _is_done(events))

    def _read(self, events: bytes) -> None:
        for data in sse.event_data(events):
            if data.strip() == sse.DONE:
                self.finished = True
                continue
            try:
                payload = decode_event(data, self._source)
            except UpstreamProtocolError:
                continue
            self.usage = usage_of(payload.get("usage")) or self.usage
            if isinstance(payload.get("error"), dict):
                self.error = failure(payload["error"], self._source)
                self.finished = True
            choices = payload.get("choices")
            if isinstance(choices, list) and any(isinstance(c, dict) and c.get("finish_reason") for c in choices):
                self.finished = True


def _says(events: bytes, name: bytes) -> bool:
    """Whether a field of this name, quotes included, may be other than ``null``; far cheaper than a regex."""
    count = events.count(name)
    return count > 0 and count != events.count(name + b":null") + events.count(name + b": null")


def _is_done(events: bytes) -> bool:
    """Whether one of ``events`` is ``[DONE]``, as opposed to talking about it."""
    return events.startswith((b"data: [DONE]", b"data:[DONE]")) or any(line in events for line in _DONE_LINES)


def without_usage(events: bytes) -> bytes:
    """Whole events, without the one that only counts tokens: only clients that ask for it know what to do with it."""
    if _COUNTED.search(events) is None:
        return events
    return b"".join([event for event in sse.split(events) if not _only_counts(event)])


def _only_counts(event: bytes) -> bool:
    if _COUNTED.search(event) is None:
        return False
    try:
        payload = orjson.loads(next(sse.event_data(event), b""))
    except orjson.JSONDecodeError:
        return False
    return isinstance(payload, dict) and bool(payload.get("usage")) and not payload.get("choices")


def decode_event(data: bytes, source: str) -> JsonObject:
    """Decode the data of one event. Raises ``UpstreamProtocolError`` when it is not a JSON object."""
    try:
        payload = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise UpstreamProtocolError(f"'{source}' sent an event that is not valid JSON.") from exc
    if not isinstance(payload, dict):
        raise UpstreamProtocolError(f"'{source}' sent an event that is not a JSON object.")
    return payload


def failure(error: dict[str, Any], source: str) -> UpstreamError:
    """The error that an upstream announces inside an answer whose status was 200."""
    code = error.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 502
    return UpstreamStatus(
        str(error.get("message") or f"'{source}' failed in the middle of its answer."),
        status=status,
        code="upstream_error" if code is None or isinstance(code, int) else str(code),
        type_=str(error.get("type") or "upstream_error"),
    )


def error_payload(error: GatewayError, request_id: str) -> JsonObject:
    """The error object of this dialect; the request id is an addition that OpenAI carries in a header only."""
    return {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
            "request_id": request_id,
        }
    }


def encode_stream_error(error: GatewayError, request_id: str) -> bytes:
    """The one event that ends a stream which broke after its first byte; no ``[DONE]`` follows."""
    return sse.encode_event(orjson.dumps(error_payload(error, request_id)))

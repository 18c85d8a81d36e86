"""What an answer says, from the bytes that the client got."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from router.dialects.canonical import CompletionAssembler, DialectName, JsonObject
from router.dialects.registry import PROVIDER_DIALECTS
from router.errors import GatewayError
from router.telemetry.frames import MAX_FRAME_BYTES

_SOURCE = "the gateway's own answer"
_MAX_TOOL_CALLS = 64
_EVENT_END = b"\n\n"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model wants to be called; ``arguments`` are JSON, as the model wrote them."""

    name: str
    call_id: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in canonical form: ``message`` is the assistant's. What it did not say is ``None``."""

    message: Mapping[str, Any]
    response_id: str | None
    model: str | None
    finish_reason: str | None

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tools that are to be called."""
        return list(tool_calls(self.message))


def read_answer(dialect: object, stream: bool, data: bytes) -> Answer | None:
    """The answer in ``data``, bytes in the dialect of the client; ``None`` where there is none. Never raises.

    Of a stream that broke it is what came before that.
    """
    if not isinstance(dialect, str) or dialect not in PROVIDER_DIALECTS or not data:
        return None
    name = cast("DialectName", dialect)
    return _streamed(name, data) if stream else _whole(name, data)


def tool_calls(message: Mapping[str, Any]) -> Iterator[ToolCall]:
    """The tool calls in a canonical message of an assistant, without those that have no name."""
    calls = message.get("tool_calls")
    for call in calls[:_MAX_TOOL_CALLS] if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str) and function["name"]:
            yield ToolCall(function["name"], _text(call.get("id")) or "", _text(function.get("arguments")) or "")


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a canonical message that nobody has checked."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "\n".join([part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)])


def _whole(dialect: DialectName, data: bytes) -> Answer | None:
    try:
        completion = PROVIDER_DIALECTS[dialect].decode_completion(data, _SOURCE)
    except GatewayError:
        return None
    return _answer(completion, has_id=True, is_finished=True)


def _streamed(dialect: DialectName, data: bytes) -> Answer | None:
    chunks, failed = _chunks(dialect, (data,))
    if failed:  # what came before the failure takes going event by event
        chunks, _ = _chunks(dialect, (event + _EVENT_END for event in data.split(_EVENT_END)))
    if not chunks:
        return None
    assembler = CompletionAssembler()
    is_finished = False
    for chunk in chunks:
        assembler.add(chunk)
        is_finished = is_finished or any(choice.get("finish_reason") for choice in chunk.get("choices") or ())
    return _answer(assembler.completion(), has_id=bool(chunks[0].get("id")), is_finished=is_finished)


def _chunks(dialect: DialectName, pieces: Iterable[bytes]) -> tuple[list[JsonObject], bool]:
    """The chunks in ``pieces``, and whether the stream broke: the client saw that, and the request's span says so."""
    chunks: list[JsonObject] = []
    decoder = PROVIDER_DIALECTS[dialect].stream_decoder(_SOURCE, MAX_FRAME_BYTES)
    try:
        for piece in pieces:
            chunks += decoder.feed(piece)
        chunks += decoder.finish()
    except GatewayError:
        return chunks, True
    return chunks, False


def _answer(completion: JsonObject, *, has_id: bool, is_finished: bool) -> Answer | None:
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        return None
    return Answer(
        message,
        _text(completion.get("id")) if has_id else None,
        _text(completion.get("model")),
        _text(choice.get("finish_reason")) if is_finished else None,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

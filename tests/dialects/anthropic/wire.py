"""The official SDKs' types as judges of what we emit, and streams as events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParams
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParams
from pydantic import BaseModel, TypeAdapter

from router.dialects import anthropic_messages, openai_chat, sse
from router.dialects.canonical import ChatRequest, CompletionAssembler, JsonObject
from tests.fakes.providers.strict import StrictType

DATA = Path(__file__).parent / "data"
SOURCE = "upstream"

_ANTHROPIC_REQUEST = StrictType(MessageCreateParams)
_OPENAI_REQUEST = StrictType(CompletionCreateParams)
_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
# They are part of version 2023-06-01 of the API, and gone from the types of an SDK that speaks 2026-10-21.
_SAMPLING = ("temperature", "top_p", "top_k")


def recording(name: str) -> bytes:
    return (DATA / name).read_bytes()


def anthropic_request(body: bytes) -> JsonObject:
    """The request, when the SDK could have sent it."""
    payload: JsonObject = orjson.loads(body)
    problem = _ANTHROPIC_REQUEST.problem({name: value for name, value in payload.items() if name not in _SAMPLING})
    assert problem is None, problem
    return payload


def openai_request(body: bytes) -> JsonObject:
    payload: JsonObject = orjson.loads(body)
    problem = _OPENAI_REQUEST.problem(payload)
    assert problem is None, problem
    return payload


def anthropic_message(body: bytes) -> JsonObject:
    """The answer, when it is exactly what the SDK's type declares."""
    payload: JsonObject = orjson.loads(body)
    _require_declared(Message.model_validate(payload))
    return payload


def openai_completion(payload: JsonObject) -> None:
    ChatCompletion.model_validate(payload)


def openai_chunk(payload: JsonObject) -> None:
    ChatCompletionChunk.model_validate(payload)


def _require_declared(value: object) -> None:
    if isinstance(value, BaseModel):
        assert not value.model_extra, (type(value), value.model_extra)
        for name in type(value).model_fields:
            _require_declared(getattr(value, name))
    elif isinstance(value, list):
        for each in value:
            _require_declared(each)


def anthropic_events(stream: bytes) -> list[JsonObject]:
    """The events of a stream: each named as it is typed, declared by the SDK, and its blocks one after the other."""
    names = [line[7:].decode() for line in stream.split(b"\n") if line.startswith(b"event: ")]
    events: list[JsonObject] = [orjson.loads(data) for data in sse.event_data(stream)]
    assert names == [event["type"] for event in events]
    block: int | None = None
    blocks = 0
    for event in events:
        _require_declared(_EVENT.validate_python(event))
        if event["type"] == "content_block_start":
            assert (block, event["index"]) == (None, blocks)
            block = blocks
            blocks += 1
        elif event["type"] == "content_block_delta":
            assert event["index"] == block
        elif event["type"] == "content_block_stop":
            assert event["index"] == block
            block = None
    assert block is None
    return events


def kinds(events: Iterable[JsonObject]) -> list[str]:
    """The events in short: what began, which piece it was, what ended."""
    short = []
    for event in events:
        said: JsonObject = event.get("delta") or event.get("content_block") or {}
        short.append(said.get("type") or event["type"])
    return short


def encoded(chunks: Iterable[JsonObject], request: ChatRequest) -> bytes:
    """The stream that an Anthropic client reads for canonical ``chunks``."""
    encoder = anthropic_messages.stream_encoder(request)
    return b"".join([*(encoder.feed(chunk) for chunk in chunks), encoder.finish()])


def decoded(pieces: Iterable[bytes], decoder_of: Callable[[str, int], Any] | None = None) -> list[JsonObject]:
    """The canonical chunks of a stream that arrives in ``pieces``."""
    decoder = (decoder_of or anthropic_messages.stream_decoder)(SOURCE, 1 << 20)
    chunks = [chunk for piece in pieces for chunk in decoder.feed(piece)]
    return [*chunks, *decoder.finish()]


def one_byte_at_a_time(stream: bytes) -> list[bytes]:
    return [stream[position : position + 1] for position in range(len(stream))]


def assembled(chunks: Iterable[JsonObject]) -> JsonObject:
    """The whole completion that chunks amount to."""
    assembler = CompletionAssembler()
    for chunk in chunks:
        assembler.add(chunk)
    return assembler.completion()


def client_request(**fields: object) -> ChatRequest:
    """A request of an Anthropic client."""
    body = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}], **fields}
    return anthropic_messages.decode_request(orjson.dumps(body))


def changed(request: ChatRequest) -> ChatRequest:
    """The same request, with its native body lost as after a filter that changed something."""
    return request.replace(drop=("nothing",))


def openai_client_request(**fields: object) -> ChatRequest:
    """A request of an OpenAI client."""
    return openai_chat.decode_request(
        orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields})
    )

"""Requests, contexts and streams for tests of filters."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import orjson

from router.context import AnswerTransform, RequestContext
from router.dialects.canonical import (
    ChatRequest,
    CompletionAssembler,
    DialectName,
    JsonObject,
    chunk,
    chunk_base,
    chunks_of,
    completion,
    completion_text,
)
from router.dialects.registry import CLIENT_DIALECTS
from router.telemetry.tracing import Unrecorded

BASE = chunk_base("m", id_="chatcmpl-1", created=1)


def context(
    headers: Mapping[str, str] | None = None,
    *,
    path: str = "/v1/chat/completions",
    request_id: str = "req-1",
    credential_header: str | None = None,
    remaining_s: float = 5.0,
) -> RequestContext:
    context = RequestContext(request_id, "models", path, headers or {}, time.monotonic() + remaining_s)
    context.credential_header = credential_header
    context.span = Unrecorded((headers or {}).get("traceparent"))
    return context


def request(text: str = "Hi", *, dialect: DialectName = "openai_chat", **fields: Any) -> ChatRequest:
    """What a client of ``dialect`` asks."""
    said = [{"role": "user", "content": text}]
    bodies: dict[str, JsonObject] = {
        "openai_chat": {"model": "m", "messages": said},
        "anthropic_messages": {"model": "m", "max_tokens": 9, "messages": said},
        "openai_responses": {"model": "m", "input": text},
    }
    return CLIENT_DIALECTS[dialect].decode_request(orjson.dumps({**bodies[dialect], **fields}))


def said(*pieces: str, finish: bool = True) -> list[list[JsonObject]]:
    """A stream that says ``pieces``, one in each batch."""
    batches = [[chunk({"role": "assistant", "content": ""}, base=BASE)]]
    batches += [[chunk({"content": piece}, base=BASE)] for piece in pieces]
    return [*batches, [chunk({}, base=BASE, finish_reason="stop")]] if finish else batches


def whole(text: str) -> list[list[JsonObject]]:
    """A whole answer, as it meets filters."""
    return [chunks_of(completion({"content": text}, model="m"))]


class Source:
    """An answer on its way; ``closed`` when nobody reads it any more."""

    def __init__(self, batches: Sequence[list[JsonObject]]) -> None:
        self._batches = batches
        self.closed = False

    async def chunks(self) -> AsyncGenerator[list[JsonObject], None]:
        try:
            for batch in self._batches:
                yield batch
        finally:
            self.closed = True


async def through(transform: AnswerTransform | None, batches: Sequence[list[JsonObject]]) -> list[list[JsonObject]]:
    """What comes out behind ``transform``."""
    assert transform is not None
    return [batch async for batch in transform(Source(batches).chunks())]


def assembled(batches: Sequence[list[JsonObject]]) -> JsonObject:
    assembler = CompletionAssembler()
    for batch in batches:
        for each in batch:
            assembler.add(each)
    return assembler.completion()


def text_of(batches: Sequence[list[JsonObject]]) -> str:
    return completion_text(assembled(batches))


def texts_of(batches: Sequence[list[JsonObject]]) -> list[str]:
    """The text in each batch."""
    return [text_of([batch]) for batch in batches]


def finish_of(batches: Sequence[list[JsonObject]]) -> str:
    reason: str = assembled(batches)["choices"][0]["finish_reason"]
    return reason

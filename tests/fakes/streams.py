"""What a stream in the OpenAI chat completion dialect amounts to."""

from __future__ import annotations

from router.dialects import openai_chat
from router.dialects.canonical import CompletionAssembler, JsonObject


def chunks_in(events: bytes) -> list[JsonObject]:
    """The chunks in whole events; raises what their decoder raises."""
    return openai_chat.stream_decoder("test", 1_000_000).feed(events)


def text_of(events: bytes) -> str:
    """The assistant text in whole events."""
    assembler = CompletionAssembler()
    return "".join([assembler.add(chunk) for chunk in chunks_in(events)])

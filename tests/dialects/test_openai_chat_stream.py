from __future__ import annotations

import json

from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from router.dialects import openai_chat
from router.dialects.canonical import ChatRequest, JsonObject, chunk, chunk_base

FIRST = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
SECOND = {"type": "redacted_thinking", "data": "ZGF0YQ=="}
BASE = chunk_base("m")


def _chunks(*pieces: JsonObject) -> list[JsonObject]:
    encoder = openai_chat.stream_encoder(ChatRequest({"messages": [], "stream": True}))
    events = b"".join([encoder.feed(piece) for piece in pieces]).split(b"\n\n")
    return [json.loads(event.removeprefix(b"data: ")) for event in events if event]


def test_lists_without_an_index_are_sent_once_and_whole() -> None:
    chunks = _chunks(
        chunk({"role": "assistant", "content": ""}, base=BASE),
        chunk({"thinking_blocks": [FIRST]}, base=BASE),
        chunk({"content": "Hi", "citations": [{"a": 1}]}, base=BASE),
        chunk({"thinking_blocks": [SECOND]}, base=BASE),
        chunk({}, base=BASE, finish_reason="stop"),
    )
    assert [each["choices"][0]["delta"] for each in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "Hi"},
        {"thinking_blocks": [FIRST, SECOND], "citations": [{"a": 1}]},
    ]
    state = ChatCompletionStreamState()
    for each in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(each))
    message = state.current_completion_snapshot.choices[0].message
    assert message.content == "Hi"
    assert (message.model_extra or {})["thinking_blocks"] == [FIRST, SECOND]


def test_every_choice_has_lists_of_its_own() -> None:
    def of_choice(index: int, delta: JsonObject, finish_reason: str | None = None) -> JsonObject:
        return {**BASE, "choices": [{"index": index, "delta": delta, "finish_reason": finish_reason}]}

    chunks = _chunks(
        of_choice(0, {"thinking_blocks": [FIRST]}),
        of_choice(1, {"thinking_blocks": [SECOND]}),
        of_choice(1, {}, "stop"),
        of_choice(0, {}, "stop"),
    )
    assert [(each["choices"][0]["index"], each["choices"][0]["delta"]) for each in chunks] == [
        (1, {"thinking_blocks": [SECOND]}),
        (0, {"thinking_blocks": [FIRST]}),
    ]


def test_tool_calls_are_sent_as_they_come() -> None:
    calls = [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]
    chunks = _chunks(chunk({"tool_calls": calls}, base=BASE), chunk({}, base=BASE, finish_reason="tool_calls"))
    assert [each["choices"][0]["delta"] for each in chunks] == [{"tool_calls": calls}, {}]

"""Servers of the chat completion dialect that do not keep to it: nonsense is an error, and never a defect of ours."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from router.dialects import openai_chat
from router.dialects.canonical import CompletionAssembler, chunks_of
from router.dialects.registry import CLIENT_DIALECTS
from router.errors import UpstreamProtocolError

REQUEST = openai_chat.decode_request(b'{"messages": [{"role": "user", "content": "Hi"}]}')
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
WRONG_SAYINGS: list[Any] = [
    True,
    ["x"],
    {"content": [None]},
    {"tool_calls": True},
    {"tool_calls": [None]},
    {"tool_calls": [{**CALL, "function": True}]},
    {"tool_calls": [{**CALL, "function": {"name": 1}}]},
    {"tool_calls": [{**CALL, "function": {"name": "f", "arguments": 1}}]},
    {"tool_calls": [{**CALL, "index": []}]},
]


def _nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize("said", WRONG_SAYINGS)
def test_choices_of_another_shape_are_no_answer(said: Any) -> None:
    whole = orjson.dumps({"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]})
    with pytest.raises(UpstreamProtocolError, match="'lab'"):
        openai_chat.decode_completion(whole, "lab")
    event = orjson.dumps({"choices": [{"index": 0, "delta": said}]})
    with pytest.raises(UpstreamProtocolError, match="'lab'"):
        openai_chat.stream_decoder("lab", 10_000).feed(b"data: " + event + b"\n\n")


@pytest.mark.parametrize("choices", [True, [1], [{"index": []}]])
def test_what_is_no_list_of_choices_is_no_answer(choices: Any) -> None:
    event = orjson.dumps({"choices": choices})
    with pytest.raises(UpstreamProtocolError):
        openai_chat.stream_decoder("lab", 10_000).feed(b"data: " + event + b"\n\n")


def test_arguments_that_came_as_an_object_are_json() -> None:
    call = {**CALL, "function": {"name": "f", "arguments": {"a": 1}}}
    whole = openai_chat.decode_completion(
        orjson.dumps({"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}), "lab"
    )
    assembler = CompletionAssembler()
    for chunk in chunks_of(whole):
        assembler.add(chunk)
    assert assembler.completion()["choices"][0]["message"]["tool_calls"][0]["function"] == {
        "name": "f",
        "arguments": '{"a":1}',
    }


@pytest.mark.parametrize("client", CLIENT_DIALECTS)
def test_nesting_without_end_is_no_answer(client: str) -> None:
    dialect = next(each for name, each in CLIENT_DIALECTS.items() if name == client)
    said = {"content": "x", "annotations": [_nested(400)], "thinking_blocks": [{"type": "reasoning", **_nested(400)}]}
    whole = openai_chat.decode_completion(json.dumps({"choices": [{"message": said}]}).encode(), "lab")
    with pytest.raises(UpstreamProtocolError):
        dialect.encode_completion(whole, REQUEST)

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import openai_chat
from router.dialects.openai_chat_stream import (
    STREAM_END,
    CompletionAssembler,
    chunk,
    chunk_base,
    stream_from_completion,
    stream_text,
)
from router.errors import InvalidRequest, UpstreamProtocolError

USER = {"role": "user", "content": "Hi"}


def _body(**fields: object) -> bytes:
    return orjson.dumps({"messages": [USER], **fields})


def test_an_unchanged_request_keeps_its_bytes() -> None:
    body = b'{ "messages": [{"role":"user","content":"Hi","x":1.0}],  "unknown": [1, 2.50] }'
    assert openai_chat.decode_request(body).encode() is body


def test_unknown_fields_survive_a_change() -> None:
    request = openai_chat.decode_request(_body(seed=7, tools=[{"type": "function"}], stream_options={"a": 1}))
    changed = request.replace(model="m", drop=("stream_options",))
    assert orjson.loads(changed.encode()) == {
        "messages": [USER],
        "seed": 7,
        "tools": [{"type": "function"}],
        "model": "m",
    }
    assert orjson.loads(request.encode())["stream_options"] == {"a": 1}


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b"{", None, "not valid JSON"),
        (b"\xff\xfe", None, "not valid JSON"),
        (b'{"messages": NaN}', None, "not valid JSON"),
        (b"[" * 2000, None, "not valid JSON"),
        (b"[]", None, "must be a JSON object"),
        (b"{}", "messages", "required"),
        (b'{"messages": 5}', "messages", "list"),
        (b'{"messages": []}', "messages", "at least one"),
        (b'{"messages": ["x"]}', "messages[0]", "dictionary"),
        (b'{"messages": [{"content": "x"}]}', "messages[0].role", "required"),
        (b'{"messages": [{"role": "robot", "content": "x"}]}', "messages[0].role", "'user'"),
        (b'{"messages": [{"role": "user", "content": 5}]}', "messages[0].content", "a string, a list of parts or null"),
        (b'{"messages": [{"role": "user", "content": [5]}]}', "messages[0].content[0]", "dictionary"),
        (b'{"messages": [{"role": "user", "content": "x"}], "stream": "yes"}', "stream", "boolean"),
        (b'{"messages": [{"role": "user", "content": "x"}], "model": 5}', "model", "string"),
    ],
)
def test_a_bad_request_names_its_field(body: bytes, param: str | None, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        openai_chat.decode_request(body)
    assert caught.value.param == param


def _outcome(body: bytes) -> str:
    try:
        openai_chat.decode_request(body).encode()
    except InvalidRequest as exc:
        return "refused" if exc.message else "refused without a message"
    return "decoded"


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_bad_request(body: bytes) -> None:
    assert _outcome(body) in {"decoded", "refused"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["messages", "model", "stream", "x"]), _JSON, max_size=4))
def test_no_json_raises_anything_but_a_bad_request(payload: dict[str, object]) -> None:
    assert _outcome(json.dumps(payload).encode()) in {"decoded", "refused"}


def test_the_text_of_parts_is_joined_and_other_parts_have_none() -> None:
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "u"}},
        {"type": "text", "text": "b"},
    ]
    assert openai_chat.message_text({"role": "user", "content": parts}) == "a\nb"
    assert openai_chat.message_text({"role": "assistant", "content": None}) == ""


def _assembled(stream: bytes) -> CompletionAssembler:
    assembler = CompletionAssembler("weather")
    assembler.feed(stream)
    return assembler


def test_a_completion_survives_being_streamed_and_put_together_again() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    whole = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi ☀️", "refusal": None, "tool_calls": [call]},
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    again = _assembled(stream_from_completion(json.loads(json.dumps(whole)))).completion()
    again["choices"][0]["message"]["tool_calls"][0].pop("index", None)
    assert again == whole


def test_tool_call_arguments_in_pieces_are_joined_by_index() -> None:
    base = chunk_base("m")
    pieces = [
        {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}, {"index": 1, "function": {"arguments": "{}"}}]},
    ]
    calls = _assembled(b"".join(chunk(piece, base=base) for piece in pieces)).completion()["choices"][0]["message"][
        "tool_calls"
    ]
    assert [(call["id"], call["function"]) for call in calls] == [
        ("a", {"name": "f", "arguments": '{"x":1}'}),
        ("b", {"name": "g", "arguments": "{}"}),
    ]


def test_feeding_gives_back_the_new_text() -> None:
    assembler = CompletionAssembler("weather")
    base = chunk_base("m")
    assert assembler.feed(chunk({"role": "assistant", "content": "Hel"}, base=base)) == "Hel"
    assert assembler.feed(chunk({"content": "lo"}, base=base) + STREAM_END) == "lo"
    assert assembler.completion()["choices"][0]["message"]["content"] == "Hello"


def test_a_refusal_stream_ends_with_its_reason() -> None:
    whole = _assembled(stream_text("No.", model="m", finish_reason="content_filter")).completion()
    assert whole["choices"][0]["finish_reason"] == "content_filter"
    assert whole["choices"][0]["message"]["content"] == "No."


def test_an_error_event_is_noticed() -> None:
    assert _assembled(b'data: {"error": {"message": "gone"}}\n\n').error == {"message": "gone"}


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [5]}', b'{"choices": {}}'])
def test_an_answer_without_choices_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        openai_chat.decode_completion(body, "weather")

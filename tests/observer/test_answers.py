"""Answers as clients got them, in every dialect of a client, whole, streamed, broken and made up."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import anthropic_messages, openai_chat, openai_responses
from router.dialects.canonical import ChatRequest, chunks_of, completion
from router.dialects.registry import CLIENT_DIALECTS
from router.observer.answers import ToolCall, read_answer, tool_calls
from tests.observer.telling import tool_call

WHOLE = completion(
    {"content": "Let me look.", "tool_calls": [tool_call("weather", '{"city": "Oslo"}')]},
    model="some-model",
    finish_reason="tool_calls",
    id_="chatcmpl-7",
)


@pytest.mark.parametrize("dialect", list(CLIENT_DIALECTS))
@pytest.mark.parametrize("stream", [False, True])
def test_answers_are_read_in_the_dialect_that_the_client_speaks(dialect: Any, stream: bool) -> None:
    client = CLIENT_DIALECTS[dialect]
    request = ChatRequest({"model": "some-model", "messages": [], "stream": stream}, dialect=dialect)
    if stream:
        encoder = client.stream_encoder(request)
        data = b"".join([encoder.feed(chunk) for chunk in chunks_of(WHOLE)]) + encoder.finish()
    else:
        data = client.encode_completion(WHOLE, request)
    answer = read_answer(dialect, stream, data)
    assert answer is not None
    assert answer.message["content"] == "Let me look."
    assert (answer.model, answer.finish_reason) == ("some-model", "tool_calls")
    assert answer.response_id
    ((name, arguments),) = [(call.name, orjson.loads(call.arguments)) for call in answer.tool_calls]
    assert (name, arguments) == ("weather", {"city": "Oslo"})


def chunk(delta: dict[str, Any], **fields: Any) -> bytes:
    event = {"id": "c-1", "model": "m", "choices": [{"index": 0, "delta": delta, **fields}]}
    return b"data: " + orjson.dumps(event) + b"\n\n"


def test_of_a_stream_that_broke_what_came_before_is_read() -> None:
    error = b'data: {"error": {"message": "overloaded", "type": "server_error"}}\n\n'
    answer = read_answer("openai_chat", True, chunk({"role": "assistant", "content": "Half of"}) + error)
    assert answer is not None
    assert (answer.message["content"], answer.finish_reason, answer.response_id) == ("Half of", None, "c-1")


def test_a_stream_that_was_cut_off_has_no_finish_reason() -> None:
    data = chunk({"content": "Half of"}) + chunk({"content": " it"})[:-10]
    answer = read_answer("openai_chat", True, data)
    assert answer is not None
    assert answer.finish_reason is None
    assert answer.message["content"].startswith("Half of")


def test_an_id_that_nobody_gave_is_not_made_up() -> None:
    event = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}\n\n'
    answer = read_answer("openai_chat", True, event)
    assert answer is not None
    assert (answer.response_id, answer.model, answer.finish_reason) == (None, None, "stop")


@pytest.mark.parametrize(
    ("dialect", "stream", "data"),
    [
        ("openai_chat", False, b""),
        ("openai_chat", False, b"<html>"),
        ("openai_chat", False, b'{"error": {"message": "no"}}'),
        ("openai_chat", False, b'{"choices": []}'),
        ("openai_chat", True, b"data: [DONE]\n\n"),
        ("openai_chat", True, b"nonsense"),
        ("unheard_of", False, b'{"choices": []}'),
        (None, False, b"{}"),
        (["openai_chat"], False, b"{}"),
    ],
)
def test_what_is_no_answer_is_none(dialect: object, stream: bool, data: bytes) -> None:
    assert read_answer(dialect, stream, data) is None


def test_calls_without_a_name_or_a_shape_are_left_out() -> None:
    calls = [None, {}, {"function": None}, {"function": {"name": ""}}, {"function": {"name": "now"}}]
    assert list(tool_calls({"tool_calls": calls})) == [ToolCall("now", "", "")]
    assert list(tool_calls({"tool_calls": "all"})) == []


SHAPED = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.sampled_from(["message", "text", "stop"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "id",
                        "type",
                        "model",
                        "choices",
                        "message",
                        "delta",
                        "content",
                        "tool_calls",
                        "function",
                        "name",
                    ),
                    *("arguments", "index", "finish_reason", "output", "role", "text", "input", "usage", "status"),
                    *("item", "output_index", "content_block", "response", "error", "stop_reason"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)
DIALECTS = st.sampled_from([openai_chat.NAME, anthropic_messages.NAME, openai_responses.NAME, "bedrock_converse"])


@given(DIALECTS, st.booleans(), st.lists(SHAPED, max_size=4))
def test_whatever_arrives_is_read_or_not_but_never_raises(dialect: str, stream: bool, values: list[Any]) -> None:
    events = [b"data: " + orjson.dumps(value) + b"\n\n" for value in values]
    answer = read_answer(dialect, stream, b"".join(events) if stream else orjson.dumps(values[0] if values else None))
    assert answer is None or isinstance(answer.tool_calls, list)


@given(DIALECTS, st.booleans(), st.binary(max_size=200))
def test_bytes_never_raise(dialect: str, stream: bool, data: bytes) -> None:
    read_answer(dialect, stream, data)

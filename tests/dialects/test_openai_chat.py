from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import openai_chat
from router.dialects.canonical import (
    ChatRequest,
    CompletionAssembler,
    JsonObject,
    Usage,
    chunk,
    chunk_base,
    chunks_of,
    completion,
    message_text,
    usage_chunk,
    usage_of,
)
from router.errors import InvalidRequest, UpstreamError, UpstreamProtocolError

USER = {"role": "user", "content": "Hi"}


def _body(**fields: object) -> bytes:
    return orjson.dumps({"messages": [USER], **fields})


def test_an_unchanged_request_keeps_its_bytes() -> None:
    body = b'{ "messages": [{"role":"user","content":"Hi","x":1.0}],  "unknown": [1, 2.50] }'
    assert openai_chat.encode_request(openai_chat.decode_request(body)) is body


def test_unknown_fields_survive_a_change() -> None:
    request = openai_chat.decode_request(_body(seed=7, tools=[{"type": "function"}], stream_options={"a": 1}))
    changed = request.replace(model="m", drop=("stream_options",))
    assert orjson.loads(openai_chat.encode_request(changed)) == {
        "messages": [USER],
        "seed": 7,
        "tools": [{"type": "function"}],
        "model": "m",
    }
    assert orjson.loads(openai_chat.encode_request(request))["stream_options"] == {"a": 1}


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
        openai_chat.encode_request(openai_chat.decode_request(body))
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
    assert message_text({"role": "user", "content": parts}) == "a\nb"
    assert message_text({"role": "assistant", "content": None}) == ""


def _assembled(chunks: list[JsonObject]) -> JsonObject:
    assembler = CompletionAssembler()
    for each in chunks:
        assembler.add(each)
    return assembler.completion()


def _streamed(chunks: list[JsonObject], *, with_usage: bool = True) -> bytes:
    request = ChatRequest({"messages": [USER], "stream": True, "stream_options": {"include_usage": with_usage}})
    encoder = openai_chat.stream_encoder(request)
    return b"".join([encoder.feed(each) for each in chunks]) + encoder.finish()


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
    decoder = openai_chat.stream_decoder("weather", 10_000)
    decoded = [each for byte in _streamed(chunks_of(whole)) for each in decoder.feed(bytes([byte]))]
    assert _assembled(decoded + decoder.finish()) == whole


def test_tool_call_arguments_in_pieces_are_joined_by_index() -> None:
    base = chunk_base("m")
    pieces = [
        {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}, {"index": 1, "function": {"arguments": "{}"}}]},
    ]
    calls = _assembled([chunk(piece, base=base) for piece in pieces])["choices"][0]["message"]["tool_calls"]
    assert [(call["id"], call["function"]) for call in calls] == [
        ("a", {"name": "f", "arguments": '{"x":1}'}),
        ("b", {"name": "g", "arguments": "{}"}),
    ]


def test_adding_a_chunk_gives_back_its_text() -> None:
    assembler = CompletionAssembler()
    base = chunk_base("m")
    assert assembler.add(chunk({"role": "assistant", "content": "Hel"}, base=base)) == "Hel"
    assert assembler.add(chunk({"content": "lo"}, base=base)) == "lo"
    assert assembler.completion()["choices"][0]["message"]["content"] == "Hello"


def test_tokens_are_streamed_to_those_who_asked_for_them() -> None:
    usage = Usage(input=7, output=3, cached=2, reasoning=1)
    chunks = [chunk({"content": "Hi"}, base=chunk_base("m")), usage_chunk(usage, base=chunk_base("m"))]
    assert usage_of(_assembled(openai_chat.stream_decoder("m", 9999).feed(_streamed(chunks))).get("usage")) == usage
    assert b"usage" not in _streamed(chunks, with_usage=False)


def test_an_error_event_is_an_upstream_error() -> None:
    event = b'data: {"error": {"message": "gone", "code": 503}}\n\n'
    with pytest.raises(UpstreamError, match="gone") as caught:
        openai_chat.stream_decoder("weather", 9999).feed(event)
    assert caught.value.status == 503
    observer = openai_chat.stream_observer("weather")
    observer.watch(event)
    assert (str(observer.error), observer.finished) == ("gone", True)


@pytest.mark.parametrize(
    ("events", "finished"),
    [
        (_streamed([chunk({"content": "a"}, base=chunk_base("m"))]), True),
        (_streamed([chunk({}, base=chunk_base("m"), finish_reason="stop")]), True),
        (b'data: {"choices": [{"delta": {"content": "\\"finish_reason\\": \\"x"}}]}\n\n', False),
        (b'data: {"choices": [{"delta": {"content": "data: [DONE]"}, "finish_reason": null}]}\n\n', False),
        (b'data: {"choices": [{"delta": {"content": "a"}, "finish_reason":  null}]}\n\n', False),
        (b'data: {"choices":[{"finish_reason":null}]}\r\n\r\ndata:[DONE]\r\n\r\n', True),
        (
            (
                b'data: {"choices":[{"finish_reason":null}],"usage":null}\n\n'
                b'data: {"choices":[{"finish_reason":"stop"}]}\n\n'
            ),
            True,
        ),
        (b"data: nonsense\n\n", False),
        (b'data: {"choices": 5, "usage": {"prompt_tokens": "x"}}\n\n', False),
    ],
)
def test_watching_finds_the_end(events: bytes, finished: bool) -> None:
    observer = openai_chat.stream_observer("weather")
    observer.watch(events)
    assert observer.finished == finished


def test_a_stream_without_its_end_is_a_protocol_error() -> None:
    decoder = openai_chat.stream_decoder("weather", 9999)
    decoder.feed(b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n')
    with pytest.raises(UpstreamProtocolError, match="before it was finished"):
        decoder.finish()


def test_what_only_other_dialects_know_is_left_out_for_a_provider() -> None:
    request = ChatRequest(
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]},
                {"role": "assistant", "content": "Hello", "thinking_blocks": [{}], "reasoning_content": "x"},
            ]
        },
        dialect="anthropic_messages",
    )
    assert orjson.loads(openai_chat.encode_request(request))["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "Hello"},
    ]


def test_a_local_answer_is_a_whole_completion() -> None:
    whole = orjson.loads(openai_chat.encode_completion(completion({"content": "No."}, model="m"), ChatRequest({})))
    assert whole["choices"][0]["message"]["content"] == "No."


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [5]}', b'{"choices": {}}'])
def test_an_answer_without_choices_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        openai_chat.decode_completion(body, "weather")

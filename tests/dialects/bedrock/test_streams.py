"""Streams of events, whole and byte by byte."""

from __future__ import annotations

import base64
import json
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import bedrock_converse
from router.dialects.canonical import JsonObject, Usage, usage_of
from router.errors import UpstreamError, UpstreamProtocolError, UpstreamStatus
from tests.dialects.bedrock.wire import LIMIT, SOURCE, assembled, decoded, delta, event, exception
from tests.fakes.aws_eventstream import encode_message
from tests.fakes.http_exchange import RecordedRequest
from tests.fakes.providers.answers import Answer, Text, Thinking, Tokens, ToolCall
from tests.fakes.providers.converse import ConverseApi

START = event("messageStart", {"role": "assistant"})
STOP = event("messageStop", {"stopReason": "end_turn"})
USAGE = event("metadata", {"usage": {"inputTokens": 5, "outputTokens": 7, "cacheReadInputTokens": 3}, "metrics": {}})
REQUEST = RecordedRequest("POST", "/model/m/converse-stream", {}, b"{}")


def block_stop(index: int) -> bytes:
    return event("contentBlockStop", {"contentBlockIndex": index})


def tool_start(index: int, **more: object) -> bytes:
    start = {"toolUse": {"toolUseId": f"t{index}", "name": "weather", **more}}
    return event("contentBlockStart", {"start": start, "contentBlockIndex": index})


def deltas(data: bytes) -> list[JsonObject]:
    """What the chunks say, without what says nothing."""
    return [choice["delta"] for chunk in decoded(data) for choice in chunk["choices"] if choice["delta"]]


def failing(data: bytes) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        decoded(data)
    return caught.value


def test_a_plain_stream() -> None:
    chunks = decoded(START + delta(0, text="21") + delta(0, text=" °C") + block_stop(0) + STOP + USAGE)
    assert [chunk["choices"][0]["delta"] for chunk in chunks[:-1]] == [
        {"role": "assistant", "content": ""},
        {"content": "21"},
        {"content": " °C"},
        {},
    ]
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == []
    assert usage_of(chunks[-1]["usage"]) == Usage(input=8, output=7, cached=3)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)


def test_calls_of_tools() -> None:
    data = (
        START
        + tool_start(1)
        + delta(1, toolUse={"input": '{"ci'})
        + delta(1, toolUse={"input": 'ty":"Oslo"}'})
        + block_stop(1)
        + tool_start(2)
        + delta(2, toolUse={"input": ""})
        + block_stop(2)
        + event("messageStop", {"stopReason": "tool_use"})
    )
    call = {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    assert [piece["tool_calls"] for piece in deltas(data)[1:]] == [
        [{"index": 0, **call}],
        [{"index": 0, "function": {"arguments": '{"ci'}}],
        [{"index": 0, "function": {"arguments": 'ty":"Oslo"}'}}],
        [{"index": 1, **call, "id": "t2"}],
        [{"index": 1, "function": {"arguments": "{}"}}],
    ]
    assert assembled(decoded(data))["choices"][0]["finish_reason"] == "tool_calls"


def test_reasoning_streams_and_its_signed_block_follows() -> None:
    data = (
        START
        + delta(0, reasoningContent={"text": "Hm"})
        + delta(0, reasoningContent={"text": "."})
        + delta(0, reasoningContent={"signature": "c2"})
        + delta(0, reasoningContent={"signature": "ln"})
        + block_stop(0)
        + delta(1, text="So.")
        + STOP
    )
    assert deltas(data)[1:] == [
        {"reasoning_content": "Hm"},
        {"reasoning_content": "."},
        {"thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}]},
        {"content": "So."},
    ]


def test_unsigned_reasoning_does_not_come_back() -> None:
    data = START + delta(0, reasoningContent={"text": "Hm."}) + block_stop(0) + STOP
    assert deltas(data)[1:] == [{"reasoning_content": "Hm."}]


@pytest.mark.parametrize("pieces", [[b"\0\1\2\3\4"], [b"\0", b"\1\2\3\4"], [b"\0\1", b"\2", b"\3\4"]])
def test_encrypted_reasoning_is_joined_as_bytes(pieces: list[bytes]) -> None:
    parts = [delta(0, reasoningContent={"redactedContent": base64.b64encode(piece).decode()}) for piece in pieces]
    data = START + b"".join(parts) + block_stop(0) + STOP
    encrypted = base64.b64encode(b"\0\1\2\3\4").decode()
    assert deltas(data)[1:] == [{"thinking_blocks": [{"type": "redacted_thinking", "data": encrypted}]}]


def test_tools_that_run_at_amazon_are_left_out() -> None:
    data = (
        START
        + tool_start(0, type="server_tool_use")
        + delta(0, toolUse={"input": "{}"})
        + block_stop(0)
        + event("contentBlockStart", {"start": {"toolResult": {"toolUseId": "t0"}}, "contentBlockIndex": 1})
        + delta(1, toolResult=[{"text": "found"}])
        + block_stop(1)
        + tool_start(2)
        + block_stop(2)
        + STOP
    )
    (call,) = assembled(decoded(data))["choices"][0]["message"]["tool_calls"]
    assert call == {"id": "t2", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


def test_events_that_are_not_known_are_passed_over() -> None:
    data = START + event("somethingNew", {"x": 1}) + delta(0, citation={"title": "t"}) + delta(0, text="Hi") + STOP
    assert deltas(data)[1:] == [{"content": "Hi"}]


def test_the_end_says_all_that_a_whole_answer_says() -> None:
    stop = {"stopReason": "stop_sequence", "additionalModelResponseFields": {"stop_sequence": "END"}}
    choice = decoded(START + event("messageStop", stop))[-1]["choices"][0]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "END")
    exceeded = START + event("messageStop", {"stopReason": "model_context_window_exceeded"})
    assert decoded(exceeded)[-1]["choices"][0]["native_finish_reason"] == "model_context_window_exceeded"
    assert "malformed_tool_use" in failing(START + event("messageStop", {"stopReason": "malformed_tool_use"})).message


@pytest.mark.parametrize(
    ("kind", "payload", "status", "retryable"),
    [
        ("throttlingException", {"message": "m"}, 429, True),
        ("validationException", {"message": "m"}, 400, False),
        ("internalServerException", {"message": "m"}, 500, True),
        ("serviceUnavailableException", {"message": "m"}, 503, True),
        ("modelTimeoutException", {"message": "m"}, 408, True),
        ("accessDeniedException", {"message": "m"}, 403, False),
        ("modelStreamErrorException", {"message": "m"}, 502, True),
        ("modelStreamErrorException", {"message": "m", "originalStatusCode": 400}, 400, False),
        ("modelStreamErrorException", {"originalMessage": "m", "originalStatusCode": 200}, 502, True),
        ("somethingNewException", {"message": "m"}, 502, True),
    ],
)
def test_exceptions(kind: str, payload: JsonObject, status: int, retryable: bool) -> None:
    error = failing(START + delta(0, text="Hi") + exception(kind, payload))
    assert isinstance(error, UpstreamStatus)
    assert (error.message, error.status, error.retryable) == ("m", status, retryable)
    assert error.type == kind[0].upper() + kind[1:]


def test_an_exception_without_a_message_names_the_provider() -> None:
    assert failing(exception("throttlingException", {})).message == "'bedrock' failed in the middle of its answer."


def test_an_error_of_the_framing() -> None:
    headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "Broken."}
    error = failing(START + encode_message(headers, b""))
    assert (error.message, error.status, error.type) == ("Broken.", 502, "InternalError")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        START,
        START + delta(0, text="Hi"),
        START + STOP + USAGE[:-1],
        START + encode_message({":event-type": "contentBlockDelta"}, b"<html>"),
        START + event("contentBlockDelta", []),
        START + event("contentBlockDelta", {"contentBlockIndex": 0}),
        START + event("contentBlockDelta", {"delta": {"toolUse": {"input": "{"}}, "contentBlockIndex": 0}),
        START + event("contentBlockDelta", {"delta": {"reasoningContent": {"text": "x"}}}),
        START + event("contentBlockStart", {"start": {"toolUse": {"name": "x"}}, "contentBlockIndex": 0}),
        START + delta(0, reasoningContent={"redactedContent": "?"}) * 2 + block_stop(0),
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    assert isinstance(failing(data), UpstreamProtocolError)


def test_reasoning_without_bound_is_cut_off() -> None:
    decoder = bedrock_converse.stream_decoder(SOURCE, 2000)
    with pytest.raises(UpstreamProtocolError, match="more than 2000 bytes"):
        decoder.feed(delta(0, reasoningContent={"text": "x" * 100}) * 30)


def test_blocks_without_end_are_cut_off() -> None:
    decoder = bedrock_converse.stream_decoder(SOURCE, 2000)
    with pytest.raises(UpstreamProtocolError, match="more than 2000 bytes"):
        decoder.feed(b"".join(map(tool_start, range(3000))))


def test_many_blocks_that_end_are_an_answer() -> None:
    decoder = bedrock_converse.stream_decoder(SOURCE, 2000)
    for index in range(300):
        decoder.feed(delta(index, reasoningContent={"text": "x" * 100}) + block_stop(index))
    decoder.feed(STOP)
    assert decoder.finish() == []


_TEXTS = st.text(min_size=1, max_size=12)
_ARGUMENTS = st.dictionaries(_TEXTS, st.integers(-9, 9) | _TEXTS, max_size=3).map(
    lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
)
_PARTS = (
    st.builds(Text, _TEXTS)
    | st.builds(Thinking, _TEXTS, st.booleans())
    | st.builds(
        ToolCall, st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.just("weather"), _ARGUMENTS, st.integers(1, 9)
    )
)
_ANSWERS = st.builds(
    Answer,
    st.lists(_PARTS, max_size=5).map(tuple),
    st.sampled_from([None, "stop", "length", "refusal"]),
    st.builds(Tokens, st.integers(10, 99), st.integers(0, 99), st.integers(0, 5), st.integers(0, 5)),
)


@given(_ANSWERS, st.integers(1, 40))
def test_a_stream_says_the_same_as_a_whole_answer_however_it_is_cut(answer: Answer, step: int) -> None:
    api = ConverseApi("k")
    whole = bedrock_converse.decode_completion(orjson.dumps(api.whole(answer, REQUEST)), SOURCE)
    stream = b"".join(api.events(answer, REQUEST))
    for chunks in (decoded(stream), decoded(stream, step=step), decoded(stream, step=1)):
        again = assembled(chunks)
        assert usage_of(again["usage"]) == usage_of(whole["usage"])
        (first,), (second,) = whole["choices"], again["choices"]
        assert second["finish_reason"] == first["finish_reason"]
        assert _said(second["message"]) == _said(first["message"])


def _said(message: JsonObject) -> JsonObject:
    """A message without the fields that say nothing; an empty text says nothing either."""
    return {name: value for name, value in message.items() if value}


_NAMES = [
    *("delta", "contentBlockIndex", "start", "toolUse", "toolUseId", "name", "input", "text", "reasoningContent"),
    *("signature", "redactedContent", "stopReason", "usage", "inputTokens", "message", "originalStatusCode", "type"),
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 600) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
    max_leaves=12,
)
_KINDS = [
    *("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"),
    "somethingNew",
]
_EVENTS = st.builds(event, st.sampled_from(_KINDS), _JSON) | st.builds(
    lambda index, what: event("contentBlockDelta", {"delta": what, "contentBlockIndex": index}),
    st.integers(0, 2),
    st.dictionaries(st.sampled_from(_NAMES), _JSON, max_size=3),
)


@given(st.lists(_EVENTS | st.builds(exception, st.sampled_from(_KINDS), _JSON), max_size=6))
def test_any_events_are_chunks_or_an_error(events: list[bytes]) -> None:
    decoder = bedrock_converse.stream_decoder(SOURCE, LIMIT)
    with suppress(UpstreamError):
        assert orjson.dumps([decoder.feed(data) for data in events])
        assert decoder.finish() == []

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import anthropic_messages
from router.dialects.canonical import JsonObject, Usage
from router.errors import UpstreamError, UpstreamProtocolError, UpstreamStatus
from tests.dialects.anthropic.wire import (
    SOURCE,
    anthropic_events,
    assembled,
    client_request,
    decoded,
    encoded,
    kinds,
    one_byte_at_a_time,
    openai_chunk,
    recording,
)

TOOLS = recording("thinking_and_tools.sse")
SEARCH = recording("web_search.sse")
OVERLOADED = recording("overloaded.sse")
START = b'data: {"type":"message_start","message":{"id":"msg_1","model":"m","usage":{"input_tokens":1}}}\n\n'
STOP = b'data: {"type":"message_stop"}\n\n'


def _event(**fields: object) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(fields)


def _deltas(chunks: list[JsonObject]) -> list[JsonObject]:
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"]]


@pytest.mark.parametrize("stream", [TOOLS, SEARCH], ids=["tools", "search"])
def test_it_does_not_matter_where_a_stream_is_cut(stream: bytes) -> None:
    def said(chunks: list[JsonObject]) -> list[JsonObject]:
        return [{**chunk, "created": 0} for chunk in chunks]

    whole = said(decoded([stream]))
    assert said(decoded(one_byte_at_a_time(stream))) == whole
    assert said(decoded([stream.replace(b"\n", b"\r\n")])) == whole


def test_a_stream_with_tools_becomes_chunks_that_openai_clients_read() -> None:
    chunks = decoded(one_byte_at_a_time(TOOLS))
    for chunk in chunks:
        openai_chunk(chunk)
        assert (chunk["id"], chunk["model"]) == ("msg_01Qf", "claude-sonnet-4-5-20250929")
    signed = {"type": "thinking", "thinking": "Two cities, so two calls.", "signature": "EqoBCkgIARABGAI="}
    assert _deltas(chunks) == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Two cities,"},
        {"reasoning_content": " so two calls."},
        {"thinking_blocks": [signed]},
        {"thinking_blocks": [{"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3p"}]},
        {"content": "Let me look at both"},
        {"content": " ☂ one moment."},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "toolu_01A",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": ""},
                }
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city": "Zü'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": 'rich"}'}}]},
        {
            "tool_calls": [
                {"index": 1, "id": "toolu_01B", "type": "function", "function": {"name": "now", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]] == [
        "tool_calls"
    ]
    assert chunks[-1]["usage"] == {
        "prompt_tokens": 2588,
        "completion_tokens": 97,
        "total_tokens": 2685,
        "prompt_tokens_details": {"cached_tokens": 2048, "cache_write_tokens": 128},
        "completion_tokens_details": {"reasoning_tokens": 31},
    }


@pytest.mark.parametrize("stream", [TOOLS, SEARCH], ids=["tools", "search"])
def test_a_stream_that_is_translated_there_and_back_says_the_same(stream: bytes) -> None:
    def blocks(events: list[JsonObject]) -> list[tuple[str, str]]:
        """Kind and text of each block, with what came in pieces put together."""
        found: list[tuple[str, str]] = []
        for event in events:
            if event["type"] == "content_block_start":
                begun = event["content_block"]
                rest = {name: value for name, value in begun.items() if name not in ("type", "text", "citations")}
                found.append((begun["type"], str(rest) if rest else ""))
            elif event["type"] == "content_block_delta":
                kind, text = found[-1]
                (piece,) = [value for name, value in event["delta"].items() if name != "type"]
                found[-1] = (kind, text + (piece if isinstance(piece, str) else str(piece)))
        return [(kind, text.replace(": ", ":")) for kind, text in found]

    events = anthropic_events(encoded(decoded([stream]), client_request()))
    # An empty input is said by Anthropic as no piece at all, and by OpenAI as "{}".
    original = [
        (kind, text + "{}" if kind == "tool_use" and "toolu_01B" in text else text)
        for kind, text in blocks([orjson.loads(line[6:]) for line in stream.split(b"\n") if line.startswith(b"data: ")])
    ]
    assert [(kind, text.replace(" ", "")) for kind, text in blocks(events)] == [
        (kind, text.replace(" ", "")) for kind, text in original
    ]


def test_blocks_of_server_tools_and_citations_are_carried() -> None:
    message = assembled(decoded([SEARCH]))["choices"][0]["message"]
    assert message["content"] == "It serves models."
    assert [block["type"] for block in message["native_blocks"]] == ["server_tool_use", "web_search_tool_result"]
    assert message["native_blocks"][0]["input"] == {"query": "triton"}
    assert message["citations"][0]["cited_text"] == "serves models"


def test_what_is_told_last_about_tokens_holds() -> None:
    assert decoded([SEARCH])[-1]["usage"]["prompt_tokens"] == 900


def test_an_error_in_the_stream_is_raised_behind_what_was_said() -> None:
    decoder = anthropic_messages.stream_decoder(SOURCE, 1 << 20)
    head, error = OVERLOADED.split(b"event: error")
    assert [delta.get("content") for delta in _deltas(decoder.feed(head))] == ["", "Hel"]
    with pytest.raises(UpstreamStatus, match="Overloaded") as caught:
        decoder.feed(b"event: error" + error)
    assert (caught.value.status, caught.value.type, caught.value.retryable) == (529, "overloaded_error", True)


@pytest.mark.parametrize("stream", [b"", START, TOOLS[: TOOLS.rindex(b"event: message_stop")]])
def test_a_stream_without_its_end_is_not_an_answer(stream: bytes) -> None:
    with pytest.raises(UpstreamProtocolError, match="before it was finished"):
        decoded([stream])


def test_the_last_event_needs_no_empty_line() -> None:
    assert decoded([START, STOP.rstrip()])[0]["id"] == "msg_1"


def test_what_follows_the_end_is_passed_over() -> None:
    assert len(decoded([START, STOP, b"data: [DONE]\n\n"])) == len(decoded([START, STOP]))


def test_pings_comments_and_events_of_the_future_are_passed_over() -> None:
    odd = _event(type="ping") + b": still here\n\n" + _event(type="message_pondered") + _event(type=["a"]) + _event(a=1)
    block = _event(type="content_block_start", index=0, content_block={"type": "text", "text": "a"})
    piece = _event(type="content_block_delta", index=0, delta={"type": "taste_delta", "taste": "sweet"})
    chunks = decoded([START, odd, block, piece, STOP])
    assert [delta.get("content") for delta in _deltas(chunks)] == ["", "a"]


def test_a_refusal_is_explained_where_it_ends() -> None:
    end = _event(
        type="message_delta",
        delta={"stop_reason": "refusal", "stop_details": {"type": "refusal", "explanation": "Not that."}},
        usage={"output_tokens": 3},
    )
    choice = decoded([START, end, STOP])[1]["choices"][0]
    assert (choice["delta"], choice["finish_reason"]) == ({"refusal": "Not that."}, "content_filter")


def test_an_input_that_is_whole_at_the_start_is_passed_on() -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}
    chunks = decoded(
        [
            START,
            _event(type="content_block_start", index=0, content_block=block),
            _event(type="content_block_stop", index=0),
            STOP,
        ]
    )
    assert assembled(chunks)["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"a":1}'


@pytest.mark.parametrize(
    "event",
    [
        b"data: <html>\n\n",
        b"data: []\n\n",
        b"data: [DONE]\n\n",
        _event(type="message_start"),
        _event(type="content_block_start", index=0),
        _event(type="content_block_start", index="0", content_block={"type": "text", "text": ""}),
        _event(type="content_block_start", index=0, content_block={"type": "text"}),
        _event(type="content_block_start", index=0, content_block={}),
        _event(type="content_block_start", index=0, content_block={"type": "tool_use", "id": "t"}),
        _event(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "a"}),
        _event(type="content_block_delta", index=0),
        _event(type="message_delta", delta="end"),
        _event(type="content_block_start", index=0, content_block={"type": "server_tool_use", "input": {}})
        + _event(type="content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": "{"})
        + _event(type="content_block_stop", index=0),
        _event(type="content_block_start", index=0, content_block={"type": "text", "text": ""})
        + _event(type="content_block_delta", index=0, delta={"type": "text_delta", "text": 5}),
    ],
)
def test_an_event_that_is_none_is_not_an_answer(event: bytes) -> None:
    with pytest.raises(UpstreamProtocolError, match=f"'{SOURCE}' sent"):
        decoded([START, event, STOP])


def test_an_event_without_end_is_not_kept() -> None:
    decoder = anthropic_messages.stream_decoder(SOURCE, 100)
    with pytest.raises(UpstreamProtocolError, match="more than 100 bytes"):
        decoder.feed(b"data: " + b"x" * 101)


def test_an_observer_sees_the_tokens_and_the_end() -> None:
    observer = anthropic_messages.stream_observer(SOURCE)
    head, end = TOOLS.split(b"event: message_delta")
    observer.watch(head)
    assert (observer.finished, observer.error) == (False, None)
    assert observer.usage == Usage(2588, 4, 2048, 128)
    delta, stop = (b"event: message_delta" + end).split(b"event: message_stop")
    observer.watch(delta)
    assert (observer.finished, observer.usage) == (False, Usage(2588, 97, 2048, 128, 31))
    observer.watch(b"event: message_stop" + stop)
    assert observer.finished


def test_an_observer_sees_an_error() -> None:
    observer = anthropic_messages.stream_observer(SOURCE)
    observer.watch(OVERLOADED)
    assert observer.finished
    assert isinstance(observer.error, UpstreamStatus)
    assert (observer.error.status, observer.error.message) == (529, "Overloaded")


def test_an_observer_is_not_misled_by_what_the_answer_says() -> None:
    observer = anthropic_messages.stream_observer(SOURCE)
    said = _event(type="content_block_delta", index=0, delta={"type": "text_delta", "text": '"type":"message_stop"'})
    tool = _event(type="content_block_start", index=1, content_block={"type": "x", "content": {"type": "error"}})
    observer.watch(said + tool + b'data: {"type":"error"\n\n')
    assert (observer.finished, observer.error, observer.usage) == (False, None, None)


_NAMES = st.sampled_from(["type", "index", "message", "content_block", "delta", "usage", "text", "error", "thinking"])
_JSON = st.recursive(
    st.none() | st.integers(0, 2) | st.sampled_from(["text", "tool_use", "text_delta", "thinking_delta", "a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=8,
)
_KINDS = st.sampled_from(
    [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
    ]
)
_EVENTS = st.builds(
    lambda kind, rest: _event(**{**rest, "type": kind}), _KINDS, st.dictionaries(_NAMES, _JSON, max_size=4)
)


@given(st.lists(_EVENTS | st.binary(max_size=20), max_size=6))
def test_no_stream_raises_anything_but_an_upstream_error(pieces: list[bytes]) -> None:
    observer = anthropic_messages.stream_observer(SOURCE)
    for piece in pieces:
        observer.watch(piece)
    try:
        chunks = decoded(pieces)
    except UpstreamError:
        return
    assert kinds(anthropic_events(encoded(chunks, client_request())))[-1] == "message_stop"

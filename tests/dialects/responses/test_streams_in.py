from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import openai_responses
from router.dialects.canonical import CompletionAssembler, JsonObject, Usage, chunks_of
from router.dialects.sse import EventSplitter
from router.errors import UpstreamError, UpstreamProtocolError
from tests.dialects.responses.strategies import JSON, completions

RECORDINGS = Path(__file__).parent / "recordings"
REQUEST = openai_responses.decode_request(b'{"model": "m", "input": "Hi", "stream": true}')
MAX_EVENT_BYTES = 100_000


def recording(name: str) -> bytes:
    return (RECORDINGS / f"{name}.sse").read_bytes()


def whole(pieces: list[bytes]) -> list[JsonObject]:
    decoder = openai_responses.stream_decoder("openai", MAX_EVENT_BYTES)
    chunks = [chunk for piece in pieces for chunk in decoder.feed(piece)]
    return chunks + decoder.finish()


def bytewise(stream: bytes) -> list[JsonObject]:
    return whole([stream[at : at + 1] for at in range(len(stream))])


def assembled(chunks: list[JsonObject]) -> JsonObject:
    assembler = CompletionAssembler()
    for chunk in chunks:
        assembler.add(chunk)
    return assembler.completion()


def event(type_: str, **fields: object) -> bytes:
    return b"data: " + orjson.dumps({"type": type_, "sequence_number": 0, **fields}) + b"\n\n"


COMPLETED = event("response.completed", response={"id": "resp_1", "status": "completed", "output": []})


def message_of(*events: bytes) -> JsonObject:
    message: JsonObject = assembled(whole([*events, COMPLETED]))["choices"][0]["message"]
    return message


def test_text_fed_one_byte_at_a_time() -> None:
    completion = assembled(bytewise(recording("text")))
    assert completion["choices"][0]["message"]["content"] == "Grüezi \u2013 it is ☀️ in Zürich."
    assert completion["choices"][0]["finish_reason"] == "stop"
    assert (completion["id"], completion["model"]) == ("resp_68e7a1c0d5e481", "gpt-5.2")
    assert completion["created"] == 1_760_000_000
    assert completion["usage"]["total_tokens"] == 27


def test_reasoning_and_parallel_calls_fed_one_byte_at_a_time() -> None:
    choice = assembled(bytewise(recording("reasoning_and_calls")))["choices"][0]
    message = choice["message"]
    assert choice["finish_reason"] == "tool_calls"
    assert message["content"] is None
    assert [
        (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in message["tool_calls"]
    ] == [
        ("call_w8Zq1", "get_weather", '{"city":"Zürich"}'),
        ("call_k3Tv2", "get_weather", '{"city":"Oslo","unit":"c"}'),
    ]
    [item] = message["thinking_blocks"]
    assert item["encrypted_content"] == "gAAAAABo57KvX1Ywz0pQk3lF9tT4e7Rr2m=="
    assert message["reasoning_content"] == "\n\n".join(part["text"] for part in item["summary"])


def test_two_messages_around_a_search_are_joined_and_citations_moved() -> None:
    message = assembled(bytewise(recording("search_and_two_messages")))["choices"][0]["message"]
    assert message["content"] == "Let me look.\n\nRain in Oslo [1]."
    [cited] = message["annotations"]
    start, end = cited["url_citation"]["start_index"], cited["url_citation"]["end_index"]
    assert message["content"][start:end] == "Oslo [1"[: end - start]


def test_a_refusal_fed_one_byte_at_a_time() -> None:
    message = assembled(bytewise(recording("refusal")))["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "I can\u2019t help with that.")


def test_an_answer_that_was_cut_short() -> None:
    choice = assembled(bytewise(recording("cut_short")))["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Once upon a", "length")


def test_open_reasoning_of_another_server() -> None:
    message = assembled(bytewise(recording("open_reasoning")))["choices"][0]["message"]
    assert message["reasoning_content"] == "The user says hi."
    assert message["content"] == "Hello!"
    assert message["thinking_blocks"][0]["content"][0]["text"] == "The user says hi."


@pytest.mark.parametrize("name", ["text", "reasoning_and_calls", "search_and_two_messages", "refusal", "cut_short"])
def test_a_stream_says_what_its_last_event_says(name: str) -> None:
    last = [line for line in recording(name).split(b"\n") if line.startswith(b"data: ")][-1]
    response = orjson.loads(last.removeprefix(b"data: "))["response"]
    completion = openai_responses.decode_completion(orjson.dumps(response), "openai")
    assert completion.pop("service_tier") == "default"  # chunks do not carry it
    assert assembled(whole([recording(name)])) == completion


def test_nothing_comes_out_before_the_answer_so_that_a_failure_can_go_elsewhere() -> None:
    decoder = openai_responses.stream_decoder("openai", MAX_EVENT_BYTES)
    events = recording("rate_limited").split(b"\n\n")
    assert decoder.feed(b"\n\n".join(events[:2]) + b"\n\n") == []
    with pytest.raises(UpstreamError, match="Rate limit reached") as caught:
        decoder.feed(events[2] + b"\n\n")
    assert (caught.value.status, caught.value.retryable) == (429, True)


@pytest.mark.parametrize(
    "data",
    [
        {"type": "error", "code": "server_error", "message": "gone", "param": None},
        {"type": "error", "error": {"type": "server_error", "code": "server_error", "message": "gone"}},
        {"error": {"type": "server_error", "message": "gone"}},
        {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "gone"}}},
    ],
)
def test_an_error_event_is_raised(data: JsonObject) -> None:
    with pytest.raises(UpstreamError, match="gone") as caught:
        whole([b"data: " + orjson.dumps(data) + b"\n\n"])
    assert caught.value.retryable


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"data: [DONE]\n\n",
        b"data: {\n\n",
        b"data: []\n\n",
        b"<html></html>",
        event("response.output_text.delta", output_index=0, delta="Hel"),
        event("response.output_item.added", output_index=0, item={"type": "custom_tool_call"}),
        event("response.output_item.done", output_index=0, item={"type": "computer_call"}),
    ],
)
def test_what_is_no_whole_answer_is_a_protocol_error(stream: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        whole([stream])


def test_a_server_that_sends_the_whole_answer_only_at_the_end() -> None:
    content = [{"type": "output_text", "text": "Hello", "annotations": []}]
    response = {"id": "resp_1", "model": "m", "output": [{"type": "message", "content": content}]}
    completion = assembled(whole([event("response.completed", response=response)]))
    assert completion["choices"][0]["message"]["content"] == "Hello"


def test_a_server_that_sends_no_deltas() -> None:
    content = [{"type": "output_text", "text": "Hello"}, {"type": "output_text", "text": "!"}]
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}
    message = message_of(
        event("response.output_item.done", output_index=0, item={"type": "message", "content": content}),
        event("response.output_item.done", output_index=1, item=call),
    )
    assert message["content"] == "Hello!"
    assert message["tool_calls"] == [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def test_arguments_that_are_only_said_when_they_are_done() -> None:
    item = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": ""}
    message = message_of(
        event("response.output_item.added", output_index=0, item=item),
        event("response.function_call_arguments.done", output_index=0, arguments="{}"),
        event("response.output_item.done", output_index=0, item={**item, "arguments": "{}"}),
    )
    assert message["tool_calls"][0]["function"]["arguments"] == "{}"


def test_reasoning_that_is_told_twice_is_kept_once() -> None:
    message = message_of(
        event("response.reasoning_text.delta", output_index=0, content_index=0, delta="Hm."),
        event("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="Thought."),
    )
    assert message["reasoning_content"] == "Hm."


def test_log_probabilities_come_with_the_text() -> None:
    logprobs = [{"token": "Hi", "logprob": -0.1, "top_logprobs": []}]
    [chunk, *_] = whole([event("response.output_text.delta", output_index=0, delta="Hi", logprobs=logprobs), COMPLETED])
    assert chunk["choices"][0]["logprobs"] == {"content": logprobs, "refusal": None}


@given(completions(), st.lists(st.integers(0, 5000), max_size=8))
def test_an_answer_survives_being_streamed_and_cut_anywhere(completion: JsonObject, cuts: list[int]) -> None:
    encoder = openai_responses.stream_encoder(REQUEST)
    stream = b"".join([encoder.feed(chunk) for chunk in chunks_of(completion)]) + encoder.finish()
    bounds = [0, *sorted(cut % len(stream) for cut in cuts), len(stream)]
    again = assembled(whole([stream[a:b] for a, b in pairwise(bounds)]))
    message, said = again["choices"][0]["message"], completion["choices"][0]["message"]
    for block, known in zip(message.get("thinking_blocks", ()), said.get("thinking_blocks", ()), strict=True):
        block["id"] = known["id"]  # announced before the block was known
    if not said["content"]:
        message["content"] = said["content"]
    assert again == completion


_KINDS = st.sampled_from(
    [
        *("response.created", "response.output_item.added", "response.output_item.done", "response.output_text.delta"),
        *("response.refusal.delta", "response.reasoning_summary_text.delta", "response.reasoning_text.delta"),
        *("response.function_call_arguments.delta", "response.function_call_arguments.done", "response.completed"),
        *("response.output_text.annotation.added", "response.incomplete", "response.failed", "error", "x"),
    ]
)
_ITEMS = st.dictionaries(
    st.sampled_from(["type", "id", "call_id", "name", "arguments", "content", "summary", "text"]),
    JSON | st.sampled_from(["message", "function_call", "reasoning", "output_text"]),
)
_EVENTS = st.fixed_dictionaries(
    {"type": _KINDS | JSON},
    optional={
        "item": _ITEMS | JSON,
        "response": JSON
        | st.fixed_dictionaries({"output": st.lists(_ITEMS) | JSON, "usage": JSON, "created_at": JSON}),
        "output_index": JSON,
        "delta": JSON,
        "arguments": JSON,
        "annotation": JSON | st.just({"type": "url_citation", "start_index": 1}),
        "logprobs": JSON,
        "summary_index": JSON,
        "error": JSON,
        "message": JSON,
        "code": JSON,
    },
)


@given(st.lists(_EVENTS | JSON, max_size=6))
def test_no_event_raises_anything_but_an_upstream_error(events: list[object]) -> None:
    stream = b"".join([b"data: " + orjson.dumps(each) + b"\n\n" for each in events])
    with contextlib.suppress(UpstreamError):
        assembled(whole([stream]))
    observer = openai_responses.stream_observer("openai")
    observer.watch(stream)


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_no_bytes_raise_anything_but_an_upstream_error(pieces: list[bytes]) -> None:
    with pytest.raises(UpstreamError):
        whole(pieces)
    openai_responses.stream_observer("openai").watch(b"".join(pieces))


def test_an_endless_event_is_refused() -> None:
    with pytest.raises(UpstreamProtocolError, match="bytes"):
        whole([b"data: " + b"x" * MAX_EVENT_BYTES])


def observed(stream: bytes, cut: Callable[[bytes], list[bytes]]) -> Any:
    observer = openai_responses.stream_observer("openai")
    splitter = EventSplitter(MAX_EVENT_BYTES)
    for piece in cut(stream):
        if events := splitter.feed(piece):
            observer.watch(events)
    observer.watch(splitter.finish())
    return observer


def one(stream: bytes) -> list[bytes]:
    return [stream]


def bytes_of(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


@pytest.mark.parametrize("cut", [one, bytes_of])
@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("text", Usage(18, 9)),
        ("reasoning_and_calls", Usage(141, 95, cached=128, reasoning=64)),
        ("cut_short", Usage(9, 16)),
        ("open_reasoning", Usage(70, 21, reasoning=11)),
    ],
)
def test_an_observer_sees_the_end_and_the_tokens(name: str, usage: Usage, cut: Callable[[bytes], list[bytes]]) -> None:
    observer = observed(recording(name), cut)
    assert (observer.finished, observer.error, observer.usage) == (True, None, usage)


@pytest.mark.parametrize("cut", [one, bytes_of])
def test_an_observer_sees_a_failure(cut: Callable[[bytes], list[bytes]]) -> None:
    observer = observed(recording("rate_limited"), cut)
    assert observer.finished
    assert (observer.error.status, observer.usage) == (429, None)
    error = observed(event("error", code="server_error", message="gone"), cut)
    assert (error.finished, error.error.message) == (True, "gone")


def test_an_observer_is_not_fooled_by_what_a_model_says() -> None:
    text = '{"type": "response.completed", "response": {"usage": {"input_tokens": 9}}} data: {"type":"error"}'
    said = event("response.output_text.delta", output_index=0, delta=text)
    schema = event("response.in_progress", response={"tools": [{"parameters": {"type": "error"}}], "usage": None})
    observer = observed(said + schema, one)
    assert (observer.finished, observer.error, observer.usage) == (False, None, None)
    assert not observed(recording("text")[:-400], one).finished

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import openai_responses
from router.dialects.canonical import JsonObject, Usage, chunk, chunk_base, chunks_of, usage_chunk
from router.dialects.openai_responses.stream_encoder import Encoder
from router.errors import UpstreamProtocolError, UpstreamTimeout
from tests.dialects.responses.official import accumulated, check_events, payloads
from tests.dialects.responses.strategies import JSON, completions

REQUEST = openai_responses.decode_request(b'{"model": "m", "input": "Hi", "stream": true}')
BASE = chunk_base("m-1")


def stream_of(chunks: list[JsonObject]) -> bytes:
    encoder = openai_responses.stream_encoder(REQUEST)
    return b"".join([encoder.feed(each) for each in chunks]) + encoder.finish()


def deltas(*deltas: JsonObject, finish_reason: str = "stop") -> list[JsonObject]:
    return [chunk(delta, base=BASE) for delta in deltas] + [chunk({}, base=BASE, finish_reason=finish_reason)]


def types_of(stream: bytes) -> list[str]:
    return [event.type.removeprefix("response.") for event in check_events(stream)]


def last_response(stream: bytes) -> dict[str, Any]:
    response: dict[str, Any] = payloads(stream)[-1]["response"]
    return response


def call(index: int, name: str | None = None, arguments: str = "", id_: str | None = None) -> JsonObject:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    piece: JsonObject = {"index": index, "function": function}
    return {"tool_calls": [{**piece, "id": id_, "type": "function"} if id_ else piece]}


def calls_in(stream: bytes) -> list[tuple[str, str, str]]:
    output = last_response(stream)["output"]
    return [(i["call_id"], i["name"], i["arguments"]) for i in output if i["type"] == "function_call"]


def test_text_has_every_event_of_a_message() -> None:
    stream = stream_of(deltas({"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo"}))
    assert types_of(stream) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    response = accumulated(check_events(stream))
    assert response is not None
    assert (response.output_text, response.model) == ("Hello", "m-1")


def test_a_message_is_said_as_soon_as_it_is_known() -> None:
    encoder = openai_responses.stream_encoder(REQUEST)
    first = encoder.feed(chunk({"role": "assistant", "content": ""}, base=BASE))
    assert [event["type"] for event in payloads(first)] == ["response.created", "response.in_progress"]
    said = payloads(encoder.feed(chunk({"content": "Hi"}, base=BASE)))
    assert said[-1]["delta"] == "Hi"
    assert encoder.feed(chunk({}, base=BASE, finish_reason="stop")) == b""


def test_tokens_that_are_counted_after_the_end_are_in_the_last_event() -> None:
    stream = stream_of([*deltas({"content": "Hi"}), usage_chunk(Usage(7, 5, cached=3, reasoning=1), base=BASE)])
    usage = last_response(stream)["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (7, 5, 12)
    assert usage["input_tokens_details"]["cached_tokens"] == 3
    assert usage["output_tokens_details"]["reasoning_tokens"] == 1
    assert last_response(stream_of(deltas({"content": "Hi"})))["usage"] is None


def test_parallel_calls_whose_arguments_come_in_turns() -> None:
    stream = stream_of(
        deltas(
            {"content": "Let me look."},
            call(0, "f", "", "c1"),
            call(1, "g", "", "c2"),
            call(0, arguments='{"x"'),
            call(1, arguments="{"),
            call(0, arguments=":1}"),
            call(1, arguments="}"),
            finish_reason="tool_calls",
        )
    )
    assert calls_in(stream) == [("c1", "f", '{"x":1}'), ("c2", "g", "{}")]
    response = accumulated(check_events(stream))
    assert response is not None
    assert [item.type for item in response.output] == ["message", "function_call", "function_call"]
    done = [event for event in check_events(stream) if event.type == "response.function_call_arguments.done"]
    assert [event.arguments for event in done] == ['{"x":1}', "{}"]


@pytest.mark.parametrize("index", [{"index": 0}, {}])
def test_calls_that_share_an_index_are_told_apart_by_their_ids(index: JsonObject) -> None:
    pieces = [{"tool_calls": [{**index, "id": id_, "function": {"name": "f", "arguments": "{}"}}]} for id_ in "ab"]
    assert calls_in(stream_of(deltas(*pieces))) == [("a", "f", "{}"), ("b", "f", "{}")]


def test_a_call_is_announced_when_its_name_is_known() -> None:
    pieces = [
        {"tool_calls": [{"index": 0, "id": "c1"}]},
        call(0, arguments='{"x"'),
        call(0, "f"),
        call(0, arguments=":1}"),
    ]
    stream = stream_of(deltas(*pieces, finish_reason="tool_calls"))
    assert calls_in(stream) == [("c1", "f", '{"x":1}')]
    sent = [event.delta for event in check_events(stream) if event.type == "response.function_call_arguments.delta"]
    assert sent == ['{"x"', ":1}"]


def test_a_call_without_an_id_gets_one() -> None:
    [(id_, name, _)] = calls_in(stream_of(deltas(call(0, "f", "{}"))))
    assert id_.startswith("call_")
    assert name == "f"


def test_reasoning_closes_before_the_text_and_may_come_again() -> None:
    stream = stream_of(
        deltas({"reasoning_content": "Hm"}, {"reasoning_content": "."}, {"content": "So."}, {"reasoning_content": "Ah"})
    )
    output = last_response(stream)["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", "reasoning"]
    assert output[0]["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert types_of(stream)[2:9] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]


def test_reasoning_by_the_name_that_some_servers_give_it() -> None:
    assert last_response(stream_of(deltas({"reasoning": "Hm."}, {"content": "x"})))["output"][0]["type"] == "reasoning"


def test_a_signature_seals_the_reasoning_that_has_been_streamed() -> None:
    block = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}
    pieces = [{"reasoning_content": "H"}, {"reasoning_content": "m."}, {"thinking_blocks": [block]}, {"content": "x"}]
    stream = stream_of(deltas(*pieces))
    [reasoning, _] = last_response(stream)["output"]
    assert reasoning["encrypted_content"].endswith(":sig")
    assert reasoning["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert types_of(stream).count("reasoning_summary_text.delta") == 2


def test_a_refusal_is_a_part_of_its_own() -> None:
    stream = stream_of(deltas({"content": "Well."}, {"refusal": "I can"}, {"refusal": "not."}))
    [message] = last_response(stream)["output"]
    assert [part.get("text", part.get("refusal")) for part in message["content"]] == ["Well.", "I cannot."]
    assert types_of(stream).count("refusal.delta") == 2
    assert accumulated(check_events(stream)) is not None


def test_citations_and_log_probabilities_are_passed_on() -> None:
    cited = {"start_index": 0, "end_index": 2, "title": "t", "url": "u"}
    said = chunk({"content": "Hi"}, base=BASE)
    said["choices"][0]["logprobs"] = {"content": [{"token": "Hi", "logprob": -0.1, "top_logprobs": []}]}
    noted = chunk({"annotations": [{"type": "url_citation", "url_citation": cited}]}, base=BASE)
    stream = stream_of([said, noted, *deltas()])
    [part] = last_response(stream)["output"][0]["content"]
    assert part["annotations"] == [{"type": "url_citation", **cited}]
    assert part["logprobs"][0]["bytes"] == [72, 105]
    assert "output_text.annotation.added" in types_of(stream)


@pytest.mark.parametrize(
    ("finish_reason", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_a_stream_that_stops_short_is_incomplete(finish_reason: str, reason: str) -> None:
    stream = stream_of(deltas({"reasoning_content": "Hm"}, {"content": "Hel"}, finish_reason=finish_reason))
    assert types_of(stream)[-1] == "incomplete"
    response = last_response(stream)
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]


@pytest.mark.parametrize("chunks", [[], deltas()])
def test_an_empty_stream_is_a_whole_response(chunks: list[JsonObject]) -> None:
    response = accumulated(check_events(stream_of(chunks)))
    assert response is not None
    assert response.output_text == ""


def test_the_id_of_a_response_stays() -> None:
    base = chunk_base("m", id_="resp_1")
    assert last_response(stream_of([chunk({"content": "x"}, base=base)]))["id"] == "resp_1"
    made = payloads(stream_of(deltas({"content": "x"})))
    assert len({event["response"]["id"] for event in made if "response" in event}) == 1


def test_other_choices_are_left_out() -> None:
    other = chunk({"content": "B"}, base=BASE)
    other["choices"][0]["index"] = 1
    assert last_response(stream_of([*deltas({"content": "A"}), other]))["output"][0]["content"][0]["text"] == "A"


def _feed_all(encoder: Encoder, chunks: list[JsonObject]) -> None:
    for each in chunks:
        encoder.feed(each)


@pytest.mark.parametrize(
    "delta", [{"content": "x" * 10}, {"refusal": "x" * 10}, {"reasoning_content": "x" * 10}, call(0, "f", "x" * 10)]
)
def test_an_endless_answer_is_cut_off(delta: JsonObject) -> None:
    encoder = Encoder(REQUEST, max_chars=10_000)
    with pytest.raises(UpstreamProtocolError, match="10000 characters"):
        _feed_all(encoder, [chunk(delta, base=BASE)] * 2_000)


def test_endless_items_are_cut_off() -> None:
    encoder = Encoder(REQUEST, max_chars=10_000)
    with pytest.raises(UpstreamProtocolError, match="10000 characters"):
        _feed_all(encoder, [chunk(call(index, "f"), base=BASE) for index in range(2_000)])


def test_a_stream_that_breaks_ends_with_an_error_that_is_its_last_event() -> None:
    begun = openai_responses.stream_encoder(REQUEST).feed(chunk({"content": "Hel"}, base=BASE))
    event = openai_responses.encode_stream_error(UpstreamTimeout("Too slow."), "req_1")
    [error] = payloads(event)
    assert event.startswith(b"event: error\n")
    assert (error["type"], error["code"], error["message"]) == ("error", "upstream_timeout", "Too slow.")
    assert error["sequence_number"] > payloads(begun)[-1]["sequence_number"]


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_ids(each) for name, each in value.items() if name not in {"id", "completed_at"}}
    return [_without_ids(each) for each in value] if isinstance(value, list) else value


@given(completions())
def test_a_stream_ends_in_the_whole_answer(whole: JsonObject) -> None:
    stream = stream_of(chunks_of(whole))
    check_events(stream)
    assert _without_ids(last_response(stream)) == _without_ids(
        orjson.loads(openai_responses.encode_completion(whole, REQUEST))
    )


_DELTAS = st.dictionaries(
    st.sampled_from(["content", "refusal", "reasoning_content", "thinking_blocks", "tool_calls", "annotations"]),
    JSON
    | st.lists(
        st.dictionaries(
            st.sampled_from(["index", "id", "function", "type", "thinking", "data", "signature", "url_citation"]),
            JSON | st.dictionaries(st.sampled_from(["name", "arguments"]), JSON),
        ),
        max_size=2,
    ),
)
_CHUNKS = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON,
        "model": JSON,
        "created": JSON,
        "usage": JSON,
        "choices": JSON
        | st.lists(
            st.fixed_dictionaries({"delta": _DELTAS | JSON}, optional={"finish_reason": JSON, "logprobs": JSON}),
            max_size=2,
        ),
    },
)


@given(st.lists(_CHUNKS, max_size=5))
def test_any_stream_of_a_chat_server_becomes_a_response(chunks: list[JsonObject]) -> None:
    events = payloads(stream_of(chunks))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] in {"response.completed", "response.incomplete"}
    added = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    done = [event["output_index"] for event in events if event["type"] == "response.output_item.done"]
    assert sorted(added) == sorted(done) == list(range(len(events[-1]["response"]["output"])))

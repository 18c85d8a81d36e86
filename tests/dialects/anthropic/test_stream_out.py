from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import anthropic_messages, openai_chat
from router.dialects.anthropic_messages.arguments import StreamedCall
from router.dialects.canonical import JsonObject, Usage, chunk, chunk_base, chunks_of, completion, usage_chunk
from router.errors import UpstreamError
from tests.dialects.anthropic.wire import (
    anthropic_events,
    client_request,
    decoded,
    encoded,
    kinds,
    one_byte_at_a_time,
    recording,
)

BASE = chunk_base("gpt-5", id_="chatcmpl-1", created=1)
USAGE = usage_chunk(Usage(100, 20, cached=60, reasoning=5), base=BASE)


def _delta(finish_reason: str | None = None, **delta: object) -> JsonObject:
    return chunk(delta, base=BASE, finish_reason=finish_reason)


def _call(index: int | None, arguments: str = "", **fields: object) -> JsonObject:
    piece: JsonObject = {"function": {"arguments": arguments}, **({} if index is None else {"index": index})}
    if "name" in fields:
        piece["function"]["name"] = fields.pop("name")
    return _delta(tool_calls=[{**piece, **fields}])


def _events(*chunks: JsonObject) -> list[JsonObject]:
    return anthropic_events(encoded(chunks, client_request()))


def _inputs(events: list[JsonObject]) -> list[tuple[str, str, str]]:
    """Id, name and arguments of each tool call."""
    calls: list[tuple[str, str, str]] = []
    for event in events:
        if event["type"] == "content_block_start" and event["content_block"]["type"] == "tool_use":
            calls.append((event["content_block"]["id"], event["content_block"]["name"], ""))
        elif event.get("delta", {}).get("type") == "input_json_delta":
            id_, name, arguments = calls[-1]
            calls[-1] = (id_, name, arguments + event["delta"]["partial_json"])
    return calls


def _text(events: list[JsonObject], kind: str = "text") -> str:
    return "".join(event["delta"][kind] for event in events if event.get("delta", {}).get("type") == f"{kind}_delta")


def test_a_recorded_stream_of_openai_is_what_the_anthropic_sdk_reads() -> None:
    stream = recording("openai_parallel_tools.sse")
    events = _events(*decoded(one_byte_at_a_time(stream), openai_chat.stream_decoder))
    assert kinds(events) == [
        "message_start",
        "text",
        "text_delta",
        "content_block_stop",
        "tool_use",
        "input_json_delta",
        "input_json_delta",
        "content_block_stop",
        "tool_use",
        "input_json_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0]["message"]["model"] == "gpt-5"
    assert _inputs(events) == [
        ("call_a", "get_weather", '{"city":"Paris"}'),
        ("call_b", "get_weather", '{"city":"Oslo"}'),
    ]
    assert events[-2] == {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {
            "input_tokens": 20,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 100,
            "output_tokens": 40,
            "output_tokens_details": {"thinking_tokens": 12},
        },
    }


def test_pieces_are_passed_on_as_they_come() -> None:
    encoder = anthropic_messages.stream_encoder(client_request())
    assert kinds(anthropic_part(encoder.feed(_delta(role="assistant", content="")))) == ["message_start"]
    assert kinds(anthropic_part(encoder.feed(_delta(content="a")))) == ["text", "text_delta"]
    assert kinds(anthropic_part(encoder.feed(_delta(content="b")))) == ["text_delta"]
    call = encoder.feed(_call(0, '{"a', id="t", name="f"))
    assert kinds(anthropic_part(call)) == ["content_block_stop", "tool_use", "input_json_delta"]
    assert kinds(anthropic_part(encoder.feed(_call(0, '": 1}')))) == ["input_json_delta"]
    assert encoder.feed(_delta("tool_calls")) == b""
    assert kinds(anthropic_part(encoder.feed(USAGE))) == ["content_block_stop", "message_delta"]
    assert kinds(anthropic_part(encoder.finish())) == ["message_stop"]


def anthropic_part(events: bytes) -> list[JsonObject]:
    return [orjson.loads(line[6:]) for line in events.split(b"\n") if line.startswith(b"data: ")]


@pytest.mark.parametrize(
    "chunks",
    [
        [_delta("stop", content="a"), USAGE],
        [_delta(content="a"), {**_delta("stop"), "usage": USAGE["usage"]}],
        [{**_delta(content="a"), "usage": {"prompt_tokens": 1}}, {**_delta("stop"), "usage": USAGE["usage"]}],
        [_delta(content="a"), USAGE, _delta("stop")],
    ],
)
def test_the_tokens_land_in_the_end_wherever_they_are_counted(chunks: list[JsonObject]) -> None:
    events = _events(*chunks)
    assert kinds(events)[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert events[-2]["usage"]["input_tokens"] == 40
    assert events[-2]["usage"]["cache_read_input_tokens"] == 60


def test_an_answer_that_nobody_counted_has_zeros() -> None:
    usage = _events(_delta("stop", content="a"))[-2]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (0, 0)


def test_calls_whose_pieces_are_mixed_follow_each_other() -> None:
    events = _events(
        _call(0, '{"city":', id="a", name="weather"),
        _call(1, '{"ci', id="b", name="weather"),
        _call(2, "", id="c", name="now"),
        _call(0, ' "Oslo"'),
        _call(1, 'ty": "Rome"}'),
        _call(0, "}"),
        _call(2, "{}"),
        _delta("tool_calls"),
    )
    assert _inputs(events) == [
        ("a", "weather", '{"city": "Oslo"}'),
        ("b", "weather", '{"city": "Rome"}'),
        ("c", "now", "{}"),
    ]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def test_a_call_that_is_complete_does_not_hold_up_the_next_one() -> None:
    encoder = anthropic_messages.stream_encoder(client_request())
    encoder.feed(_call(0, '{"a": "}', id="a", name="f"))
    assert encoder.feed(_call(1, "{", id="b", name="g")) == b""
    opened = anthropic_part(encoder.feed(_call(0, '"}')))
    assert kinds(opened) == ["input_json_delta", "content_block_stop", "tool_use", "input_json_delta"]
    assert kinds(anthropic_part(encoder.feed(_call(1, "}")))) == ["input_json_delta"]


def test_calls_without_arguments_come_one_after_the_other() -> None:
    events = _events(_call(0, id="a", name="f"), _call(1, id="b", name="g"), _delta(content="x"), _delta("stop"))
    assert _inputs(events) == [("a", "f", ""), ("b", "g", "")]
    assert _text(events) == "x"


def test_text_between_the_pieces_of_a_call_waits_for_its_end() -> None:
    events = _events(
        _call(0, '{"a":', id="a", name="f"), _delta(content="x"), _call(0, "1}"), _delta(content="y"), _delta("stop")
    )
    assert _inputs(events) == [("a", "f", '{"a":1}')]
    assert sorted(_text(events)) == ["x", "y"]


def test_text_behind_a_complete_call_is_passed_on_at_once() -> None:
    encoder = anthropic_messages.stream_encoder(client_request())
    encoder.feed(_call(0, "{}", id="a", name="f"))
    said = encoder.feed(_delta(content="x"))
    assert kinds(anthropic_part(said)) == ["content_block_stop", "text", "text_delta"]


@pytest.mark.parametrize("index", [0, None])
def test_calls_are_told_apart_by_their_ids_where_the_server_does_not_count(index: int | None) -> None:
    events = _events(
        _call(index, '{"a":1}', id="a", name="f"), _call(index, '{"b":2}', id="b", name="g"), _delta("tool_calls")
    )
    assert _inputs(events) == [("a", "f", '{"a":1}'), ("b", "g", '{"b":2}')]


def test_a_call_whose_name_comes_late_waits_for_it_and_one_without_an_id_gets_one() -> None:
    ((id_, name, arguments),) = _inputs(
        _events(_call(0, ""), _call(0, '{"a"', name="get_"), _call(0, ":1}"), _delta("tool_calls"))
    )
    assert (id_[:6], name, arguments) == ("toolu_", "get_", '{"a":1}')


def test_reasoning_is_signed_where_its_provider_signs_it() -> None:
    signed = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}
    events = _events(
        _delta(reasoning_content="H"),
        _delta(reasoning_content="m."),
        _delta(thinking_blocks=[signed]),
        _delta(thinking_blocks=[{"type": "redacted_thinking", "data": "d"}]),
        _delta(content="a"),
        _delta("stop"),
    )
    assert kinds(events)[1:8] == [
        "thinking",
        "thinking_delta",
        "thinking_delta",
        "signature_delta",
        "content_block_stop",
        "redacted_thinking",
        "content_block_stop",
    ]
    assert _text(events, "thinking") == "Hm."
    assert _text(events, "signature") == "sig"


def test_reasoning_without_a_signature_is_passed_on() -> None:
    for name in ("reasoning_content", "reasoning"):
        events = _events(_delta(**{name: "Hm."}), _delta(content="a", **{name: None}), _delta("stop"))
        assert kinds(events)[1:4] == ["thinking", "thinking_delta", "content_block_stop"]
        assert _text(events, "thinking") == "Hm."


def test_a_whole_completion_streams_with_its_reasoning_once() -> None:
    signed = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}
    message = {
        "content": "a",
        "reasoning_content": "Hm.",
        "thinking_blocks": [signed],
        "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    whole = completion(message, model="m", finish_reason="tool_calls", usage=Usage(1, 2))
    events = _events(*chunks_of(whole))
    assert (_text(events, "thinking"), _text(events), _inputs(events)) == ("Hm.", "a", [("t", "f", "{}")])
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def test_a_stop_sequence_is_named() -> None:
    last = _delta("stop", content="a")
    last["choices"][0]["stop_reason"] = "END"
    assert _events(last)[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


def test_a_refusal_of_openai_is_text_and_stops_as_a_refusal() -> None:
    events = _events(_delta(refusal="I will "), _delta(refusal="not."), _delta("stop"))
    assert _text(events) == "I will not."
    assert events[-2]["delta"]["stop_reason"] == "refusal"


def test_a_refusal_of_anthropic_keeps_its_explanation() -> None:
    details = _events(_delta(content="a"), _delta("content_filter", refusal="Not that."))[-2]["delta"]["stop_details"]
    assert details == {"type": "refusal", "category": None, "explanation": "Not that."}


def test_other_choices_are_not_for_this_dialect() -> None:
    second: JsonObject = {**BASE, "choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": None}]}
    assert _text(_events(_delta(content="a"), second, _delta("stop"))) == "a"


def test_a_stream_without_chunks_is_an_empty_message() -> None:
    events = _events()
    assert kinds(events) == ["message_start", "message_delta", "message_stop"]
    assert events[0]["message"]["id"].startswith("msg_")
    assert events[0]["message"]["model"] == "m"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.text(max_size=4) | st.integers(-5, 5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
_OBJECTS = st.dictionaries(st.text(max_size=4), _VALUES, max_size=3)


@given(_OBJECTS, st.data())
def test_a_call_is_complete_with_its_last_brace_wherever_it_is_cut(arguments: JsonObject, data: st.DataObject) -> None:
    text = orjson.dumps(arguments).decode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    call = StreamedCall()
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        assert not call.is_complete() or not text[start:]
        call.pieces.append(text[start:end])
    assert call.is_complete()


def test_an_escaped_quote_is_no_quote_wherever_it_is_cut() -> None:
    text = orjson.dumps({"a": '"}', "b": "\\", "c": [{}]}).decode()
    for cut in range(1, len(text)):
        call = StreamedCall()
        call.pieces.append(text[:cut])
        assert not call.is_complete()
        call.pieces.append(text[cut:])
        assert call.is_complete()


@given(st.lists(_OBJECTS, min_size=1, max_size=4), st.randoms())
def test_calls_that_come_in_any_mixture_are_told_apart(inputs: list[JsonObject], random: object) -> None:
    texts = [orjson.dumps(each).decode() for each in inputs]
    waiting = [[(0, "")] for _ in texts]
    for pieces, text in zip(waiting, texts, strict=True):
        pieces += [(position, letter) for position, letter in enumerate(text)]
    chunks = []
    begun: list[int] = []
    while any(waiting):
        # The first piece of a call comes behind the first pieces of those before it, as servers send them.
        ready = [i for i, pieces in enumerate(waiting) if pieces and (i in begun or i == len(begun))]
        index = random.choice(ready)  # type: ignore[attr-defined]
        _, piece = waiting[index].pop(0)
        if index in begun:
            chunks.append(_call(index, piece))
        else:
            begun.append(index)
            chunks.append(_call(index, piece, id=f"t{index}", name="f"))
    events = _events(*chunks, _delta("tool_calls"))
    assert _inputs(events) == [(f"t{index}", "f", text) for index, text in enumerate(texts)]


_NAMES = st.sampled_from(
    ["content", "tool_calls", "refusal", "reasoning_content", "thinking_blocks", "native_blocks", "citations", "role"]
)
_PIECES = st.recursive(
    st.none() | st.integers(-1, 2) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["index", "id", "function", "name", "arguments", "type", "thinking", "signature", "input"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
_CHOICES = st.fixed_dictionaries(
    {"delta": st.dictionaries(_NAMES, _PIECES, max_size=3) | _PIECES},
    optional={"index": _PIECES, "finish_reason": _PIECES},
)
_CHUNKS = st.fixed_dictionaries({}, optional={"choices": st.lists(_CHOICES, max_size=2) | _PIECES, "usage": _PIECES})


@given(st.lists(_CHUNKS, max_size=5))
def test_no_chunks_of_a_provider_raise_anything_but_an_upstream_error(chunks: list[JsonObject]) -> None:
    try:
        stream = encoded(chunks, client_request())
    except UpstreamError:
        return
    assert kinds(anthropic_part(stream))[-1] == "message_stop"

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import anthropic_messages
from router.dialects.canonical import JsonObject, Usage, completion
from router.errors import UpstreamError, UpstreamProtocolError, UpstreamStatus
from tests.dialects.anthropic.wire import SOURCE, anthropic_message, client_request, openai_completion

MESSAGE: JsonObject = {
    "id": "msg_01",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "text", "text": "Look"},
        {"type": "text", "text": "ing."},
        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "cache_read_input_tokens": 200,
        "cache_creation_input_tokens": 30,
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 5},
    },
}


def _decoded(**fields: object) -> JsonObject:
    return anthropic_messages.decode_completion(orjson.dumps({**MESSAGE, **fields}), SOURCE)


def _encoded(message: JsonObject, finish_reason: str = "stop", **choice: object) -> JsonObject:
    whole = completion(message, model="gpt-5", id_="chatcmpl-1", finish_reason=finish_reason, usage=Usage(7, 3))
    whole["choices"][0].update(choice)
    return anthropic_message(anthropic_messages.encode_completion(whole, client_request()))


def _call(arguments: object) -> JsonObject:
    return {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": arguments}}


def test_a_message_becomes_a_completion() -> None:
    whole = _decoded()
    openai_completion(whole)
    assert (whole["id"], whole["model"]) == ("msg_01", "claude-sonnet-4-5")
    assert whole["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Looking.",
                "refusal": None,
                "reasoning_content": "Hm.",
                "thinking_blocks": MESSAGE["content"][:2],
                "tool_calls": [_call('{"city":"Oslo"}')],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ]
    assert whole["usage"] == {
        "prompt_tokens": 240,
        "completion_tokens": 50,
        "total_tokens": 290,
        "prompt_tokens_details": {"cached_tokens": 200, "cache_write_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }


def test_a_completion_becomes_a_message() -> None:
    assert anthropic_message(anthropic_messages.encode_completion(_decoded(), client_request())) == {
        **MESSAGE,
        "content": [*MESSAGE["content"][:2], {"type": "text", "text": "Looking."}, MESSAGE["content"][4]],
    }


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
    ],
)
def test_how_an_answer_ended_survives_both_ways(stop_reason: str, finish_reason: str) -> None:
    sequence = "END" if stop_reason == "stop_sequence" else None
    whole = _decoded(content=MESSAGE["content"][2:3], stop_reason=stop_reason, stop_sequence=sequence)
    openai_completion(whole)
    assert whole["choices"][0]["finish_reason"] == finish_reason
    again = anthropic_message(anthropic_messages.encode_completion(whole, client_request()))
    assert (again["stop_reason"], again["stop_sequence"]) == (stop_reason, sequence)


@pytest.mark.parametrize("reason", [None, "something_new", 5, ["end_turn"]])
def test_an_unknown_ending_is_an_ending(reason: object) -> None:
    assert _decoded(stop_reason=reason)["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("finish", "choice", "stop"),
    [
        ("stop", {}, ("end_turn", None)),
        ("stop", {"stop_reason": "END"}, ("stop_sequence", "END")),
        ("stop", {"stop_reason": 128009}, ("end_turn", None)),
        ("length", {}, ("max_tokens", None)),
        ("length", {"native_finish_reason": "pause_turn"}, ("max_tokens", None)),
        ("content_filter", {"native_finish_reason": "pause_turn"}, ("refusal", None)),
        ("function_call", {}, ("tool_use", None)),
        ("something_new", {}, ("end_turn", None)),
    ],
)
def test_the_ending_of_a_completion_is_translated(
    finish: str, choice: JsonObject, stop: tuple[str, str | None]
) -> None:
    message = _encoded({"content": "a"}, finish, **choice)
    assert (message["stop_reason"], message["stop_sequence"]) == stop


def test_a_message_that_calls_tools_stops_for_them_whatever_the_server_says() -> None:
    message = _encoded({"tool_calls": [_call("{}")]}, "stop")
    assert message["stop_reason"] == "tool_use"
    assert message["content"] == [{"type": "tool_use", "id": "t1", "name": "weather", "input": {}}]


def test_a_refusal_of_openai_is_text_and_stops_as_a_refusal() -> None:
    message = _encoded({"refusal": "I will not."})
    assert message["content"] == [{"type": "text", "text": "I will not."}]
    assert message["stop_reason"] == "refusal"


def test_a_refusal_of_anthropic_keeps_its_explanation() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "Not that."}
    whole = _decoded(content=[], stop_reason="refusal", stop_details=details)
    assert whole["choices"][0]["message"]["refusal"] == "Not that."
    again = anthropic_message(anthropic_messages.encode_completion(whole, client_request()))
    assert again["content"] == []
    assert again["stop_details"] == {**details, "category": None}


def test_reasoning_without_a_signature_is_a_block_that_says_so() -> None:
    for name in ("reasoning_content", "reasoning"):
        message = _encoded({"content": "a", name: "Hm."})
        assert message["content"][0] == {"type": "thinking", "thinking": "Hm.", "signature": ""}


def test_a_reasoning_item_of_responses_comes_back_as_it_was() -> None:
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "One"}, {"type": "summary_text", "text": "Two"}],
        "encrypted_content": "gAAAA",
    }
    block = _encoded({"content": "a", "thinking_blocks": [item]})["content"][0]
    assert block["thinking"] == "One\n\nTwo"
    answer = {"role": "assistant", "content": [block, {"type": "text", "text": "a"}]}
    messages = [{"role": "user", "content": "Hi"}, answer, {"role": "user", "content": "b"}]
    request = client_request(messages=messages)
    assert request.payload["messages"][1]["thinking_blocks"] == [item]
    sent = orjson.loads(anthropic_messages.encode_request(request))["messages"]
    assert sent[1]["content"] == [{"type": "text", "text": "a"}]


@pytest.mark.parametrize(
    "damage", ["reasoning-item.!", "reasoning-item.e30=", "reasoning-item.W10=", "reasoning-item.ew=="]
)
def test_a_damaged_reasoning_item_stays_reasoning_of_nobody(damage: str) -> None:
    block = {"type": "thinking", "thinking": "Hm.", "signature": damage}
    request = client_request(messages=[{"role": "assistant", "content": [block, {"type": "text", "text": "a"}]}])
    assert request.payload["messages"][0]["thinking_blocks"] == [block]
    sent = orjson.loads(anthropic_messages.encode_request(request))["messages"]
    assert sent[0]["content"] == [{"type": "text", "text": "a"}]


@pytest.mark.parametrize("arguments", ["{", "[1]", "5", 5])
def test_arguments_that_are_no_object_fail(arguments: object) -> None:
    with pytest.raises(UpstreamProtocolError, match="not a JSON object"):
        _encoded({"tool_calls": [_call(arguments)]}, "tool_calls")


def test_a_call_that_the_limit_of_tokens_tore_is_left_out() -> None:
    message = _encoded({"content": "Let me", "tool_calls": [_call('{"city": "O')]}, "length")
    assert message["content"] == [{"type": "text", "text": "Let me"}]
    assert message["stop_reason"] == "max_tokens"


def test_a_completion_without_anything_is_a_message_without_anything() -> None:
    bare: JsonObject = {"choices": [{"index": 0}]}
    message = anthropic_message(anthropic_messages.encode_completion(bare, client_request()))
    assert message["id"].startswith("msg_")
    assert (message["model"], message["content"], message["stop_reason"]) == ("m", [], "end_turn")
    assert message["usage"]["input_tokens"] == message["usage"]["output_tokens"] == 0


def test_a_relayed_message_is_checked_and_counted() -> None:
    assert anthropic_messages.check_completion(orjson.dumps(MESSAGE), SOURCE) == Usage(240, 50, 200, 30, 5)
    assert anthropic_messages.check_completion(b'{"content": []}', SOURCE) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"content": "Hi"}', b'{"choices": []}'])
def test_what_is_no_message_is_not_an_answer(body: bytes) -> None:
    for read in (anthropic_messages.check_completion, anthropic_messages.decode_completion):
        with pytest.raises(UpstreamProtocolError, match=f"'{SOURCE}' sent an answer"):
            read(body, SOURCE)


@pytest.mark.parametrize(
    "block",
    [
        "Hi",
        {},
        {"type": 5},
        {"type": "text"},
        {"type": "thinking"},
        {"type": "tool_use", "id": "t", "name": "f"},
        {"type": "tool_use", "id": "t", "name": "f", "input": "{}"},
        {"type": "tool_use", "name": "f", "input": {}},
    ],
)
def test_a_block_that_is_none_is_not_an_answer(block: object) -> None:
    with pytest.raises(UpstreamProtocolError, match=f"'{SOURCE}' sent"):
        _decoded(content=[block])


def test_an_error_with_status_200_is_an_error() -> None:
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"Slow down"},"request_id":"r"}'
    for read in (anthropic_messages.check_completion, anthropic_messages.decode_completion):
        with pytest.raises(UpstreamStatus, match="Slow down") as caught:
            read(body, SOURCE)
        assert (caught.value.status, caught.value.type, caught.value.retryable) == (429, "rate_limit_error", True)


def test_an_answer_nested_too_deep_to_be_written_again_is_not_an_answer() -> None:
    nested = b'{"a":' * 400 + b"1" + b"}" * 400
    body = b'{"content":[{"type":"tool_use","id":"t","name":"f","input":%b}]}' % nested
    with pytest.raises(UpstreamProtocolError, match="cannot be passed on"):
        anthropic_messages.decode_completion(body, SOURCE)


_NAMES = st.sampled_from(
    ["type", "text", "content", "thinking", "signature", "usage", "input", "message", "function", "arguments", "id"]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["text", "thinking", "tool_use", "error", "{}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)


_FIELDS = ("type", "usage", "stop_reason", "stop_sequence", "stop_details", "id", "model", "error")
_ANSWERS = st.fixed_dictionaries({"content": st.lists(_JSON, max_size=3)}, optional=dict.fromkeys(_FIELDS, _JSON))
_MESSAGE_FIELDS = st.sampled_from(
    ["content", "refusal", "reasoning_content", "thinking_blocks", "native_blocks", "citations", "tool_calls"]
)


def _outcome(whole: JsonObject) -> str:
    """What an Anthropic client reads for a completion."""
    try:
        return str(orjson.loads(anthropic_messages.encode_completion(whole, client_request()))["type"])
    except UpstreamError as exc:
        return "failed" if exc.message else "failed without a message"


@given(st.binary(max_size=60) | _ANSWERS.map(orjson.dumps))
def test_no_answer_raises_anything_but_an_upstream_error(body: bytes) -> None:
    try:
        whole = anthropic_messages.decode_completion(body, SOURCE)
    except UpstreamError:
        return
    openai_completion(whole)
    assert _outcome(whole) == "message"


@given(st.dictionaries(_MESSAGE_FIELDS, _JSON, max_size=4) | _JSON, _JSON, _JSON)
def test_no_completion_of_a_provider_raises_anything_but_an_upstream_error(
    message: object, finish: object, usage: object
) -> None:
    whole: JsonObject = {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}
    assert _outcome(whole) in {"message", "failed"}

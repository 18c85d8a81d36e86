"""A client of this dialect goes on with a turn of tools, whoever did the reasoning in it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from router.dialects import anthropic_messages, openai_responses
from router.dialects.canonical import ChatRequest, chunks_of, completion
from tests.dialects.responses.official import accumulated, check_events, check_request, check_response, resent

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
THINKING = {"type": "thinking", "thinking": "I need the weather.\n\nSo I ask.", "signature": "EqQBCkYIBRgCKkA="}
REDACTED = {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"}
ITEM = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAA", "status": "completed"}
OPEN = {**ITEM, "encrypted_content": None, "content": [{"type": "reasoning_text", "text": "Hm."}]}
REQUEST = openai_responses.decode_request(b'{"model": "m", "input": "Hi", "stream": true}')


def whole_output(message: dict[str, object]) -> list[dict[str, Any]]:
    body = openai_responses.encode_completion(completion(message, model="m", finish_reason="tool_calls"), REQUEST)
    return resent(check_response(body))


def streamed_output(message: dict[str, object]) -> list[dict[str, Any]]:
    encoder = openai_responses.stream_encoder(REQUEST)
    chunks = chunks_of(completion(message, model="m", finish_reason="tool_calls"))
    stream = b"".join([encoder.feed(chunk) for chunk in chunks]) + encoder.finish()
    response = accumulated(check_events(stream))
    assert response is not None
    return resent(response)


def next_request(output: list[dict[str, Any]]) -> ChatRequest:
    """The client's next request, with the answer as it came in its history."""
    result = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
    body = orjson.dumps({"model": "m", "input": [{"role": "user", "content": "Hi"}, *output, result]})
    check_request(body)
    return openai_responses.decode_request(body)


@pytest.mark.parametrize("answer", [whole_output, streamed_output])
@pytest.mark.parametrize(
    "blocks",
    [
        [THINKING],
        [REDACTED],
        [THINKING, REDACTED, {**THINKING, "thinking": "More."}],
        [{**THINKING, "thinking": ""}],
        [ITEM],
        [OPEN],
    ],
)
def test_blocks_come_back_as_they_were(answer: Any, blocks: list[dict[str, Any]]) -> None:
    request = next_request(answer({"thinking_blocks": blocks, "tool_calls": [CALL]}))
    said = request.messages[1]
    back = said.get("thinking_blocks")
    assert [{**block, "id": "rs_1"} if "id" in block else block for block in back] == blocks
    assert said["tool_calls"] == [CALL]


@pytest.mark.parametrize("answer", [whole_output, streamed_output])
def test_reasoning_that_nobody_signed_comes_back_as_text(answer: Any) -> None:
    request = next_request(answer({"reasoning_content": "Hm.", "tool_calls": [CALL]}))
    assert request.messages[1] == {"role": "assistant", "reasoning_content": "Hm.", "tool_calls": [CALL]}


def test_text_without_a_block_of_its_own_is_not_lost() -> None:
    [text, redacted, _] = streamed_output(
        {"reasoning_content": "Hm.", "thinking_blocks": [REDACTED], "tool_calls": [CALL]}
    )
    assert text["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert redacted["summary"] == []


@pytest.mark.parametrize("block", [THINKING, REDACTED])
def test_another_providers_reasoning_is_not_sent_to_a_responses_provider(block: dict[str, Any]) -> None:
    request = next_request(whole_output({"thinking_blocks": [block], "tool_calls": [CALL]}))
    for changed in (request, request.replace(model="n"), request.replace(messages=request.messages)):
        sent = check_request(openai_responses.encode_request(changed))
        assert [item.get("type") for item in sent["input"]] == [None, "function_call", "function_call_output"]


def test_a_responses_providers_reasoning_is_relayed_to_it() -> None:
    request = next_request(whole_output({"thinking_blocks": [ITEM], "tool_calls": [CALL]}))
    for changed in (request, request.replace(messages=request.messages)):
        assert ITEM in orjson.loads(openai_responses.encode_request(changed))["input"]


def test_a_summary_that_the_client_left_out_leaves_the_signature() -> None:
    [item, call] = whole_output({"thinking_blocks": [THINKING], "tool_calls": [CALL]})
    said = next_request([{**item, "summary": []}, call]).messages[1]
    assert said["thinking_blocks"] == [{**THINKING, "thinking": ""}]


def test_reasoning_between_messages_stays_in_order() -> None:
    items = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "a"},
        {"role": "assistant", "content": "One."},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "b"},
        {"role": "assistant", "content": "Two."},
    ]
    request = openai_responses.decode_request(orjson.dumps({"model": "m", "input": items}))
    assert [(m["thinking_blocks"], m["content"]) for m in request.messages] == [
        ([items[0]], "One."),
        ([items[2]], "Two."),
    ]
    sent = orjson.loads(openai_responses.encode_request(request.replace(messages=request.messages)))
    assert sent["input"] == items


def test_a_turn_of_tools_goes_on_with_thinking_that_anthropic_signed() -> None:
    blocks = [
        {"type": "thinking", "thinking": "I ask.", "signature": "EqQBCkYIBRgCKkA="},
        {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"city": "Oslo"}},
    ]
    answer = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": blocks}
    whole = {**answer, "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 2}}
    completed = anthropic_messages.decode_completion(orjson.dumps(whole), "anthropic")
    response = check_response(openai_responses.encode_completion(completed, REQUEST))

    result = {"type": "function_call_output", "call_id": "toolu_1", "output": "sunny"}
    said = [{"role": "user", "content": "Hi"}, *resent(response), result]
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
    body = orjson.dumps({"model": "claude", "input": said, "tools": [tool], "reasoning": {"effort": "low"}})
    check_request(body)
    sent = orjson.loads(anthropic_messages.encode_request(openai_responses.decode_request(body)))
    assert sent["messages"][1]["content"] == blocks

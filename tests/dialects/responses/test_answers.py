from __future__ import annotations

import contextlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import openai_responses
from router.dialects.canonical import ChatRequest, Usage, completion
from router.errors import UpstreamError, UpstreamProtocolError
from tests.dialects.responses.official import check_response
from tests.dialects.responses.strategies import JSON, completions

REQUEST = openai_responses.decode_request(b'{"model": "m", "input": "Hi"}')
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}


def encoded(message: dict[str, object], *, request: ChatRequest = REQUEST, **fields: Any) -> dict[str, Any]:
    body = openai_responses.encode_completion(completion(message, model="m", **fields), request)
    check_response(body)
    response: dict[str, Any] = orjson.loads(body)
    return response


def decoded(**fields: object) -> dict[str, Any]:
    response = {"id": "resp_1", "object": "response", "created_at": 5, "model": "m", "status": "completed", **fields}
    return openai_responses.decode_completion(orjson.dumps(response), "openai")


def said(*parts: dict[str, object]) -> dict[str, object]:
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": list(parts)}


def text(value: str, **fields: object) -> dict[str, object]:
    return {"type": "output_text", "text": value, "annotations": [], **fields}


def test_text_becomes_one_message() -> None:
    response = encoded({"content": "Hello"}, usage=Usage(7, 5, cached=3, cache_write=2, reasoning=1))
    assert response["status"] == "completed"
    [item] = response["output"]
    assert item["content"] == [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}]
    assert response["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 12,
    }


def test_reasoning_text_refusal_and_calls_come_in_the_order_of_a_model() -> None:
    message = {"content": "Well.", "refusal": "No.", "reasoning_content": "Hm.", "tool_calls": [CALL]}
    response = encoded(message, finish_reason="tool_calls")
    assert [item["type"] for item in response["output"]] == ["reasoning", "message", "function_call"]
    reasoning, words, call = response["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert [part["type"] for part in words["content"]] == ["output_text", "refusal"]
    assert (call["call_id"], call["name"], call["arguments"]) == ("c1", "f", '{"x":1}')
    assert call["id"].startswith("fc_")


@pytest.mark.parametrize(
    ("finish_reason", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_stopped_short_is_incomplete(finish_reason: str, reason: str) -> None:
    response = encoded({"content": "Hel"}, finish_reason=finish_reason)
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert response["output"][-1]["status"] == "incomplete"


def test_an_empty_answer_has_an_empty_message() -> None:
    [item] = encoded({"content": None})["output"]
    assert item["content"][0]["text"] == ""


def test_an_answer_repeats_what_was_asked() -> None:
    asked = {
        "instructions": "Be brief.",
        "max_output_tokens": 50,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "temperature": 0.5,
        "text": {"verbosity": "low"},
        "tool_choice": {"type": "function", "name": "f"},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
        "top_p": 0.5,
        "user": "u",
    }
    request = openai_responses.decode_request(orjson.dumps({"model": "m", "input": "Hi", **asked}))
    response = encoded({"content": "x"}, request=request)
    whole = {**asked, "reasoning": {"effort": "low", "summary": None}}
    whole["text"] = {"format": {"type": "text"}, "verbosity": "low"}
    assert {name: response[name] for name in whole} == whole

    changed = encoded({"content": "x"}, request=request.replace(messages=[{"role": "user", "content": "Ho"}]))
    assert {name: changed[name] for name in whole} == {**whole, "instructions": None}


def test_the_defaults_are_those_of_the_api() -> None:
    response = encoded({"content": "x"})
    assert response["tool_choice"] == "auto"
    assert response["text"] == {"format": {"type": "text"}}
    assert (response["temperature"], response["tools"], response["metadata"]) == (1.0, [], {})


def test_log_probabilities_and_citations_are_kept() -> None:
    token = {"token": "Hé", "logprob": -0.1, "bytes": None, "top_logprobs": [{"token": "H", "logprob": -1.0}]}
    cited = {"start_index": 0, "end_index": 2, "title": "t", "url": "u"}
    whole = completion({"content": "Hé", "annotations": [{"type": "url_citation", "url_citation": cited}]}, model="m")
    whole["choices"][0]["logprobs"] = {"content": [token], "refusal": None}
    body = openai_responses.encode_completion(whole, REQUEST)
    check_response(body)
    [part] = orjson.loads(body)["output"][0]["content"]
    assert part["annotations"] == [{"type": "url_citation", **cited}]
    assert part["logprobs"][0]["bytes"] == list("Hé".encode())
    again = openai_responses.decode_completion(body, "openai")["choices"][0]
    assert again["message"]["annotations"] == whole["choices"][0]["message"]["annotations"]
    assert again["logprobs"]["content"][0]["token"] == "Hé"


def test_several_messages_are_joined_and_their_citations_moved() -> None:
    citation = {"type": "url_citation", "start_index": 1, "end_index": 2, "title": "t", "url": "u"}
    file = {"type": "file_citation", "file_id": "f", "filename": "n", "index": 0}
    second = text("two", annotations=[citation, file])
    output = [said(text("one"), text(" more")), said(second)]
    message = decoded(output=output)["choices"][0]["message"]
    assert message["content"] == "one more\n\ntwo"
    [moved] = message["annotations"]
    assert (moved["url_citation"]["start_index"], moved["url_citation"]["end_index"]) == (11, 12)


def test_a_response_becomes_a_completion() -> None:
    output = [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        said(text("Hello")),
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"},
    ]
    usage = {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 3},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 12,
    }
    whole = decoded(output=output, usage=usage, created_at=5.5, service_tier="flex")
    choice = whole["choices"][0]
    assert choice["message"] == {
        "role": "assistant",
        "content": "Hello",
        "refusal": None,
        "reasoning_content": "Hm.",
        "thinking_blocks": [output[0]],
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    assert choice["finish_reason"] == "tool_calls"
    assert (whole["id"], whole["created"], whole["model"], whole["service_tier"]) == ("resp_1", 5, "m", "flex")
    assert whole["usage"]["prompt_tokens_details"] == {"cached_tokens": 3}
    assert whole["usage"]["completion_tokens_details"] == {"reasoning_tokens": 1}


@pytest.mark.parametrize(
    ("reason", "finish_reason"),
    [
        ("max_output_tokens", "length"),
        ("content_filter", "content_filter"),
        ("max_messages", "length"),
        (None, "length"),
    ],
)
def test_an_incomplete_response_stopped_short(reason: str | None, finish_reason: str) -> None:
    details = {"reason": reason} if reason else None
    whole = decoded(status="incomplete", incomplete_details=details, output=[said(text("Hel"))])
    assert whole["choices"][0]["finish_reason"] == finish_reason
    assert "usage" not in whole


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "without 'output'"),
        (b'{"output": {}}', "without 'output'"),
        (b'{"status": "in_progress", "output": []}', "not finished"),
        (b'{"output": [{"type": "custom_tool_call"}]}', "custom_tool_call"),
        (b'{"output": [{"type": "computer_call"}]}', "computer_call"),
    ],
)
def test_what_is_no_answer_is_a_protocol_error(body: bytes, message: str) -> None:
    with pytest.raises(UpstreamProtocolError, match=message):
        openai_responses.decode_completion(body, "openai")


@pytest.mark.parametrize(
    ("error", "status", "retryable"),
    [
        ({"code": "server_error", "message": "gone"}, 502, True),
        ({"code": "rate_limit_exceeded", "message": "gone"}, 429, True),
        ({"code": "invalid_prompt", "message": "gone", "param": "input"}, 400, False),
        ({"type": "x", "code": None, "message": "gone"}, 502, True),
    ],
)
@pytest.mark.parametrize("read", [openai_responses.decode_completion, openai_responses.check_completion])
def test_a_failed_response_is_its_error(read: Any, error: dict[str, object], status: int, retryable: bool) -> None:
    body = orjson.dumps({"id": "resp_1", "status": "failed", "error": error, "output": []})
    with pytest.raises(UpstreamError, match="gone") as caught:
        read(body, "openai")
    assert (caught.value.status, caught.value.retryable) == (status, retryable)


def test_checking_a_relayed_answer_counts_its_tokens() -> None:
    usage = {"input_tokens": 1, "output_tokens": 2}
    assert openai_responses.check_completion(orjson.dumps({"output": [], "usage": usage}), "openai") == Usage(1, 2)
    assert openai_responses.check_completion(b'{"output": [], "status": "queued"}', "openai") is None
    with pytest.raises(UpstreamProtocolError):
        openai_responses.check_completion(b"{}", "openai")


@given(completions())
def test_a_completion_survives_the_trip(whole: dict[str, Any]) -> None:
    body = openai_responses.encode_completion(whole, REQUEST)
    check_response(body)
    again = openai_responses.decode_completion(body, "openai")
    blocks = again["choices"][0]["message"].get("thinking_blocks", [])
    if blocks and whole["choices"][0]["finish_reason"] != "stop":
        blocks[-1]["status"] = "completed"
    assert again == whole


_MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "content": JSON | st.lists(st.dictionaries(st.just("text"), JSON)),
        "refusal": JSON,
        "reasoning_content": JSON,
        "thinking_blocks": JSON
        | st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["thinking", "redacted_thinking", "reasoning"])},
                optional={"thinking": JSON, "signature": JSON, "data": JSON, "summary": JSON},
            )
        ),
        "tool_calls": JSON | st.lists(st.dictionaries(st.sampled_from(["id", "function", "type"]), JSON), max_size=2),
        "annotations": JSON,
    },
)


@given(_MESSAGES | JSON, JSON, JSON, JSON)
def test_any_answer_of_a_chat_server_becomes_a_response(message: Any, reason: Any, usage: Any, logprobs: Any) -> None:
    choice = {"message": message, "finish_reason": reason, "logprobs": logprobs}
    whole = {"id": usage, "created": logprobs, "model": reason, "choices": [choice], "usage": usage}
    response = orjson.loads(openai_responses.encode_completion(whole, REQUEST))
    assert response["output"]


_RESPONSES = st.fixed_dictionaries(
    {
        "output": st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["message", "function_call", "reasoning", "x"]) | JSON},
                optional={
                    "content": JSON
                    | st.lists(
                        st.fixed_dictionaries(
                            {"type": st.sampled_from(["output_text", "refusal"])},
                            optional={"text": JSON, "refusal": JSON, "annotations": JSON, "logprobs": JSON},
                        )
                    ),
                    "summary": JSON,
                    "call_id": JSON,
                    "name": JSON,
                },
            ),
            max_size=3,
        )
    },
    optional={
        "status": JSON,
        "error": JSON,
        "usage": JSON,
        "created_at": JSON,
        "incomplete_details": JSON,
        "model": JSON,
    },
)


@given(_RESPONSES | JSON | st.dictionaries(st.sampled_from(["output", "error", "status"]), JSON))
def test_no_answer_raises_anything_but_an_upstream_error(response: object) -> None:
    body = json.dumps(response).encode()
    for read in (openai_responses.decode_completion, openai_responses.check_completion):
        with contextlib.suppress(UpstreamError):
            read(body, "openai")


@given(st.binary(max_size=100))
def test_no_bytes_raise_anything_but_an_upstream_error(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        openai_responses.decode_completion(body, "openai")

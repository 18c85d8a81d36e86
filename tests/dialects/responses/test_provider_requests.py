from __future__ import annotations

import contextlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import openai_responses
from router.dialects.canonical import ChatRequest
from router.errors import InvalidRequest
from tests.dialects.responses.official import check_request
from tests.dialects.responses.strategies import JSON, requests

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ITEM = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}


def encode(**fields: object) -> dict[str, Any]:
    """What a provider gets for a canonical request; the SDK could have sent it."""
    return check_request(openai_responses.encode_request(ChatRequest({"model": "m", "messages": [USER], **fields})))


def items_of(*messages: object) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = encode(messages=list(messages))["input"]
    return items


def test_fields_get_the_names_of_this_api() -> None:
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    assert encode(
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
        max_completion_tokens=50,
        reasoning_effort="low",
        verbosity="high",
        response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
        tools=[{"type": "function", "function": function}, {"type": "function", "function": {"name": "g"}}],
        tool_choice={"type": "function", "function": {"name": "f"}},
        logprobs=True,
        top_logprobs=2,
        temperature=0.1,
        metadata={"a": "b"},
    ) == {
        "model": "m",
        "input": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_obfuscation": False},
        "max_output_tokens": 50,
        "reasoning": {"effort": "low"},
        "text": {
            "verbosity": "high",
            "format": {"type": "json_schema", "name": "s", "schema": {"type": "object"}},
        },
        "tools": [
            {"type": "function", **function},
            {"type": "function", "name": "g", "parameters": None, "strict": False},
        ],
        "tool_choice": {"type": "function", "name": "f"},
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "top_logprobs": 2,
        "temperature": 0.1,
        "metadata": {"a": "b"},
        "store": False,
    }


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"max_tokens": 20}, 20),
        ({"max_completion_tokens": 30, "max_tokens": 20}, 30),
        ({"max_tokens": 20, "max_completion_tokens": 30}, 30),
    ],
)
def test_the_newer_limit_of_tokens_wins(fields: dict[str, object], limit: int) -> None:
    assert encode(**fields)["max_output_tokens"] == limit


@pytest.mark.parametrize(("asked", "sent"), [(None, False), (False, False), (True, True)])
def test_answers_are_stored_only_where_the_client_asks_for_it(asked: bool | None, sent: bool) -> None:
    assert encode(store=asked)["store"] is sent


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({}, False),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "high"}, True),
        ({"messages": [{"role": "assistant", "content": "x", "thinking_blocks": [ITEM]}]}, True),
        ({"messages": [{"role": "assistant", "content": "x", "thinking_blocks": [{"type": "thinking"}]}]}, False),
    ],
)
def test_reasoning_is_asked_for_where_there_is_reasoning(fields: dict[str, object], asked: bool) -> None:
    assert ("reasoning.encrypted_content" in encode(**fields).get("include", ())) is asked


def test_system_and_developer_messages_stay_where_they_are() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        USER,
        {"role": "developer", "content": [{"type": "text", "text": "Now in French."}]},
    ]
    assert items_of(*messages) == [
        messages[0],
        USER,
        {"role": "developer", "content": [{"type": "input_text", "text": "Now in French."}]},
    ]


def test_a_turn_with_tools_becomes_items() -> None:
    said = {"role": "assistant", "content": "Let me look.", "tool_calls": [CALL], "thinking_blocks": [ITEM]}
    result = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "sunny"}], "is_error": True}
    assert items_of(USER, said, result) == [
        USER,
        ITEM,
        {"role": "assistant", "content": "Let me look."},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "sunny"}]},
    ]


def test_parts_become_input_parts() -> None:
    mark = {"mode": "explicit"}
    content = [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}, "prompt_cache_breakpoint": mark},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "file", "file": {"file_id": "file_1"}},
    ]
    assert items_of({"role": "user", "content": content, "name": "ann"}) == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "a", "prompt_cache_breakpoint": mark},
                {"type": "input_image", "image_url": "https://x/y.png", "detail": "auto"},
                {"type": "input_file", "file_id": "file_1"},
            ],
        }
    ]


def test_a_refusal_stays_a_refusal() -> None:
    [item] = items_of({"role": "assistant", "content": "Well.", "refusal": "No."})
    assert [part["type"] for part in item["content"]] == ["output_text", "refusal"]
    assert item["id"].startswith("msg_")


@pytest.mark.parametrize(
    "blocks",
    [
        [{"type": "thinking", "thinking": "hm", "signature": "s"}],
        [{"type": "redacted_thinking", "data": "x"}],
        [{"type": "reasoning", "id": "rs_1", "summary": []}],  # stored at a provider that may be another one
    ],
)
def test_reasoning_that_this_provider_cannot_read_is_left_out(blocks: list[object]) -> None:
    assert items_of({"role": "assistant", "content": "x", "thinking_blocks": blocks}) == [
        {"role": "assistant", "content": "x"}
    ]


def test_reasoning_that_led_to_nothing_is_left_out() -> None:
    assert items_of(USER, {"role": "assistant", "content": "", "thinking_blocks": [ITEM]}) == [USER]


def test_what_other_providers_add_to_an_answer_is_left_out() -> None:
    answer = {"role": "assistant", "content": "x", "refusal": None, "audio": None, "annotations": [], "reasoning": "hm"}
    assert items_of(answer) == [{"role": "assistant", "content": "x"}]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"n": 2}, "n"),
        ({"stop": "x"}, "stop"),
        ({"stop": ["x"]}, "stop"),
        ({"seed": 0}, "seed"),
        ({"presence_penalty": 0.1}, "presence_penalty"),
        ({"frequency_penalty": -1}, "frequency_penalty"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": {"name": "f"}}, "function_call"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": ["f"]}, "tools[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tool_choice": {"type": "custom", "custom": {"name": "f"}}}, "tool_choice.type"),
        ({"tool_choice": 5}, "tool_choice"),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [{"type": "custom"}]}}},
            "tool_choice.allowed_tools.tools[0].type",
        ),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"response_format": 5}, "response_format"),
        ({"stream_options": 5}, "stream_options"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "x", "mood": "good"}]}, "messages[0].mood"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "font": 1}]}]},
            "messages[0].content[0].font",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].image_url"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "assistant", "audio": {"id": "x"}}]}, "messages[0].audio"),
        ({"messages": [{"role": "assistant", "function_call": {"name": "f"}}]}, "messages[0].function_call"),
        ({"messages": [{"role": "assistant", "tool_calls": 5}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"type": "custom"}]}]}, "messages[0].tool_calls[0].type"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]},
            "messages[0].tool_calls[0].id",
        ),
        ({"messages": [{"role": "assistant", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(fields: dict[str, object], name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        openai_responses.encode_request(ChatRequest({"model": "m", "messages": [USER], **fields}))
    assert caught.value.param == name


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1},
        {"n": None},
        {"stop": None},
        {"stop": []},
        {"seed": None},
        {"presence_penalty": 0},
        {"frequency_penalty": 0.0},
        {"logit_bias": {}},
        {"logit_bias": None},
        {"audio": None},
        {"modalities": ["text"]},
        {"functions": None},
        {"tools": []},
        {"tool_choice": None},
        {"response_format": None},
        {"logprobs": False},
        {"stream_options": None},
        {"temperature": None},
    ],
)
def test_values_that_ask_for_nothing_are_fine(fields: dict[str, object]) -> None:
    assert encode(**fields) == encode()


def test_unknown_fields_survive() -> None:
    body = openai_responses.encode_request(ChatRequest({"messages": [USER], "top_k": 5, "odd": None}))
    assert orjson.loads(body) == {"input": [USER], "top_k": 5, "odd": None, "store": False}


def test_what_another_dialect_refused_is_refused_here() -> None:
    request = ChatRequest({"messages": [USER]}, dialect="anthropic_messages", refused=("mcp_servers",))
    with pytest.raises(InvalidRequest) as caught:
        openai_responses.encode_request(request)
    assert caught.value.param == "mcp_servers"


def _changed(**fields: object) -> ChatRequest:
    """A request of a client of this dialect whose messages a filter has replaced."""
    request = openai_responses.decode_request(orjson.dumps({"model": "m", "input": "Hi", **fields}))
    return request.replace(messages=[{"role": "user", "content": "Ho"}])


def test_a_changed_request_keeps_what_has_no_canonical_form() -> None:
    function = {"type": "function", "name": "f", "parameters": None, "strict": False}
    request = _changed(
        previous_response_id="resp_1",
        truncation="auto",
        store=True,
        tools=[{"type": "web_search"}, function],
        tool_choice={"type": "file_search"},
        include=["web_search_call.results", "reasoning.encrypted_content"],
        reasoning={"effort": "low", "summary": "auto"},
        text={"verbosity": "low"},
    )
    assert check_request(openai_responses.encode_request(request)) == {
        "model": "m",
        "input": [{"role": "user", "content": "Ho"}],
        "previous_response_id": "resp_1",
        "truncation": "auto",
        "store": True,
        "tools": [function, {"type": "web_search"}],
        "tool_choice": {"type": "file_search"},
        "include": ["reasoning.encrypted_content", "web_search_call.results"],
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"verbosity": "low"},
    }


def test_a_changed_conversation_that_lost_an_item_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        openai_responses.encode_request(_changed(input=[{"role": "user", "content": "Hi"}, {"id": "msg_1"}]))
    assert caught.value.param == "input[1]"


@given(requests())
def test_a_canonical_request_survives_the_trip(payload: dict[str, Any]) -> None:
    body = openai_responses.encode_request(ChatRequest(payload))
    sent = check_request(body)
    again = openai_responses.decode_request(body)
    assert again.payload == payload
    assert again.refused == ()
    assert sent["store"] is False


@given(st.dictionaries(st.sampled_from(["tools", "tool_choice", "response_format", "stop", "x", "top_p"]), JSON))
def test_no_fields_raise_anything_but_a_bad_request(fields: dict[str, object]) -> None:
    with contextlib.suppress(InvalidRequest):
        body = openai_responses.encode_request(ChatRequest({"messages": [USER], **fields}))
        assert json.loads(body)["input"] == [USER]


_MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"])},
    optional={
        "content": st.none()
        | st.text(max_size=3)
        | st.lists(st.dictionaries(st.sampled_from(["type", "text", "file"]), JSON)),
        "tool_calls": JSON | st.lists(st.dictionaries(st.sampled_from(["id", "type", "function"]), JSON), max_size=2),
        "thinking_blocks": JSON | st.just([ITEM]),
        "refusal": JSON,
        "tool_call_id": JSON,
        "name": JSON,
    },
)


@given(st.lists(_MESSAGES, min_size=1, max_size=3))
def test_no_messages_raise_anything_but_a_bad_request(messages: list[dict[str, Any]]) -> None:
    with contextlib.suppress(InvalidRequest):
        body = openai_responses.encode_request(ChatRequest({"messages": messages}))
        assert isinstance(json.loads(body)["input"], list)

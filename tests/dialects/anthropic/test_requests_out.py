from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import anthropic_messages
from router.dialects.canonical import ChatRequest, JsonObject
from router.errors import InvalidRequest
from tests.dialects.anthropic.wire import anthropic_request, openai_client_request

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
MARK = {"type": "ephemeral"}
SIGNED = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}
PNG = "data:image/png;base64,aW1n"


def _call(id_: str = "t1", arguments: str = "{}") -> JsonObject:
    return {"id": id_, "type": "function", "function": {"name": "weather", "arguments": arguments}}


def _sent(**fields: object) -> JsonObject:
    return anthropic_request(anthropic_messages.encode_request(openai_client_request(**fields)))


def _messages(*messages: JsonObject) -> list[JsonObject]:
    sent: list[JsonObject] = _sent(messages=list(messages))["messages"]
    return sent


def _user(*parts: JsonObject) -> JsonObject:
    return {"role": "user", "content": list(parts)}


def test_a_request_of_a_tool_loop_is_translated() -> None:
    body = _sent(
        model="claude-3-7-sonnet-20250219",
        max_completion_tokens=500,
        temperature=0.5,
        top_p=0.9,
        stop="END",
        user="u-1",
        stream=True,
        stream_options={"include_usage": True},
        parallel_tool_calls=False,
        tool_choice="required",
        tools=[
            {
                "type": "function",
                "function": {"name": "weather", "description": "Now", "parameters": SCHEMA, "strict": True},
            },
            {"type": "function", "function": {"name": "now"}, "cache_control": MARK},
        ],
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Oslo?", "name": "ann"},
            {
                "role": "assistant",
                "content": "Looking.",
                "thinking_blocks": [SIGNED],
                "tool_calls": [_call("t1", '{"city": "Oslo"}'), _call("t2", "")],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "Rain"},
            {"role": "tool", "tool_call_id": "t2", "content": [{"type": "text", "text": "Sun"}], "is_error": True},
            {"role": "developer", "content": [{"type": "text", "text": "In French.", "cache_control": MARK}]},
            {"role": "user", "content": "And?"},
        ],
    )
    assert body == {
        "model": "claude-3-7-sonnet-20250219",
        "max_tokens": 500,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u-1"},
        "stream": True,
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "tools": [
            {"name": "weather", "description": "Now", "input_schema": SCHEMA, "strict": True},
            {"name": "now", "input_schema": {"type": "object", "properties": {}}, "cache_control": MARK},
        ],
        "system": [
            {"type": "text", "text": "Be brief."},
            {"type": "text", "text": "In French.", "cache_control": MARK},
        ],
        "messages": [
            {"role": "user", "content": "Oslo?"},
            {
                "role": "assistant",
                "content": [
                    SIGNED,
                    {"type": "text", "text": "Looking."},
                    {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}},
                    {"type": "tool_use", "id": "t2", "name": "weather", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "Rain"},
                    {"type": "tool_result", "tool_use_id": "t2", "content": "Sun", "is_error": True},
                    {"type": "text", "text": "And?"},
                ],
            },
        ],
    }


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"seed": 0}, "seed"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"frequency_penalty": -1}, "frequency_penalty"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"store": True}, "store"),
        ({"verbosity": "high"}, "verbosity"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": {"name": "f"}}, "function_call"),
        ({"something_new": 1}, "something_new"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": "sometimes"}, "tool_choice"),
        ({"messages": [{"role": "function", "name": "f", "content": "r"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "assistant", "content": None, "audio": {"id": "a"}}]},
            "messages[0].audio",
        ),
        (
            {"messages": [{"role": "assistant", "content": None, "function_call": {"name": "f"}}]},
            "messages[0].function_call",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "t", "type": "custom", "custom": {}}]}]},
            "messages[0].tool_calls[0].type",
        ),
        ({"messages": [_user({"type": "input_audio", "input_audio": {}})]}, "messages[0].content[0].type"),
        (
            {"messages": [_user({"type": "file", "file": {"file_id": "file-1"}})]},
            "messages[0].content[0].file.file_id",
        ),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(fields: JsonObject, param: str) -> None:
    with pytest.raises(
        InvalidRequest, match=r"cannot be translated for this provider \(anthropic_messages\)"
    ) as caught:
        _sent(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 1.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": "all"}, "top_p"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_completion_tokens": -5}, "max_completion_tokens"),
        ({"user": 5}, "user"),
        ({"stop": 5}, "stop"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"reasoning_effort": 5}, "reasoning_effort"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.schema"),
        ({"tools": 5}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": 5}}]},
            "tools[0].function.parameters",
        ),
        ({"tool_choice": {"type": "function", "function": {}}}, "tool_choice.function.name"),
        ({"messages": [{"role": "tool", "content": "r"}]}, "messages[0].tool_call_id"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [_call(arguments='{"city": ')]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [_call(arguments="[1]")]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": 5}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0].function"),
        ({"messages": [_user({"type": "text"})]}, "messages[0].content[0].text"),
        ({"messages": [_user({"type": "image_url"})]}, "messages[0].content[0].image_url"),
        (
            {"messages": [_user({"type": "image_url", "image_url": {"url": "ftp://a"}})]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {"messages": [_user({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,aa"}})]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {"messages": [_user({"type": "file", "file": {"file_data": "data:text/plain;base64,__"}})]},
            "messages[0].content[0].file.file_data",
        ),
        (
            {"messages": [_user({"type": "file", "file": {"file_data": "data:text/csv;base64,aa=="}})]},
            "messages[0].content[0].file.file_data",
        ),
        ({"messages": [{"role": "user", "content": " "}]}, "messages[0].content"),
        (
            {"messages": [{"role": "assistant", "content": "a"}, {"role": "user", "content": ""}]},
            "messages[1].content",
        ),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(fields: JsonObject, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _sent(**fields)
    assert caught.value.param == param
    assert f"'{param}'" in str(caught.value)


def test_what_asks_for_nothing_is_left_out() -> None:
    harmless = {
        "n": 1,
        "seed": None,
        "logprobs": False,
        "presence_penalty": 0.0,
        "frequency_penalty": 0,
        "logit_bias": {},
        "modalities": ["text"],
        "store": False,
        "audio": None,
        "response_format": {"type": "text"},
        "reasoning_effort": None,
        "tools": [],
        "stop": [],
        "parallel_tool_calls": True,
        "verbosity": "medium",
    }
    assert _sent(**harmless) == _sent()


def test_advice_is_left_out() -> None:
    advice: JsonObject = dict.fromkeys(anthropic_messages.ADVISORY, "on")
    assert _sent(**advice) == _sent()


@pytest.mark.parametrize(
    ("model", "limit"),
    [("claude-opus-4-20250514", 32_000), ("claude-3-haiku-20240307", 4096), ("kimi-k2", 4096), ("claude-x", 32_000)],
)
def test_the_limit_has_a_default(model: str, limit: int) -> None:
    assert _sent(model=model)["max_tokens"] == limit


@pytest.mark.parametrize(
    ("model", "effort", "fields"),
    [
        ("claude-3-7-sonnet-20250219", "low", {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        ("claude-opus-4-20250514", "medium", {"thinking": {"type": "enabled", "budget_tokens": 8192}}),
        ("claude-haiku-4-5-20251001", "high", {"thinking": {"type": "enabled", "budget_tokens": 16_384}}),
        ("kimi-k2", "minimal", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ("claude-haiku-4-5", "none", {}),
        ("claude-opus-4-6", "high", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        ("claude-opus-4-6", "xhigh", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}),
        (
            "anthropic/claude-opus-4.7",
            "xhigh",
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}},
        ),
        ("claude-sonnet-5", "minimal", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        ("claude-mythos-preview", "max", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}),
        ("claude-sonnet-5", "none", {"thinking": {"type": "disabled"}}),
    ],
)
def test_effort_is_said_as_the_model_wants_it(model: str, effort: str, fields: JsonObject) -> None:
    body = _sent(model=model, reasoning_effort=effort)
    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == fields
    budget = fields.get("thinking", {}).get("budget_tokens", 0)
    assert body["max_tokens"] == _sent(model=model)["max_tokens"] + budget


@pytest.mark.parametrize(("max_tokens", "budget"), [(10_000, 5000), (2048, 1024), (2047, None)])
def test_a_budget_leaves_room_for_the_answer(max_tokens: int, budget: int | None) -> None:
    body = _sent(model="claude-haiku-4-5", reasoning_effort="high", max_tokens=max_tokens)
    assert body.get("thinking", {}).get("budget_tokens") == budget


def test_a_turn_that_began_without_signed_reasoning_goes_on_without_a_budget() -> None:
    def body(*thinking: JsonObject, model: str = "claude-haiku-4-5") -> JsonObject:
        return _sent(
            model=model,
            reasoning_effort="high",
            tools=TOOLS,
            messages=[
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "tool_calls": [_call()], "thinking_blocks": list(thinking)},
                {"role": "tool", "tool_call_id": "t1", "content": "r"},
            ],
        )

    assert "thinking" not in body()
    assert "thinking" not in body({**SIGNED, "signature": ""})
    assert body(SIGNED)["thinking"]["type"] == "enabled"
    assert body(model="claude-opus-4-6")["thinking"] == {"type": "adaptive"}


def test_a_forced_tool_is_called_without_thinking() -> None:
    fields: JsonObject = {"reasoning_effort": "high", "tools": TOOLS, "tool_choice": "required"}
    assert "thinking" not in _sent(model="claude-haiku-4-5", **fields)
    body = _sent(model="claude-opus-4-6", **fields)
    assert ("thinking" in body, body["output_config"]) == (False, {"effort": "high"})


def test_a_client_of_another_dialect_may_use_this_dialects_words() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2000}
    body = _sent(thinking=thinking, reasoning_effort="high", top_k=5)
    assert (body["thinking"], body["top_k"], "output_config" in body) == (thinking, 5, False)


def test_structured_output_is_translated_beside_effort() -> None:
    body = _sent(
        model="claude-opus-4-6",
        reasoning_effort="low",
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "n", "description": "A city", "schema": SCHEMA, "strict": True},
        },
    )
    assert body["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": {**SCHEMA, "description": "A city"}},
    }


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}, "parallel_tool_calls": False},
            {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
        ),
        ({}, None),
    ],
)
def test_the_choice_of_tools_is_translated(fields: JsonObject, choice: JsonObject | None) -> None:
    assert _sent(tools=TOOLS, **fields).get("tool_choice") == choice


def test_messages_of_one_role_become_one_turn() -> None:
    assert _messages(
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "c", "name": "agent-1"},
        {"role": "assistant", "content": "d", "name": "agent-2"},
        {"role": "user", "content": "e"},
    ) == [
        _user({"type": "text", "text": "a"}, {"type": "text", "text": "b"}),
        {"role": "assistant", "content": [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}]},
        {"role": "user", "content": "e"},
    ]


def test_results_come_before_all_else_of_their_turn() -> None:
    turn = _messages(
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [_call("t0")]},
        {"role": "tool", "tool_call_id": "t0", "content": "zero"},
        {"role": "assistant", "tool_calls": [_call("t1"), _call("t2")]},
        {"role": "user", "content": "and"},
        {"role": "tool", "tool_call_id": "t1", "content": "one"},
        {"role": "tool", "tool_call_id": "t2", "content": "two"},
    )[-1]
    assert [block["type"] for block in turn["content"]] == ["tool_result", "tool_result", "text"]
    assert [block.get("tool_use_id") for block in turn["content"]] == ["t1", "t2", None]


def test_the_cache_marker_of_a_message_is_that_of_its_last_block() -> None:
    body = _sent(
        messages=[
            {"role": "system", "content": "Be brief.", "cache_control": MARK},
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                "cache_control": MARK,
            },
            {"role": "assistant", "tool_calls": [_call()], "cache_control": MARK},
            {"role": "tool", "tool_call_id": "t1", "content": "r", "cache_control": MARK},
        ]
    )
    assert body["system"] == [{"type": "text", "text": "Be brief.", "cache_control": MARK}]
    assert [[block.get("cache_control") for block in message["content"]] for message in body["messages"]] == [
        [None, MARK],
        [MARK],
        [MARK],
    ]


def test_empty_text_is_left_out() -> None:
    assert _messages(
        {"role": "system", "content": ""},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "user", "content": [{"type": "text", "text": " \n"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "", "tool_calls": [_call()]},
        {"role": "tool", "tool_call_id": "t1", "content": ""},
    ) == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "weather", "input": {}}]},
        _user({"type": "tool_result", "tool_use_id": "t1"}),
    ]


def test_an_answer_to_be_continued_does_not_end_in_white_space() -> None:
    prefill = _messages({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Once upon \n"})
    assert prefill[-1] == {"role": "assistant", "content": "Once upon"}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}, "cache_control": MARK},
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "aW1n"},
                "cache_control": MARK,
            },
        ),
        (
            {"type": "image_url", "image_url": "data:IMAGE/JPG;base64,aW1n"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "aW1n"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
            {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,cGRm"}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "cGRm"},
                "title": "a.pdf",
            },
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/plain;charset=utf-8;base64,w7w="}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "ü"}},
        ),
    ],
)
def test_parts_become_blocks(part: JsonObject, block: JsonObject) -> None:
    assert _messages(_user(part)) == [_user(block)]


def test_ids_of_tool_calls_are_written_in_the_letters_that_the_api_takes() -> None:
    sent = _messages(
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [_call("functions.weather:0")]},
        {"role": "tool", "tool_call_id": "functions.weather:0", "content": "r"},
    )
    assert (sent[1]["content"][0]["id"], sent[2]["content"][0]["tool_use_id"]) == ("functions_weather_0",) * 2


def test_reasoning_that_anthropic_did_not_sign_is_left_out() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
    redacted = {"type": "redacted_thinking", "data": "d"}
    sent = _messages(
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "a", "thinking_blocks": [item, SIGNED, {**SIGNED, "signature": ""}, redacted]},
        {"role": "user", "content": "b"},
    )
    assert sent[1]["content"] == [SIGNED, redacted, {"type": "text", "text": "a"}]


_NAMES = st.sampled_from(
    ["type", "text", "url", "image_url", "file", "file_data", "id", "function", "name", "arguments", "tool_call_id"]
)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from(["text", "image_url", "file", "function", "{}", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)
_FIELDS = st.sampled_from(
    ["tools", "tool_choice", "stop", "user", "max_tokens", "response_format", "reasoning_effort", "temperature", "n"]
)
_ROLES = st.sampled_from(["user", "assistant", "system", "tool", "developer"])
_ENTRIES = st.fixed_dictionaries(
    {"role": _ROLES},
    optional={
        "content": st.none() | st.text(max_size=3) | st.lists(st.dictionaries(_NAMES, _JSON, max_size=4), max_size=2),
        "tool_calls": _JSON,
        "thinking_blocks": _JSON,
        "tool_call_id": _JSON,
        "refusal": _JSON,
    },
)


def _outcome(request: ChatRequest) -> str:
    try:
        body = anthropic_messages.encode_request(request)
    except InvalidRequest as exc:
        return "refused" if exc.message else "refused without a message"
    return "translated" if orjson.loads(body)["messages"] else "translated to nothing"


@given(st.dictionaries(_FIELDS, _JSON, max_size=3), st.lists(_ENTRIES, min_size=1, max_size=4))
def test_no_request_raises_anything_but_a_bad_request(fields: JsonObject, messages: list[JsonObject]) -> None:
    request = ChatRequest({"model": "claude-haiku-4-5", **fields, "messages": messages})
    assert _outcome(request) in {"refused", "translated"}

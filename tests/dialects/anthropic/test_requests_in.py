from __future__ import annotations

import base64

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import anthropic_messages, openai_chat
from router.dialects.canonical import JsonObject
from router.errors import InvalidRequest
from tests.dialects.anthropic.wire import anthropic_request, changed, client_request, openai_request

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
MARK = {"type": "ephemeral"}
PNG = {"type": "base64", "media_type": "image/png", "data": "aW1n"}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "cGRm"}
THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}


def _user(*blocks: JsonObject) -> list[JsonObject]:
    return [{"role": "user", "content": list(blocks)}]


def _part(block: JsonObject) -> JsonObject:
    """The canonical part of a block that stands behind another one."""
    request = client_request(messages=_user({"type": "text", "text": "See:"}, block))
    part: JsonObject = request.payload["messages"][0]["content"][1]
    return part


def test_a_request_of_a_tool_loop_becomes_canonical() -> None:
    request = client_request(
        system="Be brief.",
        stop_sequences=["END"],
        temperature=0.5,
        top_p=0.9,
        metadata={"user_id": "u-1"},
        thinking={"type": "enabled", "budget_tokens": 9000},
        tools=[{"name": "weather", "description": "Now", "input_schema": SCHEMA, "strict": True}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        stream=True,
        messages=[
            {"role": "user", "content": "Oslo?"},
            {
                "role": "assistant",
                "content": [
                    THINKING,
                    {"type": "text", "text": "Looking."},
                    {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}},
                    {"type": "tool_use", "id": "t2", "name": "weather", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "Rain"},
                    {"type": "tool_result", "tool_use_id": "t2", "is_error": True},
                    {"type": "text", "text": "And?"},
                ],
            },
        ],
    )
    assert request.payload == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Oslo?"},
            {
                "role": "assistant",
                "content": "Looking.",
                "thinking_blocks": [THINKING],
                "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}},
                    {"id": "t2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "Rain"},
            {"role": "tool", "tool_call_id": "t2", "content": "", "is_error": True},
            {"role": "user", "content": "And?"},
        ],
        "max_tokens": 100,
        "stream": True,
        "stream_options": {"include_usage": True},
        "stop": ["END"],
        "temperature": 0.5,
        "top_p": 0.9,
        "user": "u-1",
        "reasoning_effort": "medium",
        "tools": [
            {
                "type": "function",
                "function": {"name": "weather", "description": "Now", "parameters": SCHEMA, "strict": True},
            }
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
    }
    assert request.refused == ()
    assert request.untranslated == ("is_error",)


def test_an_openai_provider_gets_a_request_that_its_sdk_could_have_sent() -> None:
    request = client_request(
        model="gpt-5",
        system=[{"type": "text", "text": "Be brief.", "cache_control": MARK}],
        tools=[{"name": "weather", "input_schema": SCHEMA, "cache_control": MARK}],
        tool_choice={"type": "tool", "name": "weather"},
        output_config={"effort": "xhigh", "format": {"type": "json_schema", "schema": SCHEMA}},
        stream=True,
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": MARK}]},
            {
                "role": "assistant",
                "content": [THINKING, {"type": "tool_use", "id": "t", "name": "weather", "input": {}}],
            },
            *_user(
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "cache_control": MARK,
                    "content": [{"type": "text", "text": "See"}, {"type": "image", "source": PNG}],
                }
            ),
        ],
    )
    body = openai_request(openai_chat.encode_request(request))
    assert body["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "t", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "t", "content": [{"type": "text", "text": "See"}]},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aW1n"}}],
        },
    ]
    assert body["max_completion_tokens"] == 100
    assert body["reasoning_effort"] == "xhigh"
    assert body["response_format"]["json_schema"] == {"name": "response", "schema": SCHEMA, "strict": True}
    assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert request.untranslated == ("cache_control",)


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("gpt-5-mini", "max_completion_tokens"),
        ("openai/o3", "max_completion_tokens"),
        ("gpt-4o", "max_tokens"),
        ("gpt-oss-120b", "max_tokens"),
        ("llama-3.3-70b", "max_tokens"),
    ],
)
def test_the_limit_is_called_what_the_model_calls_it(model: str, field: str) -> None:
    body = openai_request(openai_chat.encode_request(client_request(model=model)))
    assert {name for name in body if "tokens" in name} == {field}


def test_a_provider_of_an_openai_dialect_is_not_asked_to_count_a_stream_that_is_none() -> None:
    whole = client_request(stream=True).replace(stream=False)
    assert "stream_options" not in orjson.loads(openai_chat.encode_request(whole))


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": "a"}, {"type": "text", "text": "a"}),
        (
            {"type": "image", "source": PNG},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aW1n"}},
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}, "cache_control": MARK},
            {"type": "image_url", "image_url": {"url": "https://a/b.png"}, "cache_control": MARK},
        ),
        (
            {"type": "document", "source": PDF, "title": "a.pdf"},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,cGRm"}},
        ),
        (
            {"type": "document", "source": PDF},
            {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,cGRm"}},
        ),
    ],
)
def test_blocks_become_parts(block: JsonObject, part: JsonObject) -> None:
    assert _part(block) == part


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "Body"},
                "title": "Title",
                "context": "Context",
                "citations": {"enabled": False},
            },
            "Title\nContext\nBody",
        ),
        ({"type": "document", "source": {"type": "content", "content": "Body"}}, "Body"),
        (
            {
                "type": "document",
                "source": {
                    "type": "content",
                    "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}],
                },
            },
            "One\nTwo",
        ),
        (
            {
                "type": "search_result",
                "title": "Title",
                "source": "https://a",
                "content": [{"type": "text", "text": "Found"}],
            },
            "Title\nhttps://a\nFound",
        ),
    ],
)
def test_documents_of_text_become_text_that_guards_can_read(block: JsonObject, text: str) -> None:
    part = _part(block)
    assert (part["type"], part["text"]) == ("text", text)
    request = client_request(messages=_user(block))
    assert request.refused == ()
    assert openai_request(openai_chat.encode_request(request))["messages"] == _user({"type": "text", "text": text})
    assert anthropic_request(anthropic_messages.encode_request(changed(request)))["messages"] == _user(block)


def test_a_document_that_a_filter_changed_is_sent_as_the_filter_left_it() -> None:
    block = {"type": "document", "source": {"type": "content", "content": "My number is 5."}}
    request = client_request(messages=_user({"type": "text", "text": "See:"}, block))
    content = request.payload["messages"][0]["content"]
    masked = {**content[1], "text": "My number is *."}
    request = request.replace(messages=[{"role": "user", "content": [content[0], masked]}])
    assert orjson.loads(anthropic_messages.encode_request(request))["messages"] == _user(
        {"type": "text", "text": "See:"}, {"type": "text", "text": "My number is *."}
    )


def test_thinking_behind_text_begins_another_message_so_that_the_order_stays() -> None:
    blocks = [
        THINKING,
        {"type": "text", "text": "a"},
        {**THINKING, "signature": "sig2"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ]
    result = _user({"type": "tool_result", "tool_use_id": "t", "content": "r"})
    request = client_request(messages=[*_user(), {"role": "assistant", "content": blocks}, *result])
    assert [message["role"] for message in request.messages] == ["user", "assistant", "assistant", "tool"]
    assert orjson.loads(anthropic_messages.encode_request(changed(request)))["messages"][0]["content"] == blocks


def test_instructions_in_the_conversation_stay_where_they_are() -> None:
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": [{"type": "text", "text": "Now in French."}]},
        {"role": "assistant", "content": "Salut"},
        {"role": "user", "content": "Bye"},
    ]
    request = client_request(messages=messages, system="Be brief.")
    assert [message["role"] for message in request.messages] == ["system", "user", "system", "assistant", "user"]
    body = anthropic_request(anthropic_messages.encode_request(changed(request)))
    assert body["system"] == "Be brief."
    assert body["messages"][1] == {"role": "system", "content": "Now in French."}


def test_empty_instructions_are_no_message() -> None:
    assert [message["role"] for message in client_request(system="").messages] == ["user"]
    assert [message["role"] for message in client_request(system=[]).messages] == ["user"]


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"top_k": 5}, "top_k"),
        ({"container": "c"}, "container"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"something_new": 1}, "something_new"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"metadata": {"user_id": "u", "team": "t"}}, "metadata.team"),
        ({"thinking": {"type": "telepathic"}}, "thinking"),
        ({"output_config": {"task_budget": {"tokens": 1}}}, "output_config.task_budget"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0]"),
        ({"tools": [{"name": "f", "input_schema": SCHEMA, "defer_loading": True}]}, "tools[0].defer_loading"),
        (
            {"tools": [{"name": "f", "input_schema": SCHEMA, "allowed_callers": ["code_execution_20250825"]}]},
            "tools[0].allowed_callers",
        ),
        ({"messages": [{"role": "user", "content": "Hi", "mood": "good"}]}, "messages[0].mood"),
        ({"messages": _user({"type": "container_upload", "file_id": "f"})}, "messages[0].content[0]"),
        (
            {"messages": _user({"type": "image", "source": {"type": "file", "file_id": "f"}})},
            "messages[0].content[0]",
        ),
        (
            {"messages": _user({"type": "document", "source": {"type": "url", "url": "https://a"}})},
            "messages[0].content[0]",
        ),
        ({"messages": _user({"type": "document", "source": PDF, "context": "c"})}, "messages[0].content[0].context"),
        (
            {"messages": _user({"type": "document", "source": PDF, "citations": {"enabled": True}})},
            "messages[0].content[0].citations",
        ),
        (
            {
                "messages": _user(
                    {
                        "type": "document",
                        "source": {"type": "content", "content": [{"type": "image", "source": PNG}]},
                    }
                )
            },
            "messages[0].content[0].source.content[0]",
        ),
        ({"messages": _user({"type": "text", "text": "a", "flavour": 1})}, "messages[0].content[0].flavour"),
        (
            {
                "messages": _user(
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "content": [{"type": "tool_reference", "tool_name": "f"}],
                    }
                )
            },
            "messages[0].content[0].content[0]",
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}],
                    }
                ]
            },
            "messages[0].content[0]",
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": [
                            {
                                "type": "tool_use",
                                "id": "t",
                                "name": "f",
                                "input": {},
                                "caller": {"type": "code_execution_20250825", "tool_id": "x"},
                            }
                        ],
                    }
                ]
            },
            "messages[0].content[0].caller",
        ),
    ],
)
def test_what_only_anthropic_understands_reaches_anthropic_and_is_refused_elsewhere(
    fields: JsonObject, refused: str
) -> None:
    request = client_request(**fields)
    assert request.refused == (refused,)
    written = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}], **fields}
    assert orjson.loads(anthropic_messages.encode_request(request)) == written
    with pytest.raises(InvalidRequest, match="cannot be translated") as caught:
        openai_chat.encode_request(request)
    assert caught.value.param == refused
    if "mood" not in refused:  # fields of a message that nobody knows stay in the native body only
        assert orjson.loads(anthropic_messages.encode_request(changed(request))) == written


@pytest.mark.parametrize(
    ("fields", "untranslated"),
    [
        ({"service_tier": "auto"}, "service_tier"),
        ({"speed": "fast"}, "speed"),
        ({"cache_control": MARK}, "cache_control"),
        ({"context_management": {"edits": []}}, "context_management"),
        ({"diagnostics": {"previous_message_id": "msg"}}, "diagnostics"),
        ({"thinking": {"type": "adaptive"}}, "thinking"),
        ({"thinking": {"type": "disabled"}}, "thinking"),
        ({"tools": [{"name": "f", "input_schema": SCHEMA, "eager_input_streaming": True}]}, "eager_input_streaming"),
        ({"tools": [{"name": "f", "input_schema": SCHEMA, "input_examples": [{}]}]}, "input_examples"),
        (
            {"messages": _user({"type": "image", "source": PNG, "transformations": {"oversized_image": "error"}})},
            "transformations",
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "content": [{"type": "text", "text": "a", "citations": [{"type": "x"}]}]}
                ]
            },
            "citations",
        ),
    ],
)
def test_advice_is_left_out_elsewhere_and_named(fields: JsonObject, untranslated: str) -> None:
    request = client_request(**fields)
    assert (request.refused, request.untranslated) == ((), (untranslated,))
    openai_request(openai_chat.encode_request(request))
    again = orjson.loads(anthropic_messages.encode_request(changed(request)))
    assert {name: again[name] for name in fields} == fields


def test_the_first_form_of_structured_output_is_understood() -> None:
    request = client_request(output_format={"type": "json_schema", "schema": SCHEMA})
    assert request.payload["response_format"]["json_schema"]["schema"] == SCHEMA
    again = orjson.loads(anthropic_messages.encode_request(changed(request)))
    assert again["output_format"] == {"type": "json_schema", "schema": SCHEMA}
    assert "output_config" not in again


@pytest.mark.parametrize(
    ("budget", "effort"),
    [(1024, "low"), (8191, "low"), (8192, "medium"), (16_383, "medium"), (16_384, "high"), (100_000, "high")],
)
def test_a_budget_of_thinking_is_an_effort(budget: int, effort: str) -> None:
    request = client_request(thinking={"type": "enabled", "budget_tokens": budget})
    assert request.payload["reasoning_effort"] == effort


def test_an_effort_says_more_than_a_budget() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    for fields in (
        {"thinking": thinking, "output_config": {"effort": "max"}},
        {"output_config": {"effort": "max"}, "thinking": thinking},
    ):
        assert client_request(**fields).payload["reasoning_effort"] == "max"


def test_a_relayed_request_keeps_its_bytes_until_the_model_changes() -> None:
    body = b'{ "model":"m", "max_tokens": 5,  "messages": [{"role":"user","content":"Hi"}], "top_k": 1.0 }'
    request = anthropic_messages.decode_request(body)
    assert anthropic_messages.encode_request(request) is body
    renamed = anthropic_messages.encode_request(request.replace(model="claude"))
    assert orjson.loads(renamed) == {**orjson.loads(body), "model": "claude"}


def test_reasoning_of_other_providers_is_not_sent_to_anthropic() -> None:
    unsigned = {"type": "thinking", "thinking": "theirs", "signature": ""}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [unsigned, {"type": "text", "text": "a"}]},
        {"role": "assistant", "content": [unsigned]},
        {"role": "assistant", "content": [THINKING, {"type": "text", "text": "b"}]},
    ]
    request = client_request(messages=messages)
    assert orjson.loads(anthropic_messages.encode_request(request))["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": [THINKING, {"type": "text", "text": "b"}]},
    ]
    assert request.messages[1]["thinking_blocks"] == [unsigned]  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b"{", None, "not valid JSON"),
        (b"\xff", None, "not valid JSON"),
        (b"[" * 2000, None, "not valid JSON"),
        (b"[]", None, "must be a JSON object"),
    ],
)
def test_what_is_no_request_is_refused(body: bytes, param: str | None, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        anthropic_messages.decode_request(body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"model": 5}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": True}, "top_p"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": [1]}, "stop_sequences"),
        ({"metadata": "u"}, "metadata"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
        ({"system": 5}, "system"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"system": [{"type": "text"}]}, "system[0].text"),
        ({"thinking": True}, "thinking"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": 5}, "output_config"),
        ({"output_config": {"effort": 5}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"tools": {}}, "tools"),
        ({"tools": [5]}, "tools[0]"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"input_schema": SCHEMA}]}, "tools[0].name"),
        ({"tools": [{"name": "f", "input_schema": SCHEMA, "description": 5}]}, "tools[0].description"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": ["auto"]}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["Hi"]}]}, "messages[0].content[0]"),
        ({"messages": _user({"text": "Hi"})}, "messages[0].content[0].type"),
        ({"messages": _user({"type": "text", "text": 5})}, "messages[0].content[0].text"),
        ({"messages": _user({"type": "image"})}, "messages[0].content[0].source"),
        (
            {"messages": _user({"type": "image", "source": {"type": "base64", "data": "x"}})},
            "messages[0].content[0].source.media_type",
        ),
        ({"messages": _user({"type": "document", "source": {"type": "text"}})}, "messages[0].content[0].source.data"),
        ({"messages": _user({"type": "tool_result"})}, "messages[0].content[0].tool_use_id"),
        (
            {"messages": _user({"type": "tool_result", "tool_use_id": "t", "content": 5})},
            "messages[0].content[0].content",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f"}]}]},
            "messages[0].content[0].input",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "thinking"}]}]},
            "messages[0].content[0].thinking",
        ),
    ],
)
def test_a_bad_request_names_its_field(fields: JsonObject, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client_request(**fields)
    assert caught.value.param == param
    assert f"'{param}'" in str(caught.value)


def test_base64_is_passed_on_as_it_came() -> None:
    data = base64.b64encode(bytes(range(256))).decode()
    block = {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": data}}
    request = client_request(messages=_user(block))
    assert anthropic_request(anthropic_messages.encode_request(changed(request)))["messages"] == _user(block)


_NAMES = st.sampled_from(
    ["type", "text", "source", "content", "role", "messages", "id", "name", "input", "tools", "system", "thinking"]
)
_WORDS = st.sampled_from(["text", "image", "document", "tool_use", "tool_result", "user", "assistant", "base64", "url"])
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | _WORDS
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=20,
)


def _outcome(body: bytes) -> str:
    try:
        request = anthropic_messages.decode_request(body)
        openai_chat.encode_request(request)
        anthropic_messages.encode_request(changed(request))
    except InvalidRequest as exc:
        return "refused" if exc.message else "refused without a message"
    return "translated"


@given(st.binary(max_size=100))
def test_no_bytes_raise_anything_but_a_bad_request(body: bytes) -> None:
    assert _outcome(body) in {"refused", "translated"}


@given(st.dictionaries(_NAMES, _JSON, max_size=3), st.lists(_JSON, min_size=1, max_size=3), _JSON)
def test_no_json_raises_anything_but_a_bad_request(
    fields: dict[str, object], blocks: list[object], content: object
) -> None:
    for messages in (
        blocks,
        [{"role": "user", "content": content}],
        [{"role": "user", "content": blocks}, {"role": "assistant", "content": blocks}],
    ):
        body = {"max_tokens": 5, **fields, "messages": messages}
        assert _outcome(orjson.dumps(body)) in {"refused", "translated"}


def test_what_is_nested_too_deep_is_a_bad_request() -> None:
    nested = b'{"a":' * 400 + b"1" + b"}" * 400
    call = b'{"type":"tool_use","id":"t","name":"f","input":%b}' % nested
    block = b'{"type":"mystery","content":%b}' % nested
    for content in (call, block):
        body = b'{"max_tokens":5,"messages":[{"role":"assistant","content":[%b]}]}' % content
        assert _outcome(body) == "refused"


def test_text_inside_of_blocks_that_are_only_carried_is_seen_by_guards() -> None:
    block = {"type": "mystery", "parts": [{"text": "one"}, {"deeper": {"text": "two"}}], "text": "zero"}
    assert _part(block)["text"] == "zero\none\ntwo"


def test_only_clients_of_this_dialect_may_pass_its_blocks_on() -> None:
    block = {"type": "mystery", "text": "Hi"}
    part = {"type": "mystery", "text": "Hi", "anthropic": block}
    request = openai_chat.decode_request(
        orjson.dumps({"model": "m", "messages": [{"role": "user", "content": [part]}]})
    )
    with pytest.raises(InvalidRequest) as caught:
        anthropic_messages.encode_request(request)
    assert caught.value.param == "messages[0].content[0].type"

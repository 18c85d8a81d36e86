from __future__ import annotations

from typing import Any

import orjson
import pytest

from router.dialects import openai_chat, openai_responses
from router.dialects.canonical import ChatRequest, message_text
from router.errors import InvalidRequest
from tests.dialects.responses.official import check_request

CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}


def decode(**fields: object) -> ChatRequest:
    """A request that the SDK could have sent."""
    body = orjson.dumps({"model": "m", "input": "Hi", **fields})
    check_request(body)
    return openai_responses.decode_request(body)


def messages_of(*items: object, **fields: object) -> list[dict[str, Any]]:
    return [dict(message) for message in decode(input=list(items), **fields).messages]


def said(text: str, **fields: object) -> dict[str, object]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part], **fields}


def test_an_unchanged_request_keeps_its_bytes() -> None:
    body = b'{ "input": "Hi",  "model":"m", "unknown": [1, 2.50], "tools": [{"type": "web_search"}] }'
    assert openai_responses.encode_request(openai_responses.decode_request(body)) is body


def test_changing_the_model_changes_nothing_else_of_the_native_body() -> None:
    request = decode(instructions="x", stream=True, previous_response_id="resp_1").replace(model="n", stream=False)
    assert orjson.loads(openai_responses.encode_request(request)) == {
        "model": "n",
        "input": "Hi",
        "instructions": "x",
        "stream": False,
        "previous_response_id": "resp_1",
    }


def test_text_and_instructions_become_messages() -> None:
    assert decode(instructions="Be brief.").messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]


def test_items_of_one_turn_become_one_assistant_message() -> None:
    second = {**CALL, "call_id": "c2", "id": "fc_2", "status": "completed"}
    assert messages_of(
        {"role": "developer", "content": "Use tools."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        said("Let me look."),
        CALL,
        second,
        RESULT,
        {**RESULT, "call_id": "c2"},
        said("Sunny."),
        {"role": "user", "content": "Thanks"},
    ) == [
        {"role": "developer", "content": "Use tools."},
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "c2", "content": "sunny"},
        {"role": "assistant", "content": "Sunny."},
        {"role": "user", "content": "Thanks"},
    ]


def test_two_messages_of_the_model_stay_two() -> None:
    messages = messages_of(said("One."), said("Two."))
    assert [message["content"] for message in messages] == ["One.", "Two."]


def test_text_between_a_call_and_its_result_stays_with_the_call() -> None:
    messages = messages_of(said("One."), CALL, said("Two."), RESULT)
    assert [message["role"] for message in messages] == ["assistant", "tool"]
    assert message_text(messages[0]) == "One.\nTwo."


def test_a_refusal_in_the_history_is_a_refusal() -> None:
    refused = said("", content=[{"type": "refusal", "refusal": "No."}])
    assert messages_of(refused) == [{"role": "assistant", "refusal": "No."}]


def test_parts_keep_their_order_and_meaning() -> None:
    mark = {"mode": "explicit"}
    parts = [
        {"type": "input_text", "text": "What is this?", "prompt_cache_breakpoint": mark},
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
        {"type": "input_file", "file_id": "file_1"},
    ]
    [message] = messages_of({"role": "user", "content": parts})
    assert message["content"] == [
        {"type": "text", "text": "What is this?", "prompt_cache_breakpoint": mark},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_id": "file_1"}},
    ]


def test_a_tool_may_give_back_parts() -> None:
    output = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "https://x/y.png"}]
    assert messages_of(CALL, {**RESULT, "output": output})[1]["content"] == [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
    ]


def test_fields_get_their_canonical_names() -> None:
    schema = {"type": "json_schema", "name": "s", "schema": {"type": "object"}, "strict": True, "description": "d"}
    request = decode(
        max_output_tokens=50,
        reasoning={"effort": "low"},
        text={"format": schema, "verbosity": "low"},
        tools=[{**TOOL, "description": "d"}],
        tool_choice={"type": "function", "name": "f"},
        parallel_tool_calls=False,
        temperature=0.5,
        top_p=0.9,
        metadata={"a": "b"},
        user="u",
        safety_identifier="s",
        prompt_cache_key="k",
        service_tier="flex",
        store=False,
        truncation="disabled",
        background=False,
        include=["reasoning.encrypted_content"],
    )
    assert request.payload == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_completion_tokens": 50,
        "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True, "description": "d"},
        },
        "verbosity": "low",
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "parameters": {"type": "object"}, "strict": True, "description": "d"},
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "temperature": 0.5,
        "top_p": 0.9,
        "metadata": {"a": "b"},
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "service_tier": "flex",
    }
    assert (request.refused, request.untranslated) == ((), ())


@pytest.mark.parametrize(
    ("choice", "canonical"),
    [
        ("required", "required"),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
        ),
    ],
)
def test_choices_of_tools(choice: object, canonical: object) -> None:
    assert decode(tools=[TOOL], tool_choice=choice).payload["tool_choice"] == canonical


def test_how_to_call_tools_is_left_out_where_there_are_none() -> None:
    payload = decode(tool_choice="auto", parallel_tool_calls=True, tools=[]).payload
    assert payload.keys() == {"model", "messages"}
    assert decode(tool_choice="required").payload["tool_choice"] == "required"


@pytest.mark.parametrize("kind", ["text", "json_object"])
def test_plain_formats(kind: str) -> None:
    assert decode(text={"format": {"type": kind}}).payload["response_format"] == {"type": kind}


def test_log_probabilities_are_asked_for_by_either_field() -> None:
    assert decode(include=["message.output_text.logprobs"]).payload["logprobs"] is True
    payload = decode(top_logprobs=3).payload
    assert (payload["logprobs"], payload["top_logprobs"]) == (True, 3)
    assert "logprobs" not in decode(top_logprobs=0).payload


def test_a_stream_always_counts_its_tokens_but_the_native_body_does_not_ask_for_it() -> None:
    request = decode(stream=True, stream_options={"include_obfuscation": False})
    assert request.payload["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert request.native == {
        "model": "m",
        "input": "Hi",
        "stream": True,
        "stream_options": {"include_obfuscation": False},
    }
    assert "stream_options" not in decode(stream=False).payload


def test_null_fields_say_nothing() -> None:
    names = (
        "include instructions max_output_tokens metadata previous_response_id reasoning store stream stream_options "
        "temperature text tool_choice tools top_logprobs truncation"
    )
    nothing = dict.fromkeys(names.split())
    request = openai_responses.decode_request(orjson.dumps({"model": None, "input": "Hi", **nothing}))
    assert request.payload == {"messages": [{"role": "user", "content": "Hi"}]}
    assert (request.refused, request.untranslated) == ((), ())


def test_unknown_fields_survive() -> None:
    request = openai_responses.decode_request(b'{"input": "Hi", "top_k": 5, "odd": null, "stop": ["x"]}')
    assert request.payload == {
        "messages": [{"role": "user", "content": "Hi"}],
        "top_k": 5,
        "odd": None,
        "stop": ["x"],
    }


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True}, "background"),
        ({"background": True, "background_options": {"completion_window": "2h"}}, "background"),
        ({"access_programs": {"cyber": "standard"}}, "access_programs"),
        ({"tools": [TOOL, {"type": "web_search"}]}, "tools[1].type"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}, "tools[0].type"),
        ({"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://x"}]}, "tools[0].type"),
        ({"tools": [{"type": "custom", "name": "x"}]}, "tools[0].type"),
        ({"tools": [{"type": "image_generation"}]}, "tools[0].type"),
        ({"tools": [{**TOOL, "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tool_choice": {"type": "web_search_preview"}}, "tool_choice"),
        ({"tool_choice": {"type": "custom", "name": "x"}}, "tool_choice"),
        ({"tool_choice": {"type": "mcp", "server_label": "x"}}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]}}, "tool_choice"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type"),
        ({"input": [{"id": "msg_1"}]}, "input[0]"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0].type"),
        ({"input": [{"type": "mcp_approval_response", "approval_request_id": "x", "approve": True}]}, "input[0].type"),
        ({"input": [{"type": "custom_tool_call_output", "call_id": "x", "output": "y"}]}, "input[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "u"}]}]},
            "input[0].content[0].file_url",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f", "detail": "auto"}]}]},
            "input[0].content[0].file_id",
        ),
        ({"input": [{**RESULT, "call_id": None}]}, "input[0].call_id"),
        ({"input": [{**CALL, "namespace": "n"}]}, "input[0].namespace"),
    ],
)
def test_what_only_a_responses_provider_can_do_is_relayed_and_refused_elsewhere(
    fields: dict[str, object], name: str
) -> None:
    body = orjson.dumps({"model": "m", "input": "Hi", **fields})
    check_request(body)
    request = openai_responses.decode_request(body)
    assert request.refused[0] == name
    assert openai_responses.encode_request(request) is body
    with pytest.raises(InvalidRequest, match="cannot be translated") as caught:
        openai_chat.encode_request(request)
    assert caught.value.param == name


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"text": {"colour": "red"}}, "text.colour"),
        ({"reasoning": {"depth": 3}}, "reasoning.depth"),
        ({"messages": [{"role": "user", "content": "x"}]}, "messages"),
        ({"max_output_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens"),
        ({"input": [{"type": "telepathy"}]}, "input[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "smell", "smell": "x"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": "x", "mood": "good"}]}, "input[0].mood"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x", "font": 1}]}]},
            "input[0].content[0].font",
        ),
    ],
)
def test_what_nobody_knows_is_relayed_and_refused_elsewhere(fields: dict[str, object], name: str) -> None:
    body = orjson.dumps({"model": "m", "input": "Hi", **fields})
    request = openai_responses.decode_request(body)
    assert request.refused == (name,)
    assert openai_responses.encode_request(request) is body


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"store": True}, ("store",)),
        ({"truncation": "auto"}, ("truncation",)),
        ({"max_tool_calls": 3}, ("max_tool_calls",)),
        ({"context_management": [{"type": "compaction"}]}, ("context_management",)),
        ({"image": {"context_compression": "enabled"}}, ("image",)),
        ({"include": ["web_search_call.results"]}, ("include[0]",)),
        ({"reasoning": {"summary": "auto", "context": "all_turns"}}, ("reasoning.context", "reasoning.summary")),
        ({"input": [{"role": "assistant", "content": "x", "phase": "commentary"}]}, ("input[0].phase",)),
    ],
)
def test_what_only_advises_is_named_and_left_out(fields: dict[str, object], names: tuple[str, ...]) -> None:
    request = decode(**fields)
    assert (request.untranslated, request.refused) == (names, ())
    assert not request.payload.keys() & fields.keys() - {"input"}


@pytest.mark.parametrize(
    ("fields", "judged"),
    [
        ({"input": [{"type": "custom_tool_call_output", "call_id": "x", "output": "evil"}]}, "evil"),
        ({"input": [{"role": "user", "content": [{"type": "new_text", "words": ["evil"]}]}]}, "evil"),
        ({"prompt": {"id": "pmpt_1", "variables": {"x": "evil"}}, "input": None}, "evil"),
    ],
)
def test_guards_see_the_text_of_what_is_only_relayed(fields: dict[str, object], judged: str) -> None:
    request = openai_responses.decode_request(orjson.dumps({"input": "Hi", **fields}))
    assert judged in "\n".join(message_text(message) for message in request.messages if message["role"] != "system")

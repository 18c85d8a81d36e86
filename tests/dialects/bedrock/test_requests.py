"""The fields of a request; ``test_messages`` has the conversation, ``test_reasoning`` how much the model reasons."""

from __future__ import annotations

import orjson
import pytest

from router.dialects import anthropic_messages, bedrock_converse, openai_responses
from router.dialects.canonical import ChatRequest, JsonObject
from router.errors import InvalidRequest
from tests.dialects.bedrock.wire import (
    CALLED,
    CLAUDE,
    NOVA,
    RESULT,
    TEXT,
    TOOL,
    USER,
    converse,
    converse_anthropic,
    refused,
)


def test_the_least_that_a_request_can_be() -> None:
    assert converse() == {"messages": [{"role": "user", "content": [TEXT]}]}


def test_model_and_stream_are_said_by_the_url() -> None:
    assert converse(stream=True, stream_options={"include_usage": True}) == converse()


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        (None, None),
        ("auto", {"auto": {}}),
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "weather"}}, {"tool": {"name": "weather"}}),
    ],
)
def test_tools_and_the_choice_among_them(choice: object, chosen: object) -> None:
    strict = {"type": "function", "function": {"name": "other", "description": "", "strict": True}}
    config = converse(tools=[TOOL, strict], tool_choice=choice)["toolConfig"]
    assert config["tools"] == [
        {
            "toolSpec": {
                "name": "weather",
                "description": "Now",
                "inputSchema": {"json": TOOL["function"]["parameters"]},
            }
        },
        {
            "toolSpec": {
                "name": "other",
                "inputSchema": {"json": {"type": "object", "properties": {}}},
                "strict": True,
            }
        },
    ]
    assert config.get("toolChoice") == chosen


def test_no_tools() -> None:
    assert "toolConfig" not in converse(tools=[TOOL], tool_choice="none")
    assert "toolConfig" not in converse(tools=[], tool_choice="auto")


def test_a_conversation_with_tools_needs_them() -> None:
    error = refused(*CALLED, RESULT, tools=[TOOL], tool_choice="none")
    assert (error.param, error.status) == ("tool_choice", 400)
    assert refused(*CALLED, RESULT).param == "tools"


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        (None, {"type": "auto"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "weather"}}, {"type": "tool", "name": "weather"}),
    ],
)
def test_one_call_at_a_time_is_claudes_own_choice(choice: object, chosen: JsonObject) -> None:
    body = converse(tools=[TOOL], tool_choice=choice, parallel_tool_calls=False)
    assert body["additionalModelRequestFields"] == {"tool_choice": {**chosen, "disable_parallel_tool_use": True}}
    assert "toolChoice" not in body["toolConfig"]


def test_other_models_cannot_be_held_to_one_call_at_a_time() -> None:
    assert refused(model=NOVA, tools=[TOOL], parallel_tool_calls=False).param == "parallel_tool_calls"
    assert "additionalModelRequestFields" not in converse(model=NOVA, parallel_tool_calls=False)
    assert "additionalModelRequestFields" not in converse(model=NOVA, tools=[TOOL], parallel_tool_calls=True)


def test_the_parameters_of_inference() -> None:
    body = converse(model=NOVA, max_completion_tokens=100, max_tokens=7, temperature=0, top_p=0.5, stop="END")
    assert body["inferenceConfig"] == {"maxTokens": 100, "temperature": 0, "topP": 0.5, "stopSequences": ["END"]}
    assert converse(max_tokens=7, stop=[])["inferenceConfig"] == {"maxTokens": 7}


def test_claude_is_asked_which_sequence_stopped_it() -> None:
    assert converse(stop=["a"])["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    assert "additionalModelResponseFieldPaths" not in converse(model=NOVA, stop=["a"])


@pytest.mark.parametrize(
    ("model", "fields"),
    [(CLAUDE, {"top_k": 5}), (NOVA, {"inferenceConfig": {"topK": 5}}), ("cohere.command-r-v1:0", {"k": 5})],
)
def test_every_family_has_its_own_word_for_top_k(model: str, fields: JsonObject) -> None:
    assert converse(model=model, top_k=5)["additionalModelRequestFields"] == fields


def test_structured_output() -> None:
    described = {"name": "city", "description": "d", "schema": {"type": "object"}, "strict": True}
    body = converse(response_format={"type": "json_schema", "json_schema": described}, outputConfig={"effort": "low"})
    (format_,) = [body["outputConfig"].pop("textFormat")]
    assert format_["structure"]["jsonSchema"] == {"schema": '{"type":"object"}', "name": "city", "description": "d"}
    assert body["outputConfig"] == {"effort": "low"}
    assert converse(response_format={"type": "text"}) == converse()


def test_fields_of_converse_and_of_models_pass() -> None:
    guardrail = {"guardrailIdentifier": "abc", "guardrailVersion": "1"}
    body = converse(guardrailConfig=guardrail, min_p=0.1, additionalModelRequestFields={"x": 1}, service_tier="flex")
    assert body["guardrailConfig"] == guardrail
    assert body["additionalModelRequestFields"] == {"min_p": 0.1, "x": 1}
    assert body["serviceTier"] == {"type": "flex"}


def test_metadata() -> None:
    assert converse(metadata={"team": "blue 1"})["requestMetadata"] == {"team": "blue 1"}
    assert converse(metadata={}) == converse()
    assert refused(metadata={"team": "blue!"}).param == "metadata.team"
    assert refused(metadata={str(number): "" for number in range(17)}).param == "metadata"


@pytest.mark.parametrize(
    "field",
    [
        *({"n": 1}, {"logprobs": False}, {"top_logprobs": 0}, {"presence_penalty": 0}, {"frequency_penalty": 0.0}),
        *({"logit_bias": {}}, {"modalities": ["text"]}, {"seed": None}, {"audio": None}, {"store": False}),
        *({"user": "u"}, {"safety_identifier": "s"}, {"prompt_cache_key": "k"}, {"verbosity": "medium"}),
        *({"service_tier": "auto"}, {"functions": []}, {"stop": None}, {"temperature": None}, {"tools": None}),
    ],
)
def test_what_asks_for_nothing_is_left_out(field: JsonObject) -> None:
    assert converse(**field) == converse()


@pytest.mark.parametrize(
    ("field", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"seed": 0}, "seed"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"frequency_penalty": -1}, "frequency_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "alloy"}}, "audio"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"verbosity": "low"}, "verbosity"),
        ({"store": True}, "store"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"service_tier": "scale"}, "service_tier"),
        ({"service_tier": ["flex"]}, "service_tier"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.schema"),
        ({"temperature": 1.5}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": "1"}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"stop": [1]}, "stop"),
        ({"tools": {"a": 1}}, "tools"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": "a.b"}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "x" * 65}}]}, "tools[0].function.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": ["auto"]}, "tool_choice"),
        ({"guardrailConfig": "x"}, "guardrailConfig"),
        ({"additionalModelResponseFieldPaths": ["/x"]}, "additionalModelResponseFieldPaths"),
        ({"thinking": {"type": "enabled"}, "model": NOVA}, "thinking"),
    ],
)
def test_a_field_without_a_counterpart_is_named(field: JsonObject, param: str) -> None:
    error = refused(**field)
    assert (error.param, error.status) == (param, 400)
    assert param in error.message


def test_what_an_anthropic_client_says() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AAEC"}
    call = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"x": 1}}
    body = converse_anthropic(
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        messages=[
            {"role": "user", "content": [{"type": "image", "source": source}]},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "no", "is_error": True},
                {"type": "text", "text": "Hi"},
            ]},
        ],
        tools=[{"name": "weather", "input_schema": {"type": "object"}}],
        tool_choice={"type": "any"},
        stop_sequences=["END"],
        top_k=5,
        temperature=0.5,
    )  # fmt: skip
    assert body["system"] == [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}]
    assert body["inferenceConfig"] == {"maxTokens": 9000, "temperature": 0.5, "stopSequences": ["END"]}
    assert body["additionalModelRequestFields"] == {"top_k": 5}
    assert body["toolConfig"]["toolChoice"] == {"any": {}}
    assert body["messages"][2]["content"][0]["toolResult"]["status"] == "error"


def test_what_only_anthropic_understands_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest) as caught:
        converse_anthropic(mcp_servers=[{"type": "url"}])
    assert caught.value.param == "mcp_servers"
    with pytest.raises(InvalidRequest) as caught:
        converse_anthropic(model=NOVA, top_k=5)
    assert caught.value.param == "top_k"


def test_what_a_responses_client_says() -> None:
    payload = {"model": CLAUDE, "input": "Hi", "instructions": "Be brief.", "max_output_tokens": 50}
    request = openai_responses.decode_request(orjson.dumps(payload))
    body = orjson.loads(bedrock_converse.encode_request(request))
    assert body == {
        "messages": [{"role": "user", "content": [TEXT]}],
        "system": [{"text": "Be brief."}],
        "inferenceConfig": {"maxTokens": 50},
    }
    request = openai_responses.decode_request(orjson.dumps({**payload, "previous_response_id": "resp_1"}))
    with pytest.raises(InvalidRequest) as caught:
        bedrock_converse.encode_request(request)
    assert caught.value.param == "previous_response_id"


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="cannot be passed on"):
        bedrock_converse.encode_request(ChatRequest({"model": CLAUDE, "messages": [USER], "x": {1: object()}}))


def test_the_request_of_the_client_stays_as_it_is() -> None:
    payload = {
        "model": CLAUDE,
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    }
    request = anthropic_messages.decode_request(orjson.dumps(payload))
    before = orjson.dumps(request.payload)
    bedrock_converse.encode_request(request)
    assert orjson.dumps(request.payload) == before

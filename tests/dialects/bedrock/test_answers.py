"""Whole answers and errors."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import bedrock_converse
from router.dialects.base import ErrorDetails
from router.dialects.canonical import JsonObject, Usage, usage_of
from router.errors import UpstreamError, UpstreamProtocolError, UpstreamStatus
from tests.dialects.bedrock.wire import SOURCE

TEXT: JsonObject = {"text": "21 °C"}


def answer(*content: JsonObject, **fields: Any) -> bytes:
    """An answer as Bedrock writes it."""
    return orjson.dumps(
        {
            "output": {"message": {"role": "assistant", "content": list(content or (TEXT,))}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12},
            "metrics": {"latencyMs": 321},
            **fields,
        }
    )


def decoded(body: bytes) -> JsonObject:
    return bedrock_converse.decode_completion(body, SOURCE)


def choice(*content: JsonObject, **fields: Any) -> JsonObject:
    found: JsonObject = decoded(answer(*content, **fields))["choices"][0]
    return found


def test_a_plain_answer() -> None:
    whole = decoded(answer())
    assert whole["object"] == "chat.completion"
    assert whole["id"].startswith("chatcmpl-")
    assert whole["model"] == ""
    assert whole["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "21 °C", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert usage_of(whole["usage"]) == Usage(5, 7)


def test_every_kind_of_block() -> None:
    message = choice(
        {"reasoningContent": {"reasoningText": {"text": "Hm. ", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "AAEC"}},
        {"reasoningContent": {"reasoningText": {"text": "Unsigned."}}},
        {"text": "It is "},
        {"citationsContent": {"content": [{"text": "21 °C"}], "citations": [{"title": "t"}]}},
        {"toolUse": {"toolUseId": "s1", "name": "search", "input": {}, "type": "server_tool_use"}},
        {"toolResult": {"toolUseId": "s1", "content": []}},
        {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Zürich"}}},
        {"toolUse": {"toolUseId": "t2", "name": "now", "input": {}}},
        {"somethingNew": {"x": 1}},
        stopReason="tool_use",
    )["message"]
    assert message == {
        "role": "assistant",
        "content": "It is 21 °C",
        "refusal": None,
        "reasoning_content": "Hm. Unsigned.",
        "thinking_blocks": [
            {"type": "thinking", "thinking": "Hm. ", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "AAEC"},
        ],
        "tool_calls": [
            {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Zürich"}'}},
            {"id": "t2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
        ],
    }


def test_an_answer_without_text_has_none() -> None:
    tool_use = {"toolUse": {"toolUseId": "t", "name": "n", "input": {}}}
    assert choice(tool_use)["message"]["content"] is None
    whole = decoded(
        orjson.dumps({"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "end_turn"})
    )
    assert whole["choices"][0]["message"]["content"] is None


@pytest.mark.parametrize(
    ("reason", "finish", "native"),
    [
        ("end_turn", "stop", None),
        ("stop_sequence", "stop", None),
        ("tool_use", "tool_calls", None),
        ("max_tokens", "length", None),
        ("model_context_window_exceeded", "length", "model_context_window_exceeded"),
        ("guardrail_intervened", "content_filter", "guardrail_intervened"),
        ("content_filtered", "content_filter", None),
        ("something_new", "stop", None),
        (None, "stop", None),
    ],
)
def test_how_an_answer_ended(reason: str | None, finish: str, native: str | None) -> None:
    ended = choice(stopReason=reason)
    assert (ended["finish_reason"], ended.get("native_finish_reason")) == (finish, native)


def test_the_sequence_that_stopped_an_answer() -> None:
    ended = choice(stopReason="stop_sequence", additionalModelResponseFields={"stop_sequence": "END"})
    assert ended["stop_reason"] == "END"
    assert "stop_reason" not in choice(additionalModelResponseFields={"stop_sequence": None})


@pytest.mark.parametrize("reason", ["malformed_tool_use", "malformed_model_output"])
def test_an_answer_that_bedrock_could_not_read_may_be_tried_again(reason: str) -> None:
    with pytest.raises(UpstreamProtocolError, match=reason) as caught:
        decoded(answer(stopReason=reason))
    assert caught.value.retryable


def test_tokens_of_the_cache_are_part_of_the_input() -> None:
    usage = {"inputTokens": 5, "outputTokens": 7, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 20}
    counted = decoded(answer(usage=usage))["usage"]
    assert usage_of(counted) == Usage(input=125, output=7, cached=100, cache_write=20)
    assert counted["total_tokens"] == 132


def test_the_model_that_a_router_chose_is_named() -> None:
    assert decoded(answer(trace={"promptRouter": {"invokedModelId": "arn:x"}}))["model"] == "arn:x"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"output": 5}',
        b'{"output": {"message": {"content": "x"}}}',
        b'{"output": {"message": {"content": [5]}}}',
        b'{"output": {"message": {"content": [{"toolUse": {"name": "x"}}]}}}',
    ],
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError, match="'bedrock'"):
        decoded(body)


def test_an_error_with_status_200() -> None:
    body = b'{"__type": "com.amazon.coral#ThrottlingException:http://x", "message": "Slow down."}'
    with pytest.raises(UpstreamStatus, match="Slow down") as caught:
        decoded(body)
    assert (caught.value.status, caught.value.type, caught.value.retryable) == (429, "ThrottlingException", True)


@pytest.mark.parametrize(
    ("body", "details"),
    [
        (b'{"message": "No such model."}', ErrorDetails("No such model.")),
        (b'{"Message": "Denied."}', ErrorDetails("Denied.")),
        (b'{"message": "m", "__type": "a.b#ValidationException"}', ErrorDetails("m", type="ValidationException")),
        (b'{"message": "m", "originalStatusCode": 400}', ErrorDetails("m")),
        (b'{"message": ""}', None),
        (b'{"message": 5}', None),
        (b'{"error": {"message": "m"}}', None),
        (b"[]", None),
        (b"<html>", None),
    ],
)
def test_error_bodies(body: bytes, details: ErrorDetails | None) -> None:
    assert bedrock_converse.decode_error(body) == details


_NAMES = [
    *("output", "message", "content", "text", "toolUse", "toolUseId", "name", "input", "reasoningContent", "usage"),
    *("reasoningText", "signature", "redactedContent", "stopReason", "inputTokens", "citationsContent", "trace"),
    *("__type", "promptRouter", "additionalModelResponseFields", "stop_sequence"),
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
    max_leaves=15,
)
_CONTENT = st.lists(st.dictionaries(st.sampled_from(_NAMES), _JSON, max_size=3), max_size=4)


def outcome(body: bytes) -> str:
    try:
        whole = decoded(body)
    except UpstreamError as exc:
        return exc.message
    orjson.dumps(whole)
    return "decoded"


@given(st.binary(max_size=100))
def test_any_bytes_are_an_answer_or_an_error(body: bytes) -> None:
    assert outcome(body)
    bedrock_converse.decode_error(body)


@given(_CONTENT, st.dictionaries(st.sampled_from(_NAMES), _JSON, max_size=4))
def test_any_json_is_an_answer_or_an_error(content: list[JsonObject], more: JsonObject) -> None:
    payload = {"output": {"message": {"content": content}}, **more}
    assert outcome(json.dumps(payload).encode())
    bedrock_converse.decode_error(json.dumps(more).encode())

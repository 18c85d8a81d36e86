"""Requests that nobody could answer, and nothing that anybody may send breaks the gateway."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import openai_chat, openai_responses
from router.errors import InvalidRequest
from tests.dialects.responses.strategies import JSON


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b"{", None, "not valid JSON"),
        (b"\xff", None, "not valid JSON"),
        (b"[]", None, "JSON object"),
        (b"{}", "input", "required"),
        (b'{"input": ""}', "input", "empty"),
        (b'{"input": []}', "input", "empty"),
        (b'{"input": 5}', "input", "a string or a list"),
        (b'{"input": [5]}', "input[0]", "an object"),
        (b'{"input": [{"type": 5}]}', "input[0].type", "a string"),
        (b'{"input": [{"role": "robot", "content": "x"}]}', "input[0].role", "assistant"),
        (b'{"input": [{"role": ["user"], "content": "x"}]}', "input[0].role", "assistant"),
        (b'{"input": [{"role": "user"}]}', "input[0].content", "a string or a list"),
        (b'{"input": [{"role": "user", "content": [5]}]}', "input[0].content[0]", "an object"),
        (b'{"input": [{"role": "user", "content": [{}]}]}', "input[0].content[0].type", "a string"),
        (b'{"input": [{"role": "user", "content": [{"type": "input_text"}]}]}', "input[0].content[0].text", "a string"),
        (b'{"input": [{"type": "function_call", "call_id": "c"}]}', "input[0].name", "a string"),
        (b'{"input": [{"type": "function_call_output", "call_id": "c"}]}', "input[0].output", "a string"),
        (b'{"input": [{"type": "reasoning", "summary": 5}]}', "input[0].summary", "a list"),
        (b'{"input": "x", "stream": "yes"}', "stream", "true, false"),
        (b'{"input": "x", "model": 5}', "model", "a string"),
        (b'{"input": "x", "instructions": 5}', "instructions", "a string"),
        (b'{"input": "x", "tools": 5}', "tools", "a list"),
        (b'{"input": "x", "tools": [{"type": "function"}]}', "tools[0].name", "a string"),
        (b'{"input": "x", "tool_choice": "maybe"}', "tool_choice", "auto"),
        (b'{"input": "x", "tool_choice": {"type": "function"}}', "tool_choice.name", "a string"),
        (b'{"input": "x", "text": 5}', "text", "an object"),
        (b'{"input": "x", "reasoning": "high"}', "reasoning", "an object"),
        (b'{"input": "x", "include": "all"}', "include", "a list"),
    ],
)
def test_a_bad_request_names_its_field(body: bytes, param: str | None, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        openai_responses.decode_request(body)
    assert caught.value.param == param


def _outcome(body: bytes) -> str:
    try:
        request = openai_responses.decode_request(body)
        openai_responses.encode_request(request)
        openai_chat.encode_request(request)
        openai_responses.encode_request(request.replace(messages=[*request.messages]))
    except InvalidRequest as exc:
        return "refused" if exc.message else "refused without a message"
    return "decoded"


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_bad_request(body: bytes) -> None:
    assert _outcome(body) in {"decoded", "refused"}


_KEYS = ["input", "tools", "tool_choice", "text", "reasoning", "include", "stream", "prompt", "stream_options", "x"]
_WORDS = st.sampled_from(
    [
        *("allowed_tools", "arguments", "assistant", "call_id", "content", "effort", "encrypted_content", "format"),
        *("function", "function_call", "function_call_output", "image_url", "input_file", "input_image", "input_text"),
        *("json_schema", "message", "name", "output", "reasoning", "refusal", "role", "summary", "text", "tools"),
        *("type", "user"),
    ]
)
_LIKELY = st.recursive(
    _WORDS | JSON,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=5),
    max_leaves=30,
)


@given(st.dictionaries(st.sampled_from(_KEYS), _LIKELY, max_size=6))
def test_no_json_raises_anything_but_a_bad_request(payload: dict[str, object]) -> None:
    assert _outcome(json.dumps({"input": "Hi", **payload}).encode()) in {"decoded", "refused"}

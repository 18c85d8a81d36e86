"""Properties of all requests: what has a counterpart arrives, all else is an ``InvalidRequest``."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import anthropic_messages, bedrock_converse, openai_chat, openai_responses
from router.dialects.canonical import ChatRequest, JsonObject
from router.errors import InvalidRequest
from tests.dialects.bedrock.wire import ADAPTIVE_CLAUDE, CLAUDE, NOVA, encoded
from tests.fakes.providers.answers import signature_of

_MODELS = st.sampled_from([CLAUDE, ADAPTIVE_CLAUDE, NOVA, "openai.gpt-oss-120b-1:0", "meta.llama3-3-70b-instruct-v1:0"])
_NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
_TEXTS = st.text(min_size=1, max_size=12).filter(lambda text: text == text.strip() != "")
_TEXT_PARTS = _TEXTS.map(lambda text: {"type": "text", "text": text})
_IMAGE_PARTS = st.sampled_from(["png", "gif"]).map(
    lambda kind: {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,AAEC"}}
)
_CONTENTS = _TEXTS | st.lists(_TEXT_PARTS | _IMAGE_PARTS, min_size=1, max_size=3)
_ARGUMENTS = st.dictionaries(_NAMES, st.integers(-9, 9) | _TEXTS, max_size=3).map(json.dumps)
_THINKING = _TEXTS.map(lambda text: {"type": "thinking", "thinking": text, "signature": signature_of(text)})


@st.composite
def _turns(draw: st.DrawFn) -> list[JsonObject]:
    """A user's message, what the model said to it, and the results of the calls in that."""
    said: JsonObject = {"role": "assistant", "content": draw(_TEXTS)}
    if draw(st.booleans()):
        said["thinking_blocks"] = [draw(_THINKING)]
    ids = draw(st.lists(_NAMES, max_size=2, unique=True))
    if ids:
        said["tool_calls"] = [
            {"id": id_, "type": "function", "function": {"name": "f", "arguments": draw(_ARGUMENTS)}} for id_ in ids
        ]
    results = [{"role": "tool", "tool_call_id": id_, "content": draw(_CONTENTS)} for id_ in ids]
    return [{"role": "user", "content": draw(_CONTENTS)}, said, *results]


@st.composite
def _requests(draw: st.DrawFn) -> JsonObject:
    turns = draw(st.lists(_turns(), max_size=3))
    last = {"role": "user", "content": draw(_CONTENTS)}
    fields = {
        "stream": st.booleans(),
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "max_tokens": st.integers(1, 5000),
        "stop": _TEXTS | st.lists(_TEXTS, max_size=2),
        "reasoning_effort": st.sampled_from(["none", "low", "high"]),
        "n": st.just(1),
    }
    return {
        "model": draw(_MODELS),
        "messages": [
            *draw(st.sampled_from([[], [{"role": "system", "content": "Be brief."}]])),
            *(message for turn in turns for message in turn),
            last,
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        **draw(st.fixed_dictionaries({}, optional=fields)),
    }


@given(_requests())
def test_all_that_was_said_arrives_and_bedrock_takes_it(payload: JsonObject) -> None:
    body = encoded(ChatRequest(payload))
    said = [statement for message in payload["messages"] for statement in _statements(message, payload["model"])]
    assert [statement for message in body["messages"] for statement in _arrived(message)] == [
        statement for statement in said if statement[0] != "system"
    ]
    assert [("system", block["text"]) for block in body.get("system", ())] == [
        statement for statement in said if statement[0] == "system"
    ]
    inference = body.get("inferenceConfig", {})
    assert inference.get("temperature") == payload.get("temperature")
    assert inference.get("topP") == payload.get("top_p")
    if "max_tokens" in payload:
        assert inference["maxTokens"] == payload["max_tokens"]


def _statements(message: JsonObject, model: str) -> list[tuple[Any, ...]]:
    """What a canonical message says, piece by piece; results of tools stand before what else the user says."""
    role = message["role"]
    content = message["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    pieces = tuple(part["text"] if part["type"] == "text" else part["image_url"]["url"][11:14] for part in parts)
    if role == "tool":
        return [("result", message["tool_call_id"], pieces)]
    thinking = message.get("thinking_blocks", ()) if "claude" in model else ()
    calls = [("call", call["id"], json.loads(call["function"]["arguments"])) for call in message.get("tool_calls", ())]
    return [*(("thinking", block["signature"]) for block in thinking), *((role, piece) for piece in pieces), *calls]


def _arrived(message: JsonObject) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for block in message["content"]:
        if "toolUse" in block:
            found.append(("call", block["toolUse"]["toolUseId"], block["toolUse"]["input"]))
        elif "toolResult" in block:
            pieces = tuple(_piece(part) for part in block["toolResult"]["content"])
            found.append(("result", block["toolResult"]["toolUseId"], pieces))
        elif "reasoningContent" in block:
            found.append(("thinking", block["reasoningContent"]["reasoningText"]["signature"]))
        else:
            found.append((message["role"], _piece(block)))
    return found


def _piece(block: JsonObject) -> str:
    piece: str = block["image"]["format"] if "image" in block else block["text"]
    return piece


_WORDS = [
    *("role", "user", "assistant", "tool", "system", "content", "type", "text", "image_url", "url", "file", "tools"),
    *("function", "name", "arguments", "tool_calls", "tool_call_id", "id", "thinking_blocks", "signature", "anthropic"),
    *("tool_choice", "response_format", "json_schema", "schema", "stop", "metadata", "thinking", "cache_control"),
    *("temperature", "max_tokens", "reasoning_effort", "top_k", "outputConfig", "input_audio", "format", "refusal"),
    *("service_tier", "parallel_tool_calls", "additionalModelRequestFields", "file_data", "filename", "is_error"),
    *("source", "input", "tool_use_id", "document", "image", "tool_use", "tool_result", "data:image/png;base64,AA=="),
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5000) | st.sampled_from(_WORDS) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=4),
    max_leaves=20,
)
_FIELDS = st.dictionaries(st.sampled_from(_WORDS), _JSON, max_size=5)
_MESSAGES = st.lists(
    st.builds(
        lambda role, more: {**more, "role": role},
        st.sampled_from(["user", "assistant", "tool", "system", "function"]),
        st.dictionaries(st.sampled_from(_WORDS), _JSON, max_size=4),
    ),
    min_size=1,
    max_size=4,
)
_CLIENTS = st.sampled_from([openai_chat, anthropic_messages, openai_responses])


@given(_CLIENTS, _MODELS, _MESSAGES, _FIELDS)
def test_any_request_of_any_client_is_encoded_or_refused(
    client: Any, model: str, messages: list[JsonObject], fields: JsonObject
) -> None:
    payload = {"max_tokens": 5000, **fields, "model": model, "messages": messages, "input": messages}
    try:
        body = bedrock_converse.encode_request(client.decode_request(json.dumps(payload).encode()))
    except InvalidRequest:
        return
    assert orjson.loads(body)["messages"]

"""What has a counterpart on both sides comes back as it went, requests, answers and streams."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import anthropic_messages, openai_chat
from router.dialects.canonical import ChatRequest, JsonObject, Usage, completion, usage_payload
from tests.dialects.anthropic.wire import (
    SOURCE,
    anthropic_events,
    anthropic_message,
    anthropic_request,
    assembled,
    changed,
    client_request,
    decoded,
    encoded,
    openai_chunk,
    openai_completion,
    openai_request,
)

TEXT = st.text(min_size=1, max_size=12).map(lambda text: text.strip() + "x")
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
NAMES = st.from_regex(r"[a-z_]{1,10}", fullmatch=True)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=3)
SCHEMAS = st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(NAMES, OBJECTS, max_size=2)})
MARKS = st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
DATA = st.sampled_from(["aW1n", "cGRmcGRm"])
IMAGE_TYPES = st.sampled_from(["image/png", "image/jpeg", "image/webp", "image/gif"])


def _maybe(strategy: st.SearchStrategy[Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[JsonObject]:
    """``strategy``'s objects, some of them with ``fields``."""
    extra = st.fixed_dictionaries({}, optional=fields)
    return st.builds(lambda one, more: {**one, **more}, strategy, extra)


# Canonical requests, in the form that an Anthropic client's request is decoded to.

PARTS = _maybe(
    st.builds(lambda text: {"type": "text", "text": text}, TEXT)
    | st.builds(
        lambda kind, data: {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}}, IMAGE_TYPES, DATA
    )
    | st.builds(lambda name: {"type": "image_url", "image_url": {"url": f"https://example.org/{name}.png"}}, NAMES)
    | st.builds(
        lambda name, data: {
            "type": "file",
            "file": {"filename": f"{name}.pdf", "file_data": f"data:application/pdf;base64,{data}"},
        },
        NAMES,
        DATA,
    ),
    cache_control=MARKS,
)
TEXT_PARTS = _maybe(st.builds(lambda text: {"type": "text", "text": text}, TEXT), cache_control=MARKS)


def _content(parts: st.SearchStrategy[JsonObject]) -> st.SearchStrategy[Any]:
    return TEXT | st.lists(parts, min_size=2, max_size=3)


THINKING = st.builds(lambda text, name: {"type": "thinking", "thinking": text, "signature": name}, TEXT, NAMES) | (
    st.builds(lambda name: {"type": "redacted_thinking", "data": name}, NAMES)
)
TOOL_CALLS = st.lists(
    _maybe(
        st.builds(
            lambda id_, name, value: {
                "id": id_,
                "type": "function",
                "function": {"name": name, "arguments": orjson.dumps(value).decode()},
            },
            IDS,
            NAMES,
            OBJECTS,
        ),
        cache_control=MARKS,
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda call: call["id"],
)


@st.composite
def _messages(draw: st.DrawFn) -> list[JsonObject]:
    messages: list[JsonObject] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(_content(TEXT_PARTS))})
    for _ in range(draw(st.integers(0, 3))):
        messages.append({"role": "user", "content": draw(_content(PARTS))})
        thinking = draw(st.just({}) | st.lists(THINKING, min_size=1, max_size=2).map(lambda t: {"thinking_blocks": t}))
        if draw(st.booleans()):
            messages.append({"role": "assistant", "content": draw(_content(TEXT_PARTS)), **thinking})
            continue
        calls = draw(TOOL_CALLS)
        said = draw(st.none() | _content(TEXT_PARTS))
        messages.append({"role": "assistant", "content": said, **thinking, "tool_calls": calls})
        for call in calls:
            result = {"role": "tool", "tool_call_id": call["id"], "content": draw(st.just("") | _content(PARTS))}
            messages.append({**result, **draw(st.fixed_dictionaries({}, optional={"is_error": st.just(True)}))})
        if not draw(st.booleans()):
            messages.append({"role": "assistant", "content": draw(TEXT)})
    if not messages or messages[-1]["role"] in {"system", "assistant"}:
        messages.append({"role": "user", "content": draw(_content(PARTS))})
    return messages


TOOLS = st.lists(
    _maybe(
        st.builds(
            lambda function: {"type": "function", "function": function},
            _maybe(
                st.fixed_dictionaries({"name": NAMES, "parameters": SCHEMAS}), description=TEXT, strict=st.just(True)
            ),
        ),
        cache_control=MARKS,
    ),
    min_size=1,
    max_size=3,
)
WITH_TOOLS = st.fixed_dictionaries(
    {"tools": TOOLS},
    optional={
        "tool_choice": st.sampled_from(["auto", "required"])
        | st.builds(lambda name: {"type": "function", "function": {"name": name}}, NAMES)
    },
) | st.fixed_dictionaries({"tools": TOOLS, "tool_choice": st.just("auto"), "parallel_tool_calls": st.just(False)})
RESPONSE_FORMATS = st.builds(
    lambda schema: {
        "type": "json_schema",
        "json_schema": {"name": "response", "schema": schema, "strict": True},
    },
    SCHEMAS,
)
REQUESTS = st.builds(
    lambda required, tools, stream: {
        **required,
        **tools,
        **({"stream": True, "stream_options": {"include_usage": True}} if stream else {}),
    },
    st.fixed_dictionaries(
        {
            "model": st.sampled_from(["claude-opus-4-6", "claude-3-5-sonnet-latest"]),
            "messages": _messages(),
            "max_tokens": st.integers(1, 10_000),
        },
        optional={
            "temperature": st.floats(0, 1),
            "top_p": st.floats(0, 1),
            "stop": st.lists(TEXT, min_size=1, max_size=3),
            "user": NAMES,
            "response_format": RESPONSE_FORMATS,
        },
    ),
    st.just({}) | WITH_TOOLS,
    st.booleans(),
)


@given(REQUESTS)
def test_a_canonical_request_survives(payload: JsonObject) -> None:
    body = anthropic_messages.encode_request(ChatRequest(payload))
    anthropic_request(body)
    again = anthropic_messages.decode_request(body)
    assert again.payload == payload
    assert again.refused == ()


@given(st.sampled_from(["low", "medium", "high", "xhigh", "max"]))
def test_an_effort_survives_where_the_model_takes_one(effort: str) -> None:
    request = ChatRequest(
        {"model": "claude-opus-5", "messages": [{"role": "user", "content": "Hi"}], "reasoning_effort": effort}
    )
    again = anthropic_messages.decode_request(anthropic_messages.encode_request(request))
    assert again.payload["reasoning_effort"] == effort


@given(REQUESTS, st.sampled_from([{"top_k": 5}, {"service_tier": "auto"}, {"thinking": {"type": "adaptive"}}, {}]))
def test_an_anthropic_request_survives_the_loss_of_its_body(payload: JsonObject, fields: JsonObject) -> None:
    written = {**anthropic_request(anthropic_messages.encode_request(ChatRequest(payload))), **fields}
    request = anthropic_messages.decode_request(orjson.dumps(written))
    assert anthropic_request(anthropic_messages.encode_request(changed(request))) == written


@given(REQUESTS)
def test_an_openai_provider_could_have_been_asked_by_its_sdk(payload: JsonObject) -> None:
    request = anthropic_messages.decode_request(anthropic_messages.encode_request(ChatRequest(payload)))
    body = openai_request(openai_chat.encode_request(request))
    assert [message["role"] for message in body["messages"] if message["role"] != "user"] == [
        message["role"] for message in payload["messages"] if message["role"] != "user"
    ]
    assert not any(mark in json.dumps(body) for mark in ('"cache_control"', '"is_error"', '"thinking_blocks"'))


# Answers.

USAGES = st.builds(
    lambda fresh, cached, written, output, reasoning: Usage(
        fresh + cached + written, output + reasoning, cached, written, reasoning
    ),
    *[st.integers(0, 5000)] * 5,
)
ANSWERS = st.builds(
    lambda thinking, text, calls: {
        "content": text,
        **(
            {
                "reasoning_content": "".join(block.get("thinking", "") for block in thinking),
                "thinking_blocks": thinking,
            }
            if any(block.get("thinking") for block in thinking)
            else {}
        ),
        **({"tool_calls": calls} if calls else {}),
    },
    st.lists(THINKING, max_size=2),
    TEXT | st.none(),
    st.just([])
    | TOOL_CALLS.map(lambda calls: [{k: v for k, v in call.items() if k != "cache_control"} for call in calls]),
)
ENDINGS = st.sampled_from(
    [
        {"finish_reason": "stop"},
        {"finish_reason": "stop", "stop_reason": "END"},
        {"finish_reason": "stop", "native_finish_reason": "pause_turn"},
        {"finish_reason": "length"},
        {"finish_reason": "length", "native_finish_reason": "model_context_window_exceeded"},
        {"finish_reason": "content_filter"},
    ]
)


@st.composite
def _completions(draw: st.DrawFn) -> JsonObject:
    message = draw(ANSWERS)
    whole = completion(message, model="m", id_=draw(IDS), usage=draw(USAGES))
    ending = {"finish_reason": "tool_calls"} if "tool_calls" in message else draw(ENDINGS)
    whole["choices"][0].update(ending)
    return whole


@given(_completions())
def test_a_completion_survives(whole: JsonObject) -> None:
    body = anthropic_messages.encode_completion(whole, client_request())
    again = anthropic_messages.decode_completion(orjson.dumps(anthropic_message(body)), SOURCE)
    openai_completion(again)
    assert {**again, "created": whole["created"]} == whole


@given(_completions(), st.data())
def test_a_stream_survives_wherever_it_is_cut(whole: JsonObject, data: st.DataObject) -> None:
    """A completion as Anthropic's events, as canonical chunks, as events again: it says the same each time."""
    stream = _events_of(orjson.loads(anthropic_messages.encode_completion(whole, client_request())))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = decoded([stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)])
    for chunk in chunks:
        openai_chunk(chunk)
    assert _plain(assembled(chunks)) == _plain(whole)
    again = encoded(chunks, client_request())
    anthropic_events(again)
    assert _plain(assembled(decoded([again]))) == _plain(whole)


def _plain(whole: JsonObject) -> JsonObject:
    """Without the date, and with no content where it is empty: a stream cannot tell the two apart."""
    (choice,) = whole["choices"]
    message = {**choice["message"], "content": choice["message"]["content"] or None}
    return {**whole, "created": 0, "choices": [{**choice, "message": message}]}


def _events_of(message: JsonObject) -> bytes:
    """The stream in which Anthropic would send ``message``, text and arguments in pieces of three letters."""
    events: list[JsonObject] = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "stop_sequence": None}}
    ]
    for index, block in enumerate(message["content"]):
        empty, deltas = _pieces(block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += ({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
        events.append({"type": "content_block_stop", "index": index})
    delta = {name: message[name] for name in ("stop_reason", "stop_sequence")}
    events += [{"type": "message_delta", "delta": delta, "usage": message["usage"]}, {"type": "message_stop"}]
    return b"".join(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event)) for event in events)


def _pieces(block: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
    kind = block["type"]
    if kind == "text":
        return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in _thirds(block["text"])]
    if kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _thirds(block["thinking"])]
        return (
            {**block, "thinking": "", "signature": ""},
            [*deltas, {"type": "signature_delta", "signature": block["signature"]}],
        )
    if kind == "tool_use":
        text = orjson.dumps(block["input"]).decode()
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in _thirds(text)]
    return block, []


def _thirds(text: str) -> list[str]:
    return [text[start : start + 3] for start in range(0, len(text), 3)]


@given(USAGES)
def test_tokens_survive(usage: Usage) -> None:
    whole = completion({"content": "a"}, model="m", usage=usage)
    body = anthropic_messages.encode_completion(whole, client_request())
    assert anthropic_messages.check_completion(body, SOURCE) == usage
    assert anthropic_messages.decode_completion(body, SOURCE)["usage"] == usage_payload(usage)

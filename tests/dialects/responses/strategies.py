"""Canonical requests and completions in the form that a trip through the dialect leaves as it is."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
TEXTS = st.text(min_size=1, max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)
_ARGUMENTS = st.dictionaries(NAMES, st.integers() | TEXTS, max_size=3).map(lambda value: json.dumps(value))
_TEXT_PARTS = st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS})
_IMAGE_PARTS = st.fixed_dictionaries(
    {
        "type": st.just("image_url"),
        "image_url": st.fixed_dictionaries(
            {"url": st.just("data:image/png;base64,AA=="), "detail": st.sampled_from(["auto", "low", "high"])}
        ),
    }
)
_FILE_PARTS = st.fixed_dictionaries(
    {"type": st.just("file"), "file": st.fixed_dictionaries({"file_data": TEXTS, "filename": TEXTS})}
)
_CONTENTS = TEXTS | st.lists(_TEXT_PARTS | _IMAGE_PARTS | _FILE_PARTS, min_size=2, max_size=4)
_ITEMS = st.fixed_dictionaries(
    {
        "type": st.just("reasoning"),
        "id": NAMES.map(lambda name: f"rs_{name}"),
        "summary": st.lists(st.fixed_dictionaries({"type": st.just("summary_text"), "text": TEXTS}), max_size=2),
        "encrypted_content": TEXTS.map(lambda text: f"gAAAA{text}"),
    }
)


@st.composite
def _calls(draw: st.DrawFn) -> list[dict[str, Any]]:
    ids = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    return [
        {"id": f"call_{id_}", "type": "function", "function": {"name": draw(NAMES), "arguments": draw(_ARGUMENTS)}}
        for id_ in ids
    ]


@st.composite
def _turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A user's message, what the model said to it, and the results of the calls in that."""
    turn = [{"role": "user", "content": draw(_CONTENTS)}]
    if draw(st.booleans()):
        return turn
    said: dict[str, Any] = {"role": "assistant"}
    if draw(st.booleans()):
        said["thinking_blocks"] = draw(st.lists(_ITEMS, min_size=1, max_size=2))
    if draw(st.booleans()):
        said["content"] = draw(TEXTS)
    if "content" not in said or draw(st.booleans()):
        said["tool_calls"] = draw(_calls())
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": draw(_CONTENTS)} for call in said.get("tool_calls", ())
    ]
    return [*turn, said, *results]


_FUNCTIONS = st.fixed_dictionaries(
    {"name": NAMES, "parameters": st.just({"type": "object", "properties": {}}), "strict": st.booleans()},
    optional={"description": TEXTS},
)
_TOOLS = st.lists(_FUNCTIONS.map(lambda function: {"type": "function", "function": function}), min_size=1, max_size=3)
_CHOICES = st.sampled_from(["auto", "none", "required"]) | NAMES.map(
    lambda name: {"type": "function", "function": {"name": name}}
)
_FORMATS = st.sampled_from(
    [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}},
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A canonical request that has a counterpart in full."""
    system = draw(
        st.sampled_from([[], [{"role": "system", "content": "Be brief."}], [{"role": "developer", "content": "x"}]])
    )
    turns = draw(st.lists(_turns(), min_size=1, max_size=3))
    stream = draw(st.booleans())
    fields = draw(
        st.fixed_dictionaries(
            {"model": NAMES},
            optional={
                "max_completion_tokens": st.integers(16, 1000),
                "metadata": st.dictionaries(NAMES, TEXTS, max_size=2),
                "prompt_cache_key": NAMES,
                "reasoning_effort": st.sampled_from(["none", "low", "high"]),
                "response_format": _FORMATS,
                "safety_identifier": NAMES,
                "service_tier": st.sampled_from(["auto", "flex"]),
                "temperature": st.floats(0, 2),
                "top_p": st.floats(0, 1),
                "user": NAMES,
                "verbosity": st.sampled_from(["low", "medium", "high"]),
            },
        )
    )
    if draw(st.booleans()):
        fields |= {"tools": draw(_TOOLS), "tool_choice": draw(_CHOICES), "parallel_tool_calls": draw(st.booleans())}
    if stream:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    return {**fields, "messages": [*system, *(message for turn in turns for message in turn)]}


USAGES = st.fixed_dictionaries(
    {
        "prompt_tokens": st.integers(0, 99),
        "completion_tokens": st.integers(0, 99),
        "prompt_tokens_details": st.fixed_dictionaries(
            {"cached_tokens": st.integers(0, 9), "cache_write_tokens": st.integers(1, 9)}
        ),
        "completion_tokens_details": st.fixed_dictionaries({"reasoning_tokens": st.integers(0, 9)}),
    }
).map(lambda usage: {**usage, "total_tokens": usage["prompt_tokens"] + usage["completion_tokens"]})


@st.composite
def completions(draw: st.DrawFn) -> dict[str, Any]:
    """A canonical completion that a response says in full."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    kinds = draw(st.sets(st.sampled_from(["text", "refusal", "calls", "reasoning"]), min_size=1))
    if "text" in kinds:
        message["content"] = draw(TEXTS)
    if "refusal" in kinds:
        message["refusal"] = draw(TEXTS)
    if "calls" in kinds:
        message["tool_calls"] = draw(_calls())
    if kinds == {"reasoning"}:
        message["content"] = ""
    if "reasoning" in kinds:
        items = [{**item, "status": "completed"} for item in draw(st.lists(_ITEMS, min_size=1, max_size=2))]
        texts = ["\n\n".join(part["text"] for part in item["summary"]) for item in items]
        message["thinking_blocks"] = items
        if any(texts):
            message["reasoning_content"] = "".join(texts)
    ended = "tool_calls" if "calls" in kinds else "stop"
    reason = draw(st.sampled_from([ended, "length", "content_filter"]))
    return {
        "id": "resp_1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": draw(USAGES),
    }

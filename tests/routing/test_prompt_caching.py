from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.routing.prompt_caching import is_wanted, mark_anthropic, mark_canonical, needs_markers

LONG = "x" * 4000
MARK = {"type": "ephemeral"}


def _text(text: str, *, marked: bool = False) -> dict[str, Any]:
    return {"type": "text", "text": text, **({"cache_control": MARK} if marked else {})}


def _message(role: str, content: object) -> dict[str, Any]:
    return {"role": role, "content": content}


def test_the_system_prompt_and_the_newest_answer_are_marked() -> None:
    payload = {
        "messages": [
            _message("system", "a"),
            _message("system", LONG),
            _message("user", "hi"),
            _message("assistant", "hello"),
            _message("user", "more"),
        ]
    }
    marked = mark_canonical(payload, min_prefix_tokens=1000)
    assert marked["messages"] == [
        _message("system", "a"),
        _message("system", [_text(LONG, marked=True)]),
        _message("user", "hi"),
        _message("assistant", [_text("hello", marked=True)]),
        _message("user", "more"),
    ]


def test_in_the_native_form_the_system_prompt_is_a_field() -> None:
    body = {
        "system": LONG,
        "messages": [_message("user", "hi"), _message("assistant", [_text("a"), _text("b")]), _message("user", "c")],
    }
    marked = mark_anthropic(body, min_prefix_tokens=1000)
    assert marked["system"] == [_text(LONG, marked=True)]
    assert marked["messages"][1]["content"] == [_text("a"), _text("b", marked=True)]
    assert marked["messages"][2] == _message("user", "c")


def test_a_tool_loop_is_marked_at_the_newest_call() -> None:
    call = {"type": "tool_use", "id": "1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": "r"}
    body = {"messages": [_message("user", LONG), _message("assistant", [call]), _message("user", [result])]}
    marked = mark_anthropic(body, min_prefix_tokens=1000)
    assert marked["messages"][1]["content"] == [{**call, "cache_control": MARK}]
    assert marked["messages"][2] == body["messages"][2]


def test_what_cannot_be_marked_is_passed_over() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    body = {
        "messages": [
            _message("user", [_text(LONG), _text(" ")]),
            _message("assistant", [thinking]),
            _message("user", "more"),
        ]
    }
    marked = mark_anthropic(body, min_prefix_tokens=1000)
    assert marked["messages"][0]["content"] == [_text(LONG, marked=True), _text(" ")]
    assert marked["messages"][1] == body["messages"][1]


def test_a_canonical_call_without_text_is_passed_over() -> None:
    payload = {
        "messages": [
            _message("user", LONG),
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
            {"role": "tool", "tool_call_id": "1", "content": "r"},
        ]
    }
    marked = mark_canonical(payload, min_prefix_tokens=1000)
    assert marked["messages"][0] == _message("user", [_text(LONG, marked=True)])
    assert marked["messages"][1:] == payload["messages"][1:]


def test_tools_count_for_the_prefix() -> None:
    tools = [{"name": "f", "description": LONG}]
    marked = mark_anthropic({"system": "s", "tools": tools, "messages": []}, min_prefix_tokens=1000)
    assert marked["system"] == [_text("s", marked=True)]
    assert marked["tools"] == tools


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [_message("user", LONG)]},
        {"system": "short", "messages": [_message("user", "a"), _message("assistant", "b"), _message("user", LONG)]},
        {"system": LONG, "messages": [_message("user", [_text("a", marked=True)])]},
        {"system": [_text("a", marked=True), _text(LONG)], "messages": []},
        {"system": LONG, "tools": [{"name": "f", "cache_control": MARK}], "messages": []},
        {"system": LONG, "cache_control": MARK, "messages": []},
        {"system": LONG},
        {"system": LONG, "messages": "x"},
    ],
)
def test_nothing_is_marked_where_it_is_not_worth_it_or_the_client_did(body: dict[str, Any]) -> None:
    assert mark_anthropic(body, min_prefix_tokens=1000) == body


@pytest.mark.parametrize(
    "message",
    [
        _message("user", [_text("a", marked=True)]),
        {"role": "tool", "tool_call_id": "1", "content": "r", "cache_control": MARK},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "cache_control": MARK}]},
    ],
)
def test_a_canonical_request_with_a_marker_is_left_to_the_client(message: dict[str, Any]) -> None:
    payload = {"messages": [_message("system", LONG), message]}
    assert mark_canonical(payload, min_prefix_tokens=1000) == payload


@pytest.mark.parametrize(
    ("model", "needed"),
    [
        ("anthropic/claude-x", True),
        ("amazon_bedrock/us.anthropic.claude-x-v1:0", True),
        ("openrouter/anthropic/Claude-X", True),
        ("openai/gpt-4o", False),
        ("vllm/llama", False),
    ],
)
def test_only_models_of_anthropic_need_markers(model: str, needed: bool) -> None:
    assert needs_markers(model) is needed


def test_the_client_can_turn_it_off() -> None:
    assert is_wanted({})
    assert is_wanted({"x-plano-cache": "on"})
    assert not is_wanted({"x-plano-cache": " OFF "})


_PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image", "thinking", "tool_use"])}, optional={"text": st.text(max_size=3)}
)
_MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool"])},
        optional={"content": st.none() | st.text(max_size=3) | st.lists(_PARTS, max_size=3)},
    ),
    max_size=6,
)


@given(_MESSAGES, st.none() | st.text(max_size=5) | st.lists(_PARTS, max_size=2))
@pytest.mark.parametrize("mark", [mark_canonical, mark_anthropic])
def test_markers_are_all_that_changes_and_they_are_few(
    mark: Callable[..., Mapping[str, Any]], messages: list[Any], system: object
) -> None:
    body = {"system": system, "messages": messages}
    before = copy.deepcopy(body)
    marked = mark(body, min_prefix_tokens=1)
    assert body == before
    assert _plain(marked) == _plain(body)
    assert str(marked).count("'cache_control'") <= 2
    assert mark(marked, min_prefix_tokens=1) == marked


def _plain(value: Any) -> Any:
    """``value`` without markers, and with texts in one form."""
    if isinstance(value, dict):
        plain = {key: _plain(item) for key, item in value.items() if key != "cache_control"}
        for key in ("content", "system"):
            if isinstance(plain.get(key), str):
                plain[key] = [{"type": "text", "text": plain[key]}]
        return plain
    return [_plain(item) for item in value] if isinstance(value, list) else value

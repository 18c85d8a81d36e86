"""How much a model is asked to reason, and its reasoning on the way back."""

from __future__ import annotations

import pytest

from router.dialects.canonical import JsonObject
from tests.dialects.bedrock.wire import (
    ADAPTIVE_CLAUDE,
    CALLED,
    CLAUDE,
    NOVA,
    NOVA_2,
    RESULT,
    TOOL,
    USER,
    converse,
    converse_anthropic,
    refused,
)
from tests.fakes.providers.answers import signature_of

PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1b2c3"
GPT = "openai.gpt-oss-120b-1:0"
THINKING: JsonObject = {"type": "thinking", "thinking": "Hm.", "signature": signature_of("Hm.")}
REDACTED: JsonObject = {"type": "redacted_thinking", "data": "AAEC"}


def fields(model: str = CLAUDE, *messages: JsonObject, **more: object) -> JsonObject:
    body = converse(*messages, model=model, **more)
    found: JsonObject = body.get("additionalModelRequestFields", {})
    return found


@pytest.mark.parametrize(
    ("effort", "budget"), [("minimal", 1024), ("low", 2048), ("medium", 8192), ("high", 16384), ("xhigh", 32768)]
)
def test_a_claude_that_takes_a_budget(effort: str, budget: int) -> None:
    body = converse(reasoning_effort=effort)
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": budget}}
    assert body["inferenceConfig"]["maxTokens"] > budget


def test_a_budget_leaves_room_for_the_answer() -> None:
    body = converse(reasoning_effort="high", max_tokens=4000)
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    assert body["inferenceConfig"]["maxTokens"] == 4000


@pytest.mark.parametrize(
    "request_fields",
    [
        {"reasoning_effort": "none"},
        {"reasoning_effort": None},
        {"reasoning_effort": "high", "max_tokens": 100},
        {"reasoning_effort": "high", "tools": [TOOL], "tool_choice": "required"},
    ],
)
def test_a_request_that_claude_would_refuse_with_thinking_goes_without(request_fields: JsonObject) -> None:
    assert fields(**request_fields) == {}


def test_a_turn_that_began_without_reasoning_goes_on_without() -> None:
    assert fields(CLAUDE, *CALLED, RESULT, tools=[TOOL], reasoning_effort="high") == {}
    signed = [USER, {**CALLED[1], "thinking_blocks": [THINKING]}, RESULT]
    assert "thinking" in fields(CLAUDE, *signed, tools=[TOOL], reasoning_effort="high")
    assert "thinking" in fields(CLAUDE, *CALLED, RESULT, {"role": "assistant", "content": "So."}, USER, tools=[TOOL],
                                reasoning_effort="high")  # fmt: skip


def test_a_claude_that_decides_itself() -> None:
    assert fields(ADAPTIVE_CLAUDE, reasoning_effort="high") == {
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
    }


def test_an_unknown_effort_is_named() -> None:
    assert refused(reasoning_effort="maximal").param == "reasoning_effort"
    assert refused(reasoning_effort=3).param == "reasoning_effort"


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        (NOVA, "high", {}),
        (NOVA_2, "none", {}),
        (NOVA_2, "minimal", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        (NOVA_2, "max", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
        (GPT, "low", {"reasoning_effort": "low"}),
        ("xai.grok-4-6", "low", {"reasoning_effort": "low"}),
        ("meta.llama3-3-70b-instruct-v1:0", "high", {}),
        (PROFILE, "high", {}),
    ],
)
def test_other_families(model: str, effort: str, expected: JsonObject) -> None:
    assert fields(model, reasoning_effort=effort) == expected


def test_claudes_own_field_wins() -> None:
    thinking = {"type": "enabled", "budget_tokens": 5000}
    body = converse(thinking=thinking, reasoning_effort="low")
    assert body["additionalModelRequestFields"] == {"thinking": thinking}
    assert body["inferenceConfig"]["maxTokens"] > 5000


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 5000}}, {}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, {"output_config": {"effort": "max"}}),
        ({"thinking": {"type": "disabled"}}, {}),
    ],
)
def test_an_anthropic_client_is_taken_at_its_word(said: JsonObject, expected: JsonObject) -> None:
    body = converse_anthropic(**said)
    assert body["additionalModelRequestFields"] == {"thinking": said["thinking"], **expected}
    assert body["inferenceConfig"] == {"maxTokens": 9000}


def test_an_anthropic_client_that_names_only_an_effort_gets_no_thinking() -> None:
    body = converse_anthropic(output_config={"effort": "low"})
    assert body["additionalModelRequestFields"] == {"output_config": {"effort": "low"}}


def test_for_other_models_the_budget_of_an_anthropic_client_is_an_effort() -> None:
    body = converse_anthropic(model=NOVA_2, thinking={"type": "enabled", "budget_tokens": 8200})
    assert body["additionalModelRequestFields"]["reasoningConfig"]["maxReasoningEffort"] == "medium"


@pytest.mark.parametrize(
    ("model", "shapes"),
    [
        (CLAUDE, ["reasoningText", "redactedContent"]),
        (PROFILE, ["reasoningText", "redactedContent"]),
        (GPT, ["redactedContent"]),
        (NOVA, []),
        ("deepseek.r1-v1:0", []),
    ],
)
def test_reasoning_goes_back_in_the_shape_that_the_model_knows(model: str, shapes: list[str]) -> None:
    kept = [THINKING, REDACTED, {"type": "reasoning", "id": "rs_1"}, {"type": "thinking", "thinking": "unsigned"}, 5]
    message = {"role": "assistant", "content": "So.", "thinking_blocks": kept, "reasoning_content": "Hm."}
    *reasoning, text = converse(USER, message, USER, model=model)["messages"][1]["content"]
    assert text == {"text": "So."}
    assert [next(iter(block["reasoningContent"])) for block in reasoning] == shapes


def test_reasoning_keeps_its_signature() -> None:
    message = {"role": "assistant", "content": "So.", "thinking_blocks": [THINKING, REDACTED]}
    first, second, _ = converse(USER, message)["messages"][1]["content"]
    assert first["reasoningContent"]["reasoningText"] == {"text": "Hm.", "signature": THINKING["signature"]}
    assert second["reasoningContent"]["redactedContent"] == "AAEC"

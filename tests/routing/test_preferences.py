from __future__ import annotations

import logging
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.context import RequestContext, Turn
from router.dialects import anthropic_messages, openai_chat, openai_responses
from router.dialects.canonical import ChatRequest
from router.errors import InvalidRequest, ModelUnavailable
from router.routing.preferences import Preference, PreferenceRouter, take_inline
from router.routing.selection import ModelSelection
from router.telemetry import semconv
from tests.fakes.counters import RecordedMetrics
from tests.fakes.models import ScriptedOrchestrator

CODE = Preference("code", "writes code", ("big", "small"))
CHAT = Preference("chat", "small talk", ("small", "big"), "cheapest")
HELLO = [Turn("user", "hello")]
SELECTION = ModelSelection(str, price={"small": 9.0, "big": 1.0}.get, latency={}.get)


def _context() -> RequestContext:
    return RequestContext("id", "llm", "/v1/chat/completions", {}, time.monotonic() + 60)


def _router(
    orchestrator: ScriptedOrchestrator,
    recorded: RecordedMetrics | None = None,
    preferences: tuple[Preference, ...] = (CODE, CHAT),
    threshold: float | None = 0.5,
) -> PreferenceRouter:
    return PreferenceRouter(
        "llm",
        preferences,
        orchestrator=orchestrator,
        threshold=threshold,
        timeout_s=1,
        selection=SELECTION,
        metrics=(recorded or RecordedMetrics()).metrics,
    )


async def test_the_best_scored_preference_wins_with_its_models_in_order() -> None:
    orchestrator = ScriptedOrchestrator({"code": 0.8, "chat": 0.6}, order=["chat", "code"])
    recorded = RecordedMetrics()
    decision = await _router(orchestrator, recorded).decide(HELLO, _context())
    assert (decision.route, decision.models, decision.reason) == ("code", ("big", "small"), "orchestrator")
    assert decision.scores == {"code": 0.8, "chat": 0.6}
    assert (decision.model, decision.model_version) == ("orchestrator", "1")
    assert recorded.count(semconv.ROUTE_DECISIONS, "llm", "orchestrator") == 1


async def test_of_equal_scores_the_one_to_run_first_wins() -> None:
    orchestrator = ScriptedOrchestrator({"code": 1.0, "chat": 1.0}, order=["chat", "code"])
    decision = await _router(orchestrator).decide(HELLO, _context())
    assert (decision.route, decision.models) == ("chat", ("big", "small"))


async def test_a_single_preference_has_to_fit_too() -> None:
    recorded = RecordedMetrics()
    router = _router(ScriptedOrchestrator({"code": 0.4}), recorded, (CODE,))
    decision = await router.decide(HELLO, _context())
    assert (decision.route, decision.models, decision.reason) == (None, (), "no_match")
    assert decision.scores == {"code": 0.4}
    assert recorded.count(semconv.ROUTE_DECISIONS, "llm", "no_match") == 1


async def test_the_threshold_is_the_models_where_the_configuration_has_none() -> None:
    router = _router(ScriptedOrchestrator({"code": 0.7}, threshold=0.8), threshold=None)
    assert (await router.decide(HELLO, _context())).reason == "no_match"


async def test_without_an_orchestrator_the_requested_model_is_used_and_it_shows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorded, context = RecordedMetrics(), _context()
    router = _router(ScriptedOrchestrator(error=ModelUnavailable("gone")), recorded)
    with caplog.at_level(logging.WARNING):
        decision = await router.decide(HELLO, context)
    assert (decision.route, decision.models, decision.reason) == (None, (), "degraded")
    assert context.degraded == ["orchestrator"]
    assert recorded.count(semconv.DEGRADED, "orchestrator") == 1
    assert "using the requested model" in caplog.text


async def test_preferences_of_the_request_take_the_place_of_the_files() -> None:
    orchestrator = ScriptedOrchestrator({"code": 1.0, "own": 0.9})
    inline = (Preference("own", "anything", ("x",)),)
    router = _router(orchestrator)
    decision = await router.decide(HELLO, _context(), inline=inline)
    assert (decision.route, decision.models, list(decision.scores)) == ("own", ("x",), ["own"])


async def test_nothing_to_read_is_not_asked_about() -> None:
    orchestrator = ScriptedOrchestrator({"code": 1.0})
    assert (await _router(orchestrator).decide([], _context())).reason == "no_match"
    assert orchestrator.asked == []


def test_it_applies_where_there_are_preferences() -> None:
    assert _router(ScriptedOrchestrator()).applies(None)
    assert not _router(ScriptedOrchestrator(), preferences=()).applies(None)
    assert _router(ScriptedOrchestrator(), preferences=()).applies((CODE,))


def _chat(**fields: object) -> ChatRequest:
    return openai_chat.decode_request(
        orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields})
    )


def _known(name: str) -> bool:
    return name in {"big", "small"}


INLINE: dict[str, Any] = {"name": "code", "description": "writes code", "models": ["big", "small"]}


def test_inline_preferences_are_taken_out_of_the_request() -> None:
    request, inline = take_inline(
        _chat(routing_preferences=[{**INLINE, "selection_policy": {"prefer": "fastest"}}], temperature=0.5), _known
    )
    assert inline == (Preference("code", "writes code", ("big", "small"), "fastest"),)
    assert dict(request.payload) == dict(_chat(temperature=0.5).payload)
    assert b"routing_preferences" not in (request.native_body() or b"")


def test_a_request_without_preferences_stays_as_it_is() -> None:
    request = _chat(metadata={"team": "blue"})
    assert take_inline(request, _known) == (request, None)


def test_no_preferences_are_none_that_reach_the_provider() -> None:
    request, inline = take_inline(_chat(routing_preferences=None), _known)
    assert (inline, "routing_preferences" in request.payload) == (None, False)


@pytest.mark.parametrize("name", ["archgw_preference_config", "plano_preference_config"])
@pytest.mark.parametrize("others", [{}, {"team": "blue"}])
def test_stale_metadata_is_stripped(name: str, others: dict[str, str]) -> None:
    request, inline = take_inline(_chat(metadata={**others, name: "[]"}), _known)
    assert inline is None
    assert request.payload.get("metadata", {}) == others


def test_a_native_body_of_another_dialect_is_stripped_and_stays_translatable() -> None:
    body = {
        "model": "m",
        "max_tokens": 10,
        "messages": [{"role": "user", "content": "hi"}],
        "metadata": {"user_id": "u", "plano_preference_config": "x"},
        "routing_preferences": [INLINE],
    }
    request, inline = take_inline(anthropic_messages.decode_request(orjson.dumps(body)), _known)
    assert inline == (CODE,)
    assert request.native is not None
    assert "routing_preferences" not in request.native
    assert request.native["metadata"] == {"user_id": "u"}
    request.require_translatable("openai_chat")


def test_a_body_of_the_responses_api_is_stripped_too() -> None:
    body = {"model": "m", "input": "hi", "routing_preferences": [INLINE]}
    request, inline = take_inline(openai_responses.decode_request(orjson.dumps(body)), _known)
    assert inline == (CODE,)
    assert b"routing_preferences" not in (request.native_body() or b"")
    assert "routing_preferences" not in request.payload
    request.require_translatable("openai_chat")


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ({}, "routing_preferences"),
        ([], "routing_preferences"),
        ([INLINE] * 65, "routing_preferences"),
        (["x"], "routing_preferences[0]"),
        ([{**INLINE, "selection_polcy": {}}], "routing_preferences[0].selection_polcy"),
        ([INLINE, {**INLINE, "name": ""}], "routing_preferences[1].name"),
        ([INLINE, INLINE], "routing_preferences[1].name"),
        ([{**INLINE, "name": 5}], "routing_preferences[0].name"),
        ([{**INLINE, "description": "x" * 5000}], "routing_preferences[0].description"),
        ([{"name": "a", "models": ["big"]}], "routing_preferences[0].description"),
        ([{**INLINE, "models": []}], "routing_preferences[0].models"),
        ([{**INLINE, "models": "big"}], "routing_preferences[0].models"),
        ([{**INLINE, "models": ["big", 1]}], "routing_preferences[0].models[1]"),
        ([{**INLINE, "models": ["big", "huge"]}], "routing_preferences[0].models[1]"),
        ([{**INLINE, "selection_policy": "cheapest"}], "routing_preferences[0].selection_policy"),
        ([{**INLINE, "selection_policy": {"prefer": "best"}}], "routing_preferences[0].selection_policy.prefer"),
        ([{**INLINE, "selection_policy": {"prefer": ["none"]}}], "routing_preferences[0].selection_policy.prefer"),
        ([{**INLINE, "selection_policy": {"first": 1}}], "routing_preferences[0].selection_policy.first"),
    ],
)
def test_malformed_preferences_are_refused_by_field(value: object, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        take_inline(_chat(routing_preferences=value), _known)
    assert caught.value.param == param


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["big", "none", "code", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "description", "models", "selection_policy", "prefer"]), inner)
    ),
    max_leaves=15,
)


@given(_VALUES)
def test_whatever_comes_inline_is_taken_or_refused(value: object) -> None:
    try:
        _, inline = take_inline(_chat(routing_preferences=value), _known)
    except InvalidRequest as error:
        param = error.param
    else:
        assert inline or value is None
        return
    assert param is not None
    assert param.startswith("routing_preferences")

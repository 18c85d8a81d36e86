from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import orjson
import pytest

from router.context import Identity, RequestContext
from router.dialects import openai_chat
from router.dialects.canonical import ChatRequest
from router.errors import InvalidRequest, ModelNotFound, ModelUnavailable
from router.pricing import PriceTable
from router.routing.affinity import AffinitySettings, SessionAffinity
from router.routing.budget import RoutingBudget
from router.routing.model_decision import ModelDecider, ModelDecision
from router.routing.models import ModelChoice, ModelRouter, ProviderModel
from router.routing.preferences import Preference, PreferenceRouter
from router.routing.selection import ModelSelection
from router.state.memory import MemoryStore
from tests.fakes.counters import RecordedMetrics
from tests.fakes.models import ScriptedOrchestrator

NAMED = {"x-model-affinity": "s1"}
ROUTER = ModelRouter(
    [
        ProviderModel("openai/big", "openai", "big"),
        ProviderModel("azure_openai/big", "azure_openai", "big"),
        ProviderModel("openai/small", "openai", "small", default=True),
        ProviderModel("groq/gone", "groq", "gone", unavailable="'groq/gone' cannot be used: KEY is not set."),
    ],
    {"smart": "openai/big"},
)
CODE = Preference("code", "writes code", ("groq/gone", "smart", "big", "openai/small"))
CHAT = Preference("chat", "small talk", ("groq/gone",))


class Decisions:
    """A decider and what its orchestrator was asked."""

    def __init__(
        self,
        scores: Mapping[str, float] | None = None,
        *,
        preferences: tuple[Preference, ...] = (CODE, CHAT),
        settings: AffinitySettings | None = None,
        error: ModelUnavailable | None = None,
        permits: Callable[[ModelChoice, Identity | None], bool] = lambda choice, identity: True,
    ) -> None:
        self.orchestrator = ScriptedOrchestrator(scores or {}, error=error)
        router = PreferenceRouter(
            "llm",
            preferences,
            orchestrator=self.orchestrator,
            threshold=0.5,
            timeout_s=1,
            selection=ModelSelection(ROUTER.full_name, price={}.get, latency={}.get),
            metrics=RecordedMetrics().metrics,
        )
        affinity = None
        if settings is not None:
            affinity = SessionAffinity(
                settings,
                MemoryStore(),
                prices=PriceTable({}),
                usable=ROUTER.usable,
                full_name=ROUTER.full_name,
                count_degraded=lambda: None,
            )
        self._decider = ModelDecider(ROUTER, router, affinity, permits=permits)

    async def decide(
        self,
        headers: Mapping[str, str] | None = None,
        *,
        model: str | None = None,
        identity: Identity | None = None,
        **fields: object,
    ) -> ModelDecision:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}
        request: ChatRequest = openai_chat.decode_request(orjson.dumps(body))
        context = RequestContext("id", "llm", "/v1/chat/completions", headers or {}, time.monotonic() + 60)
        context.identity = identity
        return await self._decider.decide(request, context)


def _ids(decision: ModelDecision) -> list[list[str]]:
    return [[entry.id for entry in choice.entries] for choice in decision.choices]


async def test_the_models_of_the_preference_come_in_order_each_entry_once_and_unavailable_ones_not() -> None:
    decision = await Decisions({"code": 0.9}).decide(model="openai/small")
    assert (decision.by, decision.route) == ("preference", "code")
    assert _ids(decision) == [["openai/big"], ["azure_openai/big"], ["openai/small"]]
    assert decision.models == ("openai/big", "azure_openai/big", "openai/small")


@pytest.mark.parametrize(
    ("model", "expected"), [(None, [["openai/small"]]), ("smart", [["openai/big"], ["azure_openai/big"]])]
)
async def test_where_no_preference_fits_the_requested_model_or_the_default_serves(
    model: str | None, expected: list[list[str]]
) -> None:
    decision = await Decisions().decide(model=model)
    assert (decision.by, decision.route, _ids(decision)) == ("request", None, expected)
    assert decision.preference is not None
    assert decision.preference.reason == "no_match"


async def test_a_preference_of_which_nothing_is_available_leaves_it_to_the_requested_model() -> None:
    decision = await Decisions({"chat": 0.9}).decide(model="openai/small")
    assert (decision.by, decision.route, decision.models) == ("request", "chat", ("openai/small",))


async def test_without_an_orchestrator_the_requested_model_serves() -> None:
    decision = await Decisions(error=ModelUnavailable("gone")).decide(model="openai/small")
    assert (decision.by, decision.models) == ("request", ("openai/small",))
    assert decision.preference is not None
    assert decision.preference.reason == "degraded"


async def test_without_preferences_nobody_is_asked() -> None:
    decisions = Decisions({"code": 1}, preferences=())
    decision = await decisions.decide(model="big")
    assert (_ids(decision), decision.preference, decisions.orchestrator.asked) == (
        [["openai/big", "azure_openai/big"]],
        None,
        [],
    )
    with pytest.raises(ModelNotFound):
        await decisions.decide(model="nope/x")


async def test_the_hint_decides_alone() -> None:
    decisions = Decisions({"code": 1}, settings=AffinitySettings())
    await decisions.decide(NAMED, model="openai/small")
    asked = len(decisions.orchestrator.asked)
    decision = await decisions.decide({**NAMED, "x-arch-llm-provider-hint": "azure_openai/big"}, model="openai/small")
    assert (decision.by, decision.session, _ids(decision)[0]) == ("hint", None, ["azure_openai/big"])
    assert len(decisions.orchestrator.asked) == asked


async def test_a_pinned_session_is_not_routed_again() -> None:
    decisions = Decisions({"code": 1}, settings=AffinitySettings())
    first = await decisions.decide(NAMED, model="openai/small")
    second = await decisions.decide(NAMED, model="openai/small")
    assert (first.by, second.by) == ("preference", "session")
    assert first.models[0] == second.models[0] == "openai/big"
    assert _ids(second) == _ids(first) == [["openai/big"], ["azure_openai/big"], ["openai/small"]]
    assert first.session is not None
    assert second.session is not None
    assert (first.session.pinned, second.session.pinned, second.session.session_id) == (False, True, "s1")
    assert len(decisions.orchestrator.asked) == 1


async def test_a_session_may_refuse_to_pay_for_the_preferred_model() -> None:
    settings = AffinitySettings(budget=RoutingBudget(max_switch_spend_pct=0))
    router = ModelRouter([ProviderModel(f"openai/{name}", "openai", name) for name in ("gpt-4o", "gpt-4o-mini")], {})
    orchestrator = ScriptedOrchestrator({"code": 1})
    decider = ModelDecider(
        router,
        PreferenceRouter(
            "llm",
            (Preference("code", "x", ("openai/gpt-4o",)),),
            orchestrator=orchestrator,
            threshold=0.5,
            timeout_s=1,
            selection=ModelSelection(str, price={}.get, latency={}.get),
            metrics=RecordedMetrics().metrics,
        ),
        SessionAffinity(
            settings,
            MemoryStore(),
            prices=PriceTable({}),
            usable=router.usable,
            full_name=router.full_name,
            count_degraded=lambda: None,
        ),
    )
    request = openai_chat.decode_request(
        b'{"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}'
    )
    context = RequestContext("id", "llm", "/v1/chat/completions", {}, time.monotonic() + 60)
    orchestrator.scores = {}
    first = await decider.decide(request, context)
    orchestrator.scores = {"code": 1}
    second = await decider.decide(request, context)
    assert first.models == ("openai/gpt-4o-mini",)
    assert (second.by, second.route) == ("session", "code")
    assert second.models == ("openai/gpt-4o-mini", "openai/gpt-4o")
    assert second.session is not None
    assert (second.session.pinned, second.session.reason) == (True, "over_budget")


async def test_preferences_of_the_request_are_used_and_taken_out() -> None:
    own = {"name": "own", "description": "anything", "models": ["azure_openai/big"]}
    decision = await Decisions({"own": 1, "code": 1}).decide(routing_preferences=[own])
    assert (decision.route, decision.models[0]) == ("own", "azure_openai/big")
    assert "routing_preferences" not in decision.request.payload
    with pytest.raises(InvalidRequest, match=r"routing_preferences\[0\].models\[0\]"):
        await Decisions().decide(routing_preferences=[{**own, "models": ["nope/x"]}])


async def test_no_preference_leads_to_what_the_key_is_not_for() -> None:
    team = Identity("team")

    def permits(choice: ModelChoice, identity: Identity | None) -> bool:
        return identity != team or choice.model != "big"

    decisions = Decisions({"code": 0.9}, permits=permits)
    assert (await decisions.decide(identity=team)).models == ("openai/small",)
    assert (await decisions.decide()).models[0] == "openai/big"
    none_left = Decisions({"code": 0.9}, preferences=(Preference("code", "code", ("smart",)),), permits=permits)
    decision = await none_left.decide(model="openai/small", identity=team)
    assert (decision.by, decision.models, decision.route) == ("request", ("openai/small",), "code")

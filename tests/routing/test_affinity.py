from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.context import Identity, RequestContext
from router.dialects import openai_chat
from router.dialects.canonical import ChatRequest
from router.errors import InvalidRequest, StateUnavailable
from router.pricing import ModelFacts, ModelPrice, PriceTable, Rates
from router.routing.affinity import NAMESPACE, AffinitySettings, SessionAffinity
from router.routing.budget import Ledger, RoutingBudget
from router.routing.sessions import Binding, SettledSession
from router.state.base import Store
from router.state.memory import MemoryStore

NAMED = {"x-model-affinity": "s1"}
PRICES = PriceTable(
    {
        "p/cheap": ModelFacts(ModelPrice(Rates(1, 5, cached_input=0.1))),
        "p/dear": ModelFacts(ModelPrice(Rates(10, 50, cached_input=1))),
    },
    {},
)


class BrokenStore(MemoryStore):
    """A store that never answers in time."""

    async def get(self, namespace: str, key: str) -> bytes | None:
        raise StateUnavailable

    async def set(self, namespace: str, key: str, value: bytes, *, ttl_s: float) -> None:
        raise StateUnavailable


class Gateway:
    """One gateway's sessions, whose time passes when it is told to."""

    def __init__(self, settings: AffinitySettings, store: Store | None = None) -> None:
        self.now = 1_000_000.0
        self.usable = {"p/cheap", "p/dear", "p/other"}
        self.degraded = 0
        self.affinity = SessionAffinity(
            settings,
            store or MemoryStore(clock=lambda: self.now),
            prices=PRICES,
            usable=self.usable.__contains__,
            full_name=str,
            count_degraded=self._count,
            clock=lambda: self.now,
        )
        self.context = _context({})

    def _count(self) -> None:
        self.degraded += 1

    async def turn(
        self,
        candidate: str,
        headers: Mapping[str, str] = NAMED,
        *,
        request: ChatRequest | None = None,
        identity: str | None = None,
    ) -> SettledSession | None:
        """One request: what routing would choose is only asked for where the session does not decide."""
        request = request or _request()
        self.context = _context(headers, identity)
        session = await self.affinity.find(request, self.context)
        if session is None:
            return None
        return await self.affinity.settle(session, session.model or candidate, request, self.context)

    async def settled(self, candidate: str, headers: Mapping[str, str] = NAMED, **more: Any) -> SettledSession:
        settled = await self.turn(candidate, headers, **more)
        assert settled is not None
        return settled

    async def model(self, candidate: str, headers: Mapping[str, str] = NAMED, **more: Any) -> tuple[str, bool, bool]:
        settled = await self.settled(candidate, headers, **more)
        return settled.model, settled.pinned, settled.switched


def _context(headers: Mapping[str, str], identity: str | None = None) -> RequestContext:
    context = RequestContext("id", "llm", "/v1/chat/completions", headers, time.monotonic() + 60)
    context.identity = None if identity is None else Identity(identity)
    return context


def _request(*messages: tuple[str, str], model: str | None = "p/cheap", size: int = 0) -> ChatRequest:
    said = messages or (("system", "be nice"), ("user", "hello"))
    payload = [{"role": role, "content": content + "x" * size} for role, content in said]
    return openai_chat.decode_request(orjson.dumps({"model": model, "messages": payload}))


async def test_a_named_session_stays_with_its_model() -> None:
    gateway = Gateway(AffinitySettings())
    assert await gateway.model("p/cheap") == ("p/cheap", False, False)
    assert await gateway.model("p/dear") == ("p/cheap", True, False)
    assert await gateway.model("p/dear", request=_request(model="p/dear")) == ("p/cheap", True, False)


async def test_it_is_forgotten_after_the_ttl_since_its_last_use() -> None:
    gateway = Gateway(AffinitySettings(ttl_s=100))
    await gateway.model("p/cheap")
    for _ in range(3):
        gateway.now += 99
        assert await gateway.model("p/dear") == ("p/cheap", True, False)
    gateway.now += 101
    assert await gateway.model("p/dear") == ("p/dear", False, False)


async def test_without_a_name_there_is_no_session() -> None:
    assert await Gateway(AffinitySettings()).turn("p/cheap", {}) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"headers": NAMED}, {"headers": {"x-model-affinity": "s2"}}),
        ({"headers": {**NAMED, "x-tenant": "a"}}, {"headers": {**NAMED, "x-tenant": "b"}}),
        ({"headers": {**NAMED, "x-tenant": "a"}}, {"headers": NAMED}),
        ({"headers": NAMED, "identity": "a"}, {"headers": NAMED, "identity": "b"}),
    ],
)
async def test_sessions_of_others_are_others(first: dict[str, Any], second: dict[str, Any]) -> None:
    gateway = Gateway(AffinitySettings(tenant_header="X-Tenant"))
    await gateway.model("p/cheap", **first)
    assert await gateway.model("p/dear", **second) == ("p/dear", False, False)
    assert await gateway.model("p/dear", **first) == ("p/cheap", True, False)


async def test_a_session_whose_model_is_gone_begins_anew() -> None:
    gateway = Gateway(AffinitySettings())
    await gateway.model("p/cheap")
    gateway.usable.remove("p/cheap")
    assert await gateway.model("p/dear") == ("p/dear", False, False)


async def test_what_another_version_has_written_is_forgotten() -> None:
    store = MemoryStore()
    gateway = Gateway(AffinitySettings(), store)
    await gateway.model("p/cheap")
    session = await gateway.affinity.find(_request(), _context(NAMED))
    assert session is not None
    for value in (b"", b"{}", b'["p/cheap"]', b'["p/cheap", null, "x", ["a", 0, 0, 0], []]', b"[1, 2, 3, 4, 5]"):
        await store.set(NAMESPACE, session.key, value, ttl_s=10)
        assert await gateway.model("p/dear") == ("p/dear", False, False)


async def test_without_its_store_the_gateway_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway(AffinitySettings(), BrokenStore())
    assert await gateway.model("p/cheap") == ("p/cheap", False, False)
    assert gateway.context.degraded == ["sessions"]
    assert gateway.degraded == 1
    assert "session store unavailable" in caplog.text


@pytest.mark.parametrize("name", ["", "x" * 257])
async def test_a_session_has_a_name_of_reasonable_length(name: str) -> None:
    with pytest.raises(InvalidRequest, match="x-model-affinity"):
        await Gateway(AffinitySettings()).turn("p/cheap", {"x-model-affinity": name})


async def test_what_was_said_and_who_said_it_is_not_in_the_store() -> None:
    seen: list[str] = []

    class Watched(MemoryStore):
        async def set(self, namespace: str, key: str, value: bytes, *, ttl_s: float) -> None:
            seen.append(key + value.decode())
            await super().set(namespace, key, value, ttl_s=ttl_s)

    gateway = Gateway(AffinitySettings(stick=True, tenant_header="x-tenant"), Watched())
    await gateway.turn("p/cheap", {"x-model-affinity": "secret-1", "x-tenant": "secret-2"})
    await gateway.turn("p/cheap", {}, request=_request(("user", "secret-3")), identity="secret-4")
    assert len(seen) == 2
    assert "secret" not in "".join(seen)


STICK = AffinitySettings(stick=True, implicit_ttl_s=50)


async def test_a_conversation_is_recognized_by_its_beginning() -> None:
    gateway = Gateway(STICK)
    beginning = (("system", "be nice"), ("user", "hello"))
    first = await gateway.settled("p/cheap", {}, request=_request(*beginning))
    longer = _request(*beginning, ("assistant", "hi"), ("user", "more"))
    second = await gateway.settled("p/dear", {}, request=longer)
    other = await gateway.settled("p/dear", {}, request=_request(("system", "be nice"), ("user", "other")))
    assert first.session_id == second.session_id != other.session_id
    assert first.session_id.startswith("implicit:")
    assert (first.pinned, second.pinned, second.model, other.pinned) == (False, True, "p/cheap", False)


async def test_the_markers_of_a_cache_do_not_change_who_it_is() -> None:
    def request(**marker: object) -> ChatRequest:
        parts = [{"type": "text", "text": "hello", **marker}]
        return openai_chat.decode_request(orjson.dumps({"messages": [{"role": "user", "content": parts}]}))

    gateway = Gateway(STICK)
    first = await gateway.settled("p/cheap", {}, request=request(cache_control={"type": "ephemeral"}))
    second = await gateway.settled("p/dear", {}, request=request())
    assert (second.model, second.session_id) == ("p/cheap", first.session_id)


async def test_a_recognized_session_follows_the_client_to_another_model() -> None:
    gateway = Gateway(STICK)
    await gateway.model("p/cheap", {}, request=_request(model="p/cheap"))
    assert await gateway.model("p/dear", {}, request=_request(model="p/dear")) == ("p/dear", False, False)


async def test_a_recognized_session_has_its_own_ttl() -> None:
    gateway = Gateway(STICK)
    await gateway.model("p/cheap", {})
    gateway.now += 51
    assert await gateway.model("p/dear", {}) == ("p/dear", False, False)


async def test_the_client_turns_recognition_off_and_not_its_own_name() -> None:
    gateway = Gateway(STICK)
    assert await gateway.turn("p/cheap", {"x-plano-cache": "off"}) is None
    await gateway.model("p/cheap", {**NAMED, "x-plano-cache": "off"})
    assert await gateway.model("p/dear", {**NAMED, "x-plano-cache": "off"}) == ("p/cheap", True, False)


async def test_a_conversation_without_a_user_is_no_session() -> None:
    assert await Gateway(STICK).turn("p/cheap", {}, request=_request(("system", "be nice"))) is None


async def test_an_endless_model_name_fits_into_the_store() -> None:
    request = _request(model="x" * 2_000_000)
    gateway = Gateway(STICK)
    await gateway.model("p/cheap", {}, request=request)
    assert await gateway.model("p/dear", {}, request=request) == ("p/cheap", True, False)
    assert await gateway.model("p/" + "x" * 2_000_000) == ("p/" + "x" * 2_000_000, False, False)


USER_ONLY = AffinitySettings(route_on_user_only=True)
CONTINUED = (("user", "weather?"), ("assistant", "let me look"), ("tool", "sunny"))


@pytest.mark.parametrize("headers", [{}, NAMED])
async def test_tool_results_stay_with_the_model_of_the_turn(headers: Mapping[str, str]) -> None:
    gateway = Gateway(replace(USER_ONLY, budget=RoutingBudget(max_switch_spend_pct=100)))
    await gateway.model("p/dear", headers, request=_request(CONTINUED[0]))
    for length in (2, 3):
        request = _request(*CONTINUED[:length])
        assert await gateway.model("p/cheap", headers, request=request) == ("p/dear", True, False)


async def test_a_new_user_message_is_routed_again() -> None:
    gateway = Gateway(USER_ONLY)
    await gateway.model("p/dear", {}, request=_request(CONTINUED[0]))
    again = _request(*CONTINUED, ("assistant", "Sunny."), ("user", "write code"))
    assert await gateway.model("p/cheap", {}, request=again) == ("p/cheap", False, True)
    assert await gateway.model("p/cheap", {}, request=again) == ("p/cheap", True, False)


def _budgeted(**budget: Any) -> Gateway:
    return Gateway(AffinitySettings(ttl_s=10_000, budget=RoutingBudget(**budget)))


async def test_a_warm_session_changes_its_model_only_within_the_budget() -> None:
    gateway = _budgeted(max_switch_spend_pct=20, record_counterfactual=True)
    request = _request(size=4000)
    await gateway.model("p/cheap", request=request)
    settled = await gateway.settled("p/dear", request=request)
    assert (settled.model, settled.pinned, settled.switched) == ("p/cheap", True, False)
    assert (settled.reason, settled.refused) == ("over_budget", "p/dear")
    assert settled.cost_usd == pytest.approx(0.0198, rel=0.02)


async def test_the_seed_pays_for_a_change() -> None:
    gateway = _budgeted(seed_usd=0.02)
    request = _request(size=4000)
    await gateway.model("p/cheap", request=request)
    assert await gateway.model("p/dear", request=request) == ("p/dear", False, True)
    assert await gateway.model("p/dear", request=request) == ("p/dear", True, False)
    await gateway.model("p/cheap", request=request)
    settled = await gateway.settled("p/dear", request=request)
    assert settled.refused is None


async def test_the_baseline_of_many_turns_pays_for_a_change() -> None:
    gateway = _budgeted(max_switch_spend_pct=100)
    request = _request(size=4000)
    for _ in range(200):
        await gateway.model("p/cheap", request=request)
    assert await gateway.model("p/dear", request=request) == ("p/dear", False, True)


async def test_a_cold_session_changes_freely_and_begins_a_new_account() -> None:
    for replenish, expected in ((True, "p/dear"), (False, "p/cheap")):
        gateway = _budgeted(seed_usd=0.02, replenish_on_rebind=replenish)
        request = _request(size=4000)
        await gateway.model("p/cheap", request=request)
        await gateway.model("p/dear", request=request)  # spends the seed
        gateway.now += 301
        assert await gateway.model("p/cheap", request=request) == ("p/cheap", False, True)
        assert (await gateway.model("p/dear", request=request))[0] == expected


async def test_a_budget_recognizes_sessions_without_a_name() -> None:
    gateway = _budgeted(max_switch_spend_pct=0)
    await gateway.model("p/cheap", {})
    assert await gateway.model("p/dear", {}) == ("p/cheap", True, False)


async def test_a_model_without_a_price_is_never_refused() -> None:
    gateway = _budgeted(max_switch_spend_pct=0)
    await gateway.model("p/cheap")
    settled = await gateway.settled("p/other")
    assert (settled.model, settled.reason) == ("p/other", "no_pricing")


async def test_the_client_may_say_another_percentage() -> None:
    gateway = _budgeted(max_switch_spend_pct=0)
    request = _request(size=4000)
    headers = {**NAMED, "x-plano-max-switch-spend-pct": "100"}
    for _ in range(200):
        await gateway.model("p/cheap", request=request)
    assert await gateway.model("p/dear", request=request) == ("p/cheap", True, False)
    assert await gateway.model("p/dear", headers, request=request) == ("p/dear", False, True)


@pytest.mark.parametrize("value", ["", "x", "-1", "101", "nan", "inf", "20%"])
async def test_a_percentage_is_a_number_from_0_to_100(value: str) -> None:
    with pytest.raises(InvalidRequest, match="x-plano-max-switch-spend-pct"):
        await _budgeted().turn("p/cheap", {**NAMED, "x-plano-max-switch-spend-pct": value})


@given(st.text(), st.none() | st.text(), st.floats(0, 1e10), st.floats(0, 1e6), st.floats(0, 1e6), st.integers(0, 99))
def test_a_binding_is_read_as_it_was_written(
    model: str, requested: str | None, used_at: float, baseline: float, spent: float, switches: int
) -> None:
    binding = Binding(model, requested, used_at, Ledger(model, baseline, spent, switches), (model, "b"))
    assert Binding.decode(binding.encode()) == binding


@given(st.binary(max_size=40))
def test_what_is_no_binding_is_a_value_or_type_error(value: bytes) -> None:
    try:
        binding = Binding.decode(value)
    except (ValueError, TypeError):
        return
    assert isinstance(binding.model, str)

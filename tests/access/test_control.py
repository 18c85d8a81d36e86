from __future__ import annotations

import time
from typing import Any

import pytest
from pydantic import SecretStr

from router.access.control import AccessControl, estimated_tokens
from router.access.counters import Counters
from router.access.keys import Grant, KeyRing
from router.access.rate_limits import RateLimits
from router.config.access import ApiKey
from router.config.ratelimits import RateLimit
from router.context import Attempt, Identity, RequestContext
from router.dialects.canonical import Usage
from router.errors import InsufficientQuota, PermissionDenied, RateLimited, StateUnavailable
from router.state.memory import MemoryStore
from router.telemetry import semconv
from tests.fakes.counters import RecordedMetrics
from tests.fakes.prices import FakePrices
from tests.fakes.stores import SharedStore

NOON = 1_770_033_600.0
MODEL = "openai/gpt-4o"


class World:
    """An access control with one key ``team``, at a time that is set by hand."""

    def __init__(
        self, *limits: dict[str, Any], store: MemoryStore | None = None, has_free_models: bool = True, **key: Any
    ) -> None:
        self.now = NOON
        self.recorded = RecordedMetrics()
        self.prices = FakePrices({"openai/gpt-4o": 0.001})
        ring = KeyRing([Grant.of(ApiKey(name="team", key=SecretStr("a-long-and-random-key-0123"), **key))])
        self.counters = Counters(store or MemoryStore(clock=self.clock), clock=self.clock)
        rules = RateLimits.of([RateLimit.model_validate(limit) for limit in limits], {})
        self.control = AccessControl(
            ring, rules, self.counters, self.prices, self.recorded.metrics, has_free_models=has_free_models
        )

    def clock(self) -> float:
        return self.now

    async def admit(
        self, tokens: int = 10, model: str | None = MODEL, headers: dict[str, str] | None = None
    ) -> RequestContext:
        context = RequestContext("id", "front", "/", headers or {}, time.monotonic() + 60, identity=Identity("team"))
        try:
            await self.control.admit(context, model, tokens)
        except Exception as exc:
            exc.context = context  # type: ignore[attr-defined]
            raise
        return context

    async def use(self, usage: Usage | None, *outcomes: str, model: str = MODEL, tokens: int = 10) -> None:
        """A request from its admission to its end."""
        context = await self.admit(tokens, model)
        context.usage = usage
        context.attempts += [Attempt("openai", model, 0.0, outcome) for outcome in outcomes]
        for finished in context.on_finished:
            finished(context)


def per_minute(**limit: Any) -> dict[str, Any]:
    return {"model": MODEL, "selector": {"key": "x-user"}, "limit": {**limit, "unit": "minute"}}


async def test_what_has_no_limits_costs_nothing() -> None:
    context = await World().admit()
    assert (context.response_headers, context.on_finished) == ({}, [])


async def test_requests_over_the_limit_are_refused_and_told_when_to_come_back() -> None:
    world = World(rate_limit={"requests": 2, "unit": "minute"})
    for left in ("1", "0"):
        context = await world.admit()
        assert context.response_headers["x-ratelimit-remaining-requests"] == left
    with pytest.raises(RateLimited) as caught:
        await world.admit()
    error = caught.value
    assert (error.status, error.code, error.type) == (429, "rate_limit_exceeded", "requests")
    assert error.retry_after_s == 60
    assert "2 requests per minute" in error.message
    headers = error.context.response_headers  # type: ignore[attr-defined]
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("2", "0")
    assert world.recorded.count(semconv.ACCESS_REFUSALS, "rate_limited") == 1
    world.now += 60
    await world.admit()


async def test_tokens_are_reserved_by_estimate_and_settled_by_what_was_counted() -> None:
    world = World(rate_limit={"tokens": 100, "unit": "minute"})
    context = await world.admit(40)
    assert context.response_headers["x-ratelimit-remaining-tokens"] == "60"
    context.usage = Usage(20, 30)
    for finished in context.on_finished:
        finished(context)
    assert (await world.admit(20)).response_headers["x-ratelimit-remaining-tokens"] == "30"
    with pytest.raises(RateLimited) as caught:
        await world.admit(31)
    assert caught.value.type == "tokens"


async def test_an_answer_may_overrun_the_limit_but_the_next_request_may_not() -> None:
    world = World(rate_limit={"tokens": 100, "unit": "minute"})
    await world.use(Usage(10, 500), "ok")
    with pytest.raises(RateLimited):
        await world.admit(1)


async def test_a_request_that_is_larger_than_the_limit_is_told_so() -> None:
    world = World(rate_limit={"tokens": 100, "unit": "minute"})
    with pytest.raises(RateLimited, match="alone is over") as caught:
        await world.admit(101)
    assert (caught.value.retry_after_s, caught.value.retryable) == (None, False)


@pytest.mark.parametrize(
    ("usage", "outcomes", "used"),
    [
        (None, [], 40),  # nobody counted, and nobody says that it failed
        (None, ["ok"], 40),
        (None, ["upstream_timeout", "cancelled"], 40),
        (None, ["upstream_timeout", "upstream_error"], 0),
        (Usage(30, 20), ["upstream_timeout", "ok"], 50),
    ],
)
async def test_what_counts_in_the_end(usage: Usage | None, outcomes: list[str], used: int) -> None:
    world = World(rate_limit={"tokens": 100, "unit": "minute"})
    await world.use(usage, *outcomes, tokens=40)
    context = await world.admit(1)
    assert context.response_headers["x-ratelimit-remaining-tokens"] == str(99 - used)


@pytest.mark.parametrize(("outcome", "first_byte_s"), [("cancelled", 0.1), ("upstream_unreachable", 0.1), ("ok", 0.1)])
async def test_a_stream_whose_tokens_nobody_counted_counts_by_its_events(outcome: str, first_byte_s: float) -> None:
    world = World(rate_limit={"tokens": 100, "unit": "minute"}, budget={"usd": 1})
    context = await world.admit(40)
    context.attempts.append(Attempt("openai", MODEL, 0.0, outcome, first_byte_s=first_byte_s))
    context.streamed_events = 30
    for finished in context.on_finished:
        finished(context)
    assert (await world.admit(1)).response_headers["x-ratelimit-remaining-tokens"] == "29"


async def test_what_a_stream_that_was_left_cost_is_paid_for() -> None:
    world = World(budget={"usd": 1})
    context = await world.admit(10)
    context.attempts.append(Attempt("openai", MODEL, 0.0, "cancelled", first_byte_s=0.1))
    context.streamed_events = 1000
    for finished in context.on_finished:
        finished(context)
    with pytest.raises(InsufficientQuota):
        await world.admit(10)


async def test_a_request_that_one_limit_refuses_counts_for_none() -> None:
    world = World(per_minute(requests=1), rate_limit={"requests": 3, "unit": "minute"})
    await world.admit(headers={"x-user": "ada"})
    for _ in range(5):
        with pytest.raises(RateLimited):
            await world.admit(headers={"x-user": "ada"})
    await world.admit(headers={"x-user": "bob"})
    await world.admit(headers={"x-user": "cleo"})
    with pytest.raises(RateLimited, match="3 requests"):
        await world.admit(headers={"x-user": "dora"})


async def test_a_budget_in_tokens_is_used_up_until_its_period_is_over() -> None:
    world = World(budget={"tokens": 100, "period": "day"})
    await world.use(Usage(60, 50), "ok")
    with pytest.raises(InsufficientQuota) as caught:
        await world.admit(1)
    error = caught.value
    assert (error.status, error.type, error.code) == (429, "insufficient_quota", "insufficient_quota")
    assert error.retry_after_s == pytest.approx(86_400 - NOON % 86_400)
    assert error.context.response_headers == {}  # type: ignore[attr-defined]
    assert world.recorded.count(semconv.ACCESS_REFUSALS, "insufficient_quota") == 1
    world.now += error.retry_after_s or 0
    await world.admit(100)


async def test_a_budget_in_dollars_is_charged_by_the_price_of_the_model() -> None:
    world = World(budget={"usd": 1.0})
    await world.use(Usage(300, 300), "ok")
    await world.use(Usage(300, 99), "ok")
    await world.use(Usage(1, 0), "ok", tokens=1)
    with pytest.raises(InsufficientQuota):
        await world.admit(1)


async def test_the_model_that_answered_is_what_is_paid_for() -> None:
    world = World(budget={"usd": 1.0})
    world.prices.per_token["cheap/model"] = 0.000001
    context = await world.admit(1)
    context.usage = Usage(500, 500)
    context.attempts.append(Attempt("cheap", "cheap/model", 0.0, "ok"))
    for finished in context.on_finished:
        finished(context)
    assert await world.admit(998)


async def test_a_model_without_a_price_is_refused_where_dollars_count() -> None:
    world = World(budget={"usd": 1.0})
    with pytest.raises(PermissionDenied, match="price of 'lab/new' is not known") as caught:
        await world.admit(model="lab/new")
    assert (caught.value.status, caught.value.code) == (403, "model_not_priced")
    assert world.recorded.count(semconv.ACCESS_REFUSALS, "model_not_priced") == 1


async def test_a_model_without_a_price_may_have_one_for_the_budget() -> None:
    world = World(budget={"usd": 1.0, "unpriced_usd_per_million": 1000})
    await world.use(Usage(999, 1), "ok", model="lab/new")
    with pytest.raises(InsufficientQuota):
        await world.admit(model="lab/new")


@pytest.mark.parametrize(
    ("key", "error"),
    [
        ({"rate_limit": {"requests": 1, "unit": "minute"}}, RateLimited),
        ({"rate_limit": {"tokens": 15, "unit": "minute"}}, RateLimited),
        ({"budget": {"tokens": 15, "period": "day"}}, InsufficientQuota),
    ],
)
async def test_what_is_used_up_can_be_known_before_the_model_is(key: dict[str, Any], error: type[Exception]) -> None:
    world = World(**key)
    context = RequestContext("id", "front", "/", {}, time.monotonic() + 60, identity=Identity("team"))
    for _ in range(3):  # looking counts nothing
        await world.control.check_left(context, 10)
    assert (context.response_headers, context.on_finished) == ({}, [])
    await world.admit()
    with pytest.raises(error) as caught:
        await world.control.check_left(context, 10)
    assert getattr(caught.value, "retry_after_s", 0) > 0
    assert ("rate_limit" in key) == any(name.startswith("x-ratelimit-") for name in context.response_headers)
    assert sum(value for _, value in world.recorded.registry.snapshot()[semconv.ACCESS_REFUSALS]) == 1


@pytest.mark.parametrize("free", [False, True])
async def test_without_dollars_there_is_no_model_unless_one_is_free(free: bool) -> None:
    world = World(budget={"usd": 0.01, "period": "day"}, has_free_models=free)
    context = RequestContext("id", "front", "/", {}, time.monotonic() + 60, identity=Identity("team"))
    await world.control.check_left(context, 10)
    await world.use(Usage(100, 0), "ok")
    if free:
        await world.control.check_left(context, 10)
    else:
        with pytest.raises(InsufficientQuota):
            await world.control.check_left(context, 10)


async def test_looking_at_what_is_left_leaves_nothing_leased_and_fails_for_no_store() -> None:
    store = SharedStore(clock=lambda: world.now)
    world = World(rate_limit={"tokens": 1000, "unit": "minute"}, store=store)
    context = RequestContext("id", "front", "/", {}, time.monotonic() + 60, identity=Identity("team"))
    await world.control.check_left(context, 900)
    await world.counters.flush()
    other = Counters(store, clock=world.clock).counter("key:team", world.control.keys.grants[0].quotas[0])
    assert await other.take(900) is None
    store.gone = True
    world.now += 60
    await world.control.check_left(context, 900)


async def test_a_free_model_can_be_used_when_the_budget_is_gone() -> None:
    world = World(budget={"usd": 1.0})
    world.prices.per_token["lab/free"] = 0.0
    await world.use(Usage(1000, 1000), "ok")
    assert await world.admit(model="lab/free")


@pytest.mark.parametrize("on_error", ["deny", "allow"])
async def test_a_store_that_is_gone_has_a_stated_answer(on_error: str) -> None:
    store = SharedStore(clock=lambda: NOON)
    world = World(rate_limit={"requests": 5, "unit": "minute", "on_error": on_error}, store=store)
    store.gone = True
    if on_error == "deny":
        with pytest.raises(StateUnavailable):
            await world.admit()
    else:
        context = await world.admit()
        assert context.degraded == ["state"]
        for finished in context.on_finished:
            finished(context)
    assert world.recorded.count(semconv.DEGRADED, "state") == 1
    store.gone = False
    await world.counters.flush()
    assert (await world.admit()).response_headers["x-ratelimit-remaining-requests"] == (
        "4" if on_error == "deny" else "3"
    )


async def test_models_are_checked_under_every_name() -> None:
    world = World(models=["openai/*", "fast"])
    team = Identity("team")
    world.control.check_model(team, "openai/gpt-4o")
    world.control.check_model(team, "lab/llama", "fast")
    world.control.check_model(None, "lab/llama")
    for identity in (team, Identity("revoked")):
        with pytest.raises(PermissionDenied) as caught:
            world.control.check_model(identity, "lab/llama")
        assert (caught.value.code, caught.value.param) == ("model_not_allowed", "model")
    assert world.recorded.count(semconv.ACCESS_REFUSALS, "model_not_allowed") == 2


@pytest.mark.parametrize(("chars", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (4000, 1000)])
def test_tokens_are_estimated_by_characters(chars: int, tokens: int) -> None:
    assert estimated_tokens(chars) == tokens


async def test_what_has_no_price_falls_under_the_other_limits_of_the_key() -> None:
    world = World(
        {"model": "*", "selector": {"key": "x-user", "absent": "count"}, "limit": {"requests": 1, "unit": "day"}},
        rate_limit={"requests": 2, "tokens": 100, "unit": "day"},
        budget={"usd": 0.000001},
    )
    for _ in range(2):
        context = await world.admit(model=None)
        assert context.counts_usage
        context.usage = Usage(20, 20)
        for finished in context.on_finished:
            finished(context)
    assert context.response_headers["x-ratelimit-remaining-tokens"] == "50"
    with pytest.raises(RateLimited):
        await world.admit(model=None)


async def test_requests_alone_need_no_count_of_tokens() -> None:
    context = await World(rate_limit={"requests": 2, "unit": "day"}).admit()
    assert not context.counts_usage


async def test_dollars_are_those_of_the_model_that_answered() -> None:
    world = World(budget={"usd": 1})
    world.prices.per_token["groq/llama"] = 0.9
    context = await world.admit()
    context.usage = Usage(1, 0)
    context.attempts += [
        Attempt("main", "gpt-4o", 0.0, "upstream_error", provider="openai"),
        Attempt("backup", "llama", 0.0, "ok", provider="groq"),
    ]
    for finished in context.on_finished:
        finished(context)
    with pytest.raises(InsufficientQuota):
        await world.admit(tokens=101)
    await world.admit(tokens=99)

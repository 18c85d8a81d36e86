from __future__ import annotations

import pytest

from router.access.counters import Counters
from router.access.quotas import Quota
from router.access.rate_limits import RateLimits, format_duration, limit_headers
from router.config.ratelimits import RateLimit
from router.state.memory import MemoryStore

NOON = 1_770_033_600.0


def limit(model: str = "openai/gpt-4o", unit: str = "minute", **selector: str) -> RateLimit:
    given = {"model": model, "selector": {"key": "x-user-id", **selector}, "limit": {"requests": 5, "unit": unit}}
    return RateLimit.model_validate(given)


def holders(limits: list[RateLimit], headers: dict[str, str], model: str = "openai/gpt-4o") -> list[str]:
    """Under which names a request is counted."""
    return [holder for holder, _ in RateLimits.of(limits, {}).quotas((model,), headers)]


def test_each_value_is_counted_on_its_own() -> None:
    (ada,) = holders([limit()], {"x-user-id": "ada"})
    (bob,) = holders([limit()], {"x-user-id": "bob"})
    assert ada != bob
    assert holders([limit()], {"x-user-id": "ada", "x-arch-ratelimit-selector": "x-other"}) == [ada]
    assert "ada" not in ada


def test_one_value_is_counted_alone() -> None:
    only_ada = [limit(value="ada")]
    assert len(holders(only_ada, {"x-user-id": "ada"})) == 1
    assert holders(only_ada, {"x-user-id": "bob"}) == []
    assert holders(only_ada, {}) == []


def test_requests_without_the_header_are_counted_together_where_that_is_said() -> None:
    assert holders([limit()], {}) == []
    (absent,) = holders([limit(absent="count")], {})
    assert holders([limit(absent="count")], {"x-user-id": ""}) != [absent]
    assert holders([limit(absent="count", value="ada")], {}) == holders([limit(value="ada")], {"x-user-id": "ada"})


@pytest.mark.parametrize(
    ("limited", "asked", "applies"),
    [
        ("openai/gpt-4o", "openai/gpt-4o", True),
        ("gpt-4o", "openai/gpt-4o", True),
        ("gpt-4o", "openai/gpt-4o-mini", False),
        ("openai/*", "openai/gpt-4o", True),
        ("openai/*", "anthropic/claude", False),
        ("fast", "openai/gpt-4o", True),
        ("account-2", "openai/gpt-4o", True),
        ("loop", "openai/gpt-4o", False),
    ],
)
def test_a_rule_is_about_the_model_that_its_name_leads_to(limited: str, asked: str, applies: bool) -> None:
    names = {"fast": "faster", "faster": "gpt-4o", "account-2": "openai/gpt-4o", "loop": "pool", "pool": "loop"}
    rules = RateLimits.of([limit(limited)], names)
    assert bool(list(rules.quotas((asked,), {"x-user-id": "ada"}))) is applies


def test_every_rule_that_fits_counts() -> None:
    found = RateLimits.of([limit(), limit(value="ada"), limit(unit="day")], {}).quotas(
        ("openai/gpt-4o",), {"x-user-id": "ada"}
    )
    assert [quota.period for _, quota in found] == ["minute", "minute", "day"]


def test_a_rule_whose_numbers_change_keeps_its_counters() -> None:
    more = limit().model_copy(update={"limit": limit().limit.model_copy(update={"requests": 50})})
    assert holders([limit()], {"x-user-id": "ada"}) == holders([more], {"x-user-id": "ada"})


async def test_clients_are_told_about_the_tightest_limits() -> None:
    counters = Counters(MemoryStore(clock=lambda: NOON), clock=lambda: NOON)
    used = []
    for quota, amount in (
        (Quota("rate", "requests", 100, "minute"), 1),
        (Quota("rate", "requests", 10, "hour"), 1),
        (Quota("rate", "tokens", 1000, "second"), 400),
        (Quota("budget", "tokens", 500, "month"), 400),
    ):
        counter = counters.counter("a", quota)
        assert await counter.take(amount) is None
        used.append(counter)
    assert limit_headers(used) == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "2h0m0s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "600",
        "x-ratelimit-reset-tokens": "2s",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.0121, "13ms"), (1, "1s"), (59.01, "1m0s"), (360, "6m0s"), (86400, "24h0m0s"), (3661, "1h1m1s")],
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_request_that_several_providers_share_falls_under_the_limits_of_all_of_them() -> None:
    rules = RateLimits.of([limit(model="azure_openai/gpt-4o")], {})
    shared = ("openai/gpt-4o", "azure_openai/gpt-4o")
    assert len(list(rules.quotas(shared, {"x-user-id": "ada"}))) == 1
    assert not list(rules.quotas(shared[:1], {"x-user-id": "ada"}))

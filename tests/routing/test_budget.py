from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.pricing import ModelPrice, Rates
from router.routing.budget import Ledger, RoutingBudget, judge_switch

M = 1_000_000
CHEAP = ModelPrice(Rates(1, 5, cached_input=0.1))
DEAR = ModelPrice(Rates(10, 50, cached_input=1))
DEAR_UNPUBLISHED = ModelPrice(Rates(10, 50))


def _judge(
    budget: RoutingBudget,
    anchor: ModelPrice | None,
    candidate: ModelPrice | None,
    *,
    baseline: float = 0.0,
    spent: float = 0.0,
) -> tuple[bool, str, float | None, float]:
    ledger = Ledger("a", baseline, spent)
    verdict = judge_switch(budget, ledger, anchor=anchor, candidate=candidate, tokens=M)
    return verdict.allowed, verdict.reason, verdict.cost_usd, verdict.ledger.spent_usd


@pytest.mark.parametrize(
    ("budget", "baseline", "spent", "expected"),
    [
        # From the cheap to the dear one: 10 - 0.1 for a million tokens.
        (RoutingBudget(max_switch_spend_pct=20), 50, 0, (True, "within_budget", 9.9, 9.9)),
        (RoutingBudget(max_switch_spend_pct=20), 49, 0, (False, "over_budget", 9.9, 0)),
        (RoutingBudget(max_switch_spend_pct=20), 50, 0.2, (False, "over_budget", 9.9, 0.2)),
        (RoutingBudget(max_switch_spend_pct=0), 1000, 0, (False, "over_budget", 9.9, 0)),
        (RoutingBudget(seed_usd=10), 0, 0, (True, "within_budget", 9.9, 9.9)),
        (RoutingBudget(seed_usd=5, max_switch_spend_pct=10), 50, 0, (True, "within_budget", 9.9, 9.9)),
        (RoutingBudget(seed_usd=0), 1000, 0, (False, "over_budget", 9.9, 0)),
        (RoutingBudget(), 0, 0, (True, "no_limit", 9.9, 9.9)),
    ],
)
def test_a_change_is_paid_from_the_seed_and_a_share_of_the_baseline(
    budget: RoutingBudget, baseline: float, spent: float, expected: tuple[bool, str, float, float]
) -> None:
    allowed, reason, cost, spent_after = _judge(budget, CHEAP, DEAR, baseline=baseline, spent=spent)
    assert (allowed, reason) == expected[:2]
    assert (cost, spent_after) == pytest.approx(expected[2:])


def test_a_candidate_cheaper_than_the_cache_is_free_and_pays_back() -> None:
    strict = RoutingBudget(max_switch_spend_pct=0)
    pricy_cache = ModelPrice(Rates(10, 50, cached_input=2))
    assert _judge(strict, pricy_cache, CHEAP, spent=0.4) == (True, "free", -1, 0)
    assert _judge(strict, pricy_cache, CHEAP, spent=1.5) == (True, "free", -1, 0.5)
    keeping = RoutingBudget(max_switch_spend_pct=0, credit_negative=False)
    assert _judge(keeping, pricy_cache, CHEAP, spent=1.5) == (True, "free", -1, 1.5)


def test_an_unpublished_cache_price_is_a_share_of_the_input_price() -> None:
    assert _judge(RoutingBudget(cache_read_discount=0.5), DEAR_UNPUBLISHED, DEAR)[2] == pytest.approx(5)
    assert _judge(RoutingBudget(), DEAR_UNPUBLISHED, DEAR)[2] == pytest.approx(9)


@pytest.mark.parametrize(("anchor", "candidate"), [(None, DEAR), (DEAR, None), (None, None)])
def test_without_prices_nothing_is_refused(anchor: ModelPrice | None, candidate: ModelPrice | None) -> None:
    assert _judge(RoutingBudget(max_switch_spend_pct=0), anchor, candidate) == (True, "no_pricing", None, 0)


def test_the_baseline_grows_by_what_staying_would_cost() -> None:
    ledger = Ledger("a").with_turn(DEAR, M, warm=False, discount=0.1)
    assert ledger.baseline_usd == pytest.approx(10)
    assert ledger.with_turn(DEAR, M, warm=True, discount=0.1).baseline_usd == pytest.approx(11)
    assert ledger.with_turn(None, M, warm=True, discount=0.1) == ledger


_RATES = st.floats(0.01, 1000)


@given(st.lists(st.tuples(_RATES, _RATES), min_size=1, max_size=20), st.floats(0, 100), st.floats(0, 10))
def test_no_session_spends_more_than_its_budget(rates: list[tuple[float, float]], percent: float, seed: float) -> None:
    budget = RoutingBudget(max_switch_spend_pct=percent, seed_usd=seed)
    ledger = Ledger("a")
    for anchor_rate, candidate_rate in rates:
        anchor, candidate = ModelPrice(Rates(anchor_rate, 1)), ModelPrice(Rates(candidate_rate, 1))
        ledger = ledger.with_turn(anchor, 1000, warm=True, discount=budget.cache_read_discount)
        ledger = judge_switch(budget, ledger, anchor=anchor, candidate=candidate, tokens=1000).ledger
        assert 0 <= ledger.spent_usd <= (budget.ceiling_usd(ledger.baseline_usd) or 0) + 1e-9

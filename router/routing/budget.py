"""The routing budget (pure): what changing the model of a conversation costs, and whether the session can pay it.

A conversation that stays with its model reads its history from the provider's prompt cache; another model reads all of
it anew. So a change costs::

    tokens x (candidate's input price - anchor's cached input price)

and is paid out of ``seed_usd`` plus ``max_switch_spend_pct`` percent of the baseline: what the session would have spent
on input if it had never left its first model. Output is left out, since nobody knows its length beforehand. A change
that costs nothing or less is always allowed, and with ``credit_negative`` it pays back what earlier ones cost. Without
prices of both models nothing can be said, and the change is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from router.pricing import ModelPrice

SWITCH_SPEND_HEADER = "x-plano-max-switch-spend-pct"

SwitchReason: TypeAlias = Literal["free", "within_budget", "over_budget", "no_pricing", "no_limit"]

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class RoutingBudget:
    """``routing.routing_budget``. Without a percentage and a seed there is no limit.

    ``cache_read_discount`` is the price of cached input as a share of the input price, for models whose provider
    publishes none.
    """

    max_switch_spend_pct: float | None = None
    seed_usd: float | None = None
    replenish_on_rebind: bool = True
    credit_negative: bool = True
    cache_read_discount: float = 0.1
    record_counterfactual: bool = False

    def ceiling_usd(self, baseline_usd: float) -> float | None:
        """What a session with this baseline may spend on changes; ``None`` for any amount."""
        if self.max_switch_spend_pct is None and self.seed_usd is None:
            return None
        return (self.seed_usd or 0.0) + (self.max_switch_spend_pct or 0.0) / 100 * baseline_usd


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a session has spent: ``baseline_usd`` is what its input would have cost without changes of the model."""

    default_model: str
    baseline_usd: float = 0.0
    spent_usd: float = 0.0
    switches: int = 0

    def with_turn(self, price: ModelPrice | None, tokens: int, *, warm: bool, discount: float) -> Ledger:
        """With one more turn of ``tokens`` at the default model, whose price this is."""
        if price is None:
            return self
        rate = cached_rate(price, tokens, discount) if warm else price.rates_for(tokens).input
        return replace(self, baseline_usd=self.baseline_usd + tokens * rate / _MILLION)


@dataclass(frozen=True, slots=True)
class SwitchVerdict:
    """Whether a change is allowed, why, what it costs (``None`` when not known), and the ledger afterwards."""

    allowed: bool
    reason: SwitchReason
    cost_usd: float | None
    ledger: Ledger


def judge_switch(
    budget: RoutingBudget, ledger: Ledger, *, anchor: ModelPrice | None, candidate: ModelPrice | None, tokens: int
) -> SwitchVerdict:
    """Whether a conversation of ``tokens`` may go on with ``candidate`` instead of ``anchor``, which has it cached."""
    switched = replace(ledger, switches=ledger.switches + 1)
    if anchor is None or candidate is None:
        return SwitchVerdict(True, "no_pricing", None, switched)
    kept_rate = cached_rate(anchor, tokens, budget.cache_read_discount)
    cost = tokens * (candidate.rates_for(tokens).input - kept_rate) / _MILLION
    if cost <= 0:
        spent = max(0.0, ledger.spent_usd + cost) if budget.credit_negative else ledger.spent_usd
        return SwitchVerdict(True, "free", cost, replace(switched, spent_usd=spent))
    ceiling = budget.ceiling_usd(ledger.baseline_usd)
    paid = replace(switched, spent_usd=ledger.spent_usd + cost)
    if ceiling is None:
        return SwitchVerdict(True, "no_limit", cost, paid)
    if paid.spent_usd > ceiling:
        return SwitchVerdict(False, "over_budget", cost, ledger)
    return SwitchVerdict(True, "within_budget", cost, paid)


def cached_rate(price: ModelPrice, tokens: int, discount: float) -> float:
    """USD per million tokens of input that the provider has cached."""
    rates = price.rates_for(tokens)
    return rates.input * discount if rates.cached_input is None else rates.cached_input

"""What answers count as: tokens, or dollars by the prices of the models."""

from __future__ import annotations

import math
from typing import Protocol

from router.access.quotas import NANO_USD, Quota
from router.context import Attempt, RequestContext
from router.dialects.canonical import Usage
from router.errors import PermissionDenied

_MILLION = 1_000_000


class PriceTable(Protocol):
    """What models cost."""

    def cost_usd(self, model: str, usage: Usage) -> float | None:
        """What an answer of ``provider/model`` costs; ``None`` when nobody knows."""


def reservation(quota: Quota, model: str, input_tokens: int, prices: PriceTable) -> int:
    """What a request counts as before its answer is known.

    Raises ``PermissionDenied`` for a quota of dollars and a model that has no price, unless the quota says what such
    models count as: what cannot be counted must not be used.
    """
    if quota.resource == "requests":
        return 1
    if quota.resource == "tokens":
        return max(1, input_tokens)
    cost = cost_nano_usd(quota, model, Usage(input_tokens, 0), prices)
    if cost is None:
        raise PermissionDenied(
            f"The price of '{model}' is not known, and this API key has a budget in US dollars. Set the model's price, "
            "or `unpriced_usd_per_million` of the budget.",
            code="model_not_priced",
            param="model",
        )
    return cost


def used_in_the_end(quota: Quota, model: str, reserved: int, context: RequestContext, prices: PriceTable) -> int:
    """What a request counts as once it is over.

    Requests count whatever became of them. Where no answer counted its tokens, nothing was used if every try failed
    before it began. Else the reservation stands, and with it each event of a stream that was left or broke, which has a
    token at least: nobody gets tokens for nothing by leaving before they are counted.
    """
    if quota.resource == "requests":
        return reserved
    if context.usage is None:
        if context.attempts and all(map(_used_nothing, context.attempts)):
            return 0
        if quota.resource == "tokens":
            return reserved + context.streamed_events
        served_by = context.attempts[-1].full_model if context.attempts else model
        return reserved + (cost_nano_usd(quota, served_by, Usage(0, context.streamed_events), prices) or 0)
    if quota.resource == "tokens":
        return context.usage.total
    served_by = context.attempts[-1].full_model if context.attempts else model
    cost = cost_nano_usd(quota, served_by, context.usage, prices)
    if cost is None:
        cost = cost_nano_usd(quota, model, context.usage, prices)
    return reserved if cost is None else cost


def cost_nano_usd(quota: Quota, model: str, usage: Usage, prices: PriceTable) -> int | None:
    """What ``usage`` counts as, in nano-dollars; ``None`` when there is no price for it."""
    cost = prices.cost_usd(model, usage)
    if cost is None and quota.unpriced_usd_per_million is not None:
        cost = usage.total * quota.unpriced_usd_per_million / _MILLION
    return None if cost is None else math.ceil(cost * NANO_USD)


def _used_nothing(attempt: Attempt) -> bool:
    return attempt.outcome not in (None, "ok", "cancelled") and attempt.first_byte_s is None

"""A price table for tests."""

from __future__ import annotations

from collections.abc import Mapping

from router.dialects.canonical import Usage


class FakePrices:
    """Prices by model, in USD per token of any kind."""

    def __init__(self, per_token: Mapping[str, float]) -> None:
        self.per_token = dict(per_token)

    def cost_usd(self, model: str, usage: Usage) -> float | None:
        """What ``usage`` costs; ``None`` for a model that is not in the table."""
        price = self.per_token.get(model)
        return None if price is None else price * usage.total

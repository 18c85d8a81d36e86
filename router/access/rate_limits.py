"""``ratelimits``: which counters a request falls under, and what clients are told about them."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from router.access.counters import Counter
from router.access.quotas import Quota, fits, name_pattern, resolved
from router.config.ratelimits import RateLimit

_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of ``ratelimits``.

    ``value`` is ``None`` where each value of the header is counted on its own. ``key`` tells rules apart, and stays the
    same when only the numbers change.
    """

    models: re.Pattern[str]
    header: str
    value: str | None
    counts_absent: bool
    quotas: tuple[Quota, ...]
    key: str

    @classmethod
    def of(cls, limit: RateLimit, model: str) -> Rule:
        """``limit``, whose ``model`` leads to ``model``."""
        selector, quantity = limit.selector, limit.limit
        quotas = []
        if quantity.requests is not None:
            quotas.append(Quota("rate", "requests", quantity.requests, quantity.unit, limit.on_error))
        if quantity.tokens is not None:
            quotas.append(Quota("rate", "tokens", quantity.tokens, quantity.unit, limit.on_error))
        return cls(
            name_pattern((model,)),
            selector.key,
            None if selector.value == "*" else selector.value,
            selector.absent == "count",
            tuple(quotas),
            f"rule:{_digest(model, selector.key.lower(), selector.value)}",
        )

    def holder(self, models: Iterable[str], headers: Mapping[str, str]) -> str | None:
        """Under which name a request for one of ``models`` is counted; ``None`` when the rule is not about it."""
        given = headers.get(self.header)
        if given is None:
            if not self.counts_absent:
                return None
        elif self.value is not None and given != self.value:
            return None
        if not fits(self.models, *models):
            return None
        # Header values may be personal: what is stored is a digest of them.
        return self.key if self.value is not None or given is None else f"{self.key}:{_digest(given)}"


class RateLimits:
    """All rules of a configuration."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)

    @classmethod
    def of(cls, limits: Iterable[RateLimit], names: Mapping[str, str]) -> RateLimits:
        """``names`` maps aliases, and names of providers, to what they stand for."""
        return cls(Rule.of(limit, resolved(limit.model, names)) for limit in limits)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._rules)

    def quotas(self, models: Sequence[str], headers: Mapping[str, str]) -> Iterator[tuple[str, Quota]]:
        """Every quota that a request for one of ``models`` falls under, with the name that it is counted under."""
        for rule in self._rules:
            holder = rule.holder(models, headers)
            if holder is not None:
                yield from ((holder, quota) for quota in rule.quotas)


def limit_headers(counters: Iterable[Counter]) -> dict[str, str]:
    """The ``x-ratelimit-*`` headers of OpenAI's API, for requests and tokens each of the counter with the least left.

    Reference: https://platform.openai.com/docs/guides/rate-limits.
    """
    tightest: dict[str, tuple[int, Counter]] = {}
    for counter in counters:
        resource, left = counter.quota.resource, counter.remaining()
        if counter.quota.kind == "rate" and (resource not in tightest or left < tightest[resource][0]):
            tightest[resource] = (left, counter)
    headers = {}
    for name, (left, counter) in tightest.items():
        headers[f"x-ratelimit-limit-{name}"] = str(counter.quota.amount)
        headers[f"x-ratelimit-remaining-{name}"] = str(left)
        headers[f"x-ratelimit-reset-{name}"] = format_duration(counter.reset_s())
    return headers


def format_duration(seconds: float) -> str:
    """A duration as OpenAI writes it: ``250ms``, ``1s``, ``6m0s``, ``1h0m0s``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, whole = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{whole}s"
    return f"{minutes}m{whole}s" if minutes else f"{whole}s"


def _digest(*parts: str) -> str:
    text = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=_KEY_BYTES).hexdigest()

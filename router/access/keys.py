"""API keys: from what a client sends to who it is, and to what that one may do."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from router.access.quotas import NANO_USD, Quota, fits, name_pattern, resolved
from router.config.access import MAX_KEY_CHARS, ApiKey, key_digest
from router.context import Identity
from router.errors import PermissionDenied


@dataclass(frozen=True, slots=True)
class Grant:
    """What one key may do. ``listeners`` is empty and ``models`` ``None`` where it is for all of them."""

    identity: Identity
    digest: bytes = field(repr=False)
    listeners: frozenset[str] = frozenset()
    models: re.Pattern[str] | None = None
    quotas: tuple[Quota, ...] = ()

    @classmethod
    def of(cls, key: ApiKey, names: Mapping[str, str] = MappingProxyType({})) -> Grant:
        """What the configuration says about a key; ``names`` maps aliases, and names of providers, to what they are."""
        return cls(
            Identity(key.name),
            key.digest,
            frozenset(key.listeners),
            name_pattern([resolved(model, names) for model in key.models]) if key.models else None,
            _quotas(key),
        )

    def check_listener(self, listener: str) -> None:
        """Raises ``PermissionDenied`` when the key is not for this listener."""
        if self.listeners and listener not in self.listeners:
            raise PermissionDenied("This API key is not for this listener.", code="listener_not_allowed")

    def may_use(self, *models: str) -> bool:
        """Whether the key is for a model that has these names."""
        return self.models is None or fits(self.models, *models, loosely=False)


class KeyRing:
    """The grants of all keys, by the digest of the key. Replaced as a whole when keys change."""

    def __init__(self, grants: Iterable[Grant] = ()) -> None:
        self.replace(grants)

    def replace(self, grants: Iterable[Grant]) -> None:
        """From now on, these are all the keys there are."""
        known = tuple(grants)
        self._by_digest = {grant.digest: grant for grant in known}
        self._by_name = {grant.identity.name: grant for grant in known}

    @property
    def grants(self) -> tuple[Grant, ...]:
        """Those of all keys."""
        return tuple(self._by_digest.values())

    def find(self, key: str) -> Grant | None:
        """What ``key`` may do; ``None`` when it is not known.

        Takes the same time for every key that is not too long: it is hashed before anything is looked at.
        """
        if not key or len(key) > MAX_KEY_CHARS:
            return None
        digest = key_digest(key)
        grant = self._by_digest.get(digest)
        return grant if grant is not None and hmac.compare_digest(grant.digest, digest) else None

    def grant(self, identity: Identity | None) -> Grant | None:
        """What the key of ``identity`` may do now; ``None`` without a key, or when it is no longer there."""
        return self._by_name.get(identity.name) if identity is not None else None


def _quotas(key: ApiKey) -> tuple[Quota, ...]:
    quotas = []
    if (rate := key.rate_limit) is not None:
        if rate.requests is not None:
            quotas.append(Quota("rate", "requests", rate.requests, rate.unit, rate.on_error))
        if rate.tokens is not None:
            quotas.append(Quota("rate", "tokens", rate.tokens, rate.unit, rate.on_error))
    if (budget := key.budget) is not None:
        if budget.tokens is not None:
            quotas.append(Quota("budget", "tokens", budget.tokens, budget.period, budget.on_error))
        if budget.usd is not None:
            nano_usd = max(1, round(budget.usd * NANO_USD))
            unpriced = budget.unpriced_usd_per_million
            quotas.append(Quota("budget", "usd", nano_usd, budget.period, budget.on_error, unpriced))
    return tuple(quotas)

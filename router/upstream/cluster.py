"""Clusters: the members that serve one model, and which of them is asked.

Least outstanding requests relative to weight; those that are equal take turns, by weight. A member is passed over while
its circuit breaker is open, or while it asked to be left alone (``Retry-After``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from router.upstream.breaker import CircuitBreaker
from router.upstream.chat import Upstream
from router.upstream.latency import Latency

_MAX_ASIDE_S = 300.0  # whatever a provider asks for, after this long it is asked again
_MAX_ASIDE_MODELS = 64  # below a wildcard, clients choose the names


@dataclass(slots=True, eq=False)
class Member:
    """One provider entry: who is asked, and how that has been going.

    ``weight`` is its share of the requests, above 0. ``context_window`` is in tokens, where it is known.
    ``own_credentials``: requests go out with a key of the gateway's, not with the client's. ``provider`` is the first
    half of ``provider/model``.
    """

    name: str
    upstream: Upstream
    breaker: CircuitBreaker
    latency: Latency
    weight: float = 1.0
    context_window: int | None = None
    own_credentials: bool = True
    provider: str | None = None
    outstanding: int = field(default=0, init=False)
    credit: float = field(default=0.0, init=False, repr=False)
    _aside: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"The weight of '{self.name}' is not above 0.")

    def admits(self, model: str, now: float) -> bool:
        """Whether it may be asked for ``model`` now."""
        return self.breaker.admits(now) and not (self._aside and self.aside_s(model, now))

    def ready_in_s(self, model: str, now: float) -> float:
        """How long until it may be asked for ``model``, about; 0 when it may right now."""
        return max(self.breaker.ready_in_s(now), self.aside_s(model, now))

    def aside_s(self, model: str, now: float) -> float:
        """How much longer it wants to be left alone with requests for ``model``."""
        until = self._aside.get(model, now)
        if until > now:
            return until - now
        self._aside.pop(model, None)
        return 0.0

    def set_aside(self, model: str, seconds: float, now: float) -> None:
        """Leave it alone with requests for ``model``: rate limits are per model. At most 5 minutes are heard."""
        until = now + min(seconds, _MAX_ASIDE_S)
        if model not in self._aside and len(self._aside) >= _MAX_ASIDE_MODELS:
            del self._aside[next(iter(self._aside))]
        self._aside[model] = max(until, self._aside.get(model, until))


@dataclass(frozen=True, slots=True)
class Candidate:
    """What to ask for and who can be asked: one model at one or more providers."""

    members: tuple[Member, ...]
    model: str

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError(f"Nobody serves '{self.model}'.")

    @property
    def full_names(self) -> tuple[str, ...]:
        """``provider/model`` of every member that is a model provider's, each once."""
        providers = dict.fromkeys(member.provider for member in self.members if member.provider is not None)
        return tuple(f"{provider}/{self.model}" for provider in providers)


def select(members: Sequence[Member], model: str, now: float) -> Member | None:
    """The member to ask for ``model`` next; ``None`` when none of them admits it."""
    if len(members) == 1:
        return members[0] if members[0].admits(model, now) else None
    least = float("inf")
    equals: list[Member] = []
    for member in members:
        if member.admits(model, now):
            load = member.outstanding / member.weight
            if load < least:
                least, equals = load, [member]
            elif load == least:
                equals.append(member)
    return equals[0] if len(equals) == 1 else _in_turn(equals)


def _in_turn(members: Sequence[Member]) -> Member | None:
    """Smooth weighted rotation: each gains its weight, the richest is chosen and pays what all of them gained."""
    if not members:
        return None
    total = 0.0
    for member in members:
        member.credit += member.weight
        total += member.weight
    chosen = max(members, key=lambda member: member.credit)
    chosen.credit -= total
    return chosen

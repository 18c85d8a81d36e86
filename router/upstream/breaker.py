"""The circuit breaker of one cluster member: whoever keeps failing is left alone for a while, then tried carefully.

state      event                                           next       note
closed     failure, too many in a row or too large a share open       each time longer, unless it held for a window
closed     anything else                                   closed
open       a try, once it is due                           half_open  that try is the first probe
half_open  a try                                           half_open  at most ``probes`` at the same time
half_open  success, and ``probes`` of them by now          closed     what was counted before is forgotten
half_open  failure                                         open
any        outcome of a try that began in an earlier state same       it says nothing about now

Sans-I/O: times are those of the caller's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from router.upstream.sliding_sum import SlidingSum

BreakerState: TypeAlias = Literal["closed", "open", "half_open"]

_MAX_DOUBLINGS = 3  # of ``open_for_s``, when probes keep failing
_JITTER = 0.25  # of the open time either way, so that the workers of a gateway do not probe at the same moment
_PROBE_WAIT_S = 1.0  # what is said about when to come back while a probe is on its way


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens, and for how long.

    It opens after ``consecutive_failures``, or when at least ``failure_ratio`` of at least ``min_requests`` tries
    within ``window_s`` failed. ``open_for_s`` is the first open time, ``probes`` how many tries have to succeed.
    """

    consecutive_failures: int = 5
    failure_ratio: float = 0.5
    window_s: float = 30.0
    min_requests: int = 20
    open_for_s: float = 5.0
    probes: int = 2


class CircuitBreaker:
    """One breaker. Every try calls ``enter``, and with the ticket it got ``succeeded``, ``failed`` or ``abandoned``.

    A stream that breaks after it began has first succeeded and then failed. ``random`` gives numbers from 0 to 1;
    ``on_change`` is told every new state.
    """

    __slots__ = (
        "_closed_at",
        "_consecutive",
        "_due",
        "_failures",
        "_on_change",
        "_openings",
        "_outcomes",
        "_policy",
        "_probing",
        "_proofs",
        "_random",
        "_ticket",
        "state",
    )

    def __init__(
        self, policy: BreakerPolicy, *, random: Callable[[], float], on_change: Callable[[BreakerState], None]
    ) -> None:
        self.state: BreakerState = "closed"
        self._policy = policy
        self._random = random
        self._on_change = on_change
        self._ticket = 0  # changes with the state
        self._outcomes = SlidingSum(policy.window_s)
        self._failures = SlidingSum(policy.window_s)
        self._consecutive = 0
        self._closed_at = 0.0
        self._openings = 0
        self._due = 0.0
        self._probing = 0
        self._proofs = 0

    def admits(self, now: float) -> bool:
        """Whether a try may begin."""
        if self.state == "closed":
            return True
        if self.state == "open":
            return now >= self._due
        return self._probing < self._policy.probes

    def ready_in_s(self, now: float) -> float:
        """How long until a try may begin, about; 0 when it may right now."""
        if self.admits(now):
            return 0.0
        return self._due - now if self.state == "open" else _PROBE_WAIT_S

    def enter(self, now: float) -> int:
        """Begin a try that was admitted; the ticket belongs to it."""
        if self.state == "open":
            self._change("half_open")
            self._probing = self._proofs = 0
        if self.state == "half_open":
            self._probing += 1
        return self._ticket

    def succeeded(self, ticket: int, now: float) -> None:
        """The member answered, if only to say that the request is wrong."""
        if ticket != self._ticket:
            return
        if self.state == "closed":
            self._consecutive = 0
            self._outcomes.add(1, now)
            return
        self._probing -= 1
        self._proofs += 1
        if self._proofs >= self._policy.probes:
            self._consecutive = 0
            self._outcomes.clear()
            self._failures.clear()
            self._closed_at = now
            self._change("closed")

    def failed(self, ticket: int, now: float) -> None:
        """The member could not be reached, did not answer, or said that it is broken."""
        if ticket != self._ticket:
            return
        if self.state == "closed":
            self._consecutive += 1
            self._outcomes.add(1, now)
            self._failures.add(1, now)
            if not self._broken(now):
                return
            if now - self._closed_at >= self._policy.window_s:
                self._openings = 0
        doublings = min(self._openings, _MAX_DOUBLINGS)
        jitter = 1 - _JITTER + 2 * _JITTER * self._random()
        self._due = now + self._policy.open_for_s * 2**doublings * jitter
        self._openings += 1
        self._change("open")

    def abandoned(self, ticket: int) -> None:
        """Nobody waited for how the try would end."""
        if ticket == self._ticket and self.state == "half_open":
            self._probing -= 1

    def _broken(self, now: float) -> bool:
        policy = self._policy
        if self._consecutive >= policy.consecutive_failures:
            return True
        outcomes = self._outcomes.total(now)
        return outcomes >= policy.min_requests and self._failures.total(now) >= policy.failure_ratio * outcomes

    def _change(self, state: BreakerState) -> None:
        self.state = state
        self._ticket += 1
        self._on_change(state)

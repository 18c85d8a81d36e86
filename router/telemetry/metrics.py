"""The counters, behind one object that is handed to whoever counts. Label values come from closed sets."""

from __future__ import annotations

from typing import Literal

from opentelemetry.metrics import Meter

from router.telemetry import semconv

DegradablePart = Literal["orchestrator", "guardrail", "filter", "state", "model_metrics"]
# ``unseen`` has passed with content that the guard cannot read, ``shadow`` would not have without shadow mode.
GuardOutcome = Literal[
    "pass", "unseen", "annotate", "redact", "route", "block", "shadow", "unavailable", "allowed_unchecked"
]
AccessRefusal = Literal[
    "invalid_api_key",
    "listener_not_allowed",
    "model_not_allowed",
    "model_not_priced",
    "rate_limited",
    "insufficient_quota",
]
AttemptOutcome = Literal[
    "ok",
    "cancelled",
    "timeout",
    "unreachable",
    "protocol_error",
    "rate_limited",
    "server_error",
    "client_error",
    "not_sent",
    "internal_error",
]


class Metrics:
    """Counts what happened on one meter; without an OpenTelemetry SDK behind it, nothing is recorded."""

    def __init__(self, meter: Meter) -> None:
        self._requests = meter.create_counter(semconv.REQUESTS, description="Requests answered.")
        self._decisions = meter.create_counter(semconv.ROUTE_DECISIONS, description="Routing decisions by reason.")
        self._verdicts = meter.create_counter(semconv.GUARD_VERDICTS, description="Guard verdicts by outcome.")
        self._degraded = meter.create_counter(semconv.DEGRADED, description="Requests served without a part.")
        self._refusals = meter.create_counter(semconv.ACCESS_REFUSALS, description="Requests refused by reason.")
        self._attempts = meter.create_counter(semconv.UPSTREAM_ATTEMPTS, description="Tries at providers by outcome.")
        self._breaker_changes = meter.create_counter(
            semconv.BREAKER_CHANGES, description="Changes of circuit breakers by their new state."
        )

    def request_finished(self, listener: str, status: int) -> None:
        """A response has been sent, or given up, with this status."""
        self._requests.add(1, {semconv.LISTENER: listener, semconv.STATUS_CLASS: f"{status // 100}xx"})

    def route_decided(self, listener: str, reason: str) -> None:
        """A routing decision was made."""
        self._decisions.add(1, {semconv.LISTENER: listener, semconv.ROUTE_REASON: reason})

    def guard_judged(self, guard: str, outcome: GuardOutcome) -> None:
        """A guard gave its verdict, or could not."""
        self._verdicts.add(1, {semconv.GUARD: guard, semconv.OUTCOME: outcome})

    def degraded(self, part: DegradablePart) -> None:
        """A request went on, or was refused, because ``part`` was gone."""
        self._degraded.add(1, {semconv.PART: part})

    def access_refused(self, reason: AccessRefusal) -> None:
        """A request was refused for what its API key may do, or for want of one."""
        self._refusals.add(1, {semconv.REFUSAL_REASON: reason})

    def attempt_finished(self, upstream: str, outcome: AttemptOutcome) -> None:
        """A try at ``upstream``, an entry of the configuration, has ended."""
        self._attempts.add(1, {semconv.UPSTREAM: upstream, semconv.ATTEMPT_OUTCOME: outcome})

    def breaker_changed(self, upstream: str, state: str) -> None:
        """The circuit breaker of ``upstream``, an entry of the configuration, is now in this state."""
        self._breaker_changes.add(1, {semconv.UPSTREAM: upstream, semconv.BREAKER_STATE: state})

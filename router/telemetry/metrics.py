"""The counters, behind one object that is handed to whoever counts. Label values come from closed sets."""

from __future__ import annotations

from typing import Literal

from opentelemetry.metrics import Meter

from router.telemetry import semconv

DegradablePart = Literal["orchestrator", "guardrail"]
GuardOutcome = Literal["pass", "block", "unavailable", "allowed_unchecked"]


class Metrics:
    """Counts what happened on one meter; without an OpenTelemetry SDK behind it, nothing is recorded."""

    def __init__(self, meter: Meter) -> None:
        self._requests = meter.create_counter(semconv.REQUESTS, description="Requests answered.")
        self._decisions = meter.create_counter(semconv.ROUTE_DECISIONS, description="Routing decisions by reason.")
        self._verdicts = meter.create_counter(semconv.GUARD_VERDICTS, description="Guard verdicts by outcome.")
        self._degraded = meter.create_counter(semconv.DEGRADED, description="Requests served without a part.")

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

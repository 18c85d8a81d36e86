"""What is counted, behind one object that is handed to whoever counts. Label values come from closed sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from router.telemetry import catalogue
from router.telemetry.instruments import OVERFLOW, Registry

DegradablePart = Literal["orchestrator", "guardrail", "filter", "state", "model_metrics", "function_model"]
# ``unseen`` has passed with content that the guard cannot read, ``shadow`` would not have without shadow mode.
GuardOutcome = Literal[
    "pass", "unseen", "annotate", "redact", "route", "block", "shadow", "unavailable", "allowed_unchecked"
]
# Of two orchestrators in a row: who decided, and where both were asked, whether they agreed.
CascadeOutcome = Literal["first", "second_agreed", "second_differed", "first_unavailable", "second_unavailable"]
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

# Lower ends of the buckets of an orchestrator's certainty.
_CONFIDENCE = ((0.95, "0.95-1.0"), (0.8, "0.8-0.95"), (0.6, "0.6-0.8"), (0.4, "0.4-0.6"), (0.0, "0.0-0.4"))
_NOT_SCORED = "none"


class Metrics:
    """Counts what happened, in ``registry``.

    ``models`` are the names of models that may be labels, ``provider/model`` or bare; all others are ``other``, since
    clients invent names below a wildcard.
    """

    def __init__(self, registry: Registry | None = None, models: Iterable[str] = ()) -> None:
        self.registry = registry or Registry()
        self._models = frozenset(models)
        of = self.registry
        self._requests = of.sum(catalogue.REQUESTS)
        self._active = of.sum(catalogue.ACTIVE_REQUESTS)
        self._durations = of.histogram(catalogue.REQUEST_DURATION)
        self._turns = of.histogram(catalogue.GEN_AI_REQUEST_DURATION)
        self._first_tokens = of.histogram(catalogue.TIME_TO_FIRST_TOKEN)
        self._operations = of.histogram(catalogue.OPERATION_DURATION)
        self._first_chunks = of.histogram(catalogue.TIME_TO_FIRST_CHUNK)
        self._token_usage = of.histogram(catalogue.TOKEN_USAGE)
        self._tokens = of.sum(catalogue.TOKENS)
        self._cost = of.sum(catalogue.COST)
        self._decisions = of.sum(catalogue.ROUTE_DECISIONS)
        self._selected = of.sum(catalogue.ROUTES_SELECTED)
        self._cascades = of.sum(catalogue.CASCADE_DECISIONS)
        self._verdicts = of.sum(catalogue.GUARD_VERDICTS)
        self._degraded = of.sum(catalogue.DEGRADED)
        self._refusals = of.sum(catalogue.ACCESS_REFUSALS)
        self._attempts = of.sum(catalogue.UPSTREAM_ATTEMPTS)
        self._breaker_changes = of.sum(catalogue.BREAKER_CHANGES)
        self._breakers = of.sum(catalogue.BREAKER_STATE)
        self._breaker_states: dict[str, str] = {}
        self._models_seen = of.gauge(catalogue.MODEL_INFO)

    def model_label(self, model: str) -> str:
        """``model`` where it may be a label."""
        return model if model in self._models else OVERFLOW

    def reconfigured(self, models: Iterable[str]) -> None:
        """Another configuration is served from now on: it names these models, and its circuit breakers are closed."""
        self._models = frozenset(models)
        for upstream, state in self._breaker_states.items():
            if state != "closed":
                self._breakers.add(-1, upstream, state)
        self._breaker_states.clear()

    def request_started(self, listener: str) -> None:
        """The head of a request is here."""
        self._active.add(1, listener)

    def request_finished(self, listener: str, status: int, route: str = OVERFLOW, duration_s: float = 0.0) -> None:
        """A response has been sent, or given up, with this status. ``route`` is a path that the listener serves."""
        status_class = f"{status // 100}xx"
        self._active.add(-1, listener)
        self._requests.add(1, listener, status_class)
        self._durations.record(duration_s, listener, route, status_class)

    def turn_finished(self, operation: str, listener: str, duration_s: float, first_byte_s: float | None) -> None:
        """A conversation's turn was answered; ``first_byte_s`` where that was a stream."""
        self._turns.record(duration_s, operation, listener)
        if first_byte_s is not None:
            self._first_tokens.record(first_byte_s, operation, listener)

    def operation_finished(
        self,
        operation: str,
        upstream: str,
        *,
        provider: str,
        model: str,
        error: str,
        duration_s: float,
        first_byte_s: float | None,
    ) -> None:
        """A call of a provider or agent, ``upstream`` in the configuration, is over; ``error`` is empty where none."""
        label = self.model_label(model) if model else ""
        self._operations.record(duration_s, operation, provider, label, upstream, error)
        if first_byte_s is not None:
            self._first_chunks.record(first_byte_s, operation, provider, label, upstream)

    def tokens_counted(
        self, operation: str, upstream: str, *, provider: str, model: str, tokens: Mapping[str, int]
    ) -> None:
        """One answer of a provider or agent had so many tokens, by type: ``input`` and ``output``."""
        label = self.model_label(model) if model else ""
        for kind, count in tokens.items():
            self._token_usage.record(count, operation, provider, label, upstream, kind)

    def used(self, listener: str, key: str, model: str, tokens: Mapping[str, int], cost_usd: float | None) -> None:
        """A request used so many tokens, by type, and cost that; ``key`` is the name of an API key, or empty."""
        label = self.model_label(model) if model else ""
        for kind, count in tokens.items():
            if count:
                self._tokens.add(count, listener, key, label, kind)
        if cost_usd is not None:
            self._cost.add(cost_usd, listener, key, label)

    def route_decided(self, listener: str, reason: str) -> None:
        """A routing decision was made."""
        self._decisions.add(1, listener, reason)

    def route_selected(self, listener: str, route: str, score: float | None) -> None:
        """A route of the configuration was chosen, with this score where somebody scored it."""
        confidence = _NOT_SCORED
        if score is not None:
            confidence = next(name for lowest, name in _CONFIDENCE if score >= lowest)
        self._selected.add(1, listener, route, confidence)

    def cascade_decided(self, outcome: CascadeOutcome) -> None:
        """A cascade of two orchestrators decided."""
        self._cascades.add(1, outcome)

    def model_answered(self, model: str, version: str) -> None:
        """A model of ours has answered in this version."""
        self._models_seen.set(1, model, version)

    def guard_judged(self, guard: str, outcome: GuardOutcome) -> None:
        """A guard gave its verdict, or could not."""
        self._verdicts.add(1, guard, outcome)

    def degraded(self, part: DegradablePart) -> None:
        """A request went on, or was refused, because ``part`` was gone."""
        self._degraded.add(1, part)

    def access_refused(self, reason: AccessRefusal) -> None:
        """A request was refused for what its API key may do, or for want of one."""
        self._refusals.add(1, reason)

    def attempt_finished(self, upstream: str, outcome: AttemptOutcome) -> None:
        """A try at ``upstream``, an entry of the configuration, has ended."""
        self._attempts.add(1, upstream, outcome)

    def breaker_changed(self, upstream: str, state: str) -> None:
        """The circuit breaker of ``upstream``, an entry of the configuration, is now in this state."""
        self._breaker_changes.add(1, upstream, state)
        before = self._breaker_states.get(upstream, "closed")
        self._breaker_states[upstream] = state
        if before != "closed":
            self._breakers.add(-1, upstream, before)
        if state != "closed":
            self._breakers.add(1, upstream, state)

"""Every metric and attribute name that Trident emits."""

from __future__ import annotations

REQUESTS = "trident.requests"
ROUTE_DECISIONS = "trident.route.decisions"
GUARD_VERDICTS = "trident.guard.verdicts"
DEGRADED = "trident.degraded"
ACCESS_REFUSALS = "trident.access.refusals"
UPSTREAM_ATTEMPTS = "trident.upstream.attempts"
BREAKER_CHANGES = "trident.upstream.breaker.changes"

LISTENER = "trident.listener"
STATUS_CLASS = "http.response.status_class"
ROUTE_REASON = "trident.route.reason"
GUARD = "trident.guard"
OUTCOME = "trident.guard.outcome"
PART = "trident.part"
REFUSAL_REASON = "trident.access.reason"
UPSTREAM = "trident.upstream"
ATTEMPT_OUTCOME = "trident.upstream.outcome"
BREAKER_STATE = "trident.upstream.breaker.state"

"""Every metric and attribute name that Trident emits."""

from __future__ import annotations

REQUESTS = "trident.requests"
ROUTE_DECISIONS = "trident.route.decisions"
GUARD_VERDICTS = "trident.guard.verdicts"
DEGRADED = "trident.degraded"

LISTENER = "trident.listener"
STATUS_CLASS = "http.response.status_class"
ROUTE_REASON = "trident.route.reason"
GUARD = "trident.guard"
OUTCOME = "trident.guard.outcome"
PART = "trident.part"

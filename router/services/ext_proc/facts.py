"""What access logs of Envoy may say about a request: the metadata of an exchange."""

from __future__ import annotations

from typing import Any

from router.context import RequestContext, RouteDecision, Verdict


def decided(context: RequestContext, upstream: str | None) -> dict[str, Any]:
    """What is known when a request goes on, or when it ends: no content and no keys.

    ``upstream`` is the agent or provider that Envoy is to ask, ``None`` where none is asked.
    """
    facts: dict[str, Any] = {"request_id": context.request_id, "listener": context.listener}
    if context.decision is not None:
        facts.update(_decision(context.decision))
    if upstream is not None:
        facts["upstream"] = upstream
    if context.attempts:
        facts["model"] = context.attempts[-1].model
    if context.identity is not None:
        facts["key"] = context.identity.name
    if context.degraded:
        facts["degraded"] = ", ".join(context.degraded)
    if context.verdicts:
        facts["guards"] = {f"{each.direction}.{each.guard}": _verdict(each) for each in context.verdicts}
    if context.usage is not None:
        facts["tokens_in"], facts["tokens_out"] = context.usage.input, context.usage.output
    if context.error_code is not None:
        facts["error"] = context.error_code
    return facts


def _decision(decision: RouteDecision) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "route": ", ".join(decision.routes),
        "reason": decision.reason,
        "scores": {name: round(score, 4) for name, score in decision.scores.items()},
    }
    if decision.model is not None:
        facts["orchestrator"] = decision.model
    if decision.model_version is not None:
        facts["orchestrator_version"] = decision.model_version
    return facts


def _verdict(verdict: Verdict) -> dict[str, Any]:
    said: dict[str, Any] = {"outcome": verdict.outcome, "score": round(verdict.score, 4)}
    return said if verdict.label is None else {**said, "label": verdict.label}

"""The guards of a configuration."""

from __future__ import annotations

from router.config import Config
from router.guardrails import Guard, GuardPolicy
from router.telemetry.metrics import Metrics
from router.triton.client import TritonClient
from router.triton.models import Classifier

JAILBREAK_MODEL = "jailbreak"
MODERATION_MODEL = "moderation"
_JAILBREAK_LABELS = frozenset({"jailbreak", "injection"})


def build_guard(config: Config, triton: TritonClient, metrics: Metrics) -> Guard | None:
    """The guard on what users and tools say, where there is one."""
    jailbreak = config.prompt_guards.input_guards.jailbreak
    if jailbreak is None:
        return None
    policy = GuardPolicy(
        "jailbreak",
        _JAILBREAK_LABELS,
        threshold=jailbreak.threshold,
        message=jailbreak.on_exception.message,
        on_error=jailbreak.on_error,
        timeout_s=config.triton.timeout,
    )
    return Guard(policy, Classifier(triton, JAILBREAK_MODEL), metrics)

"""Guards on requests and answers: what is judged, by which check, and what becomes of it (docs/guardrails.md)."""

from __future__ import annotations

from router.guardrails.checks import LabelCheck, SizeCheck, TopicCheck
from router.guardrails.engine import Guard
from router.guardrails.input_guards import InputGuards, Passed
from router.guardrails.output_guards import OutputGuards
from router.guardrails.policy import GuardPolicy, Windowing
from router.guardrails.reporting import GUARD_HEADER
from router.guardrails.scores import ScoredModel, TextClassifier, pieces

__all__ = [
    "GUARD_HEADER",
    "Guard",
    "GuardPolicy",
    "InputGuards",
    "LabelCheck",
    "OutputGuards",
    "Passed",
    "ScoredModel",
    "SizeCheck",
    "TextClassifier",
    "TopicCheck",
    "Windowing",
    "pieces",
]

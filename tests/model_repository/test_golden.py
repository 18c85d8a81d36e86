"""The released models decide what they decided when they were released; ``training/golden.py`` wrote that down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from triton_backend import REPOSITORY, load_model, model_config, request

from router.triton.metadata import from_model_config

GOLDEN = Path(__file__).parent / "golden"
ORCHESTRATOR = json.loads((GOLDEN / "orchestrator.json").read_text(encoding="utf-8"))
JAILBREAK = json.loads((GOLDEN / "jailbreak.json").read_text(encoding="utf-8"))
MODERATION = json.loads((GOLDEN / "moderation.json").read_text(encoding="utf-8"))
# Processors round int8 products differently; golden.py leaves out cases nearer to the threshold than this.
ROUNDING = 0.05


@pytest.fixture(scope="module")
def orchestrator() -> Any:
    return load_model(REPOSITORY / "cpu" / "orchestrator")


@pytest.fixture(scope="module")
def jailbreak() -> Any:
    return load_model(REPOSITORY / "guardrails" / "jailbreak")


@pytest.fixture(scope="module")
def moderation() -> Any:
    return load_model(REPOSITORY / "guardrails" / "moderation")


@pytest.mark.parametrize("case", ORCHESTRATOR["cases"], ids=lambda case: case["turns"][-1])
def test_the_orchestrator_decides_as_released(orchestrator: Any, case: dict[str, Any]) -> None:
    turns = case["turns"]
    roles = [("user", "assistant")[(len(turns) - 1 - place) % 2] for place in range(len(turns))]
    conversation = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=True)]
    roster = ORCHESTRATOR["rosters"][case["roster"]]
    routes = [{"name": name, "description": text} for name, text in roster]
    one = request(CONVERSATION=json.dumps(conversation).encode(), ROUTES=json.dumps(routes).encode())
    scores = orchestrator.execute([one])[0].array("SCORES")[0]
    np.testing.assert_allclose(scores, case["scores"], atol=ROUNDING)
    chosen = [name for (name, _), score in zip(roster, scores, strict=True) if score >= ORCHESTRATOR["threshold"]]
    assert chosen == case["chosen"]


@pytest.mark.parametrize("case", JAILBREAK["cases"], ids=lambda case: case["text"][:40])
def test_the_jailbreak_classifier_decides_as_released(jailbreak: Any, case: dict[str, Any]) -> None:
    [response] = jailbreak.execute([request(TEXT=case["text"].encode())])
    score = float(1.0 - response.array("SCORES")[0][0])
    assert score == pytest.approx(case["scores"][0], abs=ROUNDING)
    assert (score >= JAILBREAK["threshold"]) == case["refused"]


@pytest.mark.parametrize("case", MODERATION["cases"], ids=lambda case: case["text"][:40])
def test_the_moderation_classifier_decides_as_released(moderation: Any, case: dict[str, Any]) -> None:
    [response] = moderation.execute([request(TEXT=case["text"].encode())])
    scores = response.array("SCORES")[0]
    np.testing.assert_allclose(scores, case["scores"], atol=ROUNDING)
    labels = from_model_config(model_config(REPOSITORY / "guardrails" / "moderation")).labels
    flagged = [
        label for label, given, least in zip(labels, scores, MODERATION["thresholds"], strict=True) if given >= least
    ]
    assert flagged == case["flagged"]


@pytest.mark.parametrize(
    ("folder", "golden"), [("cpu/orchestrator", ORCHESTRATOR), ("guardrails/jailbreak", JAILBREAK)]
)
def test_the_golden_threshold_is_the_configured_one(folder: str, golden: dict[str, Any]) -> None:
    configured = model_config(REPOSITORY / folder).parameters["threshold"].string_value
    assert float(configured) == golden["threshold"]
    assert len(golden["cases"]) >= 20


def test_the_golden_thresholds_of_moderation_are_the_configured_ones() -> None:
    thresholds = from_model_config(model_config(REPOSITORY / "guardrails" / "moderation")).thresholds
    assert list(thresholds.values()) == MODERATION["thresholds"]
    assert len(MODERATION["cases"]) >= 20

"""Write the decisions of the released models into ``tests/model_repository/golden``; run it after a release.

A test holds the models to them. Cases whose score is near the threshold are named and left out: they would say more
about the processor than about the model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from decisions import read_threshold, read_thresholds
from embed import ServedGuard, ServedModeration, ServedOrchestrator
from moderation_texts import LABELS
from roster_examples import question
from serving import JAILBREAK, MODERATION, ORCHESTRATOR, matching, roster_features

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "model_repository" / "golden"
MARGIN = 0.06


def decide(model: ServedOrchestrator, turns: list[str], roster: list[list[str]]) -> np.ndarray:
    """The score of each agent; the last turn is the user's, the ones before alternate."""
    roles = [("user", "assistant")[(len(turns) - 1 - place) % 2] for place in range(len(turns))]
    asked = question(tuple(zip(roles, turns, strict=True)))
    described = [roster_features.describe(name, text) for name, text in roster]
    agents = [matching.agent_of(texts, model.encode(texts.texts)) for texts in described]
    logits, _ = model.matching.logits(asked, model.encode(asked.texts), agents)
    return np.asarray(model.matching.probabilities(logits))


def keep(data: dict[str, Any], thresholds: float | Sequence[float], name: str) -> None:
    """Write the cases whose scores are all far enough from the threshold, or from that of their label."""
    near = [one for one in data["cases"] if np.abs(np.subtract(one["scores"], thresholds)).min() < MARGIN]
    data["cases"] = [one for one in data["cases"] if one not in near]
    data["threshold" if isinstance(thresholds, float) else "thresholds"] = thresholds
    text = json.dumps(data, indent=1, ensure_ascii=False)
    (GOLDEN / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(f"{name}: {len(data['cases'])} kept; too near the threshold: {near}")


def main() -> None:
    data = json.loads((GOLDEN / "orchestrator.json").read_text(encoding="utf-8"))
    model, threshold = ServedOrchestrator(ORCHESTRATOR), read_threshold(ORCHESTRATOR)
    for one in data["cases"]:
        scores = decide(model, one["turns"], data["rosters"][one["roster"]])
        names = [name for name, _ in data["rosters"][one["roster"]]]
        one["scores"] = [round(float(score), 3) for score in scores]
        one["chosen"] = [name for name, score in zip(names, scores, strict=True) if score >= threshold]
    keep(data, threshold, "orchestrator")
    data = json.loads((GOLDEN / "jailbreak.json").read_text(encoding="utf-8"))
    guard, threshold = ServedGuard(JAILBREAK), read_threshold(JAILBREAK)
    for one in data["cases"]:
        one["scores"] = [round(guard(one["text"]), 3)]
        one["refused"] = one["scores"][0] >= threshold
    keep(data, threshold, "jailbreak")
    data = json.loads((GOLDEN / "moderation.json").read_text(encoding="utf-8"))
    moderation, thresholds = ServedModeration(MODERATION), read_thresholds(MODERATION)
    for one in data["cases"]:
        scores = moderation(one["text"])
        one["scores"] = [round(float(score), 3) for score in scores]
        one["flagged"] = [LABELS[place] for place in np.flatnonzero(scores >= thresholds)]
    keep(data, thresholds, "moderation")


if __name__ == "__main__":
    main()

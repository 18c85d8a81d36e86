"""Choose one threshold per label for the served moderation model, on harmless texts that it was not trained on.

A threshold is the lowest at which false alarms of its label stay under a limit on ordinary texts and under another one
on hand-written hard negatives. The limit is the same for every label, and as high as all labels together allow. Prints
the line for ``config.pbtxt``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from areas import Scores
from embed import ServedModeration
from moderation_texts import LABELS, ORDINARY, ModerationText, load_moderation_texts
from serving import MODERATION

HERE = Path(__file__).resolve().parent
# All labels together, on ordinary texts; and what is tried for each.
ANY_LIMIT = 0.009
ORDINARY_LIMITS = (0.006, 0.005, 0.004, 0.003, 0.002, 0.001, 0.0)
HARD_LIMIT = 0.03
LOWEST = 0.3


def choose(ordinary: Scores, hard: Scores, limit: float) -> float:
    """The lowest threshold of one label, in hundredths, that keeps both limits; :data:`LOWEST` at least."""
    needed = max(_least(ordinary, limit), _least(hard, HARD_LIMIT), LOWEST)
    return min(0.99, math.ceil(needed * 100) / 100)


def _least(scores: Scores, limit: float) -> float:
    """A threshold just above the score that would be one false alarm too many."""
    allowed = int(limit * len(scores))
    return float(np.sort(scores)[::-1][allowed]) + 1e-4 if len(scores) > allowed else 0.0


def thresholds_of(texts: Sequence[ModerationText], scores: Scores) -> Scores:
    ordinary = np.array([one.source in ORDINARY for one in texts])
    hard = np.array([one.source == "own" for one in texts])
    for limit in ORDINARY_LIMITS:
        chosen = np.array([choose(scores[ordinary, place], scores[hard, place], limit) for place in range(len(LABELS))])
        if (scores[ordinary] >= chosen).any(axis=1).mean() <= ANY_LIMIT:
            return chosen
    raise ValueError(f"no thresholds keep false alarms under {ANY_LIMIT}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODERATION, help="folder with model.onnx and tokenizer.json")
    parser.add_argument("--shared", type=Path, help="folder of the shared sets")
    options = parser.parse_args()
    found = load_moderation_texts(HERE / "data", options.shared)
    texts = [one for one in found if one.calibrates and (one.source in ORDINARY or one.source == "own")]
    model = ServedModeration(options.model)
    scores = np.array([model(one.text) for one in texts])
    chosen = thresholds_of(texts, scores)
    flagged = (scores >= chosen).any(axis=1)
    for name, inside in (("ordinary", ORDINARY), ("hard negatives", ("own",))):
        mask = np.array([one.source in inside for one in texts])
        print(f"{name}: {mask.sum()} texts, any label {flagged[mask].mean():.4f}")
    for place, name in enumerate(LABELS):
        print(f"{name}: {chosen[place]:.2f}")
    print(",".join(f"{value:.2f}" for value in chosen))


if __name__ == "__main__":
    main()

"""What is measured on the moderation classifier; ``scores`` are ``[texts, labels]``, in the order of ``LABELS``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from areas import Scores, auroc
from moderation_texts import LABELS, ModerationText


def label_sides(texts: Sequence[ModerationText], scores: Scores, label: int) -> tuple[Scores, Scores]:
    """The scores of one label on texts that carry it and on texts known not to."""
    wanted = [one.targets[label] for one in texts]
    given = scores[:, label]
    return given[[target == 1 for target in wanted]], given[[target == 0 for target in wanted]]


def harm_sides(texts: Sequence[ModerationText], scores: Scores, thresholds: Scores) -> tuple[Scores, Scores]:
    """How near the nearest label is to its threshold (1 and more: flagged), on harmful and on harmless texts."""
    nearest = nearness(scores, thresholds)
    return nearest[[one.harmful for one in texts]], nearest[[one.harmless for one in texts]]


def nearness(scores: Scores, thresholds: Scores) -> Scores:
    """The odds of the score over the odds of the threshold, highest label: 1 and more is flagged."""
    odds = scores / np.maximum(1.0 - scores, 1e-9)
    return (odds / (thresholds / (1.0 - thresholds))).max(axis=1)


def summary(texts: Sequence[ModerationText], scores: Scores) -> dict[str, float]:
    """Areas by source for a training log: any harm, and each label that a source has."""
    even = np.full(len(LABELS), 0.5)
    found = {}
    for source in sorted({one.source for one in texts}):
        rows = [place for place, one in enumerate(texts) if one.source == source]
        part, given = [texts[row] for row in rows], scores[rows]
        sides = {"any": harm_sides(part, given, even)}
        sides |= {name: label_sides(part, given, place) for place, name in enumerate(LABELS)}
        for name, (positive, negative) in sides.items():
            if len(positive) >= 5 and len(negative) >= 5:
                found[f"{source} {name}"] = round(auroc(positive, negative), 3)
    return found

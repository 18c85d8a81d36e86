"""Areas under curves, of scores that ought to be high and scores that ought to be low, and their intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Measure = Callable[[Scores, Scores], float]


def auroc(positive: Scores, negative: Scores) -> float:
    """The chance that a positive gets a higher score than a negative; equal scores count half."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left") + np.searchsorted(ordered, positive, side="right")
    return float(below.mean() / 2 / len(negative))


def auprc(positive: Scores, negative: Scores) -> float:
    """Average precision: the mean, over the positives, of the precision at the score of each."""
    scores = np.concatenate([positive, negative])
    right = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    levels, place = np.unique(scores, return_inverse=True)
    hits = np.bincount(place, weights=right, minlength=len(levels))[::-1].cumsum()
    taken = np.bincount(place, minlength=len(levels))[::-1].cumsum()
    return float((hits / taken)[len(levels) - 1 - place[: len(positive)]].mean())


def bootstrap(measure: Measure, positive: Scores, negative: Scores, *, draws: int = 300) -> tuple[float, float]:
    """95 % interval of a measure of two sides; both are drawn anew."""
    rng = np.random.default_rng(0)
    values = [measure(rng.choice(positive, len(positive)), rng.choice(negative, len(negative))) for _ in range(draws)]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)

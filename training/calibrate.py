"""Fit the probabilities and the threshold of an exported orchestrator on the calibration rosters.

Writes slope and offset to ``calibration.json`` of the folder, and prints the threshold for ``config.pbtxt``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from decisions import Row, compute_rows, measure, probabilities
from embed import ServedOrchestrator
from roster_examples import load_authored

HERE = Path(__file__).resolve().parent
THRESHOLDS = np.arange(0.20, 0.66, 0.02)


def fit(rows: Sequence[Row], *, steps: int = 60) -> tuple[float, float]:
    """Slope and offset of the least log loss, by Newton's method."""
    logits = np.concatenate([row.logits for row in rows]).astype(np.float64)
    wanted = np.concatenate([[place in row.example.needed for place in range(len(row.logits))] for row in rows])
    inputs, weights = np.stack([logits, np.ones_like(logits)], axis=1), np.array([1.0, 0.0])
    for _ in range(steps):
        given = 1.0 / (1.0 + np.exp(-inputs @ weights))
        curvature = (inputs * (given * (1.0 - given))[:, None]).T @ inputs + 1e-6 * np.eye(2)
        weights -= np.linalg.solve(curvature, inputs.T @ (given - wanted))
    return float(weights[0]), float(weights[1])


def choose_threshold(rows: Sequence[Row], scores: Sequence[np.ndarray]) -> float:
    """The middle of the best stretch for exact decisions, smoothed over its neighbours."""
    exact = [measure(rows, scores, threshold)["exact"] for threshold in THRESHOLDS]
    smooth = np.convolve(exact, np.ones(5) / 5, mode="valid")
    return round(float(THRESHOLDS[int(smooth.argmax()) + 2]), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=HERE / "runs" / "release", help="folder written by export.py")
    parser.add_argument("--shared", type=Path)
    options = parser.parse_args()
    parts = load_authored(HERE / "data" / "routing", options.shared / "routing" if options.shared else None)
    rows = compute_rows(parts["calibration"], ServedOrchestrator(options.model))
    slope, offset = fit(rows)
    scores = probabilities(rows, slope, offset)
    threshold = choose_threshold(rows, scores)
    text = json.dumps({"slope": round(slope, 4), "offset": round(offset, 4)}) + "\n"
    (options.model / "calibration.json").write_text(text, encoding="utf-8")
    print(text, json.dumps({"threshold": threshold, **measure(rows, scores, threshold)}, indent=1))


if __name__ == "__main__":
    main()

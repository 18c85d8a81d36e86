"""Measure an orchestrator (int8 ONNX and head) on the held-out rosters; prints the table of the model card."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from decisions import compute_rows, interval, measure
from embed import ServedEncoder
from fit_head import score
from roster_examples import load_authored
from serving import ORCHESTRATOR

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ORCHESTRATOR / "model.onnx")
    parser.add_argument("--head", type=Path, default=ORCHESTRATOR / "head.json")
    parser.add_argument(
        "--shared", type=Path, help="folder with routing/ of the shared data; without it, less is measured"
    )
    parser.add_argument("--part", choices=["calibration", "heldout"], default="heldout")
    options = parser.parse_args()
    parts = load_authored(HERE / "data" / "routing", options.shared / "routing" if options.shared else None)
    head = json.loads(options.head.read_text(encoding="utf-8"))
    rows = compute_rows(parts[options.part], ServedEncoder(options.model, ORCHESTRATOR / "tokenizer.json"))
    scores = score(head, rows)
    threshold = head["threshold"]
    exact = [
        set(np.flatnonzero(given >= threshold).tolist()) == set(row.example.needed)
        for row, given in zip(rows, scores, strict=True)
    ]
    low, high = interval(rows, exact)
    print(f"{len(parts[options.part])} rosters, threshold {threshold}, exact 95 % interval {low:.3f} to {high:.3f}")
    for name, value in measure(rows, scores, threshold).items():
        print(f"{name:24} {value:.3f}")


if __name__ == "__main__":
    main()

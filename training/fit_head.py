"""Fit the orchestrator's head and its threshold on what the int8 encoder really says; writes ``head.json``.

The head is fitted on the training rosters and stopped on the calibration rosters, which also choose the threshold.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from decisions import Row, compute_rows, measure
from embed import ServedEncoder
from roster_examples import load_authored
from serving import ORCHESTRATOR, roster_features
from torch import Tensor, nn
from torch.nn import functional

HERE = Path(__file__).resolve().parent
THRESHOLDS = np.arange(0.20, 0.66, 0.02)


def pack(rows: Sequence[Row], mean: np.ndarray, std: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Padded features, targets and mask, ``[n, agents, ...]``."""
    most = max(len(row.features) for row in rows)
    features = np.zeros((len(rows), most, len(roster_features.FEATURES)), dtype=np.float32)
    wanted, mask = np.zeros((len(rows), most), np.float32), np.zeros((len(rows), most), np.float32)
    for index, row in enumerate(rows):
        features[index, : len(row.features)] = (row.features - mean) / std
        mask[index, : len(row.features)] = 1.0
        wanted[index, list(row.example.needed)] = 1.0
    return torch.tensor(features), torch.tensor(wanted), torch.tensor(mask)


def losses(head: nn.Module, packed: tuple[Tensor, Tensor, Tensor], choice: float) -> Tensor:
    features, wanted, mask = packed
    logits = head(features)[..., 0]
    yes_or_no = (functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * mask).sum(1).mean()
    log_choice = logits.masked_fill(mask == 0, -1e9).log_softmax(-1)
    some = wanted.sum(1) > 0
    return yes_or_no - choice * ((log_choice * wanted).sum(1)[some] / wanted.sum(1)[some]).mean()


def fit(train: Sequence[Row], calibration: Sequence[Row], *, hidden: int, epochs: int, seed: int) -> dict[str, object]:
    torch.manual_seed(seed)
    stacked = np.concatenate([row.features for row in train])
    mean, std = stacked.mean(0), stacked.std(0) + 1e-6
    width = len(roster_features.FEATURES)
    head = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, 1))
    optim = torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=1e-2)
    data, judged = pack(train, mean, std), pack(calibration, mean, std)
    best, kept = float("inf"), copy.deepcopy(head.state_dict())
    for _ in range(epochs):
        head.train()
        for batch in torch.randperm(len(data[0])).split(256):
            optim.zero_grad()
            losses(head, (data[0][batch], data[1][batch], data[2][batch]), 0.5).backward()
            optim.step()
        head.eval()
        with torch.no_grad():
            value = float(losses(head, judged, 0.0))
        if value < best:
            best, kept = value, copy.deepcopy(head.state_dict())
    weights = {name: tensor.tolist() for name, tensor in kept.items()}
    return {"features": list(roster_features.FEATURES), "mean": mean.tolist(), "std": std.tolist(), **weights}


def score(head: dict[str, object], rows: Sequence[Row]) -> list[np.ndarray]:
    """The served head, in NumPy."""
    mean, std, w1, b1, w2, b2 = (
        np.asarray(head[name], dtype=np.float32) for name in ("mean", "std", "0.weight", "0.bias", "3.weight", "3.bias")
    )
    hidden = (np.maximum((row.features - mean) / std @ w1.T + b1, 0.0) for row in rows)
    return [1.0 / (1.0 + np.exp(-(one @ w2.T + b2)[:, 0])) for one in hidden]


def choose_threshold(rows: Sequence[Row], scores: Sequence[np.ndarray]) -> float:
    """The middle of the best stretch for exact decisions, smoothed over its neighbours."""
    exact = [measure(rows, scores, threshold)["exact"] for threshold in THRESHOLDS]
    smooth = np.convolve(exact, np.ones(5) / 5, mode="valid")
    return round(float(THRESHOLDS[int(smooth.argmax()) + 2]), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ORCHESTRATOR / "model.onnx")
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "runs" / "head.json")
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = load_authored(HERE / "data" / "routing", options.shared / "routing" if options.shared else None)
    encode = ServedEncoder(options.model, ORCHESTRATOR / "tokenizer.json")
    train, calibration = (compute_rows(parts[part], encode) for part in ("train", "calibration"))
    print(f"{len(train)} conversations to fit on, {len(calibration)} to calibrate", flush=True)
    head = fit(train, calibration, hidden=options.hidden, epochs=options.epochs, seed=options.seed)
    scores = score(head, calibration)
    head["threshold"] = choose_threshold(calibration, scores)
    options.out.write_text(json.dumps(head), encoding="utf-8")
    print(json.dumps({"threshold": head["threshold"], **measure(calibration, scores, head["threshold"])}, indent=1))
    print(f"written: {options.out}; set the same threshold in config.pbtxt")


if __name__ == "__main__":
    main()

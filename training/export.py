"""Write the served int8 ONNX of a trained orchestrator, and say how close it is to what was trained."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from embed import ServedEncoder
from encoder import Encoder
from onnx_export import export_int8
from roster_examples import load_authored
from serving import ORCHESTRATOR
from torch import Tensor, nn
from train_orchestrator import new_matcher

HERE = Path(__file__).resolve().parent


class Pooled(nn.Module):
    """Token ids to one unit vector."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return Encoder.pool(self.encoder(ids, mask), mask)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=HERE / "runs" / "orchestrator" / "best.pt")
    parser.add_argument("--out", type=Path, default=HERE / "runs" / "orchestrator.onnx")
    options = parser.parse_args()
    torch.set_num_threads(1)
    matcher = new_matcher(options.wheel)
    state = torch.load(options.checkpoint)
    matcher.load_state_dict(state["matcher"])
    pooled = Pooled(matcher.encoder).eval()
    export_int8(pooled, options.out, output="embedding")
    pooled.eval()
    matcher.eval()
    rosters = load_authored(HERE / "data" / "routing", None)["calibration"][:6]
    texts = [example.question.newest for roster in rosters for example in roster.examples][:200]
    with torch.no_grad():
        trained = matcher.encode(texts).numpy()
    cosine = (trained * ServedEncoder(options.out, ORCHESTRATOR / "tokenizer.json")(texts)).sum(1)
    print(f"step {state['step']}, {options.out.stat().st_size / 1e6:.1f} MB, cosine to the trained model: "
          f"mean {np.mean(cosine):.4f}, least {np.min(cosine):.4f}")  # fmt: skip


if __name__ == "__main__":
    main()

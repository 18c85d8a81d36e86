"""Write the served networks of a trained orchestrator: the int8 encoder and the fp32 scorer."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from encoder import Encoder
from matcher import Matcher
from onnx_export import OPSET, export_int8
from serving import ORCHESTRATOR, roster_features
from torch import Tensor, nn
from train_orchestrator import new_matcher

HERE = Path(__file__).resolve().parent


class EncoderOutputs(nn.Module):
    """Token ids to the unit vector of the text, and keys and values of its tokens."""

    def __init__(self, matcher: Matcher) -> None:
        super().__init__()
        self.encoder, self.tokens = matcher.encoder, matcher.tokens

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        states = self.encoder(ids, mask)
        return (Encoder.pool(states, mask), *self.tokens(states))


def export_scorer(matcher: Matcher, target: Path) -> None:
    """``[1, N, F]`` features, ``[1, T, P]`` tokens and ``[N, U, P]`` described tokens to logits ``[1, N]``."""
    tokens, described, agents, narrow = 5, 7, 3, matcher.tokens.proj.out_features
    example = (
        torch.randn(1, agents, len(roster_features.FEATURES)), torch.randn(1, tokens, narrow),
        torch.randn(1, tokens, narrow), torch.ones(1, tokens, dtype=torch.long), torch.randn(agents, described, narrow),
        torch.randn(agents, described, narrow), torch.ones(agents, described),
    )  # fmt: skip
    token, agent = {1: "tokens"}, {0: "agents", 1: "described"}
    axes = {
        "features": {1: "agents"}, "keys": token, "values": token, "kind": token, "agent_keys": agent,
        "agent_values": agent, "agent_mask": agent, "logits": {1: "agents"},
    }  # fmt: skip
    torch.onnx.export(
        matcher.scorer, example, str(target), input_names=list(axes)[:-1], output_names=["logits"], dynamic_axes=axes,
        opset_version=OPSET, dynamo=False,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=HERE / "runs" / "orchestrator" / "last.pt")
    parser.add_argument("--out", type=Path, default=HERE / "runs" / "release", help="folder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    matcher = new_matcher(options.wheel)
    state = torch.load(options.checkpoint)
    matcher.load_state_dict(state["matcher"])
    matcher.eval()
    options.out.mkdir(parents=True, exist_ok=True)
    varying = {0: "batch", 1: "tokens"}
    outputs = {"embedding": {0: "batch"}, "keys": varying, "values": varying}
    export_int8(EncoderOutputs(matcher), options.out / "model.onnx", outputs=outputs)
    export_scorer(matcher, options.out / "scorer.onnx")
    (options.out / "calibration.json").write_text(json.dumps({"slope": 1.0, "offset": 0.0}) + "\n", encoding="utf-8")
    tokenizer = (ORCHESTRATOR / "tokenizer.json").read_bytes()
    (options.out / "tokenizer.json").write_bytes(tokenizer)
    size = sum(path.stat().st_size for path in options.out.iterdir()) / 1e6
    print(f"step {state.get('step')}, {size:.1f} MB in {options.out}; calibrate.py fits calibration.json")


if __name__ == "__main__":
    main()

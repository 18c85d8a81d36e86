"""Mean of the weights of two runs of the orchestrator, the second one continued from the first.

The first knows rosters of one business better, the second one public sets; their mean is near the better of both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from train_orchestrator import new_matcher, started_from


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs=2, help="checkpoints")
    parser.add_argument("--share", type=float, default=0.5, help="of the second one")
    parser.add_argument("--straight", type=float, default=6.0, help="weight of plain similarity in the logit")
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    options = parser.parse_args()
    matcher = new_matcher(options.wheel)
    first, second = (started_from(torch.load(path)["matcher"], matcher, 1.0) for path in options.runs)
    mean = {name: torch.lerp(first[name], second[name], options.share) for name in first}
    mean["scorer.straight"] = torch.tensor(options.straight)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"matcher": mean, "step": torch.load(options.runs[1])["step"]}, options.out)
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()

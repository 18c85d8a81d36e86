"""What two guards and routing add together, beside the slowest of them alone.

python benchmarks/guards.py [--rounds 5] [--requests 60] [--limit 1.25]

Five listeners of one gateway with the real models: no guard, the jailbreak guard, the moderation guard, routing, and
all three together. One request at a time, the listeners take turns request by request, and every question is a
different one, since verdicts are remembered. A round compares the median of "together" with the highest median of the
three alone, each less the median of "plain", which is what the gateway and the agent take by themselves. Prints one
line of JSON; exits with 1 when the median over the rounds is above ``--limit``. Models that wait for the same core
cannot run at the same time: with fewer cores than models the ratio says more about the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from dataclasses import asdict, dataclass
from statistics import median

import uvloop

from benchmarks.guards_setting import Said, agent_and_gateway, ask, numbers
from benchmarks.targets import TargetError

ALONE = ("jailbreak", "moderation", "routing")
LISTENERS = ("plain", *ALONE, "together")
WARMUP = 3  # requests to each listener


@dataclass(frozen=True, slots=True)
class Round:
    """The medians of one round in milliseconds, by listener."""

    p50_ms: dict[str, float]

    @property
    def ratio(self) -> float:
        """What "together" adds to a plain request, over what the slowest alone does."""
        plain = self.p50_ms["plain"]
        return (self.p50_ms["together"] - plain) / (max(self.p50_ms[name] for name in ALONE) - plain)

    @property
    def whole_ratio(self) -> float:
        """The same for whole requests, as clients see them."""
        return self.p50_ms["together"] / max(self.p50_ms[name] for name in ALONE)


@dataclass(frozen=True, slots=True)
class Report:
    """``ratio`` is the median over the rounds; ``ratios`` are those of each."""

    cores: int
    requests: int
    ratio: float
    ratios: tuple[float, ...]
    whole_ratio: float
    p50_ms: dict[str, float]


def summarise(rounds: list[Round], requests: int) -> Report:
    return Report(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        requests=requests,
        ratio=round(median(each.ratio for each in rounds), 3),
        ratios=tuple(round(each.ratio, 3) for each in rounds),
        whole_ratio=round(median(each.whole_ratio for each in rounds), 3),
        p50_ms={name: round(median(each.p50_ms[name] for each in rounds), 2) for name in LISTENERS},
    )


async def measure(*, rounds: int, requests: int) -> Report:
    """Start everything, measure, stop everything. Raises ``TargetError``."""
    number = numbers()
    async with agent_and_gateway(Said(0, 0.0)):
        for _ in range(WARMUP):
            for name in LISTENERS:
                await ask(name, number(), stream=False)
        done = []
        for turn in range(rounds):
            took: dict[str, list[float]] = {name: [] for name in LISTENERS}
            for request in range(requests):
                shift = (turn + request) % len(LISTENERS)
                for name in LISTENERS[shift:] + LISTENERS[:shift]:
                    exchange = await ask(name, number(), stream=False)
                    took[name].append(exchange.pieces[-1][0] - exchange.sent)
            done.append(Round({name: median(times) * 1000 for name, times in took.items()}))
            print(f"round {turn}: {done[-1].ratio:.3f} {done[-1].p50_ms}", file=sys.stderr, flush=True)
    return summarise(done, requests)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=60, help="to each listener in each round")
    parser.add_argument("--limit", type=float, default=1.25)
    arguments = parser.parse_args()
    try:
        report = uvloop.run(measure(rounds=arguments.rounds, requests=arguments.requests))
    except (TargetError, asyncio.CancelledError) as exc:
        print(exc, file=sys.stderr)
        return 2
    print(json.dumps(asdict(report)), flush=True)
    return 0 if report.ratio <= arguments.limit else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""What guards on answers cost a stream: the time to the first word, and whether the pace of the words is kept.

python benchmarks/guards_streams.py [--rounds 5] [--streams 4] [--at-once 1] [--words 150] [--rate 50]

An agent says ``--rate`` words a second. Three listeners of one gateway with the real models take turns: no guard, the
moderation guard on answers, and the jailbreak guard beside it. A guarded stream comes in windows (a sentence, or 200
characters), so its first word waits for the end of the first sentence, and the words of a sentence come together. What
has to hold: nothing gets later and later. The pace is that from the first word to the last, in words a second; ``lag``
is how much later than the agent said it a word was heard; ``last_lag`` that of the last word, which grows with the
length of the answer where the guard cannot keep up. Every word is checked. Prints one line of JSON; exits with 1 when a
guarded stream is slower than 0.95 of a plain one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

import uvloop

from benchmarks.guards_setting import Said, agent_and_gateway, ask, numbers, words_of
from benchmarks.targets import TargetError

LISTENERS = ("plain", "answer", "answer-twice")
LEAST_PACE = 0.95  # of a plain stream


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream; times in milliseconds."""

    first_word_ms: float
    words_per_s: float
    lags_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """What one listener did, over all rounds; ``added_first_word_ms`` and ``pace`` are compared round by round."""

    first_word_p50_ms: float
    added_first_word_ms: float
    words_per_s: float
    pace: float
    lag_p50_ms: float
    lag_p99_ms: float
    last_lag_p50_ms: float


def stream_of(sent: float, said: Sequence[float], heard: Sequence[float]) -> Stream:
    """The figures of a stream that was asked for at ``sent``."""
    lags = tuple((there - spoken) * 1000 for spoken, there in zip(said, heard, strict=True))
    return Stream((heard[0] - sent) * 1000, (len(heard) - 1) / (heard[-1] - heard[0]), lags)


def row_of(rounds: Sequence[Sequence[Stream]], plain: Sequence[Sequence[Stream]]) -> Row:
    """The streams of a listener, and those of the plain one, by round."""

    def first(streams: Sequence[Stream]) -> float:
        return median(stream.first_word_ms for stream in streams)

    def pace(streams: Sequence[Stream]) -> float:
        return median(stream.words_per_s for stream in streams)

    streams = [stream for each in rounds for stream in each]
    lags = sorted(lag for stream in streams for lag in stream.lags_ms)
    pairs = list(zip(rounds, plain, strict=True))
    return Row(
        first_word_p50_ms=round(first(streams), 2),
        added_first_word_ms=round(median(first(ours) - first(base) for ours, base in pairs), 2),
        words_per_s=round(pace(streams), 2),
        pace=round(median(pace(ours) / pace(base) for ours, base in pairs), 3),
        lag_p50_ms=round(median(lags), 2),
        lag_p99_ms=round(lags[int(0.99 * (len(lags) - 1))], 2),
        last_lag_p50_ms=round(median(stream.lags_ms[-1] for stream in streams), 2),
    )


async def measure(*, rounds: int, streams: int, at_once: int, words: int, rate: float) -> dict[str, Row]:
    """Start everything, measure, stop everything. Raises ``TargetError``."""
    number, said = numbers(), Said(words, 1 / rate)

    async def one(listener: str) -> Stream:
        asked = number()
        exchange = await ask(listener, asked, stream=True)
        return stream_of(exchange.sent, said.times.pop(asked), exchange.heard(words_of(asked, words)))

    measured: dict[str, list[list[Stream]]] = {name: [] for name in LISTENERS}
    async with agent_and_gateway(said):
        for turn in range(rounds):
            shift = turn % len(LISTENERS)
            for name in LISTENERS[shift:] + LISTENERS[:shift]:
                done: list[Stream] = []
                while len(done) < streams:
                    done += await asyncio.gather(*(one(name) for _ in range(min(at_once, streams - len(done)))))
                measured[name].append(done)
            print(f"round {turn} done", file=sys.stderr, flush=True)
    return {name: row_of(found, measured["plain"]) for name, found in measured.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, default=4, help="of each listener in each round")
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--words", type=int, default=150)
    parser.add_argument("--rate", type=float, default=50.0, help="words a second")
    arguments = parser.parse_args()
    try:
        rows = uvloop.run(measure(**vars(arguments)))
    except TargetError as exc:
        print(exc, file=sys.stderr)
        return 2
    print(json.dumps({name: asdict(row) for name, row in rows.items()}), flush=True)
    return 0 if all(row.pace >= LEAST_PACE for row in rows.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())

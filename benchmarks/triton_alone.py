"""What the models alone cost: guard and orchestrator asked at the same time, as the gateway asks them.

python benchmarks/triton_alone.py --url HOST:PORT --concurrency 1 --seconds 3

Prints the same line of JSON as load.py. The difference to a gateway with guard and orchestrator is the gateway's own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import asdict
from pathlib import Path

import uvloop

from benchmarks.load import PREPARED, Result, summarise
from benchmarks.prompts import COUNT, prompt
from router.config import load_config
from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable
from router.triton.client import TritonClient
from router.triton.models import Classifier, ScoringOrchestrator

CONFIG = Path(__file__).parent / "config" / "orchestrated.yaml"
TIMEOUT_S = 10.0


class Questions:
    """One measurement: ``concurrency`` tasks that each ask the next question when the models have answered the last."""

    def __init__(self, client: TritonClient, start: int) -> None:
        (listener,) = load_config(CONFIG).config.listeners
        self._routes = [RouteDescription(agent.id, agent.description.strip()) for agent in listener.agents]
        self._orchestrator = ScoringOrchestrator(client)
        self._classifier = Classifier(client, "jailbreak")
        self._next = start
        self.recording = False
        self.stopped = False
        self.latencies: list[float] = []
        self.answered = 0
        self.errors: list[str] = []

    async def ask_until_stopped(self) -> None:
        while not self.stopped:
            text = prompt(self._next % COUNT)
            self._next += 1
            recorded, started = self.recording, time.perf_counter()
            try:
                await asyncio.gather(
                    self._orchestrator.score([Turn("user", text)], self._routes, timeout_s=TIMEOUT_S),
                    self._classifier.classify([text], timeout_s=TIMEOUT_S),
                )
            except ModelUnavailable as error:
                self.errors.append(str(error))
            else:
                self.answered += 1
                if recorded and not self.stopped:
                    self.latencies.append(time.perf_counter() - started)


async def measure(url: str, *, concurrency: int, warmup_s: float, seconds: float, start: int) -> Result:
    client = TritonClient(url)
    try:
        questions = Questions(client, start)
        tasks = [asyncio.ensure_future(questions.ask_until_stopped()) for _ in range(concurrency)]
        await asyncio.sleep(warmup_s)
        questions.recording = True
        started = time.perf_counter()
        await asyncio.sleep(seconds)
        elapsed = time.perf_counter() - started
        questions.stopped = True
        await asyncio.gather(*tasks)
    finally:
        await client.close()
    return summarise(questions.latencies, [], questions.errors, answered=questions.answered, elapsed_s=elapsed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--start", type=int, default=0, help=f"number of the first prompt; {PREPARED} are used at most")
    arguments = parser.parse_args()
    measuring = measure(
        arguments.url,
        concurrency=arguments.concurrency,
        warmup_s=arguments.warmup,
        seconds=arguments.seconds,
        start=arguments.start,
    )
    print(json.dumps(asdict(uvloop.run(measuring))), flush=True)


if __name__ == "__main__":
    main()

"""Clients that go on asking while something is done to the gateway, and note down everything that they see."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from tests.e2e.trident import Instance, body

CLIENTS = 50


@dataclass
class Load:
    """What clients saw: failures, what was answered, and when each answer came and how long it took."""

    failures: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)
    answered_at: list[float] = field(default_factory=list)

    @property
    def p99_s(self) -> float:
        return sorted(self.took_s)[int(len(self.took_s) * 0.99)]

    @property
    def longest_gap_s(self) -> float:
        return max(after - before for before, after in zip(self.answered_at, self.answered_at[1:], strict=False))


@asynccontextmanager
async def clients(instance: Instance, count: int = CLIENTS) -> AsyncIterator[Load]:
    """So many clients, each with a connection that it keeps, ask one question after the other."""
    load = Load()
    done = asyncio.Event()

    async def go_on(session: aiohttp.ClientSession) -> None:
        while not done.is_set():
            began = time.perf_counter()
            try:
                async with session.post(f"{instance.url}/v1/chat/completions", json=body()) as answer:
                    text = await answer.text()
                    if answer.status != 200:
                        load.failures.append(f"{answer.status} {text}")
                    else:
                        load.answers[json.loads(text)["choices"][0]["message"]["content"]] += 1
            except aiohttp.ClientError as exc:
                load.failures.append(repr(exc))
            now = time.perf_counter()
            load.took_s.append(now - began)
            load.answered_at.append(now)
            await asyncio.sleep(0.05)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=count)) as session:
        tasks = [asyncio.create_task(go_on(session)) for _ in range(count)]
        try:
            yield load
        finally:
            done.set()
            await asyncio.gather(*tasks)

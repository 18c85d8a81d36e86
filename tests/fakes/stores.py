"""Stores that behave as shared ones do, or badly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from router.errors import StateUnavailable
from router.state.memory import MemoryStore


class SharedStore(MemoryStore):
    """A store that takes its time, as one outside the process does; ``gone`` makes it fail. Counts its ``adds``."""

    in_process = False

    def __init__(self, *, clock: Callable[[], float], pause: Callable[[], int] = lambda: 1) -> None:
        super().__init__(clock=clock)
        self._pause = pause
        self.gone = False
        self.adds = 0

    async def add(self, namespace: str, key: str, amount: int, *, ttl_s: float, limit: int | None = None) -> int:
        self.adds += 1
        for _ in range(self._pause()):
            await asyncio.sleep(0)
        if self.gone:
            raise StateUnavailable
        total = await super().add(namespace, key, amount, ttl_s=ttl_s, limit=limit)
        for _ in range(self._pause()):
            await asyncio.sleep(0)
        return total

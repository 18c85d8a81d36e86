"""What Triton counts about the models in use, read every few seconds and counted on across its restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from router.errors import ModelUnavailable
from router.telemetry import catalogue
from router.telemetry.instruments import Registry
from router.triton.client import TritonClient
from router.triton.metadata import ModelStatistics

EVERY_S = 5.0
_TIMEOUT_S = 2.0


class TritonStatistics:
    """Reads the statistics of ``models``. A server that is away is no news here: whoever uses it says so."""

    def __init__(self, client: TritonClient, models: Collection[str], registry: Registry) -> None:
        self._client = client
        self._models = frozenset(models)
        self._up = registry.gauge(catalogue.TRITON_UP)
        self._requests = registry.sum(catalogue.TRITON_REQUESTS)
        self._queue_time = registry.sum(catalogue.TRITON_QUEUE_TIME)
        self._compute_time = registry.sum(catalogue.TRITON_COMPUTE_TIME)
        self._seen: dict[tuple[str, str], ModelStatistics] = {}
        self._ready: frozenset[str] = frozenset()
        self._versions: dict[tuple[str, ...], float] = {}
        registry.gauge(catalogue.MODEL_INFO).observe(lambda: self._versions)

    @property
    def missing(self) -> list[str]:
        """The models in use that were not served when last asked."""
        return sorted(self._models - self._ready)

    async def run(self, every_s: float = EVERY_S) -> None:
        """Read again and again, until cancelled."""
        while True:
            await self.read()
            await asyncio.sleep(every_s)

    async def read(self) -> None:
        """Read once."""
        try:
            answered = await self._client.statistics(_TIMEOUT_S)
        except ModelUnavailable:
            answered = None
        self._up.set(0 if answered is None else 1)
        used = [each for each in answered or () if each.name in self._models]
        self._ready = frozenset(each.name for each in used)
        self._versions = {(each.name, each.version): 1.0 for each in used}
        for each in used:
            self._count(each)

    def _count(self, now: ModelStatistics) -> None:
        key = now.name, now.version
        before = self._seen.get(key)
        if before is None or now.succeeded < before.succeeded or now.failed < before.failed:
            # Loaded anew; what it counts begins at zero.
            before = ModelStatistics(*key, succeeded=0, failed=0, queue_s=0.0, compute_s=0.0)
        self._seen[key] = now
        self._requests.add(now.succeeded - before.succeeded, *key, "ok")
        self._requests.add(now.failed - before.failed, *key, "error")
        self._queue_time.add(max(0.0, now.queue_s - before.queue_s), *key)
        self._compute_time.add(max(0.0, now.compute_s - before.compute_s), *key)

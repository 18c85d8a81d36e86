"""Prices and latencies from outside, fetched in the background: no request ever waits for them.

A source that cannot be fetched or read keeps the data that it gave last; that is logged, counted, and tried again
sooner than the interval.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from yarl import URL

from router.aio import TaskGroup
from router.errors import UpstreamError
from router.pricing import ModelFacts, PriceTable
from router.routing import catalogues
from router.routing.catalogues import UnreadableSource
from router.upstream.fetch import Fetcher
from router.upstream.http import Endpoint

logger = logging.getLogger(__name__)

SourceName = Literal["models.dev", "digitalocean", "prometheus"]

_URLS: Mapping[SourceName, str] = {
    "models.dev": "https://models.dev/api.json",
    "digitalocean": "https://api.digitalocean.com/v2/gen-ai/models/catalog?limit=200",
}
_QUERY_PATH = "/api/v1/query"
_JITTER = 0.1  # so that many gateways do not all ask at the same time
_FIRST_RETRY_S = 30.0


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """One source of ``model_metrics_sources``; ``url`` and ``query`` are there where the source needs them."""

    name: SourceName
    interval_s: float
    url: str | None = None
    query: str | None = None
    aliases: Mapping[str, str] | None = None


class Latencies:
    """How fast models are, for comparing them: what Prometheus says once it has said something, else our own measures.

    The two are never mixed: nobody says that the query's unit is seconds.
    """

    def __init__(self, measured: Callable[[str], float | None]) -> None:
        self._measured = measured
        self._fetched: Mapping[str, float] = {}

    def replace(self, latencies: Mapping[str, float]) -> None:
        """Take what was fetched, by ``provider/model`` or the model alone."""
        self._fetched = latencies

    def of(self, model: str) -> float | None:
        """The latency of ``provider/model``; ``None`` when it is not known."""
        if not self._fetched:
            return self._measured(model)
        whole = self._fetched.get(model)
        return self._fetched.get(model.partition("/")[2]) if whole is None else whole


class MetricsSources:
    """Keeps ``prices`` and ``latencies`` fresh while ``run`` runs.

    ``count_failure`` is told the name of a source whose refresh failed; ``jitter`` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        sources: Sequence[SourceSettings],
        fetcher: Fetcher,
        *,
        prices: PriceTable,
        latencies: Latencies,
        count_failure: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._sources = [(source, fetcher.endpoint(source.name, _url(source))) for source in sources]
        self._fetcher = fetcher
        self._prices = prices
        self._latencies = latencies
        self._count_failure = count_failure
        self._sleep = sleep
        self._jitter = jitter

    async def run(self) -> None:
        """Refresh all sources, each at its own pace, until cancelled."""
        async with TaskGroup() as group:
            for number, (source, endpoint) in enumerate(self._sources):
                group.create_task(self._keep_fresh(f"{number}:{source.name}", source, endpoint))

    async def _keep_fresh(self, key: str, source: SourceSettings, endpoint: Endpoint) -> None:
        failures = 0
        while True:
            if await self._refresh(key, source, endpoint):
                failures = 0
                pause_s = source.interval_s
            else:
                pause_s = min(source.interval_s, _FIRST_RETRY_S * 2.0 ** min(failures, 20))
                failures += 1
            await self._sleep(pause_s * (1 - _JITTER + 2 * _JITTER * self._jitter()))

    async def _refresh(self, key: str, source: SourceSettings, endpoint: Endpoint) -> bool:
        try:
            document = await self._fetcher.fetch(endpoint)
            # Megabytes of catalogue: in a thread, so that requests are served in between.
            if source.name == "prometheus":
                self._latencies.replace(await asyncio.to_thread(catalogues.read_prometheus, document))
            else:
                self._prices.replace_catalogue(key, await asyncio.to_thread(_read_prices, source, document))
        except (UpstreamError, UnreadableSource) as exc:
            self._count_failure(source.name)
            logger.warning(
                "source of model metrics cannot be refreshed, keeping what it said before",
                extra={"source": source.name, "cause": repr(exc)},
            )
            return False
        return True


def _read_prices(source: SourceSettings, document: bytes) -> dict[str, ModelFacts]:
    read = catalogues.read_digitalocean if source.name == "digitalocean" else catalogues.read_models_dev
    return catalogues.with_aliases(read(document), source.aliases or {})


def _url(source: SourceSettings) -> URL:
    if source.name != "prometheus":
        return URL(source.url or _URLS[source.name])
    if source.url is None or source.query is None:
        raise ValueError("Prometheus needs a URL and a query.")
    base = URL(source.url)
    path = base.path.rstrip("/")
    return base.with_path(path if path.endswith(_QUERY_PATH) else path + _QUERY_PATH).with_query(query=source.query)

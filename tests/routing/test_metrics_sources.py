from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

import pytest

from router.pricing import PriceTable
from router.routing.metrics_sources import Latencies, MetricsSources, SourceSettings
from router.upstream.fetch import Fetcher
from router.upstream.http import HttpClient
from tests.fakes.agents import FakeAgent
from tests.fakes.http_exchange import Exchange


class Clock:
    """A sleep that lasts until somebody says so, and remembers how long it was meant to be."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._asleep: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        wake = asyncio.Event()
        await self._asleep.put(wake)
        await wake.wait()

    async def next_round(self) -> None:
        """Let the sleeper go on, and wait until it sleeps again."""
        (await self._asleep.get()).set()
        sleeping = await asyncio.wait_for(self._asleep.get(), 10)
        await self._asleep.put(sleeping)

    async def first_round(self) -> None:
        sleeping = await asyncio.wait_for(self._asleep.get(), 10)
        await self._asleep.put(sleeping)


class Running:
    def __init__(self, measured: dict[str, float]) -> None:
        self.prices = PriceTable({}, {})
        self.latencies = Latencies(measured.get)
        self.failures: list[str] = []
        self.clock = Clock()


@asynccontextmanager
async def _running(*sources: SourceSettings, measured: dict[str, float] | None = None) -> AsyncIterator[Running]:
    client = HttpClient(connect_timeout_s=2)
    state = Running(measured or {})
    service = MetricsSources(
        sources,
        Fetcher(client, timeout_s=5),
        prices=state.prices,
        latencies=state.latencies,
        count_failure=state.failures.append,
        sleep=state.clock.sleep,
        jitter=lambda: 0.5,
    )
    task = asyncio.ensure_future(service.run())
    try:
        yield state
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await client.close()


def _catalogue(price: float) -> bytes:
    return json.dumps({"openai": {"models": {"gpt": {"cost": {"input": price, "output": price}}}}}).encode()


class Answers:
    """Answers one request after the other with the next of these bodies; ``None`` is an error."""

    def __init__(self, *bodies: bytes | None) -> None:
        self._bodies = list(bodies)

    async def __call__(self, exchange: Exchange) -> None:
        body = self._bodies.pop(0) if len(self._bodies) > 1 else self._bodies[0]
        status = b"500 Oops" if body is None else b"200 OK"
        body = body or b"{}"
        await exchange.send(b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))


async def test_prices_are_fetched_again_after_the_interval() -> None:
    async with FakeAgent(behaviour=Answers(_catalogue(1), _catalogue(2))) as agent:
        source = SourceSettings("models.dev", 3600, f"{agent.url}/api.json", aliases={"gpt": "mine/gpt"})
        async with _running(source) as state:
            await state.clock.first_round()
            assert state.prices.blended_usd("openai/gpt") == state.prices.blended_usd("mine/gpt") == 1
            await state.clock.next_round()
            assert state.prices.blended_usd("openai/gpt") == 2
            assert state.clock.pauses == [3600, 3600]
            assert state.failures == []
        assert {request.path for request in agent.requests} == {"/api.json"}


@pytest.mark.parametrize("failure", [None, b"<html>", b"{}"])
async def test_a_failed_refresh_keeps_the_data_and_is_told_and_tried_again_soon(
    failure: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    behaviour = Answers(_catalogue(1), failure, failure, _catalogue(2))
    async with (
        FakeAgent(behaviour=behaviour) as agent,
        _running(SourceSettings("models.dev", 3600, agent.url)) as state,
    ):
        await state.clock.first_round()
        with caplog.at_level(logging.WARNING):
            await state.clock.next_round()
            await state.clock.next_round()
        assert state.prices.blended_usd("openai/gpt") == 1
        assert state.failures == ["models.dev", "models.dev"]
        assert caplog.text.count("cannot be refreshed") == 2
        await state.clock.next_round()
        assert state.prices.blended_usd("openai/gpt") == 2
        assert state.clock.pauses == [3600, 30, 60, 3600]


async def test_prometheus_is_asked_with_the_query() -> None:
    series = {"metric": {"model_name": "openai/gpt"}, "value": [1, "0.5"]}
    body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": [series]}}).encode()
    query = 'histogram_quantile(0.5, sum by (model_name, le) (rate(x{job="a b"}[5m])))'
    async with FakeAgent(behaviour=Answers(body)) as agent:
        source = SourceSettings("prometheus", 60, f"{agent.url}/prom", query)
        async with _running(source, measured={"openai/other": 3}) as state:
            assert state.latencies.of("openai/other") == 3
            await state.clock.first_round()
            assert state.latencies.of("openai/gpt") == 0.5
            assert state.latencies.of("openai/other") is None
        url = urlsplit(agent.requests[0].path)
        assert url.path == "/prom/api/v1/query"
        assert parse_qs(url.query) == {"query": [query]}


async def test_one_source_that_fails_does_not_hold_up_another() -> None:
    async with FakeAgent(behaviour=Answers(None)) as broken, FakeAgent(behaviour=Answers(_catalogue(1))) as agent:
        sources = (SourceSettings("models.dev", 60, broken.url), SourceSettings("models.dev", 60, agent.url))
        async with _running(*sources) as state:
            for _ in range(4):
                await state.clock.next_round()
            assert state.prices.blended_usd("openai/gpt") == 1


def test_latencies_are_known_by_the_model_alone_too() -> None:
    latencies = Latencies({}.get)
    latencies.replace({"gpt": 2.0, "openai/gpt": 1.0})
    assert [latencies.of(name) for name in ("openai/gpt", "azure_openai/gpt", "openai/x")] == [1.0, 2.0, None]


def test_prometheus_without_a_query_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="query"):
        MetricsSources(
            [SourceSettings("prometheus", 60, "http://h")],
            Fetcher(HttpClient(connect_timeout_s=1)),
            prices=PriceTable({}),
            latencies=Latencies({}.get),
            count_failure=lambda _: None,
        )

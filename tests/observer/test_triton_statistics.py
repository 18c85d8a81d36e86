"""What Triton counts, across its restarts and its absence."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping

import pytest

from router.observer.triton_statistics import TritonStatistics
from router.telemetry import catalogue
from router.telemetry.instruments import Definition, Registry
from router.triton.client import TritonClient
from tests.fakes.triton import FakeModel, FakeTriton


class Watched:
    """A Triton with two models, of which one is in use, and what is known of it."""

    def __init__(self, triton: FakeTriton, client: TritonClient) -> None:
        self.triton = triton
        self.model: FakeModel = triton.classifier("guard", ["ok", "bad"], lambda text: [0.5, 0.5])
        triton.classifier("foreign", ["ok", "bad"], lambda text: [0.5, 0.5])
        self._registry = Registry()
        self.statistics = TritonStatistics(client, ("guard",), self._registry)

    def values(self, definition: Definition) -> Mapping[tuple[str, ...], float]:
        series = self._registry.snapshot().get(definition.name, [])
        return {tuple(labels): value for labels, value in series}


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    async with FakeTriton() as triton:
        client = TritonClient(triton.address)
        yield Watched(triton, client)
        await client.close()


async def test_models_in_use_are_counted_as_triton_counts_them(watched: Watched) -> None:
    model = watched.model
    model.succeeded, model.failed, model.queue_ns, model.compute_ns = 10, 2, 1_500_000_000, 4_000_000_000
    await watched.statistics.read()
    model.succeeded, model.queue_ns = 15, 2_000_000_000
    await watched.statistics.read()
    assert watched.values(catalogue.TRITON_UP) == {(): 1}
    assert watched.values(catalogue.TRITON_REQUESTS) == {("guard", "1", "ok"): 15, ("guard", "1", "error"): 2}
    assert watched.values(catalogue.TRITON_QUEUE_TIME) == {("guard", "1"): 2.0}
    assert watched.values(catalogue.TRITON_COMPUTE_TIME) == {("guard", "1"): 4.0}
    assert watched.values(catalogue.MODEL_INFO) == {("guard", "1"): 1}
    assert watched.statistics.missing == []


async def test_a_model_that_is_loaded_anew_is_counted_on(watched: Watched) -> None:
    watched.model.succeeded = 10
    await watched.statistics.read()
    watched.model.succeeded = 3
    await watched.statistics.read()
    assert watched.values(catalogue.TRITON_REQUESTS)[("guard", "1", "ok")] == 13


async def test_a_new_version_takes_the_place_of_the_old_one(watched: Watched) -> None:
    watched.model.succeeded = 10
    await watched.statistics.read()
    watched.model.version, watched.model.succeeded = "2", 1
    await watched.statistics.read()
    assert watched.values(catalogue.MODEL_INFO) == {("guard", "2"): 1}
    requests = watched.values(catalogue.TRITON_REQUESTS)
    assert (requests[("guard", "1", "ok")], requests[("guard", "2", "ok")]) == (10, 1)


async def test_a_model_that_is_not_served_is_missing(watched: Watched) -> None:
    assert watched.statistics.missing == ["guard"]
    watched.model.ready = False
    await watched.statistics.read()
    assert watched.statistics.missing == ["guard"]
    assert watched.values(catalogue.MODEL_INFO) == {}


async def test_a_triton_that_is_gone_is_down_without_a_word_and_comes_back(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="router")
    watched.model.succeeded = 10
    await watched.statistics.read()
    await watched.triton.kill()
    await watched.statistics.read()
    assert watched.values(catalogue.TRITON_UP) == {(): 0}
    assert watched.values(catalogue.TRITON_REQUESTS)[("guard", "1", "ok")] == 10
    assert watched.statistics.missing == ["guard"]
    assert [record.name for record in caplog.records if record.name.startswith("router")] == []
    await watched.triton.revive()
    while watched.statistics.missing:
        await watched.statistics.read()
    assert watched.values(catalogue.TRITON_UP) == {(): 1}

"""A client that asks other versions than are named, or asks them beside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import pytest

from router.aio import timeout
from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable
from router.triton.directed import MAX_BESIDE, DirectedClient, Directions
from router.triton.models import Classifier, ScoringOrchestrator
from tests.fakes.triton import FakeTriton

ROUTES = [RouteDescription("one", "One."), RouteDescription("two", "Two.")]
TURNS = [Turn("user", "hello")]


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with FakeTriton() as triton:
        triton.classifier("guard", ["benign", "attack"], lambda text: [0.9, 0.1])
        triton.classifier("guard.v2", ["benign", "attack"], lambda text: [0.2, 0.8] if "odd" in text else [0.8, 0.2])
        yield triton


@asynccontextmanager
async def directed(triton: FakeTriton, directions: Directions) -> AsyncIterator[DirectedClient]:
    client = DirectedClient(triton.address, directions)
    try:
        yield client
    finally:
        await client.close()


async def until(fact: Callable[[], bool]) -> None:
    async with timeout(10):
        while not fact():
            await asyncio.sleep(0.005)


async def test_another_version_is_asked_with_its_own_configuration(triton: FakeTriton) -> None:
    old = triton.orchestrator(lambda conversation, routes: [0.9, 0.1])
    new = triton.orchestrator(lambda conversation, routes: [0.05, 0.01], name="orchestrator.v2")
    old.parameters["threshold"], new.parameters["threshold"] = "0.5", "0.02"
    async with directed(triton, Directions(targets={"orchestrator": "orchestrator.v2"})) as client:
        scores = await ScoringOrchestrator(client).score(TURNS, ROUTES, timeout_s=5)
        assert (scores.threshold, scores.model) == (0.02, "orchestrator")
        assert [request.model for request in triton.requests] == ["orchestrator.v2"]
        assert await client.model_ready("orchestrator", 5)
        tally = client.tallies["orchestrator.v2"]
        assert (tally.asked, tally.failed, len(tally.times_s)) == (1, 0, 1)


async def test_what_is_asked_beside_changes_no_answer_and_is_compared(triton: FakeTriton) -> None:
    async with directed(triton, Directions(beside={"guard": "guard.v2"})) as client:
        guard = Classifier(client, "guard")
        assert await guard.classify(["odd"], timeout_s=5) == [
            {"benign": pytest.approx(0.9), "attack": pytest.approx(0.1)}
        ]
        assert await guard.classify(["even"], timeout_s=5)
        tally = client.tallies["guard.v2"]
        await until(lambda: tally.compared == 2)
        assert (tally.asked, tally.agreed, tally.failed) == (2, 1, 0)
        assert client.tallies["guard"].asked == 2


async def test_nobody_waits_for_what_is_asked_beside_and_not_everything_is(triton: FakeTriton) -> None:
    triton.models["guard.v2"].hang = True
    async with directed(triton, Directions(beside={"guard": "guard.v2"})) as client:
        guard = Classifier(client, "guard")
        for _ in range(MAX_BESIDE + 3):
            await guard.classify(["text"], timeout_s=5)
        assert client.tallies["guard.v2"].asked == MAX_BESIDE


async def test_failures_beside_are_counted_and_reach_nobody(triton: FakeTriton) -> None:
    triton.models["guard.v2"].error = grpc.StatusCode.INTERNAL
    async with directed(triton, Directions(beside={"guard": "guard.v2"})) as client:
        [scores] = await Classifier(client, "guard").classify(["text"], timeout_s=5)
        await until(lambda: client.tallies["guard.v2"].failed == 1)
        assert scores


async def test_failures_of_what_is_asked_instead_are_counted_and_raised(triton: FakeTriton) -> None:
    triton.models["guard.v2"].error = grpc.StatusCode.INTERNAL
    async with directed(triton, Directions(targets={"guard": "guard.v2"})) as client:
        with pytest.raises(ModelUnavailable):
            await Classifier(client, "guard").classify(["text"], timeout_s=5)
        assert client.tallies["guard.v2"].failed == 1
        assert client.tallies["guard.v2"].fields()["times_s"] == []

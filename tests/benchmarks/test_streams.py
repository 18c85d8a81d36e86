from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aiohttp.test_utils import TestServer

from benchmarks.floor import build_app
from benchmarks.mock_agent import Tally
from benchmarks.streams import IdleAgent, Report, allow_files, open_streams
from benchmarks.targets import TargetError
from router.aio import timeout
from tests.fakes.agents import FakeAgent, die, fail


@asynccontextmanager
async def _idle_agent() -> AsyncIterator[tuple[int, set[IdleAgent]]]:
    connections: set[IdleAgent] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: IdleAgent(Tally(), connections), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], connections
        async with timeout(5):
            while connections:
                await asyncio.sleep(0.01)


async def test_streams_stay_open_until_they_are_closed() -> None:
    async with (
        _idle_agent() as (agent_port, connections),
        TestServer(build_app(f"http://127.0.0.1:{agent_port}")) as floor,
    ):
        assert floor.port is not None
        opened = await open_streams(floor.port, 250)
        assert (len(opened.streams), opened.held, opened.first_error) == (250, 250, None)
        assert sum(agent.streams for agent in connections) == 250
        opened.close()
        async with timeout(5):
            while any(agent.streams for agent in connections):
                await asyncio.sleep(0.01)
        assert opened.held == 0


async def test_a_target_that_fails_ends_the_opening_and_says_why() -> None:
    async with FakeAgent(behaviour=fail(503)) as agent:
        opened = await open_streams(agent.port, 1000)
        assert opened.first_error is not None
        assert "503" in opened.first_error
        assert len(opened.streams) <= 100
        agent.behaviour = die()
        opened = await open_streams(agent.port, 1000)
        assert opened.first_error is not None
        assert "connection lost" in opened.first_error


@pytest.fixture
def few_files() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_limit_of_open_files_is_raised_as_far_as_it_goes(few_files: int) -> None:
    allow_files(1000)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 2256
    with pytest.raises(TargetError, match=r"2000000256 open files.*ask for --streams \d+"):
        allow_files(1_000_000_000)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (2256, few_files)


@pytest.mark.parametrize(
    ("held", "left", "rss_mb", "passes"),
    [(9, 0, 100.0, True), (8, 0, 100.0, False), (9, 1, 100.0, False), (9, 0, 101.0, False)],
)
def test_a_run_passes_when_all_held_all_was_released_and_memory_was_enough(
    held: int, left: int, rss_mb: float, passes: bool
) -> None:
    report = Report("chat", 9, 9, held, 0.1, 50.0, rss_mb, 1.0, left, None)
    assert report.passes(100.0) is passes

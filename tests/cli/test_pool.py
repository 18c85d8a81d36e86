"""The pool with real workers: what a start that fails looks like. What a good start does is in tests/e2e."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from router.aio import timeout
from router.cli.child import Backoff
from router.cli.options import LogOptions
from router.cli.pool import Trial, WorkerPool
from router.config import load_config
from router.errors import OperatorError
from router.runtime import Assignment
from tests.e2e.trident import free_port, refuses

CONFIG = """\
version: v0.4.0
agents:
  - {{id: weather_agent, url: http://localhost:1}}
listeners:
  - type: agent
    name: travel
    port: {port}
    agents:
      - {{id: weather_agent, description: Weather.}}
"""


def make_pool(folder: Path, port: int, *, count: int = 2) -> WorkerPool:
    file = folder / "config.yaml"
    file.write_text(CONFIG.format(port=port))
    return WorkerPool(assignment(file), count=count, folder=folder, logs=lambda: LogOptions("info", "auto"))


def assignment(file: Path) -> Assignment:
    return Assignment(load_config(file, {}), "127.0.0.1:9")


async def test_a_worker_that_cannot_start_fails_the_start_and_says_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ready: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        pool = make_pool(tmp_path, taken.getsockname()[1])
        async with timeout(60):
            with pytest.raises(OperatorError, match=r"A worker did not start \(exit status 1\)"):
                await pool.run(lambda: ready.append(True))
    assert ready == []
    assert pool.pids == ()
    assert psutil.Process().children() == []
    assert "Listener 'travel' cannot bind" in capfd.readouterr().err


async def test_a_drain_before_the_workers_are_ready_ends_them(tmp_path: Path) -> None:
    pool = make_pool(tmp_path, 1)
    pool.drain()
    async with timeout(60):
        await pool.run(lambda: pytest.fail("nothing may get ready"))
    assert pool.pids == ()


async def test_all_workers_are_ready_before_the_pool_is(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pool = make_pool(tmp_path, port)
    seen: list[int] = []

    def on_ready() -> None:
        seen.extend(pool.pids)
        pool.kill()

    async with timeout(60):
        await pool.run(on_ready)
    assert len(seen) == 2
    assert not [pid for pid in seen if psutil.pid_exists(pid)]
    assert pool.restarts == 0


@asynccontextmanager
async def running(folder: Path, port: int) -> AsyncIterator[WorkerPool]:
    """A pool whose workers all serve."""
    pool = make_pool(folder, port)
    ready = asyncio.Event()
    task = asyncio.create_task(pool.run(ready.set))
    try:
        async with timeout(60):
            await ready.wait()
        yield pool
    finally:
        pool.kill()
        await asyncio.wait({task})


async def test_all_workers_change_what_they_serve_and_so_does_one_that_comes_back(tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    async with running(tmp_path, port) as pool, timeout(60):
        pids = pool.pids
        file = tmp_path / "config.yaml"
        file.write_text(CONFIG.format(port=other))
        await pool.replace(assignment(file))
        await pool.settle()
        assert refuses(port)
        assert pool.pids == pids
        os.kill(pids[0], signal.SIGKILL)
        os.kill(pids[1], signal.SIGKILL)
        while len(set(pool.pids) - set(pids)) < 2 or refuses(other):
            await asyncio.sleep(0.02)
        assert refuses(port)


async def test_where_one_worker_cannot_none_does(tmp_path: Path) -> None:
    port = free_port()
    async with running(tmp_path, port) as pool, timeout(60):
        pids = pool.pids
        with socket.create_server(("127.0.0.1", 0)) as taken:
            file = tmp_path / "config.yaml"
            file.write_text(CONFIG.format(port=taken.getsockname()[1]))
            with pytest.raises(OperatorError, match="cannot bind"):
                await pool.replace(assignment(file))
        assert not refuses(port)
        assert pool.pids == pids


async def test_a_trial_ends_without_a_trace(tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    async with running(tmp_path, port) as pool, timeout(60):
        file = tmp_path / "config.yaml"
        file.write_text(CONFIG.format(port=other))
        await pool.try_out(Trial(assignment(file), 0.5))
        assert not refuses(other)
        await pool.give_back()
        await pool.settle()
        assert refuses(other)
        assert not refuses(port)


@pytest.mark.parametrize(("failures", "delay_s"), [(1, 0.2), (2, 0.4), (5, 3.2), (100, 30.0)])
def test_restarts_wait_longer_each_time_up_to_a_bound(failures: int, delay_s: float) -> None:
    assert Backoff().delay_s(failures) == pytest.approx(delay_s)

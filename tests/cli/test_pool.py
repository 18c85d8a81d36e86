"""The pool with real workers: what a start that fails looks like. What a good start does is in tests/e2e."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest

from router.aio import timeout
from router.cli.child import Backoff
from router.cli.options import LogOptions
from router.cli.pool import WorkerPool
from router.config import load_config
from router.errors import OperatorError

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
    loaded = load_config(file, {})
    return WorkerPool(loaded, count=count, triton_url="127.0.0.1:9", folder=folder, logs=LogOptions("info", "auto"))


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


@pytest.mark.parametrize(("failures", "delay_s"), [(1, 0.2), (2, 0.4), (5, 3.2), (100, 30.0)])
def test_restarts_wait_longer_each_time_up_to_a_bound(failures: int, delay_s: float) -> None:
    assert Backoff().delay_s(failures) == pytest.approx(delay_s)

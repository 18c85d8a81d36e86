"""The telemetry process under its keeper, as a real process: started, killed, started again, stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from router.aio import timeout
from router.cli.log_level import change_log_level
from router.cli.observer_keeper import STOP_WITHIN_S, ObserverKeeper, observer_arguments
from router.config import load_config
from router.telemetry.channel import SOCKET_NAME, Channel, socket_address
from router.telemetry.instruments import Registry

CONFIG = """\
version: v0.4.0
listeners:
  - {type: model, name: web, port: 12000}
"""


def keeper(folder: Path, *extra: str) -> ObserverKeeper:
    file = folder / "config.yaml"
    file.write_text(CONFIG)
    arguments = observer_arguments("127.0.0.1:9", (), folder / "state", 1, None)
    return ObserverKeeper(load_config(file, {}), lambda: (*arguments, *extra))


async def until(condition: Callable[[], object]) -> None:
    async with timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def listens(folder: Path) -> bool:
    return (folder / "state" / SOCKET_NAME).exists()


async def test_it_listens_before_the_workers_are_started_and_is_gone_after_them(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        pid = kept.pid
        assert pid is not None
        assert listens(tmp_path)
        channel = Channel(socket_address(tmp_path / "state"), Registry(), worker=0)
        await channel.open()
        await channel.close()
        stopping = time.monotonic()
    assert not psutil.pid_exists(pid)
    assert not listens(tmp_path)
    assert time.monotonic() - stopping < STOP_WITHIN_S
    assert kept.restarts == 0


async def test_one_that_dies_is_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with keeper(tmp_path) as kept:
        pid = kept.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: kept.pid not in {pid, None})
        levels: list[str] = []
        channel = Channel(socket_address(tmp_path / "state"), Registry(), worker=0, on_log_level=levels.append)
        await channel.open()
        await until(lambda: levels)  # connects as soon as there is somebody to connect to
        await channel.close()
    assert kept.restarts == 1
    assert "requests are served meanwhile" in caplog.text


async def test_one_that_cannot_start_keeps_nobody_waiting(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder is to be")
    async with timeout(30), keeper(tmp_path) as kept:
        await until(lambda: kept.restarts)
        assert kept.restarts >= 1


async def test_a_killed_one_is_gone_at_once(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        pid = kept.pid
        kept.kill()
    assert pid is not None
    assert not psutil.pid_exists(pid)


async def test_log_levels_reach_workers(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = root.level
    levels: list[str] = []
    try:
        async with keeper(tmp_path, "--log-level=warning"):
            channel = Channel(socket_address(tmp_path / "state"), Registry(), worker=0, on_log_level=levels.append)
            await channel.open()
            await until(lambda: levels)
            await change_log_level(tmp_path / "state", "debug")
            await until(lambda: len(levels) == 2)
            await channel.close()
        assert levels == ["warning", "debug"]
        assert root.level == logging.DEBUG
    finally:
        root.setLevel(before)


async def test_a_level_that_nobody_takes_is_changed_here(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = logging.getLogger()
    before = root.level
    try:
        await change_log_level(tmp_path, "error")
        assert root.level == logging.ERROR
    finally:
        root.setLevel(before)

"""The telemetry process, all of it: from what a worker sends to what is scraped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import orjson
import pytest
from pydantic import TypeAdapter

from router.config import Config
from router.errors import OperatorError
from router.observer.client import ask
from router.observer.process import Observer, ObserverOptions, config_hash
from router.telemetry import catalogue
from router.telemetry.channel import Channel, socket_address
from router.telemetry.instruments import Registry
from tests.fakes.triton import FakeTriton
from tests.observer.http_get import get
from tests.observer.telling import chat_answer, request_message, traced
from tests.observer.waiting import until

BASIC = {"version": "v0.4.0", "listeners": [{"type": "model", "name": "web", "port": 12000}]}


def configured(**sections: object) -> Config:
    return TypeAdapter(Config).validate_python({**BASIC, **sections})


@asynccontextmanager
async def observing(
    folder: Path, *, config: Config | None = None, models: tuple[str, ...] = (), triton_url: str = "127.0.0.1:9"
) -> AsyncIterator[Observer]:
    options = ObserverOptions(folder, triton_url, models, workers=1, admin_port=0, log_level="info")
    observer = Observer(config or configured(), options)
    await observer.start()
    try:
        yield observer
    finally:
        await observer.close()


def admin_port(observer: Observer) -> int:
    assert observer.admin is not None
    assert observer.admin.port is not None
    return observer.admin.port


async def test_what_a_worker_counts_is_scraped(tmp_path: Path) -> None:
    registry = Registry()
    registry.sum(catalogue.REQUESTS).add(3, "web", "2xx")
    async with observing(tmp_path) as observer:
        channel = Channel(socket_address(tmp_path), registry, worker=0)
        await channel.open()
        channel.request(request_message(traced()), [chat_answer({"content": "Rain."})])
        await channel.close()
        await until(lambda: observer.merged.families() and not observer.merged.workers)
        _, _, body = await get(admin_port(observer), "/metrics")
    assert b'trident_requests_total{trident_listener="web",trident_status_class="2xx"} 3\n' in body
    assert b"trident_build_info{" in body
    assert f'trident_config_info{{trident_config_hash="{config_hash(configured())}"}} 1\n'.encode() in body
    assert b"trident_workers 0\n" in body


async def test_it_is_ready_once_the_workers_report_and_the_models_are_served(tmp_path: Path) -> None:
    async with FakeTriton() as triton:
        triton.classifier("guard", ["ok", "bad"], lambda text: [0.5, 0.5])
        async with observing(tmp_path, models=("guard",), triton_url=triton.address) as observer:
            status, _, body = await get(admin_port(observer), "/readyz")
            assert status == 503
            assert "1 of 1 workers" in orjson.loads(body)["missing"]
            channel = Channel(socket_address(tmp_path), Registry(), worker=0)
            await channel.open()
            await until(lambda: not observer.missing())
            assert (await get(admin_port(observer), "/readyz"))[0] == 200
            await channel.close()


@pytest.fixture
def root_level() -> Iterator[Callable[[], int]]:
    root = logging.getLogger()
    before = root.level
    yield lambda: root.level
    root.setLevel(before)


async def test_log_levels_are_changed_in_all_processes(tmp_path: Path, root_level: Callable[[], int]) -> None:
    levels: list[str] = []
    async with observing(tmp_path) as observer:
        channel = Channel(socket_address(tmp_path), Registry(), worker=0, on_log_level=levels.append)
        await channel.open()
        await until(lambda: observer.merged.workers)
        async with aclosing(ask(tmp_path, "log_level", level="WARNING")) as results:
            assert [each async for each in results] == [{"type": "result", "level": "warning", "workers": 1}]
        await until(lambda: levels[-1:] == ["warning"])
        assert root_level() == logging.WARNING
        await channel.close()


async def test_a_level_that_there_is_not_is_refused(tmp_path: Path) -> None:
    async with observing(tmp_path), aclosing(ask(tmp_path, "log_level", level="loud")) as results:
        with pytest.raises(OperatorError, match="A log level is one of debug, info, warning, error"):
            await results.__anext__()


async def test_a_second_one_in_the_same_folder_does_not_start_and_leaves_nothing_open(tmp_path: Path) -> None:
    async with observing(tmp_path):
        with pytest.raises(OperatorError, match="another process listens"):
            async with observing(tmp_path):
                pass
    assert [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


def test_the_hash_tells_configurations_apart_and_does_not_depend_on_secrets() -> None:
    provider = {"model": "openai/gpt-4o", "access_key": "one-secret"}
    one, same, other = (
        configured(model_providers=[provider]),
        configured(model_providers=[{**provider, "access_key": "another-secret"}]),
        configured(model_providers=[{**provider, "default": True}]),
    )
    assert config_hash(one) == config_hash(same)
    assert config_hash(one) != config_hash(other)

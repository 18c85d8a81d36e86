"""Models that are loaded and unloaded while the real tritonserver runs, good ones and broken ones."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from router.aio import timeout
from router.errors import ModelUnavailable, OperatorError
from router.triton.client import TritonClient
from router.triton.health import HealthChecks
from router.triton.server import EmbeddedTriton, Supervision
from router.triton.tensors import Tensor
from tests.integration.small_models import BROKEN, ECHO, HANGING, write_model

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="module")]

PATIENCE = Supervision(health=HealthChecks(interval_s=0.1, timeout_s=0.5, failures=3))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models")
    for name in ("base", "first", "second", "fragile"):
        write_model(path, name, ECHO)
    write_model(path, "broken", BROKEN)
    write_model(path, "hanging", HANGING)
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def triton(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedTriton]:
    state_dir = tmp_path_factory.mktemp("state")
    async with EmbeddedTriton([repository], ["base"], state_dir, supervision=PATIENCE) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(triton: EmbeddedTriton) -> AsyncIterator[TritonClient]:
    client = TritonClient(triton.grpc_address)
    yield client
    await client.close()


async def asked(client: TritonClient, model: str) -> bool:
    tensor = Tensor.from_bytes("TEXT", [b"x"], (1, 1))
    return bool(await client.infer(model, [tensor], ["SCORES"], timeout_s=5.0))


async def until(fact: Callable[[], object]) -> None:
    """Wait for a fact about the server; ``fact`` may be a coroutine function."""
    async with timeout(30):
        while True:
            value = fact()
            if await value if asyncio.iscoroutine(value) else value:
                return
            await asyncio.sleep(0.02)


async def restarted(triton: EmbeddedTriton, client: TritonClient) -> None:
    pid = triton.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: triton.pid not in (None, pid))
    await until(lambda: client.model_ready("base", 1.0))


async def test_what_was_loaded_is_served_again_after_a_crash(triton: EmbeddedTriton, client: TritonClient) -> None:
    await triton.load("first")
    await client.load("second")  # as another process does
    await until(lambda: "second" in triton.served)
    await restarted(triton, client)
    assert [await asked(client, model) for model in ("base", "first", "second")] == [True] * 3

    await triton.unload("first")
    await client.unload("second")
    await until(lambda: "second" not in triton.served)
    await restarted(triton, client)
    assert [entry.name for entry in await client.index(ready_only=True)] == ["base"]


async def test_a_model_that_does_not_come_back_does_not_keep_the_server_down(
    triton: EmbeddedTriton, client: TritonClient, repository: Path
) -> None:
    await triton.load("fragile", needed=False)
    shutil.rmtree(repository / "fragile")
    await restarted(triton, client)
    assert await asked(client, "base")
    assert [entry.name for entry in await client.index(ready_only=True)] == ["base"]


async def test_a_broken_model_is_refused_in_tritons_words(triton: EmbeddedTriton, client: TritonClient) -> None:
    with pytest.raises(OperatorError, match="the weights are missing"):
        await triton.load("broken")
    with pytest.raises(OperatorError, match="'absent' was not loaded"):
        await triton.load("absent")
    await restarted(triton, client)
    assert await asked(client, "base")


async def test_a_model_that_hangs_while_it_loads_is_given_up_and_others_can_be_loaded(
    triton: EmbeddedTriton, client: TritonClient
) -> None:
    with pytest.raises(OperatorError, match=r"Deadline|in time"):
        await triton.load("hanging", timeout_s=1.0)
    assert await asked(client, "base")
    await triton.load("first", timeout_s=20.0)
    assert await asked(client, "first")
    with pytest.raises(ModelUnavailable):
        await asked(client, "hanging")

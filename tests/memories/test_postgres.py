"""The store of memories in PostgreSQL: its server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from router.config.filters import Filter
from router.config.listeners import Listener
from router.config.schema import Config
from router.config.state import StateStorage
from router.errors import OperatorError, StateUnavailable
from router.memories.opening import open_memories
from router.memories.postgres import PostgresMemories
from tests.fakes.postgres_server import PASSWORD, PostgresServer
from tests.memories.test_store import ADA, BOUNDS, fact, texts

pytestmark = pytest.mark.postgres


def _config(**fields: Any) -> Config:
    return Config(version="v0.4.0", listeners=(Listener(type="model", name="m", port=1200),), **fields)


async def test_gateways_that_start_together_share_the_tables(postgres_url: str) -> None:
    stores = await asyncio.gather(*(PostgresMemories.open(postgres_url, timeout_s=20) for _ in range(4)))
    await stores[0].keep(ADA, [fact("a", expires_at=9e9)], bounds=BOUNDS)
    assert [await texts(store) for store in stores] == [["a"]] * 4
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_server_that_goes_is_a_failure_until_it_is_back(
    postgres_url: str, postgres_cluster: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = await PostgresMemories.open(postgres_url, timeout_s=5)
    await store.keep(ADA, [fact("a", expires_at=9e9)], bounds=BOUNDS)
    with postgres_cluster.stopped():
        with pytest.raises(StateUnavailable):
            await store.facts(ADA)
        late = await PostgresMemories.open(postgres_url, timeout_s=5)
        assert "cannot be reached" in caplog.text
    assert await texts(store) == ["a"]
    assert await texts(late) == ["a"]
    await late.close()
    await store.close()
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [((PASSWORD, "wrong"), "refuses"), (("/postgres", "/nothing"), "refuses"), (("postgresql:", "nonsense:"), "URL")],
)
async def test_what_cannot_work_is_refused(postgres_url: str, wrong: tuple[str, str], complaint: str) -> None:
    with pytest.raises(OperatorError, match=complaint) as caught:
        await PostgresMemories.open(postgres_url.replace(*wrong), timeout_s=10)
    assert PASSWORD not in str(caught.value)


async def test_it_is_used_where_it_is_configured(tmp_path: Path, postgres_url: str) -> None:
    storage = StateStorage(type="postgres", connection_string=SecretStr(postgres_url))
    config = _config(filters=(Filter(id="users", type="memory"),), state_storage=storage)
    store = await open_memories(config, directory=tmp_path)
    assert isinstance(store, PostgresMemories)
    await store.close()
    assert list(tmp_path.iterdir()) == []


async def test_without_a_filter_that_remembers_nothing_is_opened(tmp_path: Path) -> None:
    assert await open_memories(_config(), directory=tmp_path) is None
    assert list(tmp_path.iterdir()) == []

"""The store of memories in SQLite: its file."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from router.errors import OperatorError, StateUnavailable
from router.memories.base import MemoryKey
from router.memories.sqlite import SqliteMemories
from tests.memories.conftest import Clock
from tests.memories.test_store import ADA, BOUNDS, fact, texts


async def test_forgetting_leaves_nothing_in_the_file(tmp_path: Path, clock: Clock) -> None:
    store = await SqliteMemories.open(tmp_path / "memories.sqlite3", clock=clock)
    await store.keep(ADA, [fact("the word is xylophone")], bounds=BOUNDS)
    await store.keep(MemoryKey("users", "", "ada"), [fact("also xylophone")], bounds=BOUNDS)
    await store.keep(MemoryKey("users", "", "bob"), [fact("trumpet")], bounds=BOUNDS)
    assert await store.forget("ada", owner="shop") == 1
    assert await store.forget("ada") == 1
    assert await store.forget("ada") == 0
    assert [each.key.key for each in await store.summaries()] == ["bob"]
    await store.close()
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"trumpet" in left
    assert b"xylophone" not in left


async def test_keys_without_facts_are_removed(tmp_path: Path, clock: Clock) -> None:
    store = await SqliteMemories.open(tmp_path / "memories.sqlite3", clock=clock)
    await store.keep(ADA, [fact("short", expires_at=1001.0)], bounds=BOUNDS)
    clock.now = 2000.0
    assert await store.prune() == 1
    await store.close()
    with closing(sqlite3.connect(tmp_path / "memories.sqlite3")) as connection:
        assert connection.execute("SELECT count(*) FROM memory_keys").fetchone() == (0,)


async def test_workers_share_the_file(tmp_path: Path, clock: Clock) -> None:
    store = await SqliteMemories.open(tmp_path / "memories.sqlite3", clock=clock)
    other = await SqliteMemories.open(tmp_path / "memories.sqlite3", clock=clock)
    await store.keep(ADA, [fact("a")], bounds=BOUNDS)
    assert await texts(other) == ["a"]
    await other.close()
    await store.close()


async def test_the_file_is_for_its_owner_alone_and_survives(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "deep" / "memories.sqlite3"
    store = await SqliteMemories.open(path, clock=clock)
    await store.keep(ADA, [fact("a")], bounds=BOUNDS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await store.close()
    store = await SqliteMemories.open(path, clock=clock)
    assert await texts(store) == ["a"]
    await store.close()


async def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "memories.sqlite3"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(OperatorError, match=r"memories\.sqlite3"):
        await SqliteMemories.open(path)


async def test_a_full_file_is_a_failure_and_not_a_crash(tmp_path: Path) -> None:
    store = await SqliteMemories.open(tmp_path / "memories.sqlite3", max_bytes=128 * 1024)
    with pytest.raises(StateUnavailable):
        await store.keep(ADA, [fact("x" * 400_000)], bounds=BOUNDS)
    await store.keep(ADA, [fact("small", expires_at=9e9)], bounds=BOUNDS)
    assert await texts(store) == ["small"]
    await store.close()

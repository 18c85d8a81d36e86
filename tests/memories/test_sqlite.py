"""The store of memories in SQLite: what comes back, what goes, and what nobody else sees."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from router.errors import OperatorError, StateUnavailable
from router.memories.base import Fact, MemoryBounds, MemoryKey
from router.memories.sqlite import SqliteMemories
from router.triton.models import Embedding

ADA = MemoryKey("users", "shop", "ada")
BOUNDS = MemoryBounds(facts=3, keys=3)
VECTOR = Embedding(b"\0\0\x80?", "encoder/1")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def fact(text: str, said_at: float = 1.0, *, expires_at: float = 5000.0, embedding: Embedding = VECTOR) -> Fact:
    return Fact(text, embedding, said_at, expires_at)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteMemories]:
    store = await SqliteMemories.open(tmp_path / "memories.sqlite3", clock=clock)
    yield store
    await store.close()


async def texts(store: SqliteMemories, key: MemoryKey = ADA) -> list[str]:
    return [each.text for each in await store.facts(key)]


async def test_facts_come_back_as_they_were_oldest_first(store: SqliteMemories) -> None:
    await store.keep(ADA, [fact("later", 2.0), fact("first", 1.0)], bounds=BOUNDS)
    assert await store.facts(ADA) == [fact("first", 1.0), fact("later", 2.0)]


@pytest.mark.parametrize(
    "other", [MemoryKey("others", "shop", "ada"), MemoryKey("users", "", "ada"), MemoryKey("users", "shop", "Ada")]
)
async def test_another_key_sees_nothing_and_changes_nothing(store: SqliteMemories, other: MemoryKey) -> None:
    await store.keep(ADA, [fact("hers")], bounds=BOUNDS)
    assert await store.facts(other) == []
    await store.keep(other, [fact("hers"), fact("theirs")], replaces=["hers"], bounds=BOUNDS)
    await store.renew(other, [fact("hers", embedding=Embedding(b"\0\0\0\0", "encoder/9"))])
    await store.forget(other.key, space=other.space, owner=other.owner)
    assert await store.facts(ADA) == [fact("hers")]


async def test_a_fact_takes_the_place_of_the_same_text_and_of_what_it_replaces(store: SqliteMemories) -> None:
    await store.keep(ADA, [fact("a"), fact("b")], bounds=BOUNDS)
    await store.keep(ADA, [fact("a", 7.0), fact("c", 8.0)], replaces=["b", "nothing"], bounds=BOUNDS)
    assert [(each.text, each.said_at) for each in await store.facts(ADA)] == [("a", 7.0), ("c", 8.0)]


async def test_over_the_bound_the_oldest_facts_go(store: SqliteMemories) -> None:
    for number in range(5):
        await store.keep(ADA, [fact(str(number), number)], bounds=BOUNDS)
    assert await texts(store) == ["2", "3", "4"]


async def test_over_the_bound_the_keys_that_said_nothing_for_longest_go(store: SqliteMemories, clock: Clock) -> None:
    for name in ("a", "b", "c", "a", "d"):
        clock.now += 1
        await store.keep(MemoryKey("users", "", name), [fact(f"{name} {clock.now}")], bounds=BOUNDS)
    other_space = MemoryKey("others", "", "b")
    await store.keep(other_space, [fact("mine")], bounds=BOUNDS)
    assert {each.key.key for each in await store.summaries(space="users")} == {"a", "c", "d"}
    assert await texts(store, other_space) == ["mine"]


async def test_what_is_over_its_time_is_never_read_and_then_removed(
    store: SqliteMemories, clock: Clock, tmp_path: Path
) -> None:
    await store.keep(ADA, [fact("short", expires_at=1500.0), fact("long", expires_at=3000.0)], bounds=BOUNDS)
    clock.now = 1500.0
    assert await texts(store) == ["long"]
    assert [each.facts for each in await store.summaries()] == [1]
    assert await store.prune() == 1
    clock.now = 3000.0
    assert await store.prune() == 1
    with closing(sqlite3.connect(tmp_path / "memories.sqlite3")) as connection:
        assert connection.execute("SELECT count(*) FROM memory_keys").fetchone() == (0,)


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


async def test_vectors_are_renewed_and_what_was_forgotten_stays_so(store: SqliteMemories) -> None:
    await store.keep(ADA, [fact("a")], bounds=BOUNDS)
    newer = Embedding(b"\0\0\0\0", "encoder/2")
    await store.renew(ADA, [fact("a", embedding=newer), fact("gone", embedding=newer)])
    assert await store.facts(ADA) == [fact("a", embedding=newer)]


async def test_workers_share_the_file(store: SqliteMemories, tmp_path: Path, clock: Clock) -> None:
    other = await SqliteMemories.open(tmp_path / "memories.sqlite3", clock=clock)
    await store.keep(ADA, [fact("a")], bounds=BOUNDS)
    assert await texts(other) == ["a"]
    await other.close()


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

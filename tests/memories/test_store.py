"""What every store of memories does: what comes back, what goes, and what nobody else sees."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from router.memories.base import Fact, MemoryBounds, MemoryKey, MemoryStore
from router.memories.sqlite import SqliteMemories
from router.triton.models import Embedding
from tests.memories.conftest import Clock

ADA = MemoryKey("users", "shop", "ada")
BOUNDS = MemoryBounds(facts=3, keys=3)
VECTOR = Embedding(b"\0\0\x80?", "encoder/1")


def fact(text: str, said_at: float = 1.0, *, expires_at: float = 5000.0, embedding: Embedding = VECTOR) -> Fact:
    return Fact(text, embedding, said_at, expires_at)


async def texts(store: MemoryStore, key: MemoryKey = ADA) -> list[str]:
    return [each.text for each in await store.facts(key)]


async def test_facts_come_back_as_they_were_oldest_first(store: MemoryStore) -> None:
    await store.keep(ADA, [fact("later", 2.0), fact("first", 1.0)], bounds=BOUNDS)
    assert await store.facts(ADA) == [fact("first", 1.0), fact("later", 2.0)]


@pytest.mark.parametrize(
    "other", [MemoryKey("others", "shop", "ada"), MemoryKey("users", "", "ada"), MemoryKey("users", "shop", "Ada")]
)
async def test_another_key_sees_nothing_and_changes_nothing(store: MemoryStore, other: MemoryKey) -> None:
    await store.keep(ADA, [fact("hers")], bounds=BOUNDS)
    assert await store.facts(other) == []
    await store.keep(other, [fact("hers"), fact("theirs")], replaces=["hers"], bounds=BOUNDS)
    await store.renew(other, [fact("hers", embedding=Embedding(b"\0\0\0\0", "encoder/9"))])
    await store.forget(other.key, space=other.space, owner=other.owner)
    assert await store.facts(ADA) == [fact("hers")]


async def test_a_fact_takes_the_place_of_the_same_text_and_of_what_it_replaces(store: MemoryStore) -> None:
    await store.keep(ADA, [fact("a"), fact("b")], bounds=BOUNDS)
    await store.keep(ADA, [fact("a", 7.0), fact("c", 8.0)], replaces=["b", "nothing"], bounds=BOUNDS)
    assert [(each.text, each.said_at) for each in await store.facts(ADA)] == [("a", 7.0), ("c", 8.0)]


async def test_over_the_bound_the_oldest_facts_go(store: MemoryStore) -> None:
    for number in range(5):
        await store.keep(ADA, [fact(str(number), number)], bounds=BOUNDS)
    assert await texts(store) == ["2", "3", "4"]


async def test_over_the_bound_the_keys_that_said_nothing_for_longest_go(store: MemoryStore, clock: Clock) -> None:
    for name in ("a", "b", "c", "a", "d"):
        clock.now += 1
        await store.keep(MemoryKey("users", "", name), [fact(f"{name} {clock.now}")], bounds=BOUNDS)
    other_space = MemoryKey("others", "", "b")
    await store.keep(other_space, [fact("mine")], bounds=BOUNDS)
    assert {each.key.key for each in await store.summaries(space="users")} == {"a", "c", "d"}
    assert await texts(store, other_space) == ["mine"]


async def test_what_is_over_its_time_is_never_read_and_then_removed(store: MemoryStore, clock: Clock) -> None:
    await store.keep(ADA, [fact("short", expires_at=1500.0), fact("long", expires_at=3000.0)], bounds=BOUNDS)
    clock.now = 1500.0
    assert await texts(store) == ["long"]
    assert [each.facts for each in await store.summaries()] == [1]
    pruned = cast("SqliteMemories", store)  # every store has it, for its own use
    assert await pruned.prune() == 1
    clock.now = 3000.0
    assert await pruned.prune() == 1
    assert await store.forget("ada") == 0


async def test_two_that_add_at_once_stay_within_the_bound(store: MemoryStore) -> None:
    both = (store.keep(ADA, [fact(f"{n} {m}", n + m) for m in range(3)], bounds=BOUNDS) for n in range(8))
    await asyncio.gather(*both)
    assert len(await texts(store)) == BOUNDS.facts


async def test_a_key_is_forgotten_where_it_is_said_or_everywhere(store: MemoryStore) -> None:
    for key in (ADA, MemoryKey("users", "", "ada"), MemoryKey("others", "", "ada"), MemoryKey("users", "", "bob")):
        await store.keep(key, [fact("a"), fact("b")], bounds=BOUNDS)
    assert await store.forget("ada", owner="shop") == 2
    assert await store.forget("ada", space="others") == 2
    assert await store.forget("ada") == 2
    assert await store.forget("ada") == 0
    assert [each.key.key for each in await store.summaries()] == ["bob"]


async def test_vectors_are_renewed_and_what_was_forgotten_stays_so(store: MemoryStore) -> None:
    await store.keep(ADA, [fact("a")], bounds=BOUNDS)
    newer = Embedding(b"\0\0\0\0", "encoder/2")
    await store.renew(ADA, [fact("a", embedding=newer), fact("gone", embedding=newer)])
    assert await store.facts(ADA) == [fact("a", embedding=newer)]

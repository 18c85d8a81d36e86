"""What every store has to hold."""

from __future__ import annotations

import asyncio
import time

import pytest

from router.errors import PayloadTooLarge
from router.state.base import MAX_KEY_CHARS, MAX_VALUE_BYTES, Store


async def test_a_value_is_given_back(store: Store) -> None:
    assert await store.get("pins", "a") is None
    await store.set("pins", "a", b"one\x00\xff", ttl_s=60)
    assert await store.get("pins", "a") == b"one\x00\xff"
    await store.set("pins", "a", b"", ttl_s=60)
    assert await store.get("pins", "a") == b""


async def test_namespaces_do_not_meet(store: Store) -> None:
    await store.set("pins", "a", b"1", ttl_s=60)
    assert await store.get("other", "a") is None
    assert not await store.delete("other", "a")
    assert await store.get("pins", "a") == b"1"


async def test_what_is_deleted_is_gone(store: Store) -> None:
    await store.set("pins", "a", b"1", ttl_s=60)
    assert await store.delete("pins", "a")
    assert not await store.delete("pins", "a")
    assert await store.get("pins", "a") is None


async def test_a_value_stays_where_there_is_one(store: Store) -> None:
    assert await store.set_if_absent("pins", "a", b"first", ttl_s=60) == b"first"
    assert await store.set_if_absent("pins", "a", b"second", ttl_s=60) == b"first"
    assert await store.get("pins", "a") == b"first"


async def test_all_callers_get_the_same_value(store: Store) -> None:
    offered = [str(number).encode() for number in range(20)]
    given = await asyncio.gather(*(store.set_if_absent("pins", "a", value, ttl_s=60) for value in offered))
    assert len(set(given)) == 1
    assert given[0] in offered


async def test_a_counter_counts_up_and_down(store: Store) -> None:
    assert await store.add("rate", "a", 0, ttl_s=60) == 0
    assert await store.add("rate", "a", 5, ttl_s=60) == 5
    assert await store.add("rate", "a", -7, ttl_s=60) == -2
    assert await store.add("rate", "a", 0, ttl_s=60) == -2


async def test_a_counter_holds_large_sums_exactly(store: Store) -> None:
    assert await store.add("rate", "a", 2**52, ttl_s=60) == 2**52
    assert await store.add("rate", "a", 1, ttl_s=60, limit=2**53) == 2**52 + 1


async def test_nothing_is_added_beyond_the_limit(store: Store) -> None:
    assert await store.add("rate", "a", 8, ttl_s=60, limit=10) == 8
    assert await store.add("rate", "a", 3, ttl_s=60, limit=10) == 11
    assert await store.add("rate", "a", 0, ttl_s=60) == 8
    assert await store.add("rate", "a", 2, ttl_s=60, limit=10) == 10
    assert await store.add("rate", "a", 5, ttl_s=60) == 15
    assert await store.add("rate", "a", -1, ttl_s=60, limit=10) == 14


async def test_no_interleaving_gets_beyond_the_limit(store: Store) -> None:
    totals = await asyncio.gather(*(store.add("rate", "a", 3, ttl_s=60, limit=100) for _ in range(60)))
    assert sum(total <= 100 for total in totals) == 33
    assert await store.add("rate", "a", 0, ttl_s=60) == 99


async def test_an_entry_ends_with_its_time(store: Store) -> None:
    await store.set("pins", "a", b"1", ttl_s=0.05)
    await store.add("rate", "a", 5, ttl_s=0.05)
    await store.set("pins", "long", b"1", ttl_s=60)
    deadline = time.monotonic() + 10
    while await store.get("pins", "a") is not None or await store.add("rate", "a", 0, ttl_s=60):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert await store.set_if_absent("pins", "a", b"2", ttl_s=60) == b"2"
    assert await store.add("rate", "a", 1, ttl_s=60) == 1
    assert await store.get("pins", "long") == b"1"


async def test_a_value_that_is_too_large_is_refused(store: Store) -> None:
    for put in (store.set, store.set_if_absent):
        with pytest.raises(PayloadTooLarge):
            await put("pins", "a", bytes(MAX_VALUE_BYTES + 1), ttl_s=60)
    await store.set("pins", "a", bytes(MAX_VALUE_BYTES), ttl_s=60)


@pytest.mark.parametrize("key", ["", "k" * (MAX_KEY_CHARS + 1)])
async def test_a_key_that_is_none_is_refused(store: Store, key: str) -> None:
    with pytest.raises(ValueError):
        await store.get("pins", key)
    with pytest.raises(ValueError):
        await store.add("rate", key, 1, ttl_s=60)

"""What every store has to hold."""

from __future__ import annotations

import asyncio
import time

import pytest

from router.errors import PayloadTooLarge
from router.state.base import MAX_KEY_CHARS, MAX_VALUE_BYTES, Batch, Store


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


async def test_many_values_are_read_in_order(store: Store) -> None:
    for number in range(1100):
        await store.set("pins", str(number), str(number).encode(), ttl_s=60)
    keys = [str(number) for number in range(1099, -1, -1)]
    assert await store.get_many("pins", ["none", *keys, "0"]) == [None, *(key.encode() for key in keys), b"0"]
    assert await store.get_many("pins", []) == []
    assert await store.get_many("other", ["1"]) == [None]


async def test_a_batch_puts_and_deletes(store: Store) -> None:
    await store.set("pins", "old", b"1", ttl_s=60)
    await store.set("pins", "kept", b"2", ttl_s=60)
    assert await store.commit("pins", Batch(puts={"a": b"x\x00", "b": b""}, deletes=["old", "unknown"]), ttl_s=60)
    assert await store.get_many("pins", ["old", "kept", "a", "b"]) == [None, b"2", b"x\x00", b""]


async def test_a_batch_does_nothing_where_a_value_has_changed(store: Store) -> None:
    await store.set("pins", "head", b"1", ttl_s=60)
    await store.set("pins", "old", b"1", ttl_s=60)
    for expected in ({"head": b"2"}, {"head": b"1", "unknown": b"1"}):
        assert not await store.commit("pins", Batch({"a": b"x"}, ["old"], [], expected), ttl_s=60)
    assert await store.get_many("pins", ["head", "old", "a"]) == [b"1", b"1", None]
    assert await store.commit("pins", Batch({"head": b"2"}, ["old"], [], {"head": b"1"}), ttl_s=60)
    assert await store.get_many("pins", ["head", "old"]) == [b"2", None]


async def test_of_batches_that_change_the_same_value_one_succeeds(store: Store) -> None:
    await store.set("pins", "head", b"start", ttl_s=60)
    batches = [Batch({"head": str(n).encode(), f"segment-{n}": b"x"}, expects={"head": b"start"}) for n in range(20)]
    done = await asyncio.gather(*(store.commit("pins", batch, ttl_s=60) for batch in batches))
    assert done.count(True) == 1
    winner = done.index(True)
    assert await store.get("pins", "head") == str(winner).encode()
    there = await store.get_many("pins", [f"segment-{n}" for n in range(20)])
    assert [n for n, value in enumerate(there) if value is not None] == [winner]


async def test_a_batch_renews_the_time_of_what_is_there(store: Store) -> None:
    await store.set("pins", "a", b"1", ttl_s=0.5)
    await store.set("pins", "b", b"1", ttl_s=0.5)
    assert await store.commit("pins", Batch(renews=["a", "unknown"]), ttl_s=60)
    deadline = time.monotonic() + 10
    while await store.get("pins", "b") is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert await store.get("pins", "a") == b"1"
    assert await store.get("pins", "unknown") is None


async def test_a_batch_with_something_that_may_not_be_does_nothing(store: Store) -> None:
    with pytest.raises(PayloadTooLarge):
        await store.commit("pins", Batch({"a": b"x", "b": bytes(MAX_VALUE_BYTES + 1)}), ttl_s=60)
    with pytest.raises(ValueError):
        await store.commit("pins", Batch({"a": b"x"}, deletes=[""]), ttl_s=60)
    assert await store.get("pins", "a") is None

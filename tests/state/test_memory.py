from __future__ import annotations

from router.state.memory import MemoryStore


async def test_the_least_recently_used_entry_goes_first() -> None:
    store = MemoryStore(max_entries=2)
    for key in ("a", "b"):
        await store.set("pins", key, key.encode(), ttl_s=60)
    await store.get("pins", "a")
    await store.set("pins", "c", b"c", ttl_s=60)
    assert [await store.get("pins", key) for key in ("a", "b", "c")] == [b"a", None, b"c"]


async def test_a_full_namespace_leaves_the_others_alone() -> None:
    store = MemoryStore(max_entries=2)
    await store.add("budget", "team", 7, ttl_s=60)
    for number in range(10):
        await store.add("rate", str(number), 1, ttl_s=60)
    assert await store.add("budget", "team", 0, ttl_s=60) == 7
    assert await store.add("rate", "7", 0, ttl_s=60) == 0


async def test_values_are_bounded_by_their_sum() -> None:
    store = MemoryStore(max_bytes=100)
    for key in "abc":
        await store.set("pins", key, bytes(40), ttl_s=60)
    assert await store.get("pins", "a") is None
    await store.set("pins", "b", bytes(10), ttl_s=60)
    await store.set("pins", "d", bytes(50), ttl_s=60)
    assert [len(await store.get("pins", key) or b"") for key in "bcd"] == [10, 40, 50]
    await store.delete("pins", "c")
    await store.set("pins", "e", bytes(40), ttl_s=60)
    assert [len(await store.get("pins", key) or b"") for key in "bde"] == [10, 50, 40]


async def test_expired_entries_make_room_before_living_ones() -> None:
    now = 0.0
    store = MemoryStore(max_entries=3, clock=lambda: now)
    for key in "ab":
        await store.set("pins", key, b"1", ttl_s=10)
    await store.set("pins", "c", b"1", ttl_s=100)
    now = 10.0
    await store.set("pins", "d", b"1", ttl_s=100)
    await store.set("pins", "e", b"1", ttl_s=100)
    assert [await store.get("pins", key) for key in "abcde"] == [None, None, b"1", b"1", b"1"]


async def test_adding_does_not_prolong_a_counter() -> None:
    now = 0.0
    store = MemoryStore(clock=lambda: now)
    await store.add("rate", "a", 1, ttl_s=10)
    now = 9.0
    assert await store.add("rate", "a", 1, ttl_s=10) == 2
    now = 10.0
    assert await store.add("rate", "a", 1, ttl_s=10) == 1

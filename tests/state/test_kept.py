"""Stores in memory that outlive who opened them."""

from __future__ import annotations

from router.state.kept import KeptStores


async def test_a_store_is_found_again_under_its_name_after_it_was_closed() -> None:
    stores = KeptStores()
    first = stores.named("counters")(max_entries=5)
    await first.add("rate", "key", 3, ttl_s=60)
    await first.close()
    again = stores.named("counters")(max_entries=5)
    assert await again.add("rate", "key", 1, ttl_s=60) == 4
    assert await stores.named("sessions")(max_entries=5).get("rate", "key") is None


async def test_other_bounds_make_another_store() -> None:
    stores = KeptStores()
    await stores.named("sessions")(max_entries=5).set("pins", "key", b"model", ttl_s=60)
    assert await stores.named("sessions")(max_entries=6).get("pins", "key") is None

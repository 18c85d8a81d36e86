from __future__ import annotations

import logging

import pytest

from router.errors import StateUnavailable
from router.state.base import Batch
from router.state.fail_fast import FailFastStore
from router.state.memory import MemoryStore


class FlakyStore(MemoryStore):
    """Fails while ``gone``; ``asked`` counts what came through."""

    gone = False
    asked = 0

    async def add(self, namespace: str, key: str, amount: int, *, ttl_s: float, limit: int | None = None) -> int:
        self.asked += 1
        if self.gone:
            raise StateUnavailable
        return await super().add(namespace, key, amount, ttl_s=ttl_s, limit=limit)


async def test_a_store_that_is_gone_is_left_alone_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 0.0
    inner = FlakyStore()
    store = FailFastStore(inner, rest_s=1.0, clock=lambda: now)
    assert await store.add("rate", "a", 1, ttl_s=60) == 1
    inner.gone = True
    for _ in range(3):
        with pytest.raises(StateUnavailable):
            await store.add("rate", "a", 1, ttl_s=60)
    with pytest.raises(StateUnavailable):
        await store.get("pins", "a")
    assert inner.asked == 2
    now = 1.0
    with pytest.raises(StateUnavailable):
        await store.add("rate", "a", 1, ttl_s=60)
    assert inner.asked == 3
    inner.gone = False
    now = 2.0
    assert await store.add("rate", "a", 1, ttl_s=60) == 2
    assert [record.message for record in caplog.records] == ["state store is gone", "state store is back"]


async def test_batches_fail_at_once_too_while_a_store_is_left_alone() -> None:
    inner = FlakyStore()
    store = FailFastStore(inner, clock=lambda: 0.0)
    assert await store.commit("pins", Batch({"a": b"1"}), ttl_s=60)
    assert await store.get_many("pins", ["a", "b"]) == [b"1", None]
    inner.gone = True
    with pytest.raises(StateUnavailable):
        await store.add("rate", "a", 1, ttl_s=60)
    with pytest.raises(StateUnavailable):
        await store.commit("pins", Batch({"a": b"2"}), ttl_s=60)
    with pytest.raises(StateUnavailable):
        await store.get_many("pins", ["a"])
    assert await inner.get("pins", "a") == b"1"

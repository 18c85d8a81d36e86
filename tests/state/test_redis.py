from __future__ import annotations

import time

import pytest
from redis.asyncio import Redis

from router.errors import OperatorError, StateUnavailable
from router.state.redis import RedisStore

pytestmark = pytest.mark.redis


async def test_every_entry_has_an_end(redis_url: str) -> None:
    store = await RedisStore.open(redis_url, prefix="ends")
    await store.add("rate", "a", 1, ttl_s=60)
    await store.add("rate", "a", 1, ttl_s=600)
    await store.set("pins", "a", b"1", ttl_s=60)
    await store.set_if_absent("pins", "b", b"1", ttl_s=60)
    await store.close()
    client = Redis.from_url(redis_url)
    keys = sorted([key async for key in client.scan_iter("ends:*")])
    assert keys == [b"ends:pins:a", b"ends:pins:b", b"ends:rate:a"]
    assert all([0 < await client.pttl(key) <= 60_000 for key in keys])
    await client.aclose()


async def test_adding_does_not_prolong_a_counter(redis_url: str) -> None:
    store = await RedisStore.open(redis_url, prefix="prolong")
    await store.add("rate", "a", 1, ttl_s=0.2)
    deadline = time.monotonic() + 10
    while await store.add("rate", "a", 1, ttl_s=60) != 1:
        assert time.monotonic() < deadline
    await store.close()


async def test_a_wrong_password_stops_the_start(redis_url: str) -> None:
    with pytest.raises(OperatorError) as caught:
        await RedisStore.open(redis_url.replace(":pw@", ":secret-guess@"))
    assert "secret-guess" not in f"{caught.value} {caught.value.fix} {caught.value.__cause__}"


async def test_a_server_that_is_gone_is_an_outage(tmp_path, caplog: pytest.LogCaptureFixture) -> None:
    store = await RedisStore.open(f"unix://:hidden@{tmp_path}/nobody.sock")
    with pytest.raises(StateUnavailable) as caught:
        await store.add("rate", "a", 1, ttl_s=60)
    await store.close()
    assert "state store cannot be reached" in caplog.text
    assert "hidden" not in caplog.text + str(caught.value)


@pytest.mark.parametrize("url", ["", "http://h:1", "redis://h:port"])
async def test_a_url_that_cannot_work_stops_the_start(url: str) -> None:
    with pytest.raises(OperatorError):
        await RedisStore.open(url)

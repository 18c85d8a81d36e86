from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from router.config.routing import Routing
from router.config.state import StateStorage
from router.state.opening import FILE_NAME, open_session_store, open_store


@pytest.mark.parametrize(
    ("kind", "workers", "durable", "shared"),
    [
        (None, 1, False, False),
        (None, 2, False, True),
        (None, 1, True, True),
        ("memory", 1, False, False),
        ("memory", 2, False, True),
        ("postgres", 1, False, False),
        ("sqlite", 1, False, True),
    ],
)
async def test_what_is_shared_or_has_to_last_is_in_a_file(
    tmp_path: Path, kind: str | None, workers: int, durable: bool, shared: bool
) -> None:
    storage = None if kind is None else StateStorage(type=kind)
    store = await open_store(storage, directory=tmp_path, workers=workers, durable=durable)
    assert store.in_process is not shared
    assert (tmp_path / FILE_NAME).exists() is shared
    await store.close()


async def test_the_file_can_be_named(tmp_path: Path) -> None:
    storage = StateStorage(type="sqlite", connection_string=SecretStr(str(tmp_path / "mine.db")))
    store = await open_store(storage, directory=tmp_path / "unused", workers=1, durable=False)
    await store.close()
    assert [file.name for file in tmp_path.iterdir()] == ["mine.db"]


@pytest.mark.redis
async def test_redis_is_used_where_it_is_configured(tmp_path: Path, redis_url: str) -> None:
    storage = StateStorage(type="redis", connection_string=SecretStr(redis_url))
    store = await open_store(storage, directory=tmp_path, workers=1, durable=False)
    assert not store.in_process
    assert await store.set_if_absent("pins", "opening", b"1", ttl_s=1) == b"1"
    await store.close()


async def test_sessions_are_bounded_by_their_number(tmp_path: Path) -> None:
    store = await open_session_store(Routing(session_max_entries=2), directory=tmp_path, workers=1)
    for name in "abc":
        await store.set("sessions", name, b"x", ttl_s=60)
    assert [await store.get("sessions", name) is not None for name in "abc"].count(True) == 2
    await store.close()


async def test_sessions_of_several_workers_are_in_a_file_of_their_own(tmp_path: Path) -> None:
    first = await open_session_store(Routing(), directory=tmp_path, workers=2)
    second = await open_session_store(Routing(), directory=tmp_path, workers=2)
    await first.set("sessions", "a", b"x", ttl_s=60)
    assert await second.get("sessions", "a") == b"x"
    await first.close()
    await second.close()
    assert (tmp_path / "sessions.sqlite3").exists()

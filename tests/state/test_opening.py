from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from router.config.routing import Routing
from router.config.state import StateStorage
from router.errors import OperatorError, PayloadTooLarge
from router.state.base import MAX_VALUE_BYTES
from router.state.opening import FILE_NAME, open_conversation_store, open_session_store, open_store


@pytest.mark.parametrize(
    ("kind", "workers", "durable", "shared"),
    [
        (None, 1, False, False),
        (None, 2, False, True),
        (None, 1, True, True),
        ("memory", 1, False, False),
        ("memory", 2, False, True),
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


@pytest.mark.postgres
async def test_postgresql_is_used_where_it_is_configured(tmp_path: Path, postgres_url: str) -> None:
    storage = StateStorage(type="postgres", connection_string=SecretStr(postgres_url))
    counters = await open_store(storage, directory=tmp_path, workers=1, durable=False)
    conversations = await open_conversation_store(storage, directory=tmp_path, workers=1)
    assert not counters.in_process
    assert await counters.add("budget", "a", 1, ttl_s=60) == 1
    await conversations.set("conversations", "a", bytes(2 * MAX_VALUE_BYTES), ttl_s=60)
    await counters.close()
    await conversations.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("storage", "workers", "file"),
    [
        ({"type": "sqlite"}, 1, "conversations.sqlite3"),
        ({"type": "sqlite", "connection_string": "{}/mine.db"}, 1, "mine-conversations.db"),
        ({"type": "memory"}, 2, "conversations.sqlite3"),
        ({"type": "memory"}, 1, None),
    ],
)
async def test_conversations_have_a_file_of_their_own(
    tmp_path: Path, storage: dict[str, str], workers: int, file: str | None
) -> None:
    storage = {name: value.format(tmp_path) for name, value in storage.items()}
    store = await open_conversation_store(StateStorage.model_validate(storage), directory=tmp_path, workers=workers)
    await store.set("conversations", "a", b"x", ttl_s=60)
    await store.close()
    assert [each.name for each in tmp_path.iterdir()] == ([] if file is None else [file])


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_conversations_are_kept_within_their_bounds(tmp_path: Path, kind: str) -> None:
    storage = StateStorage.model_validate({"type": kind, "max_response_bytes": "2 MiB", "max_entries": 100})
    store = await open_conversation_store(storage, directory=tmp_path, workers=1)
    await store.set("conversations", "a", bytes(2 * 1024 * 1024), ttl_s=60)
    with pytest.raises(PayloadTooLarge):
        await store.set("conversations", "b", bytes(3 * 1024 * 1024), ttl_s=60)
    await store.close()


@pytest.mark.parametrize("kind", ["redis", "postgres"])
async def test_a_url_that_is_none_is_refused_without_repeating_it(tmp_path: Path, kind: str) -> None:
    storage = StateStorage(type=kind, connection_string=SecretStr("mysql://u:pa55word@h/db"))
    with pytest.raises(OperatorError) as caught:
        await open_conversation_store(storage, directory=tmp_path, workers=1)
    assert "pa55word" not in f"{caught.value} {caught.value.fix}"

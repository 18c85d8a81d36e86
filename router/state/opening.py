"""From the configuration to a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from router.config.routing import Routing
from router.config.state import StateStorage
from router.errors import OperatorError
from router.state.base import MAX_VALUE_BYTES, Store
from router.state.fail_fast import FailFastStore
from router.state.memory import MemoryStore
from router.state.sqlite import SqliteStore
from router.state.sqlite_file import FileOptions

FILE_NAME = "state.sqlite3"
SESSIONS_FILE_NAME = "sessions.sqlite3"
CONVERSATIONS_FILE_NAME = "conversations.sqlite3"

_MIB = 1024 * 1024
_OVERHEAD_BYTES = 256 * 1024  # what an entry of a conversation may take beside the items in it
# Room for every entry that the configuration lets a server keep, whatever the other gateways have put there.
_SERVER_ENTRIES = 1_000_000


async def open_session_store(
    routing: Routing, *, directory: Path, workers: int, memory: Callable[..., Store] = MemoryStore
) -> Store:
    """Where the models of sessions are kept, at most ``session_max_entries`` of them; Redis lets go of them in time.

    With several workers that is a file of its own in ``directory``. Raises ``OperatorError`` when it cannot be used.
    The caller closes it.
    """
    cache, most = routing.session_cache, routing.session_max_entries
    if cache.type == "redis":
        return FailFastStore(await open_redis(_text(cache.url)))
    if workers == 1:
        return memory(max_entries=most)
    return FailFastStore(await SqliteStore.open(directory / SESSIONS_FILE_NAME, max_entries=most))


async def open_store(
    storage: StateStorage | None,
    *,
    directory: Path,
    workers: int,
    durable: bool,
    memory: Callable[..., Store] = MemoryStore,
) -> Store:
    """Where counters are kept.

    ``redis``, ``postgres`` and ``sqlite`` are what the configuration says. Anything else is this process's memory when
    it is alone and nothing has to outlive it (``durable``), else a SQLite file in ``directory``, which is the
    instance's own. Raises ``OperatorError`` when the store cannot be used. The caller closes it.
    """
    if storage is not None and storage.type in ("redis", "postgres"):
        return await _open_server(storage, max_entries=_SERVER_ENTRIES, max_value_bytes=MAX_VALUE_BYTES)
    if storage is not None and storage.type == "sqlite" and storage.connection_string is not None:
        return FailFastStore(await SqliteStore.open(_file(storage.connection_string)))
    if workers == 1 and not durable and (storage is None or storage.type != "sqlite"):
        return memory()
    return FailFastStore(await SqliteStore.open(directory / FILE_NAME))


async def open_conversation_store(
    storage: StateStorage, *, directory: Path, workers: int, memory: Callable[..., Store] = MemoryStore
) -> Store:
    """Where responses and conversations are kept, within the bounds of the configuration.

    ``memory`` is that of this process when it is alone; several workers share a SQLite file in ``directory`` instead,
    which is also where ``sqlite`` keeps them, unless the configuration names a file: then beside that one. What is
    confirmed there has been synced. Raises ``OperatorError`` when the store cannot be used. The caller closes it.
    """
    most = max(MAX_VALUE_BYTES, storage.max_response_bytes + _OVERHEAD_BYTES)
    if storage.type in ("redis", "postgres"):
        return await _open_server(storage, max_entries=storage.max_entries, max_value_bytes=most)
    if storage.type == "memory" and workers == 1:
        return memory(max_entries=storage.max_entries, max_bytes=storage.max_bytes or 256 * _MIB, max_value_bytes=most)
    path = directory / CONVERSATIONS_FILE_NAME
    if storage.type == "sqlite" and storage.connection_string is not None:
        named = _file(storage.connection_string)
        path = named.with_name(f"{named.stem}-conversations{named.suffix}")
    file = FileOptions(storage.max_bytes or 1024 * _MIB, durable=True, makes_room=True)
    return FailFastStore(await SqliteStore.open(path, file=file, max_entries=storage.max_entries, max_value_bytes=most))


async def _open_server(storage: StateStorage, *, max_entries: int, max_value_bytes: int) -> Store:
    url = _text(storage.connection_string)
    if storage.type == "redis":
        return FailFastStore(await open_redis(url, max_value_bytes=max_value_bytes))
    return FailFastStore(await open_postgres(url, max_entries=max_entries, max_value_bytes=max_value_bytes))


async def open_redis(url: str, *, max_value_bytes: int = MAX_VALUE_BYTES) -> Store:
    """The Redis at ``url``. Raises ``OperatorError`` when its library is not installed, or the URL cannot work."""
    try:
        from router.state.redis import RedisStore
    except ModuleNotFoundError as exc:
        raise _not_installed("Redis", "redis") from exc
    return await RedisStore.open(url, max_value_bytes=max_value_bytes)


async def open_postgres(url: str, *, max_entries: int, max_value_bytes: int) -> Store:
    """The PostgreSQL at ``url``. Raises ``OperatorError`` when its library is not installed, or it cannot be used."""
    try:
        from router.state.postgres import PostgresStore
    except ModuleNotFoundError as exc:
        raise _not_installed("PostgreSQL", "postgres") from exc
    return await PostgresStore.open(url, max_entries=max_entries, max_value_bytes=max_value_bytes)


def _not_installed(name: str, extra: str) -> OperatorError:
    return OperatorError(
        f"{name} is configured, but its client library is not installed.",
        fix=f"Install it: pip install 'trident-router[{extra}]'.",
    )


def _text(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def _file(location: SecretStr) -> Path:
    return Path(location.get_secret_value().removeprefix("sqlite://"))

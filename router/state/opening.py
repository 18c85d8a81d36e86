"""From the configuration to a store."""

from __future__ import annotations

from pathlib import Path

from router.config.routing import Routing
from router.config.state import StateStorage
from router.errors import OperatorError
from router.state.base import Store
from router.state.fail_fast import FailFastStore
from router.state.memory import MemoryStore
from router.state.sqlite import SqliteStore

FILE_NAME = "state.sqlite3"
SESSIONS_FILE_NAME = "sessions.sqlite3"


async def open_session_store(routing: Routing, *, directory: Path, workers: int) -> Store:
    """Where the models of sessions are kept, at most ``session_max_entries`` of them; Redis lets go of them in time.

    With several workers that is a file of its own in ``directory``. Raises ``OperatorError`` when it cannot be used.
    The caller closes it.
    """
    cache, most = routing.session_cache, routing.session_max_entries
    if cache.type == "redis":
        return FailFastStore(await open_redis(cache.url.get_secret_value() if cache.url is not None else ""))
    if workers == 1:
        return MemoryStore(max_entries=most)
    return FailFastStore(await SqliteStore.open(directory / SESSIONS_FILE_NAME, max_entries=most))


async def open_store(storage: StateStorage | None, *, directory: Path, workers: int, durable: bool) -> Store:
    """Where counters are kept.

    ``redis`` and ``sqlite`` are what the configuration says. Anything else is this process's memory when it is alone
    and nothing has to outlive it (``durable``), else a SQLite file in ``directory``, which is the instance's own.
    Raises ``OperatorError`` when the store cannot be used. The caller closes it.
    """
    location = storage.connection_string.get_secret_value() if storage and storage.connection_string else None
    if storage is not None and storage.type == "redis":
        return FailFastStore(await open_redis(location or ""))
    if storage is not None and storage.type == "sqlite" and location is not None:
        return FailFastStore(await SqliteStore.open(Path(location.removeprefix("sqlite://"))))
    if workers == 1 and not durable and (storage is None or storage.type != "sqlite"):
        return MemoryStore()
    return FailFastStore(await SqliteStore.open(directory / FILE_NAME))


async def open_redis(url: str) -> Store:
    """The Redis at ``url``. Raises ``OperatorError`` when its library is not installed, or the URL cannot work."""
    try:
        from router.state.redis import RedisStore
    except ModuleNotFoundError as exc:
        raise OperatorError(
            "Redis is configured, but its client library is not installed.",
            fix="Install it: pip install 'trident-router[redis]'.",
        ) from exc
    return await RedisStore.open(url)

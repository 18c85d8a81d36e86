"""From the configuration to a store of memories."""

from __future__ import annotations

from pathlib import Path

from router.config import Config
from router.errors import OperatorError
from router.memories.base import MemoryStore
from router.memories.sqlite import SqliteMemories

FILE_NAME = "memories.sqlite3"


async def open_memories(config: Config, *, directory: Path) -> MemoryStore | None:
    """The store of all ``memory`` filters.

    The PostgreSQL of ``state_storage`` where that is one, else a file in ``directory``, which is the instance's own.
    ``None`` where no filter remembers. Raises ``OperatorError`` when it cannot be used. The caller closes it.
    """
    if not any(each.type == "memory" for each in config.filters):
        return None
    storage = config.state_storage
    if storage is None or storage.type != "postgres":
        return await SqliteMemories.open(directory / FILE_NAME)
    try:
        from router.memories.postgres import PostgresMemories
    except ModuleNotFoundError as exc:
        raise OperatorError(
            "PostgreSQL is configured, but its client library is not installed.",
            fix="Install it: pip install 'trident-router[postgres]'.",
        ) from exc
    url = storage.connection_string
    return await PostgresMemories.open("" if url is None else url.get_secret_value())

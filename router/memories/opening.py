"""From the configuration to a store of memories."""

from __future__ import annotations

from pathlib import Path

from router.config import Config
from router.memories.base import MemoryStore
from router.memories.sqlite import SqliteMemories

FILE_NAME = "memories.sqlite3"


async def open_memories(config: Config, *, directory: Path) -> MemoryStore | None:
    """The store of all ``memory`` filters: a file in ``directory``, which is the instance's own.

    ``None`` where no filter remembers. Raises ``OperatorError`` when it cannot be used. The caller closes it.
    """
    if not any(each.type == "memory" for each in config.filters):
        return None
    return await SqliteMemories.open(directory / FILE_NAME)

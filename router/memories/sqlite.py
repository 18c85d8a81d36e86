"""Memories in a SQLite file, which all workers of one machine share."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from router.errors import OperatorError, StateUnavailable
from router.memories.base import Fact, MemoryBounds, MemoryKey, MemorySummary
from router.state.sqlite_file import FileOptions, open_file
from router.state.sqlite_writer import SqliteWriter
from router.triton.models import Embedding

logger = logging.getLogger(__name__)

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS memory_keys (
        space TEXT NOT NULL,
        owner TEXT NOT NULL,
        key TEXT NOT NULL,
        added REAL NOT NULL,
        PRIMARY KEY (space, owner, key)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS memory_keys_by_age ON memory_keys (space, added);
    CREATE TABLE IF NOT EXISTS memory_facts (
        space TEXT NOT NULL,
        owner TEXT NOT NULL,
        key TEXT NOT NULL,
        text TEXT NOT NULL,
        vector BLOB NOT NULL,
        encoder TEXT NOT NULL,
        said REAL NOT NULL,
        expires REAL NOT NULL,
        PRIMARY KEY (space, owner, key, text)
    );
    CREATE INDEX IF NOT EXISTS memory_facts_by_expiry ON memory_facts (expires);
"""
_OF_KEY = "space = ?1 AND owner = ?2 AND key = ?3"
_READ = (
    f"SELECT text, vector, encoder, said, expires FROM memory_facts WHERE {_OF_KEY} "  # noqa: S608 - all constants
    "AND expires > ?4 ORDER BY said, rowid"
)
_TOUCH = "INSERT OR REPLACE INTO memory_keys (space, owner, key, added) VALUES (?, ?, ?, ?)"
_ADD = (
    "INSERT OR REPLACE INTO memory_facts (space, owner, key, text, vector, encoder, said, expires) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_RENEW = f"UPDATE memory_facts SET vector = ?4, encoder = ?5 WHERE {_OF_KEY} AND text = ?6"  # noqa: S608
_DROP = f"DELETE FROM memory_facts WHERE {_OF_KEY} AND text = ?4"  # noqa: S608
_DROP_OLDEST = (
    f"DELETE FROM memory_facts WHERE rowid IN (SELECT rowid FROM memory_facts WHERE {_OF_KEY} "  # noqa: S608
    "ORDER BY said DESC, rowid DESC LIMIT -1 OFFSET ?4)"
)
_OVER = "SELECT owner, key FROM memory_keys WHERE space = ? ORDER BY added DESC LIMIT -1 OFFSET ?"
_DROP_KEY = (f"DELETE FROM memory_facts WHERE {_OF_KEY}", f"DELETE FROM memory_keys WHERE {_OF_KEY}")  # noqa: S608
_NAMED = "key = ?1 AND (?2 IS NULL OR space = ?2) AND (?3 IS NULL OR owner = ?3)"
_SUMMARIES = (
    "SELECT space, owner, key, count(*), max(said) FROM memory_facts WHERE expires > ?1 AND (?2 IS NULL OR space = ?2) "
    "GROUP BY space, owner, key ORDER BY max(said) DESC LIMIT ?3"
)
_PRUNE = "DELETE FROM memory_facts WHERE rowid IN (SELECT rowid FROM memory_facts WHERE expires <= ? LIMIT ?)"
_PRUNE_KEYS = (
    "DELETE FROM memory_keys WHERE NOT EXISTS (SELECT 1 FROM memory_facts WHERE memory_facts.space = memory_keys.space "
    "AND memory_facts.owner = memory_keys.owner AND memory_facts.key = memory_keys.key)"
)
_PRUNE_EVERY_S = 60.0
_PRUNE_TOGETHER = 1000  # facts in one transaction, so that nobody waits long for it


class SqliteMemories:
    """A ``MemoryStore`` in the file at ``path``, made where it is missing, readable by its owner alone.

    What is removed is overwritten (``secure_delete``). What is over its time is removed in the background, and never
    read.
    """

    def __init__(self, writer: SqliteWriter, *, clock: Callable[[], float] = time.time) -> None:
        self._writer = writer
        self._clock = clock
        self._pruning = asyncio.get_running_loop().create_task(self._prune_forever())

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        timeout_s: float = 2.0,
        max_bytes: int = 4 * 1024 * 1024 * 1024,
        clock: Callable[[], float] = time.time,
    ) -> SqliteMemories:
        """Open the file, which holds at most ``max_bytes``. Raises ``OperatorError`` when it cannot be used."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-memories")
        try:
            connection = await asyncio.get_running_loop().run_in_executor(thread, _open, path, max_bytes)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(SqliteWriter(connection, thread, timeout_s=timeout_s), clock=clock)

    async def facts(self, key: MemoryKey) -> list[Fact]:
        place = (*_place(key), self._clock())
        rows = await self._writer.do(lambda connection: connection.execute(_READ, place).fetchall(), writes=False)
        return [Fact(text, Embedding(vector, encoder), said, expires) for text, vector, encoder, said, expires in rows]

    async def keep(
        self, key: MemoryKey, facts: Sequence[Fact], *, replaces: Sequence[str] = (), bounds: MemoryBounds
    ) -> None:
        place, now = _place(key), self._clock()
        rows = [
            (*place, fact.text, fact.embedding.raw, fact.embedding.encoder, fact.said_at, fact.expires_at)
            for fact in facts
        ]

        def put(connection: sqlite3.Connection) -> None:
            connection.executemany(_DROP, [(*place, text) for text in replaces])
            connection.executemany(_ADD, rows)
            connection.execute(_DROP_OLDEST, (*place, bounds.facts))
            connection.execute(_TOUCH, (*place, now))
            for owner, over in connection.execute(_OVER, (key.space, bounds.keys)).fetchall():
                for statement in _DROP_KEY:
                    connection.execute(statement, (key.space, owner, over))

        await self._writer.do(put, writes=True)

    async def renew(self, key: MemoryKey, facts: Sequence[Fact]) -> None:
        rows = [(*_place(key), fact.embedding.raw, fact.embedding.encoder, fact.text) for fact in facts]
        await self._writer.do(lambda connection: connection.executemany(_RENEW, rows), writes=True)

    async def summaries(self, *, space: str | None = None, limit: int = 1000) -> list[MemorySummary]:
        asked = (self._clock(), space, limit)
        rows = await self._writer.do(lambda connection: connection.execute(_SUMMARIES, asked).fetchall(), writes=False)
        return [MemorySummary(MemoryKey(*place), count, newest) for *place, count, newest in rows]

    async def forget(self, key: str, *, space: str | None = None, owner: str | None = None) -> int:
        def drop(connection: sqlite3.Connection) -> int:
            named = (key, space, owner)
            connection.execute(f"DELETE FROM memory_keys WHERE {_NAMED}", named)  # noqa: S608 - constants
            return connection.execute(f"DELETE FROM memory_facts WHERE {_NAMED}", named).rowcount  # noqa: S608

        return await self._writer.do(drop, writes=True)

    async def close(self) -> None:
        self._pruning.cancel()
        with suppress(asyncio.CancelledError):
            await self._pruning
        await self._writer.close()

    async def prune(self) -> int:
        """Remove what is over its time; how many facts that were. Runs by itself every minute."""
        removed = 0
        while (dropped := await self._writer.do(self._drop_some, writes=True)) > 0:
            removed += dropped
        return removed

    def _drop_some(self, connection: sqlite3.Connection) -> int:
        dropped = connection.execute(_PRUNE, (self._clock(), _PRUNE_TOGETHER)).rowcount
        if dropped > 0:
            connection.execute(_PRUNE_KEYS)
        return dropped

    async def _prune_forever(self) -> None:
        while True:
            await asyncio.sleep(_PRUNE_EVERY_S)
            try:
                await self.prune()
            except StateUnavailable as exc:
                logger.warning("memories cannot be pruned", extra={"cause": repr(exc.__cause__ or exc)})


def _place(key: MemoryKey) -> tuple[str, str, str]:
    return key.space, key.owner, key.key


def _open(path: Path, max_bytes: int) -> sqlite3.Connection:
    connection = open_file(path, FileOptions(max_bytes=max_bytes))
    try:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("BEGIN IMMEDIATE")  # of several workers that start together, one makes the tables
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute("COMMIT")
    except sqlite3.Error as exc:
        connection.close()
        raise OperatorError(
            f"The memories in {path} cannot be used: {exc}.",
            fix="Make its folder writable for this user; a damaged file can be moved away.",
        ) from exc
    return connection

"""The store in a SQLite file, which all workers of one machine share."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from router.errors import StateUnavailable
from router.state.base import MAX_VALUE_BYTES, Batch, check_key, check_value
from router.state.sqlite_file import FileOptions, fill_level, open_file
from router.state.sqlite_writer import SqliteWriter, Work

logger = logging.getLogger(__name__)

_READ = "SELECT value FROM entries WHERE namespace = ? AND key = ? AND expires > ?"
_READ_SOME = "SELECT key, value FROM entries WHERE namespace = ? AND expires > ? AND key IN ({})"
_DELETE = "DELETE FROM entries WHERE namespace = ? AND key = ?"
_RENEW = "UPDATE entries SET expires = ? WHERE namespace = ? AND key = ?"
_PRUNE = (
    "DELETE FROM entries WHERE namespace = ?1 AND key IN "
    "(SELECT key FROM entries WHERE namespace = ?1 ORDER BY expires LIMIT ?2)"
)
_WRITE = "INSERT OR REPLACE INTO entries (namespace, key, value, expires) VALUES (?, ?, ?, ?)"

_DEFAULT_FILE = FileOptions()
_FULL = 0.9  # from here on, room is made
_TOGETHER = 500  # keys in one statement
_PRUNE_EVERY_S = 30.0
_PRUNE_TOGETHER = 1000  # entries in one transaction, so that nobody waits long for it


class SqliteStore:
    """A store in the file at ``path``, made where it is missing, readable by its owner alone.

    Commits survive the end of the process; a power cut only where the file is ``durable``. Expired entries, and of each
    namespace those over ``max_entries`` that expire first, are removed in the background.
    """

    in_process = False

    def __init__(
        self,
        writer: SqliteWriter,
        *,
        max_entries: int = 1_000_000,
        max_value_bytes: int = MAX_VALUE_BYTES,
        makes_room: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._max_entries = max_entries
        self._max_value_bytes = max_value_bytes
        self._makes_room = makes_room
        self._clock = clock
        self._pruning = asyncio.get_running_loop().create_task(self._prune_forever())

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        timeout_s: float = 2.0,
        file: FileOptions = _DEFAULT_FILE,
        max_entries: int = 1_000_000,
        max_value_bytes: int = MAX_VALUE_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> SqliteStore:
        """Open the file. Raises ``OperatorError`` when it cannot be used."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-state")
        try:
            connection = await asyncio.get_running_loop().run_in_executor(thread, open_file, path, file)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        writer = SqliteWriter(connection, thread, timeout_s=timeout_s)
        return cls(
            writer, max_entries=max_entries, max_value_bytes=max_value_bytes, makes_room=file.makes_room, clock=clock
        )

    async def get(self, namespace: str, key: str) -> bytes | None:
        value = await self._writer.do(self._reading(namespace, check_key(key)), writes=False)
        return value if isinstance(value, bytes) else None

    async def get_many(self, namespace: str, keys: Sequence[str]) -> list[bytes | None]:
        for key in keys:
            check_key(key)
        now = self._clock()

        def read(connection: sqlite3.Connection) -> dict[str, object]:
            found: dict[str, object] = {}
            for start in range(0, len(keys), _TOGETHER):
                some = keys[start : start + _TOGETHER]
                statement = _READ_SOME.format(", ".join("?" * len(some)))
                found.update(connection.execute(statement, (namespace, now, *some)))
            return found

        values = await self._writer.do(read, writes=False)
        return [value if isinstance(value := values.get(key), bytes) else None for key in keys]

    async def set(self, namespace: str, key: str, value: bytes, *, ttl_s: float) -> None:
        check_value(value, self._max_value_bytes)
        entry = (namespace, check_key(key), value, self._clock() + ttl_s)
        await self._writer.do(lambda connection: connection.execute(_WRITE, entry), writes=True)

    async def set_if_absent(self, namespace: str, key: str, value: bytes, *, ttl_s: float) -> bytes:
        check_value(value, self._max_value_bytes)
        read = self._reading(namespace, check_key(key))
        entry = (namespace, key, value, self._clock() + ttl_s)

        def put(connection: sqlite3.Connection) -> bytes:
            there = read(connection)
            if isinstance(there, bytes):
                return there
            connection.execute(_WRITE, entry)
            return value

        return await self._writer.do(put, writes=True)

    async def delete(self, namespace: str, key: str) -> bool:
        place = (namespace, check_key(key), self._clock())

        def drop(connection: sqlite3.Connection) -> bool:
            statement = "DELETE FROM entries WHERE namespace = ? AND key = ? AND expires > ?"
            return connection.execute(statement, place).rowcount > 0

        return await self._writer.do(drop, writes=True)

    async def commit(self, namespace: str, batch: Batch, *, ttl_s: float) -> bool:
        batch.check(self._max_value_bytes)
        expires = self._clock() + ttl_s
        reads = {key: self._reading(namespace, key) for key in batch.expects}

        def change(connection: sqlite3.Connection) -> bool:
            if any(reads[key](connection) != value for key, value in batch.expects.items()):
                return False
            connection.executemany(_DELETE, [(namespace, key) for key in batch.deletes])
            connection.executemany(_RENEW, [(expires, namespace, key) for key in batch.renews])
            connection.executemany(_WRITE, [(namespace, key, value, expires) for key, value in batch.puts.items()])
            return True

        return await self._writer.do(change, writes=True)

    async def add(self, namespace: str, key: str, amount: int, *, ttl_s: float, limit: int | None = None) -> int:
        read = self._reading(namespace, check_key(key))
        expires = self._clock() + ttl_s

        def add(connection: sqlite3.Connection) -> int:
            there = read(connection)
            total = (there if isinstance(there, int) else 0) + amount
            if amount == 0 or (limit is not None and amount > 0 and total > limit):
                return total
            if isinstance(there, int):
                statement = "UPDATE entries SET value = ? WHERE namespace = ? AND key = ?"
                connection.execute(statement, (total, namespace, key))
            else:
                connection.execute(_WRITE, (namespace, key, total, expires))
            return total

        return await self._writer.do(add, writes=amount != 0)

    async def close(self) -> None:
        self._pruning.cancel()
        with suppress(asyncio.CancelledError):
            await self._pruning
        await self._writer.close()

    async def prune(self) -> int:
        """Remove expired entries and those over the bound; how many there were. Runs by itself every half minute."""
        removed = 0
        while (dropped := await self._writer.do(self._drop_some, writes=True)) > 0:
            removed += dropped
        return removed

    def _drop_some(self, connection: sqlite3.Connection) -> int:
        dropped = 0
        full = self._makes_room and fill_level(connection) > _FULL
        for (namespace,) in connection.execute("SELECT DISTINCT namespace FROM entries").fetchall():
            counted = "SELECT count(*), coalesce(sum(expires <= ?), 0) FROM entries WHERE namespace = ?"
            there, expired = connection.execute(counted, (self._clock(), namespace)).fetchone()
            excess = max(expired, there - self._max_entries, -(-there // 10) if full else 0)
            if excess > 0:
                dropped += connection.execute(_PRUNE, (namespace, min(_PRUNE_TOGETHER, excess))).rowcount
        return dropped

    async def _prune_forever(self) -> None:
        while True:
            await asyncio.sleep(_PRUNE_EVERY_S)
            try:
                await self.prune()
            except StateUnavailable as exc:
                logger.warning("state store cannot be pruned", extra={"cause": repr(exc.__cause__ or exc)})

    def _reading(self, namespace: str, key: str) -> Work[object]:
        place = (namespace, key, self._clock())

        def read(connection: sqlite3.Connection) -> object:
            row = connection.execute(_READ, place).fetchone()
            return None if row is None else row[0]

        return read

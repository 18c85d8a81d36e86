"""The store in a SQLite file, which all workers of one machine share."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from router.errors import OperatorError, StateUnavailable
from router.state.base import MAX_VALUE_BYTES, check_key, check_value
from router.state.sqlite_writer import SqliteWriter, Work

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
_SCHEMA = """
    CREATE TABLE entries (
        namespace TEXT NOT NULL,
        key TEXT NOT NULL,
        value NOT NULL,
        expires REAL NOT NULL,
        PRIMARY KEY (namespace, key)
    );
    CREATE INDEX entries_by_expiry ON entries (namespace, expires);
"""
_READ = "SELECT value FROM entries WHERE namespace = ? AND key = ? AND expires > ?"
_WRITE = "INSERT OR REPLACE INTO entries (namespace, key, value, expires) VALUES (?, ?, ?, ?)"

_BUSY_S = 1.0  # how long to wait for another worker's transaction
_OPEN_TRIES = 50
_PRUNE_EVERY_S = 30.0
_PRUNE_TOGETHER = 1000  # entries in one transaction, so that nobody waits long for it


class SqliteStore:
    """A store in the file at ``path``, made where it is missing, readable by its owner alone.

    Commits survive the end of the process, not always a power cut (WAL, ``synchronous = NORMAL``). Expired entries,
    and of each namespace those over ``max_entries`` that expire first, are removed in the background.
    """

    in_process = False

    def __init__(
        self,
        writer: SqliteWriter,
        *,
        max_entries: int = 1_000_000,
        max_value_bytes: int = MAX_VALUE_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._max_entries = max_entries
        self._max_value_bytes = max_value_bytes
        self._clock = clock
        self._pruning = asyncio.get_running_loop().create_task(self._prune_forever())

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        timeout_s: float = 2.0,
        max_bytes: int = 1024 * 1024 * 1024,
        max_entries: int = 1_000_000,
        clock: Callable[[], float] = time.time,
    ) -> SqliteStore:
        """Open the file. Raises ``OperatorError`` when it cannot be used. ``max_bytes`` bounds the file."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-state")
        try:
            connection = await asyncio.get_running_loop().run_in_executor(thread, _open, path, max_bytes)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(SqliteWriter(connection, thread, timeout_s=timeout_s), max_entries=max_entries, clock=clock)

    async def get(self, namespace: str, key: str) -> bytes | None:
        value = await self._writer.do(self._reading(namespace, check_key(key)), writes=False)
        return value if isinstance(value, bytes) else None

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
        for (namespace,) in connection.execute("SELECT DISTINCT namespace FROM entries").fetchall():
            counted = "SELECT count(*), coalesce(sum(expires <= ?), 0) FROM entries WHERE namespace = ?"
            there, expired = connection.execute(counted, (self._clock(), namespace)).fetchone()
            excess = min(_PRUNE_TOGETHER, max(expired, there - self._max_entries))
            statement = (
                "DELETE FROM entries WHERE namespace = ?1 AND key IN "
                "(SELECT key FROM entries WHERE namespace = ?1 ORDER BY expires LIMIT ?2)"
            )
            if excess > 0:
                dropped += connection.execute(statement, (namespace, excess)).rowcount
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


def _open(path: Path, max_bytes: int) -> sqlite3.Connection:
    """A connection to the file at ``path``, in WAL mode, with our schema."""
    try:
        path = path.expanduser()
        _make_private(path)
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path, max_bytes)
        except BaseException:
            connection.close()
            raise
    except (OSError, RuntimeError, sqlite3.Error) as exc:
        raise OperatorError(
            f"The state file {path} cannot be used: {exc}.",
            fix="Make its folder writable for this user, or name another file; a damaged file can be moved away.",
        ) from exc
    return connection


def _make_private(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Never opened where it exists: closing a descriptor would drop the locks that SQLite holds in this process.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise OperatorError(
            f"The state file {path} is not a regular file of this user.", fix="Move it away, or name another file."
        )
    if found.st_mode & 0o077:
        path.chmod(0o600)


def _prepare(connection: sqlite3.Connection, path: Path, max_bytes: int) -> None:
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute(f"PRAGMA max_page_count = {max_bytes // page_bytes}")
    connection.execute("BEGIN IMMEDIATE")  # of several workers that start together, one makes the schema
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")
    if version not in (0, SCHEMA_VERSION):
        raise OperatorError(
            f"The state file {path} has the format {version}; this version knows {SCHEMA_VERSION}.",
            fix="Use the version of trident that wrote it, or another file.",
        )


def _use_wal(connection: sqlite3.Connection) -> None:
    # Changing the mode does not wait for other connections, which may be doing the same right now.
    for attempt in range(_OPEN_TRIES):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if attempt == _OPEN_TRIES - 1:
                raise
            time.sleep(_BUSY_S / _OPEN_TRIES)
        else:
            return

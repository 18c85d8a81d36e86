"""The file of a SQLite store: made private, opened in WAL mode, with our schema."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from router.errors import OperatorError

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

_BUSY_S = 1.0  # how long to wait for another worker's transaction
_OPEN_TRIES = 50


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What a file holds at most, and how.

    ``durable``: what is committed survives a power cut, too, for a sync each time. ``makes_room``: where the file is
    nearly full, what expires first is removed; else writing fails once it is full.
    """

    max_bytes: int = 1024 * 1024 * 1024
    durable: bool = False
    makes_room: bool = False


def open_file(path: Path, options: FileOptions) -> sqlite3.Connection:
    """A connection in autocommit mode, for any thread. Raises ``OperatorError`` when the file cannot be used."""
    try:
        path = path.expanduser()
        _make_private(path)
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path, options)
        except BaseException:
            connection.close()
            raise
    except (OSError, RuntimeError, sqlite3.Error) as exc:
        raise OperatorError(
            f"The state file {path} cannot be used: {exc}.",
            fix="Make its folder writable for this user, or name another file; a damaged file can be moved away.",
        ) from exc
    return connection


def fill_level(connection: sqlite3.Connection) -> float:
    """How much of what the file may hold is in use, from 0 to 1."""
    (most,), (there,), (free,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("max_page_count", "page_count", "freelist_count")
    )
    return float((there - free) / most)


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


def _prepare(connection: sqlite3.Connection, path: Path, options: FileOptions) -> None:
    _use_wal(connection)
    connection.execute(f"PRAGMA synchronous = {'FULL' if options.durable else 'NORMAL'}")
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute(f"PRAGMA max_page_count = {options.max_bytes // page_bytes}")
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

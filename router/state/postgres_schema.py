"""The tables of the PostgreSQL store: made and changed step by step, and kept small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import asyncpg

from router.errors import OperatorError

_Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

# Step n brings the tables from version n to n + 1. Steps that were released are never changed.
_MIGRATIONS = (
    """
    CREATE TABLE trident_entries (
        namespace text NOT NULL,
        key text NOT NULL,
        value bytea,
        total bigint,
        expires timestamptz NOT NULL,
        PRIMARY KEY (namespace, key)
    );
    CREATE INDEX trident_entries_by_expiry ON trident_entries (namespace, expires);
    """,
)
SCHEMA_VERSION = len(_MIGRATIONS)

# Any numbers will do, as long as nobody else takes locks of these names in the same database.
_MIGRATION_LOCK = 0x7472_6964_656E_7401
_PRUNE_LOCK = 0x7472_6964_656E_7402

_PRUNE_TOGETHER = 1000  # entries in one transaction, so that nobody waits long for it
# Entries that somebody is changing are left for the next time.
_PRUNE = """
    DELETE FROM trident_entries WHERE namespace = $1 AND key IN (
        SELECT key FROM trident_entries WHERE namespace = $1 AND expires <= now()
        ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED
    )
"""
_PRUNE_EXCESS = """
    DELETE FROM trident_entries WHERE namespace = $1 AND key IN (
        SELECT key FROM trident_entries WHERE namespace = $1
        ORDER BY expires DESC OFFSET $3 LIMIT $2 FOR UPDATE SKIP LOCKED
    )
"""


async def migrate(connection: _Connection) -> None:
    """Bring the tables up to date; of several gateways that start together, one does it.

    Raises ``OperatorError`` where a newer version of the gateway has been there.
    """
    if await _version(connection) == SCHEMA_VERSION:
        return
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
        version = await _version(connection)
        if version > SCHEMA_VERSION:
            raise OperatorError(
                f"The tables in PostgreSQL have the format {version}; this version knows {SCHEMA_VERSION}.",
                fix="Use the version of trident that made them, or another database.",
            )
        if version == 0:
            await connection.execute("CREATE TABLE trident_schema (version integer NOT NULL)")
            await connection.execute("INSERT INTO trident_schema VALUES (0)")
        for step in _MIGRATIONS[version:]:
            await connection.execute(step)
        await connection.execute("UPDATE trident_schema SET version = $1", SCHEMA_VERSION)


async def _version(connection: _Connection) -> int:
    if await connection.fetchval("SELECT to_regclass('trident_schema')") is None:
        return 0
    version: int = await connection.fetchval("SELECT version FROM trident_schema")
    return version


async def prune(connection: _Connection, namespaces: Sequence[str], max_entries: int) -> int:
    """Remove some expired entries, and some of those over ``max_entries``; how many. One gateway at a time does it."""
    removed = 0
    async with connection.transaction():
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _PRUNE_LOCK):
            return 0
        for namespace in namespaces:
            for status in (
                await connection.execute(_PRUNE, namespace, _PRUNE_TOGETHER),
                await connection.execute(_PRUNE_EXCESS, namespace, _PRUNE_TOGETHER, max_entries),
            ):
                removed += int(status.rpartition(" ")[2])
    return removed

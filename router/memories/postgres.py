"""Memories in PostgreSQL, which gateways on several machines share. Needs the extra ``postgres``."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import asyncpg

from router.aio import timeout
from router.errors import OperatorError, StateUnavailable
from router.memories.base import Fact, MemoryBounds, MemoryKey, MemorySummary
from router.state.postgres_url import malformed, tls_options
from router.triton.models import Embedding

logger = logging.getLogger(__name__)

_Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

_BROKEN = (
    asyncpg.AdminShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    ConnectionError,
)
_MAX_CONNECTIONS = 8
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS trident_memory_keys (
        space text NOT NULL,
        owner text NOT NULL,
        key text NOT NULL,
        added double precision NOT NULL,
        PRIMARY KEY (space, owner, key)
    );
    CREATE INDEX IF NOT EXISTS trident_memory_keys_by_age ON trident_memory_keys (space, added);
    CREATE TABLE IF NOT EXISTS trident_memory_facts (
        space text NOT NULL,
        owner text NOT NULL,
        key text NOT NULL,
        text text NOT NULL,
        vector bytea NOT NULL,
        encoder text NOT NULL,
        said double precision NOT NULL,
        expires double precision NOT NULL,
        place bigint GENERATED ALWAYS AS IDENTITY,
        PRIMARY KEY (space, owner, key, text)
    );
    CREATE INDEX IF NOT EXISTS trident_memory_facts_by_expiry ON trident_memory_facts (expires);
"""
# Any numbers will do, as long as nobody else takes locks of these names in the same database.
_SCHEMA_LOCK = 0x7472_6964_656E_7403
_LOCK_SPACE = "SELECT pg_advisory_xact_lock(x'74726964'::int, hashtext($1))"

_OF_KEY = "space = $1 AND owner = $2 AND key = $3"
_READ = (
    f"SELECT text, vector, encoder, said, expires FROM trident_memory_facts WHERE {_OF_KEY} "  # noqa: S608 - constants
    "AND expires > $4 ORDER BY said, place"
)
_DROP = f"DELETE FROM trident_memory_facts WHERE {_OF_KEY} AND text = ANY($4)"  # noqa: S608
_ADD = (
    "INSERT INTO trident_memory_facts (space, owner, key, text, vector, encoder, said, expires) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
)
_DROP_OLDEST = (
    f"DELETE FROM trident_memory_facts WHERE place IN (SELECT place FROM trident_memory_facts WHERE {_OF_KEY} "  # noqa: S608
    "ORDER BY said DESC, place DESC OFFSET $4)"
)
_TOUCH = (
    "INSERT INTO trident_memory_keys (space, owner, key, added) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT (space, owner, key) DO UPDATE SET added = excluded.added"
)
_DROP_KEYS = (
    "DELETE FROM trident_memory_keys WHERE (space, owner, key) IN (SELECT space, owner, key FROM trident_memory_keys "
    "WHERE space = $1 ORDER BY added DESC OFFSET $2) RETURNING owner, key"
)
_DROP_FACTS = f"DELETE FROM trident_memory_facts WHERE {_OF_KEY}"  # noqa: S608
_RENEW = f"UPDATE trident_memory_facts SET vector = $4, encoder = $5 WHERE {_OF_KEY} AND text = $6"  # noqa: S608
_SUMMARIES = (
    "SELECT space, owner, key, count(*), max(said) FROM trident_memory_facts "
    "WHERE expires > $1 AND ($2::text IS NULL OR space = $2) GROUP BY space, owner, key "
    "ORDER BY max(said) DESC LIMIT $3"
)
_NAMED = "key = $1 AND ($2::text IS NULL OR space = $2) AND ($3::text IS NULL OR owner = $3)"
_PRUNE = (
    "DELETE FROM trident_memory_facts WHERE place IN (SELECT place FROM trident_memory_facts WHERE expires <= $1 "
    "LIMIT $2 FOR UPDATE SKIP LOCKED)"
)
_PRUNE_KEYS = (
    "DELETE FROM trident_memory_keys AS k WHERE NOT EXISTS (SELECT 1 FROM trident_memory_facts AS f "
    "WHERE f.space = k.space AND f.owner = k.owner AND f.key = k.key)"
)
_PRUNE_EVERY_S = 60.0
_PRUNE_TOGETHER = 1000  # facts in one transaction, so that nobody waits long for it


class PostgresMemories:
    """A ``MemoryStore`` in two tables of a database, made by whoever comes first.

    What is over its time is removed in the background, and never read. What is added in one space is added by one
    gateway at a time, so that bounds hold.
    """

    def __init__(
        self, pool: asyncpg.Pool[asyncpg.Record], *, timeout_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._pool = pool
        self._timeout_s = timeout_s
        self._clock = clock
        self._made = False
        self._pruning = asyncio.get_running_loop().create_task(self._prune_forever())

    @classmethod
    async def open(
        cls, url: str, *, timeout_s: float = 2.0, clock: Callable[[], float] = time.time
    ) -> PostgresMemories:
        """Connect, and make the tables. Raises ``OperatorError`` where the server refuses that.

        A server that is only not there now is no reason to fail: it is logged, and asked again with every call.
        """
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=0,
                max_size=_MAX_CONNECTIONS,
                timeout=timeout_s,
                command_timeout=timeout_s,
                server_settings={"application_name": "trident"},
                **tls_options(url),
            )
        except (ValueError, asyncpg.ClientConfigurationError) as exc:
            raise malformed() from exc
        store = cls(pool, timeout_s=timeout_s, clock=clock)
        try:
            await store._greet()
        except BaseException:
            await store.close()
            raise
        return store

    async def facts(self, key: MemoryKey) -> list[Fact]:
        async with self._connection() as connection:
            rows = await connection.fetch(_READ, *_place(key), self._clock())
        return [Fact(text, Embedding(vector, encoder), said, expires) for text, vector, encoder, said, expires in rows]

    async def keep(
        self, key: MemoryKey, facts: Sequence[Fact], *, replaces: Sequence[str] = (), bounds: MemoryBounds
    ) -> None:
        place = _place(key)
        rows = [
            (*place, fact.text, fact.embedding.raw, fact.embedding.encoder, fact.said_at, fact.expires_at)
            for fact in facts
        ]
        async with self._connection() as connection, connection.transaction():
            await connection.execute(_LOCK_SPACE, key.space)
            await connection.execute(_DROP, *place, [*replaces, *(fact.text for fact in facts)])
            await connection.executemany(_ADD, rows)
            await connection.execute(_DROP_OLDEST, *place, bounds.facts)
            await connection.execute(_TOUCH, *place, self._clock())
            for owner, over in await connection.fetch(_DROP_KEYS, key.space, bounds.keys):
                await connection.execute(_DROP_FACTS, key.space, owner, over)

    async def renew(self, key: MemoryKey, facts: Sequence[Fact]) -> None:
        rows = [(*_place(key), fact.embedding.raw, fact.embedding.encoder, fact.text) for fact in facts]
        async with self._connection() as connection, connection.transaction():
            await connection.execute(_LOCK_SPACE, key.space)
            await connection.executemany(_RENEW, rows)

    async def summaries(self, *, space: str | None = None, limit: int = 1000) -> list[MemorySummary]:
        async with self._connection() as connection:
            rows = await connection.fetch(_SUMMARIES, self._clock(), space, limit)
        return [MemorySummary(MemoryKey(*place), count, newest) for *place, count, newest in rows]

    async def forget(self, key: str, *, space: str | None = None, owner: str | None = None) -> int:
        named = (key, space, owner)
        async with self._connection() as connection, connection.transaction():
            await connection.execute(f"DELETE FROM trident_memory_keys WHERE {_NAMED}", *named)  # noqa: S608 - constants
            return _count(await connection.execute(f"DELETE FROM trident_memory_facts WHERE {_NAMED}", *named))  # noqa: S608

    async def close(self) -> None:
        self._pruning.cancel()
        with suppress(asyncio.CancelledError):
            await self._pruning
        try:
            async with timeout(self._timeout_s):
                await self._pool.close()
        except (asyncio.TimeoutError, TimeoutError):
            self._pool.terminate()

    async def prune(self) -> int:
        """Remove what is over its time; how many facts that were. Runs by itself every minute."""
        removed = 0
        while True:
            async with self._connection() as connection:
                dropped = _count(await connection.execute(_PRUNE, self._clock(), _PRUNE_TOGETHER))
                if dropped:
                    await connection.execute(_PRUNE_KEYS)
            removed += dropped
            if dropped == 0:
                return removed

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        """A connection to a database that has our tables; what goes wrong in there is ``StateUnavailable``."""
        try:
            async with timeout(self._timeout_s), self._pool.acquire() as connection:
                if not self._made:
                    async with connection.transaction():
                        await connection.execute("SELECT pg_advisory_xact_lock($1)", _SCHEMA_LOCK)
                        await connection.execute(_SCHEMA)
                    self._made = True
                yield connection
        except _BROKEN as exc:
            await self._pool.expire_connections()  # of a server that went away, none will work again
            raise StateUnavailable from exc
        except (asyncpg.PostgresError, OSError, asyncio.TimeoutError, TimeoutError) as exc:
            raise StateUnavailable from exc

    async def _greet(self) -> None:
        try:
            async with self._connection():
                pass
        except StateUnavailable as exc:
            if isinstance(exc.__cause__, asyncpg.PostgresError) and not isinstance(exc.__cause__, _BROKEN):
                raise OperatorError(
                    "PostgreSQL refuses to keep memories.",
                    fix="Check the user, password and database in its URL; the user has to be allowed to make tables.",
                ) from exc
            logger.warning("store of memories cannot be reached", extra={"cause": repr(exc.__cause__)})
        except ValueError as exc:  # such as a port that is no number, which is found out first here
            raise malformed() from exc

    async def _prune_forever(self) -> None:
        while True:
            await asyncio.sleep(_PRUNE_EVERY_S)
            try:
                await self.prune()
            except StateUnavailable as exc:
                logger.warning("memories cannot be pruned", extra={"cause": repr(exc.__cause__ or exc)})


def _place(key: MemoryKey) -> tuple[str, str, str]:
    return key.space, key.owner, key.key


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])

"""The store in PostgreSQL, which gateways on several machines share. Needs the extra ``postgres``."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TypeAlias

import asyncpg

from router.aio import timeout
from router.errors import OperatorError, StateUnavailable
from router.state.base import MAX_VALUE_BYTES, Batch, check_key, check_value
from router.state.postgres_schema import migrate, prune
from router.state.postgres_url import malformed, tls_options

logger = logging.getLogger(__name__)

_Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

# How the end of a connection shows; one that ended while nobody used it is an ``InternalClientError``.
_BROKEN = (
    asyncpg.AdminShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    ConnectionError,
)
_MAX_CONNECTIONS = 8
_PRUNE_EVERY_S = 30.0

_READ = "SELECT value FROM trident_entries WHERE namespace = $1 AND key = $2 AND expires > now()"
_READ_SOME = "SELECT key, value FROM trident_entries WHERE namespace = $1 AND key = ANY($2) AND expires > now()"
# Locked in the order of their keys: whoever locks several of them waits for the others, never in a circle.
_LOCK_SOME = _READ_SOME + " ORDER BY key FOR UPDATE"
_WRITE = """
    INSERT INTO trident_entries (namespace, key, value, expires)
    SELECT $1, key, value, now() + $4::interval FROM unnest($2::text[], $3::bytea[]) AS put (key, value) ORDER BY key
    ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value, total = NULL, expires = excluded.expires
"""
_SET_IF_ABSENT = """
    INSERT INTO trident_entries AS there (namespace, key, value, expires) VALUES ($1, $2, $3, now() + $4::interval)
    ON CONFLICT (namespace, key) DO UPDATE SET
        value = CASE WHEN there.expires > now() AND there.value IS NOT NULL THEN there.value ELSE excluded.value END,
        expires = CASE WHEN there.expires > now() AND there.value IS NOT NULL
            THEN there.expires ELSE excluded.expires END,
        total = NULL
    RETURNING value
"""
_DELETE = "DELETE FROM trident_entries WHERE namespace = $1 AND key = $2 RETURNING expires > now()"
_DELETE_SOME = "DELETE FROM trident_entries WHERE namespace = $1 AND key = ANY($2)"
_RENEW_SOME = """
    UPDATE trident_entries SET expires = now() + $3::interval WHERE namespace = $1 AND key IN (
        SELECT key FROM trident_entries WHERE namespace = $1 AND key = ANY($2) AND expires > now()
        ORDER BY key FOR UPDATE
    )
"""
_TOTAL = "SELECT total FROM trident_entries WHERE namespace = $1 AND key = $2 AND expires > now()"
# No row comes back where the total would be above the limit ($5).
_ADD = f"""
    INSERT INTO trident_entries AS there (namespace, key, total, expires)
    SELECT $1, $2, $3::bigint, now() + $4::interval
    WHERE $5::bigint IS NULL OR $3::bigint <= 0 OR coalesce(({_TOTAL}), 0) + $3::bigint <= $5::bigint
    ON CONFLICT (namespace, key) DO UPDATE SET
        total = CASE WHEN there.expires > now() THEN coalesce(there.total, 0) ELSE 0 END + excluded.total,
        expires = CASE WHEN there.expires > now() AND there.total IS NOT NULL
            THEN there.expires ELSE excluded.expires END,
        value = NULL
    WHERE $5::bigint IS NULL OR $3::bigint <= 0
        OR CASE WHEN there.expires > now() THEN coalesce(there.total, 0) ELSE 0 END + $3::bigint <= $5::bigint
    RETURNING total
"""


class PostgresStore:
    """A store in two tables of a database, made and migrated by whoever comes first; the server's clock counts.

    What is confirmed is as durable as the server is set to be (``synchronous_commit``). Expired entries, and of each
    namespace that this process uses those over ``max_entries`` that expire first, are removed in the background.
    """

    in_process = False

    def __init__(
        self, pool: asyncpg.Pool[asyncpg.Record], *, timeout_s: float, max_entries: int, max_value_bytes: int
    ) -> None:
        self._pool = pool
        self._timeout_s = timeout_s
        self._max_entries = max_entries
        self._max_value_bytes = max_value_bytes
        self._migrating = asyncio.Lock()
        self._migrated = False
        self._namespaces: set[str] = set()
        self._pruning = asyncio.get_running_loop().create_task(self._prune_forever())

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        timeout_s: float = 2.0,
        max_entries: int = 1_000_000,
        max_value_bytes: int = MAX_VALUE_BYTES,
    ) -> PostgresStore:
        """Connect, and bring the tables up to date.

        Raises ``OperatorError`` for a URL, credentials, certificates or tables that cannot work. A server that is only
        not there now is no reason to fail: it is logged, and asked again with every call.
        """
        pool = await asyncpg.create_pool(
            url,
            min_size=0,
            max_size=_MAX_CONNECTIONS,
            timeout=timeout_s,
            command_timeout=timeout_s,
            server_settings={"application_name": "trident"},
            **tls_options(url),
        )
        store = cls(pool, timeout_s=timeout_s, max_entries=max_entries, max_value_bytes=max_value_bytes)
        try:
            await store._greet()
        except BaseException:
            await store.close()
            raise
        return store

    async def get(self, namespace: str, key: str) -> bytes | None:
        check_key(key)
        async with self._connection(namespace) as connection:
            value: bytes | None = await connection.fetchval(_READ, namespace, key)
        return value

    async def get_many(self, namespace: str, keys: Sequence[str]) -> list[bytes | None]:
        for key in keys:
            check_key(key)
        async with self._connection(namespace) as connection:
            rows = await connection.fetch(_READ_SOME, namespace, keys)
        found = {row["key"]: row["value"] for row in rows}
        return [found.get(key) for key in keys]

    async def set(self, namespace: str, key: str, value: bytes, *, ttl_s: float) -> None:
        check_key(key)
        check_value(value, self._max_value_bytes)
        async with self._connection(namespace) as connection:
            await connection.execute(_WRITE, namespace, [key], [value], timedelta(seconds=ttl_s))

    async def set_if_absent(self, namespace: str, key: str, value: bytes, *, ttl_s: float) -> bytes:
        check_key(key)
        check_value(value, self._max_value_bytes)
        async with self._connection(namespace) as connection:
            there: bytes = await connection.fetchval(_SET_IF_ABSENT, namespace, key, value, timedelta(seconds=ttl_s))
        return there

    async def delete(self, namespace: str, key: str) -> bool:
        check_key(key)
        async with self._connection(namespace) as connection:
            return bool(await connection.fetchval(_DELETE, namespace, key))

    async def commit(self, namespace: str, batch: Batch, *, ttl_s: float) -> bool:
        batch.check(self._max_value_bytes)
        ttl = timedelta(seconds=ttl_s)
        async with self._connection(namespace) as connection, connection.transaction():
            if batch.expects:
                rows = await connection.fetch(_LOCK_SOME, namespace, list(batch.expects))
                if {row["key"]: row["value"] for row in rows} != batch.expects:
                    return False
            if batch.deletes:
                await connection.execute(_DELETE_SOME, namespace, batch.deletes)
            if batch.renews:
                await connection.execute(_RENEW_SOME, namespace, batch.renews, ttl)
            if batch.puts:
                await connection.execute(_WRITE, namespace, list(batch.puts), list(batch.puts.values()), ttl)
        return True

    async def add(self, namespace: str, key: str, amount: int, *, ttl_s: float, limit: int | None = None) -> int:
        check_key(key)
        async with self._connection(namespace) as connection:
            while True:
                total: int | None = None
                if amount != 0:
                    total = await connection.fetchval(_ADD, namespace, key, amount, timedelta(seconds=ttl_s), limit)
                if total is not None:
                    return total
                total = (await connection.fetchval(_TOTAL, namespace, key) or 0) + amount
                if amount == 0 or (limit is not None and total > limit):
                    return total
                # Somebody has made room since: an answer within the limit would say that the amount was added.

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
        """Remove expired entries and those over the bound; how many there were. Runs by itself every half minute."""
        removed = 0
        while True:
            async with self._connection(None) as connection:
                dropped = await prune(connection, sorted(self._namespaces), self._max_entries)
            removed += dropped
            if dropped == 0:
                return removed

    @asynccontextmanager
    async def _connection(self, namespace: str | None) -> AsyncIterator[_Connection]:
        """A connection to a database that has our tables; what goes wrong in there is ``StateUnavailable``."""
        if namespace is not None:
            self._namespaces.add(namespace)
        try:
            async with timeout(self._timeout_s), self._pool.acquire() as connection:
                if not self._migrated:
                    async with self._migrating:
                        await migrate(connection)
                        self._migrated = True
                yield connection
        except _BROKEN as exc:
            await self._pool.expire_connections()  # of a server that went away, none will work again
            raise StateUnavailable from exc
        except (asyncpg.PostgresError, OperatorError, OSError, asyncio.TimeoutError, TimeoutError) as exc:
            raise StateUnavailable from exc

    async def _greet(self) -> None:
        try:
            async with self._connection(None):
                pass
        except StateUnavailable as exc:
            refusal = _refusal(exc.__cause__)
            if refusal is not None:
                raise refusal from exc
            logger.warning("state store cannot be reached", extra={"cause": repr(exc.__cause__)})
        except ValueError as exc:  # such as a port that is no number, which is found out first here
            raise malformed() from exc

    async def _prune_forever(self) -> None:
        while True:
            await asyncio.sleep(_PRUNE_EVERY_S)
            try:
                await self.prune()
            except StateUnavailable as exc:
                logger.warning("state store cannot be pruned", extra={"cause": repr(exc.__cause__ or exc)})


def _refusal(cause: BaseException | None) -> OperatorError | None:
    """Why asking again will not help; ``None`` where it may."""
    if isinstance(cause, OperatorError):
        return cause
    if isinstance(cause, asyncpg.ClientConfigurationError):
        return malformed()
    if isinstance(cause, ssl.SSLError):
        return OperatorError(
            "PostgreSQL's certificate cannot be trusted.",
            fix="Name its authority with `?sslmode=verify-full&sslrootcert=FILE` behind the URL.",
        )
    if isinstance(cause, ConnectionError) and "SSL" in str(cause):
        return OperatorError(
            "PostgreSQL does not offer TLS.",
            fix="Turn it on in the server; on a network that you trust, put `?sslmode=disable` behind the URL.",
        )
    if isinstance(
        cause,
        (
            asyncpg.InvalidAuthorizationSpecificationError,
            asyncpg.InvalidCatalogNameError,
            asyncpg.InsufficientPrivilegeError,
        ),
    ):
        return OperatorError(
            "PostgreSQL refuses the gateway.",
            fix="Check the user, password and database in its URL; the user has to be allowed to create tables.",
        )
    return None

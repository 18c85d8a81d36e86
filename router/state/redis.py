"""The store in Redis, which gateways on several machines share. Needs the extra ``redis``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from router.aio import timeout
from router.errors import OperatorError, StateUnavailable
from router.state.base import MAX_VALUE_BYTES, Batch, check_key, check_value

logger = logging.getLogger(__name__)

T = TypeVar("T")

_SCHEMES = ("redis://", "rediss://", "unix://")
_MAX_CONNECTIONS = 32

# KEYS: counter. ARGV: amount, time to live in milliseconds, limit or "". Whether to add and adding are one step, and a
# counter never stays without an end.
_ADD = """
local total = tonumber(redis.call('GET', KEYS[1]) or '0') + tonumber(ARGV[1])
if ARGV[3] ~= '' and tonumber(ARGV[1]) > 0 and total > tonumber(ARGV[3]) then
  return total
end
total = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return total
"""
# KEYS: value. ARGV: value, time to live in milliseconds.
_SET_IF_ABSENT = """
local there = redis.call('GET', KEYS[1])
if there then
  return there
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""
# KEYS: what is expected, deleted, renewed and put, in this order. ARGV: time to live in milliseconds, how many keys
# each of the first three has, then the values that are expected, then those that are put.
_COMMIT = """
local expects, deletes, renews = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
for i = 1, expects do
  if redis.call('GET', KEYS[i]) ~= ARGV[4 + i] then
    return 0
  end
end
for i = expects + 1, expects + deletes do
  redis.call('DEL', KEYS[i])
end
for i = expects + deletes + 1, expects + deletes + renews do
  redis.call('PEXPIRE', KEYS[i], ARGV[1])
end
for i = expects + deletes + renews + 1, #KEYS do
  redis.call('SET', KEYS[i], ARGV[4 + i - deletes - renews], 'PX', ARGV[1])
end
return 1
"""
_READ_TOGETHER = 500  # keys in one command, which nothing else in Redis can come between


class RedisStore:
    """A store in the Redis at a URL; keys are ``{prefix}:{namespace}:{key}``, and Redis ends their lives.

    How much it holds is Redis's own setting (``maxmemory``); with an eviction policy other than ``noeviction``,
    counters may be lost before their time. Totals of counters are exact up to 2**53.
    """

    in_process = False

    def __init__(self, client: Redis, *, prefix: str, timeout_s: float, max_value_bytes: int = MAX_VALUE_BYTES) -> None:
        self._client = client
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._max_value_bytes = max_value_bytes
        self._add = client.register_script(_ADD)
        self._set_if_absent = client.register_script(_SET_IF_ABSENT)
        self._commit = client.register_script(_COMMIT)

    @classmethod
    async def open(
        cls, url: str, *, prefix: str = "trident", timeout_s: float = 1.0, max_value_bytes: int = MAX_VALUE_BYTES
    ) -> RedisStore:
        """Connect. Raises ``OperatorError`` for a URL or credentials that cannot work.

        A server that is only not there now is no reason to fail: it is logged, and asked again with every call.
        ``rediss://`` checks the server's certificate and name.
        """
        if not url.startswith(_SCHEMES):
            raise OperatorError("The Redis URL is not one.", fix=f"Start it with {' or '.join(_SCHEMES)}.")
        options: dict[str, Any] = {"ssl_check_hostname": True} if url.startswith("rediss://") else {}
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=_MAX_CONNECTIONS,
                timeout=timeout_s,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                health_check_interval=30,
                # Once more, at once: the server may have closed a connection that was idle.
                retry=Retry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,)),
                **options,
            )
        except ValueError as exc:
            raise OperatorError("The Redis URL cannot be understood.", fix="Write `redis://host:6379/0`.") from exc
        store = cls(Redis.from_pool(pool), prefix=prefix, timeout_s=timeout_s, max_value_bytes=max_value_bytes)
        await store._greet()
        return store

    async def get(self, namespace: str, key: str) -> bytes | None:
        value = await self._ask(self._client.get(self._name(namespace, key)))
        return value if isinstance(value, bytes) else None

    async def get_many(self, namespace: str, keys: Sequence[str]) -> list[bytes | None]:
        names = [self._name(namespace, key) for key in keys]
        values: list[bytes | None] = []
        for start in range(0, len(names), _READ_TOGETHER):
            found = await self._ask(self._client.mget(names[start : start + _READ_TOGETHER]))
            values += [value if isinstance(value, bytes) else None for value in found]
        return values

    async def set(self, namespace: str, key: str, value: bytes, *, ttl_s: float) -> None:
        check_value(value, self._max_value_bytes)
        await self._ask(self._client.set(self._name(namespace, key), value, px=_milliseconds(ttl_s)))

    async def set_if_absent(self, namespace: str, key: str, value: bytes, *, ttl_s: float) -> bytes:
        check_value(value, self._max_value_bytes)
        arguments: list[bytes | int] = [value, _milliseconds(ttl_s)]
        there: bytes = await self._ask(self._set_if_absent(keys=[self._name(namespace, key)], args=arguments))
        return there

    async def delete(self, namespace: str, key: str) -> bool:
        removed: int = await self._ask(self._client.delete(self._name(namespace, key)))
        return removed > 0

    async def commit(self, namespace: str, batch: Batch, *, ttl_s: float) -> bool:
        batch.check(self._max_value_bytes)
        keys = (*batch.expects, *batch.deletes, *batch.renews, *batch.puts)
        counts = (len(batch.expects), len(batch.deletes), len(batch.renews))
        arguments: list[bytes | int] = [_milliseconds(ttl_s), *counts, *batch.expects.values(), *batch.puts.values()]
        done: int = await self._ask(self._commit(keys=[self._name(namespace, key) for key in keys], args=arguments))
        return done == 1

    async def add(self, namespace: str, key: str, amount: int, *, ttl_s: float, limit: int | None = None) -> int:
        name = self._name(namespace, key)
        if amount == 0:
            return int(await self._ask(self._client.get(name)) or 0)
        arguments: list[int | str] = [amount, _milliseconds(ttl_s), "" if limit is None else limit]
        return int(await self._ask(self._add(keys=[name], args=arguments)))

    async def close(self) -> None:
        await self._client.aclose(close_connection_pool=True)

    async def _greet(self) -> None:
        try:
            await self._ask(self._client.ping())
        except StateUnavailable as exc:
            if _is_refusal(exc):
                await self.close()
                raise OperatorError(
                    "Redis refuses the gateway.", fix="Check the user, password and database in its URL."
                ) from exc
            logger.warning("state store cannot be reached", extra={"cause": repr(exc.__cause__)})

    async def _ask(self, answer: Awaitable[T]) -> T:
        try:
            async with timeout(self._timeout_s):
                return await answer
        except (exceptions.RedisError, OSError, asyncio.TimeoutError, TimeoutError) as exc:
            raise StateUnavailable from exc

    def _name(self, namespace: str, key: str) -> str:
        return f"{self._prefix}:{namespace}:{check_key(key)}"


def _is_refusal(error: BaseException) -> bool:
    # The client library wraps what went wrong while it connected.
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.ResponseError)):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _milliseconds(ttl_s: float) -> int:
    return max(1, round(ttl_s * 1000))

"""A store that does not let every request wait for a store that is gone."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from router.errors import StateUnavailable
from router.state.base import Batch, Store

logger = logging.getLogger(__name__)

T = TypeVar("T")

_REST_S = 1.0


class FailFastStore:
    """``store``, which after a failure is left alone for ``rest_s``; until then every call fails at once.

    Says in the log when the store goes and when it is back, once each. ``clock`` is monotonic.
    """

    def __init__(self, store: Store, *, rest_s: float = _REST_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._rest_s = rest_s
        self._clock = clock
        self._rests_until: float | None = None

    @property
    def in_process(self) -> bool:
        return self._store.in_process

    async def get(self, namespace: str, key: str) -> bytes | None:
        self._refuse_while_resting()
        return await self._watch(self._store.get(namespace, key))

    async def get_many(self, namespace: str, keys: Sequence[str]) -> list[bytes | None]:
        self._refuse_while_resting()
        return await self._watch(self._store.get_many(namespace, keys))

    async def set(self, namespace: str, key: str, value: bytes, *, ttl_s: float) -> None:
        self._refuse_while_resting()
        await self._watch(self._store.set(namespace, key, value, ttl_s=ttl_s))

    async def set_if_absent(self, namespace: str, key: str, value: bytes, *, ttl_s: float) -> bytes:
        self._refuse_while_resting()
        return await self._watch(self._store.set_if_absent(namespace, key, value, ttl_s=ttl_s))

    async def delete(self, namespace: str, key: str) -> bool:
        self._refuse_while_resting()
        return await self._watch(self._store.delete(namespace, key))

    async def commit(self, namespace: str, batch: Batch, *, ttl_s: float) -> bool:
        self._refuse_while_resting()
        return await self._watch(self._store.commit(namespace, batch, ttl_s=ttl_s))

    async def add(self, namespace: str, key: str, amount: int, *, ttl_s: float, limit: int | None = None) -> int:
        self._refuse_while_resting()
        return await self._watch(self._store.add(namespace, key, amount, ttl_s=ttl_s, limit=limit))

    async def close(self) -> None:
        await self._store.close()

    def _refuse_while_resting(self) -> None:
        if self._rests_until is not None and self._clock() < self._rests_until:
            raise StateUnavailable

    async def _watch(self, asked: Awaitable[T]) -> T:
        try:
            answer = await asked
        except StateUnavailable as exc:
            if self._rests_until is None:
                logger.warning("state store is gone", extra={"cause": repr(exc.__cause__ or exc)})
            self._rests_until = self._clock() + self._rest_s
            raise
        if self._rests_until is not None:
            logger.info("state store is back")
            self._rests_until = None
        return answer

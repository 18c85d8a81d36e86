"""The store in the memory of one process: nothing outlives it, nothing is shared."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from router.state.base import MAX_VALUE_BYTES, Batch, check_key, check_value

_EXPIRED_PER_INSERT = 2  # more than the one that comes in, so that expired entries run out


@dataclass(slots=True)
class _Entry:
    value: bytes | int
    expires: float

    @property
    def size(self) -> int:
        return len(self.value) if isinstance(self.value, bytes) else 0


@dataclass(slots=True)
class _Namespace:
    entries: OrderedDict[str, _Entry] = field(default_factory=OrderedDict)
    bytes: int = 0


class MemoryStore:
    """A bounded store; where a namespace is full, its least recently used entry goes.

    ``max_entries`` and ``max_bytes`` (of values) are for each namespace. ``clock`` gives seconds.
    """

    in_process = True

    def __init__(
        self,
        *,
        max_entries: int = 100_000,
        max_bytes: int = 256 * 1024 * 1024,
        max_value_bytes: int = MAX_VALUE_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._max_value_bytes = min(max_value_bytes, max_bytes)
        self._clock = clock
        self._namespaces: dict[str, _Namespace] = {}

    async def get(self, namespace: str, key: str) -> bytes | None:
        entry = self._live(self._space(namespace), check_key(key))
        return entry.value if entry is not None and isinstance(entry.value, bytes) else None

    async def get_many(self, namespace: str, keys: Sequence[str]) -> list[bytes | None]:
        return [await self.get(namespace, key) for key in keys]

    async def set(self, namespace: str, key: str, value: bytes, *, ttl_s: float) -> None:
        check_value(value, self._max_value_bytes)
        self._put(self._space(namespace), check_key(key), value, ttl_s)

    async def set_if_absent(self, namespace: str, key: str, value: bytes, *, ttl_s: float) -> bytes:
        check_value(value, self._max_value_bytes)
        space = self._space(namespace)
        entry = self._live(space, check_key(key))
        if entry is not None and isinstance(entry.value, bytes):
            return entry.value
        self._put(space, key, value, ttl_s)
        return value

    async def delete(self, namespace: str, key: str) -> bool:
        space = self._space(namespace)
        there = self._live(space, check_key(key)) is not None
        if there:
            self._drop(space, key)
        return there

    async def commit(self, namespace: str, batch: Batch, *, ttl_s: float) -> bool:
        batch.check(self._max_value_bytes)
        space = self._space(namespace)
        for key, value in batch.expects.items():
            entry = self._live(space, key)
            if entry is None or entry.value != value:
                return False
        for key in batch.deletes:
            if key in space.entries:
                self._drop(space, key)
        for key in batch.renews:
            if (entry := self._live(space, key)) is not None:
                entry.expires = self._clock() + ttl_s
        for key, value in batch.puts.items():
            self._put(space, key, value, ttl_s)
        return True

    async def add(self, namespace: str, key: str, amount: int, *, ttl_s: float, limit: int | None = None) -> int:
        space = self._space(namespace)
        entry = self._live(space, check_key(key))
        present = entry.value if entry is not None and isinstance(entry.value, int) else 0
        total = present + amount
        if amount == 0 or (limit is not None and amount > 0 and total > limit):
            return total
        if entry is None:
            self._put(space, key, total, ttl_s)
        else:
            entry.value = total
        return total

    async def close(self) -> None:
        self._namespaces.clear()

    def _space(self, namespace: str) -> _Namespace:
        space = self._namespaces.get(namespace)
        if space is None:
            space = self._namespaces[namespace] = _Namespace()
        return space

    def _live(self, space: _Namespace, key: str) -> _Entry | None:
        entry = space.entries.get(key)
        if entry is None:
            return None
        if entry.expires <= self._clock():
            self._drop(space, key)
            return None
        space.entries.move_to_end(key)
        return entry

    def _put(self, space: _Namespace, key: str, value: bytes | int, ttl_s: float) -> None:
        if key in space.entries:
            self._drop(space, key)
        entry = _Entry(value, self._clock() + ttl_s)
        self._forget_expired(space)
        while space.entries and (len(space.entries) >= self._max_entries or space.bytes + entry.size > self._max_bytes):
            self._drop(space, next(iter(space.entries)))
        space.entries[key] = entry
        space.bytes += entry.size

    def _forget_expired(self, space: _Namespace) -> None:
        now = self._clock()
        for _ in range(_EXPIRED_PER_INSERT):
            oldest = next(iter(space.entries), None)
            if oldest is None or space.entries[oldest].expires > now:
                return
            self._drop(space, oldest)

    def _drop(self, space: _Namespace, key: str) -> None:
        space.bytes -= space.entries.pop(key).size

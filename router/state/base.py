"""The store protocol: values and counters with a time to live, which all state of the gateway is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from router.errors import PayloadTooLarge

MAX_KEY_CHARS = 512
MAX_VALUE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes of values in one namespace that all happen, or none of them.

    ``expects`` are values that must still be there for anything to happen. Then ``deletes`` are removed, the time of
    ``renews`` starts anew (of those that are there), and ``puts`` are put in the place of whatever was there. No key
    is in more than one of the three.
    """

    puts: Mapping[str, bytes] = field(default_factory=dict)
    deletes: Sequence[str] = ()
    renews: Sequence[str] = ()
    expects: Mapping[str, bytes] = field(default_factory=dict)

    def check(self, max_bytes: int) -> None:
        """Raises ``ValueError`` for a key that is none, and ``PayloadTooLarge`` for a value over ``max_bytes``."""
        for key in (*self.deletes, *self.renews, *self.expects):
            check_key(key)
        for key, value in self.puts.items():
            check_key(key)
            check_value(value, max_bytes)


class Store(Protocol):
    """Values and counters, each under a key in a namespace; a key holds one or the other, never both.

    Every entry lives for the ``ttl_s`` that it was made with. Namespaces are chosen by the code and few; what one of
    them holds never displaces what another one holds. Every method raises ``StateUnavailable`` when the store does not
    answer in time, in which case what was asked may have happened or not; ``ValueError`` for a key that is longer than
    ``MAX_KEY_CHARS``, and ``PayloadTooLarge`` for a value over the store's bound.
    """

    @property
    def in_process(self) -> bool:
        """Whether it lives in this process alone, so that asking it costs next to nothing."""

    async def get(self, namespace: str, key: str) -> bytes | None:
        """The value, ``None`` when there is none or its time is over."""

    async def get_many(self, namespace: str, keys: Sequence[str]) -> list[bytes | None]:
        """The value of each key, in order."""

    async def set(self, namespace: str, key: str, value: bytes, *, ttl_s: float) -> None:
        """Put a value in the place of whatever was there; its time starts anew."""

    async def set_if_absent(self, namespace: str, key: str, value: bytes, *, ttl_s: float) -> bytes:
        """Put a value where there is none; the value that is there then. Atomic: all callers get the same one."""

    async def delete(self, namespace: str, key: str) -> bool:
        """Remove an entry; whether there was one."""

    async def commit(self, namespace: str, batch: Batch, *, ttl_s: float) -> bool:
        """Do all of ``batch``; whether its expectations held, else nothing was done.

        Of batches that expect the same value and change it, one succeeds. What it puts and renews lives for ``ttl_s``.
        """

    async def add(self, namespace: str, key: str, amount: int, *, ttl_s: float, limit: int | None = None) -> int:
        """Add to a counter (from 0 where there is none) and return its new total. Atomic.

        A positive amount that would take the total above ``limit`` is not added; what the total would have been is
        returned, so that an answer above ``limit`` means no. The counter's time starts when it is made, and adding
        does not prolong it. Adding 0 reads, and makes nothing.
        """

    async def close(self) -> None:
        """Finish what was asked, and let go of the store."""


def check_key(key: str) -> str:
    """``key`` where it may be one."""
    if not key or len(key) > MAX_KEY_CHARS:
        raise ValueError(f"a key of {len(key)} characters (1 to {MAX_KEY_CHARS} are allowed)")
    return key


def check_value(value: bytes, max_bytes: int = MAX_VALUE_BYTES) -> bytes:
    """``value`` where it is not too large."""
    if len(value) > max_bytes:
        raise PayloadTooLarge(f"The state of this request is larger than {max_bytes} bytes.")
    return value

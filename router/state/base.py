"""The store protocol: values and counters with a time to live, which affinity, rate limits and budgets are made of."""

from __future__ import annotations

from typing import Protocol

from router.errors import PayloadTooLarge

MAX_KEY_CHARS = 512
MAX_VALUE_BYTES = 1024 * 1024


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

    async def set(self, namespace: str, key: str, value: bytes, *, ttl_s: float) -> None:
        """Put a value in the place of whatever was there; its time starts anew."""

    async def set_if_absent(self, namespace: str, key: str, value: bytes, *, ttl_s: float) -> bytes:
        """Put a value where there is none; the value that is there then. Atomic: all callers get the same one."""

    async def delete(self, namespace: str, key: str) -> bool:
        """Remove an entry; whether there was one."""

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

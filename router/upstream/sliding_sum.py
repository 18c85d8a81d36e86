"""A sum that forgets: what was added longer ago than its window no longer counts."""

from __future__ import annotations

_SLOTS = 10


class SlidingSum:
    """The sum over the last ``window_s`` seconds, forgotten in steps of a tenth of it.

    Times come from the caller and never run backwards.
    """

    __slots__ = ("_older", "_slot_s", "_slots", "_step")

    def __init__(self, window_s: float) -> None:
        self._slot_s = window_s / _SLOTS
        self._slots = [0.0] * _SLOTS
        self._step = 0
        self._older = 0.0  # the sum of all slots but the current one, so that reading it adds up two numbers

    def add(self, value: float, now: float) -> None:
        """Count ``value`` from now on."""
        self._advance(now)
        self._slots[self._step % _SLOTS] += value

    def total(self, now: float) -> float:
        """What was added within the window that ends now."""
        self._advance(now)
        return self._older + self._slots[self._step % _SLOTS]

    def clear(self) -> None:
        """Forget everything."""
        self._slots = [0.0] * _SLOTS
        self._older = 0.0

    def _advance(self, now: float) -> None:
        step = int(now / self._slot_s)
        if step == self._step:
            return
        for passed in range(max(self._step + 1, step - _SLOTS + 1), step + 1):
            self._slots[passed % _SLOTS] = 0.0
        self._step = step
        self._older = sum(self._slots)

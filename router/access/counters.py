"""Counters that many requests, workers and machines share, without asking the store for each request.

Every quota has a counter in the store for each window of the clock. A worker takes parts of the quota out of it in
advance (leases) and hands them out itself; together, the workers of one gateway never hold more than a hundredth of a
quota unused. So

- never more than the quota is admitted in a window of the clock, by all workers together;
- at most that hundredth (less one unit per worker) is refused although another worker still had it;
- what an answer used beyond what was reserved for it is in the store within ``FLUSH_S``, so that a quota of tokens or
  dollars is overrun by no more than the answers that were under way when it ran out.

Of a store in this process there is one worker, so that nothing is refused too early: the counts are exact.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from router.access.quotas import Quota, capacity, wait_s, window_at
from router.errors import StateUnavailable
from router.state.base import Store

FLUSH_S = 0.1
_LEASED_SHARE = 100  # all workers together hold at most one part of so many
_REFUSAL_HOLDS_S = 0.1  # how long a shared store is not asked again for what it has just refused
_GRACE_S = 60.0  # how much longer than needed a counter is kept, for clocks that differ
_MAX_COUNTERS = 10_000


class Counter:
    """One quota of one holder, as this process sees it. ``batch`` is how much is taken out of the store at once.

    ``left`` is what was taken and not handed out, ``debt`` what was used and is not in the store yet; one of them is 0.
    """

    def __init__(
        self, store: Store, place: tuple[str, str], quota: Quota, *, batch: int, clock: Callable[[], float]
    ) -> None:
        self.quota = quota
        self._store = store
        self._namespace, self._key = place
        self._batch = batch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._window = (0, 0)
        self._previous = 0
        self._total = 0
        self._left = 0
        self._debt = 0
        self._refused = (0, 0.0)
        self.retired = False

    @property
    def window(self) -> tuple[int, int]:
        """Start and end of the window that was last taken from; tells `settle` what a reservation belongs to."""
        return self._window

    @property
    def unsettled(self) -> bool:
        """Whether the store has yet to be told something."""
        return self._debt > 0 or self._left > (0 if self.retired else self._batch)

    async def take(self, amount: int) -> float | None:
        """Reserve ``amount``; ``None`` when that was possible, else after how many seconds it could be.

        Raises ``StateUnavailable``.
        """
        while not (self._is_current(self._clock()) and amount <= self._left):
            if self._store.in_process:
                retry_after_s = await self._refill(amount)
            else:
                # Whoever gives up waiting must not take along what others are to get, too.
                retry_after_s = await asyncio.shield(asyncio.ensure_future(self._refill(amount)))
            if retry_after_s is not None:
                return retry_after_s
        self._left -= amount
        return None

    async def lacks(self, amount: int) -> float | None:
        """What ``take`` would say, with nothing reserved in the end. Raises ``StateUnavailable``."""
        retry_after_s = await self.take(amount)
        if retry_after_s is None:
            self._left += amount
        return retry_after_s

    def settle(self, reserved: int, used: int, window: tuple[int, int]) -> None:
        """Replace a reservation in ``window`` by what was used in the end.

        More than was reserved counts now; less is given back, unless its window is over.
        """
        if used > reserved:
            spent = min(self._left, used - reserved)
            self._left -= spent
            self._debt += used - reserved - spent
        elif window == self._window:
            repaid = min(self._debt, reserved - used)
            self._debt -= repaid
            self._left += reserved - used - repaid
            self._refused = (0, 0.0)

    def remaining(self) -> int:
        """How much more could be used now, as far as this process knows."""
        return max(0, self._capacity(self._clock()) - self._total + self._left - self._debt)

    def reset_s(self) -> float:
        """How long until all of the quota is there again if nothing more is used."""
        start, end = self._window
        slides = self.quota.kind == "rate" and self._total > 0
        return max(0.0, end - self._clock() + (end - start if slides else 0))

    async def flush(self) -> None:
        """Tell the store what it does not know, and give back what is left over. Raises ``StateUnavailable``."""
        async with self._lock:
            now = self._clock()
            if not self._is_current(now):
                await self._roll(now)
            await self._push_debt()
            surplus = self._left - (0 if self.retired else self._batch)
            if surplus > 0:
                self._left -= surplus
                self._total = await self._add(-surplus)

    async def _refill(self, amount: int) -> float | None:
        async with self._lock:
            now = self._clock()
            if not self._is_current(now):
                await self._roll(now)
            if amount <= self._left:
                return None
            refused_amount, refused_until = self._refused
            if now < refused_until and amount >= refused_amount:
                return self._wait_s(amount, now)
            await self._push_debt()
            if await self._lease(amount, now):
                return None
            if not self._store.in_process:
                self._refused = (amount, now + _REFUSAL_HOLDS_S)
            return self._wait_s(amount, now)

    async def _lease(self, amount: int, now: float) -> bool:
        limit = self._capacity(now)
        for asked in dict.fromkeys((max(amount - self._left, self._batch), amount - self._left)):
            total = await self._add(asked, limit)
            if total <= limit:
                self._total = total
                self._left += asked
                return True
            self._total = total - asked
        return False

    async def _roll(self, now: float) -> None:
        """Go on to the window that ``now`` is in; what is left of the one before goes back into it."""
        start, end = window_at(self.quota.period, now)
        unspent, self._left = self._left, 0
        previous = 0
        if self.quota.kind == "rate":
            before = 2 * start - end
            returned = unspent if self._window[0] == before else 0
            place = f"{self._key}:{before}"
            previous = await self._store.add(self._namespace, place, -returned, ttl_s=end - now + _GRACE_S)
        self._window = (start, end)
        self._previous = max(0, previous)
        self._total = self._left = 0
        self._refused = (0, 0.0)

    async def _push_debt(self) -> None:
        debt, self._debt = self._debt, 0
        if debt:
            try:
                self._total = await self._add(debt)
            except BaseException:
                self._debt += debt
                raise

    async def _add(self, amount: int, limit: int | None = None) -> int:
        start, end = self._window
        lives_s = end - self._clock() + _GRACE_S + (end - start if self.quota.kind == "rate" else 0)
        return await self._store.add(self._namespace, f"{self._key}:{start}", amount, ttl_s=lives_s, limit=limit)

    def _is_current(self, now: float) -> bool:
        start, end = self._window
        return start <= now < end

    def _capacity(self, now: float) -> int:
        start, end = self._window
        if self._previous == 0:
            return self.quota.amount
        return capacity(self.quota.amount, self._previous, min(1.0, max(0.0, (end - now) / (end - start))))

    def _wait_s(self, amount: int, now: float) -> float:
        start, end = self._window
        if self.quota.kind == "budget":
            return end - now
        used = self._total - self._left + self._debt
        return wait_s(self.quota.amount, amount, used, self._previous, now=now, start=start, end=end)


class Counters:
    """The counters in use in this process, the least recently used ones forgotten. ``start`` it, and ``close`` it.

    ``workers`` is how many processes of this gateway count together. ``clock`` gives seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        *,
        workers: int = 1,
        max_counters: int = _MAX_COUNTERS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._workers = workers
        self._max_counters = max_counters
        self._clock = clock
        self._counters: OrderedDict[tuple[str, ...], Counter] = OrderedDict()
        self._unsettled: set[Counter] = set()
        self._has_unsettled = asyncio.Event()
        self._flushing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to tell the store, in the background, what answers used."""
        self._flushing = asyncio.get_running_loop().create_task(self._flush_forever())

    async def close(self) -> None:
        """Tell the store everything, and give back what was taken in advance. The store stays open."""
        if self._flushing is not None:
            self._flushing.cancel()
            with suppress(asyncio.CancelledError):
                await self._flushing
        for counter in self._counters.values():
            counter.retired = True
        self._unsettled.update(counter for counter in self._counters.values() if counter.unsettled)
        await self.flush()

    def counter(self, key: str, quota: Quota) -> Counter:
        """The counter of the holder ``key``."""
        place = (key, quota.kind, quota.resource, quota.period)
        counter = self._counters.get(place)
        if counter is not None:
            if counter.quota is quota or counter.quota == quota:
                self._counters.move_to_end(place)
                return counter
            self._retire(self._counters.pop(place))  # the configured amount is another one now
        elif len(self._counters) >= self._max_counters:
            self._retire(self._counters.popitem(last=False)[1])
        batch = max(1, quota.amount // (_LEASED_SHARE * self._workers))
        full_key = f"{key}:{quota.resource}:{quota.period}"
        counter = Counter(self._store, (quota.kind, full_key), quota, batch=batch, clock=self._clock)
        self._counters[place] = counter
        return counter

    def settled(self, counter: Counter) -> None:
        """See to it that what ``counter`` was told reaches the store soon."""
        if counter.unsettled and counter not in self._unsettled:
            self._unsettled.add(counter)
            self._has_unsettled.set()

    def _retire(self, counter: Counter) -> None:
        counter.retired = True
        self.settled(counter)

    async def flush(self) -> None:
        """Tell the store what it does not know. What cannot be told now is kept for the next time."""
        counters, self._unsettled = self._unsettled, set()
        while counters:
            counter = counters.pop()
            try:
                await counter.flush()
            except StateUnavailable:
                self._unsettled |= {counter, *counters}
                return
            except BaseException:
                self._unsettled |= {counter, *counters}
                raise

    async def _flush_forever(self) -> None:
        while True:
            await self._has_unsettled.wait()
            await asyncio.sleep(FLUSH_S)
            self._has_unsettled.clear()
            await self.flush()
            if self._unsettled:
                self._has_unsettled.set()

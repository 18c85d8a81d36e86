from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.access.counters import Counter, Counters
from router.access.quotas import Quota
from router.aio import timeout
from router.errors import StateUnavailable
from router.state.base import Store
from router.state.memory import MemoryStore
from router.state.sqlite import SqliteStore
from tests.fakes.stores import SharedStore

NOON = 1_770_033_600.0  # a full hour


class Clock:
    """Stands until it is set."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def requests(amount: int, period: str = "minute", kind: str = "rate") -> Quota:
    return Quota(kind, "requests", amount, period)  # type: ignore[arg-type]


async def admitted(counter: Counter, amounts: list[int]) -> int:
    """How much of ``amounts``, asked for at the same time, is let through."""
    answers = await asyncio.gather(*(counter.take(amount) for amount in amounts))
    return sum(amount for amount, retry in zip(amounts, answers, strict=True) if retry is None)


async def test_alone_the_count_is_exact() -> None:
    clock = Clock()
    counter = Counters(MemoryStore(clock=clock), clock=clock).counter("a", requests(10))
    assert await admitted(counter, [1] * 15) == 10
    assert counter.remaining() == 0
    assert await counter.take(1) == pytest.approx(60.0, abs=0.01)


async def test_a_window_counts_into_the_next_one_as_far_as_it_is_not_over() -> None:
    clock = Clock()
    counter = Counters(MemoryStore(clock=clock), clock=clock).counter("a", requests(10))
    assert await admitted(counter, [1] * 10) == 10
    clock.now += 60
    assert await counter.take(1) is None
    assert await counter.take(1) == pytest.approx(6.0)
    clock.now += 30
    assert await admitted(counter, [1] * 10) == 5
    clock.now += 90
    assert await admitted(counter, [1] * 20) == 10


async def test_when_the_wait_is_over_there_is_room() -> None:
    clock = Clock()
    counter = Counters(MemoryStore(clock=clock), clock=clock).counter("a", requests(10))
    assert await admitted(counter, [3, 3, 3, 3]) == 9
    retry_after_s = await counter.take(4)
    assert retry_after_s is not None
    clock.now += retry_after_s - 0.1
    assert await counter.take(4) is not None
    clock.now += 0.2
    assert await counter.take(4) is None


async def test_a_budget_is_that_of_the_calendar() -> None:
    clock = Clock()
    counter = Counters(MemoryStore(clock=clock), clock=clock).counter("a", requests(10, "day", "budget"))
    assert await admitted(counter, [6, 5]) == 6
    retry_after_s = await counter.take(5)
    assert retry_after_s == pytest.approx(86_400 - NOON % 86_400)
    clock.now += retry_after_s
    assert await admitted(counter, [10]) == 10


async def test_what_was_not_used_is_given_back_within_its_window() -> None:
    clock = Clock()
    counter = Counters(MemoryStore(clock=clock), clock=clock).counter("a", requests(10))
    assert await counter.take(10) is None
    counter.settle(10, 4, counter.window)
    assert counter.remaining() == 6
    assert await admitted(counter, [6, 1]) == 6
    window = counter.window
    clock.now += 120
    assert await counter.take(1) is None
    counter.settle(6, 0, window)
    assert counter.remaining() == 9


async def test_what_was_used_beyond_the_reservation_counts_at_once() -> None:
    clock = Clock()
    counters = Counters(MemoryStore(clock=clock), clock=clock)
    counter = counters.counter("a", requests(10))
    assert await counter.take(1) is None
    counter.settle(1, 25, counter.window)
    assert counter.remaining() == 0
    assert await counter.take(1) is not None
    clock.now += 60
    assert await counter.take(1) is not None  # it counts in the next window, too
    clock.now += 60
    assert await admitted(counter, [1] * 20) == 10


async def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    clock = Clock()
    counter = Counters(MemoryStore(clock=clock), clock=clock).counter("a", requests(10))
    assert await admitted(counter, [1] * 10) == 10
    clock.now -= 5
    assert await admitted(counter, [1] * 10) == 10  # the minute before, which nothing was used of
    clock.now += 5
    assert await counter.take(1) is not None


async def test_a_shared_store_is_asked_for_many_at_once() -> None:
    clock = Clock()
    store = SharedStore(clock=clock)
    counter = Counters(store, clock=clock).counter("a", requests(10_000))
    assert await admitted(counter, [1] * 1000) == 1000
    assert store.adds <= 12


async def test_a_shared_store_is_not_asked_again_for_what_it_refuses() -> None:
    clock = Clock()
    store = SharedStore(clock=clock)
    counter = Counters(store, clock=clock).counter("a", requests(10))
    assert await admitted(counter, [1] * 10) == 10
    before = store.adds
    assert await admitted(counter, [1] * 100) == 0
    assert store.adds <= before + 2
    clock.now += 0.2
    assert await counter.take(1) is not None
    assert store.adds > before + 1


async def test_workers_together_never_let_more_through_and_leave_little() -> None:
    clock = Clock()
    store = SharedStore(clock=clock)
    workers = [Counters(store, workers=4, clock=clock).counter("a", requests(4000)) for _ in range(4)]
    total = sum(await asyncio.gather(*(admitted(worker, [1] * 2000) for worker in workers)))
    assert 4000 - 4 * (10 - 1) <= total <= 4000


async def test_what_one_worker_settles_another_one_sees() -> None:
    clock = Clock()
    store = SharedStore(clock=clock)
    first, second = Counters(store, clock=clock), Counters(store, clock=clock)
    counter = first.counter("a", requests(100))
    assert await counter.take(1) is None
    counter.settle(1, 100, counter.window)
    first.settled(counter)
    await first.flush()
    assert await second.counter("a", requests(100)).take(1) is not None


async def test_closing_gives_back_what_was_taken_in_advance() -> None:
    clock = Clock()
    store = SharedStore(clock=clock)
    first, second = Counters(store, clock=clock), Counters(store, clock=clock)
    assert await first.counter("a", requests(1000)).take(1) is None
    await first.close()
    assert await admitted(second.counter("a", requests(1000)), [1] * 1000) == 999


async def test_counters_that_are_forgotten_keep_their_counts() -> None:
    clock = Clock()
    store = SharedStore(clock=clock)
    counters = Counters(store, max_counters=2, clock=clock)
    for key in "abcabc":
        counter = counters.counter(key, requests(1000))
        assert await counter.take(1) is None
        counter.settle(1, 400, counter.window)
    await counters.close()
    for key in "abc":
        assert await counters.counter(key, requests(1000)).take(200) is None
        assert await counters.counter(key, requests(1000)).take(1) is not None


async def test_somebody_who_gives_up_takes_nothing_along() -> None:
    clock = Clock()
    store = SharedStore(clock=clock, pause=lambda: 5)
    counter = Counters(store, clock=clock).counter("a", requests(1000))
    gave_up = 0
    for _ in range(20):
        impatient = asyncio.ensure_future(counter.take(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gave_up += impatient.cancel()
        await asyncio.gather(impatient, return_exceptions=True)
    assert gave_up > 2
    assert await admitted(counter, [1] * 1001) == 1000 - (20 - gave_up)


async def test_a_store_that_is_gone_is_told_later() -> None:
    clock = Clock()
    store = SharedStore(clock=clock)
    counters = Counters(store, clock=clock)
    counter = counters.counter("a", requests(10))
    assert await counter.take(1) is None
    store.gone = True
    counter.settle(1, 5, counter.window)
    counters.settled(counter)
    await counters.flush()
    with pytest.raises(StateUnavailable):
        await counter.take(1)
    store.gone = False
    await counters.flush()
    assert not counter.unsettled
    assert await admitted(counter, [1] * 10) == 5


async def test_counts_reach_the_store_in_the_background() -> None:
    clock = Clock()
    store = SharedStore(clock=clock)
    counters = Counters(store, clock=clock)
    counters.start()
    counter = counters.counter("a", requests(10))
    counter.settle(0, 3, counter.window)
    counters.settled(counter)
    async with timeout(10):
        while counter.unsettled:
            await asyncio.sleep(0.01)
    assert store.adds > 0
    await counters.close()


async def test_a_quota_that_changes_keeps_what_was_used() -> None:
    clock = Clock()
    counters = Counters(SharedStore(clock=clock), clock=clock)
    assert await admitted(counters.counter("a", requests(1000)), [1] * 305) == 305
    assert counters.counter("a", requests(2000)) is not counters.counter("a", requests(1000))
    await counters.flush()
    assert await admitted(counters.counter("a", requests(400)), [1] * 400) == 95


async def test_alone_a_large_quota_is_handed_out_to_the_last() -> None:
    clock = Clock()
    counter = Counters(MemoryStore(clock=clock), clock=clock).counter("a", requests(2550))
    assert await admitted(counter, [7] * 400) == 2548
    assert counter.remaining() == 2
    assert await admitted(counter, [1, 1, 1]) == 2


_AMOUNTS = st.lists(st.tuples(st.integers(1, 7), st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=40)


@given(asked=_AMOUNTS, limit=st.integers(1, 30), workers=st.integers(1, 4), pauses=st.randoms(use_true_random=False))
def test_no_interleaving_lets_more_through(asked, limit, workers, pauses) -> None:
    """In every window, what is reserved stays within the quota, whoever asks when; shared or not."""

    async def run(shared: bool) -> None:
        clock = Clock()
        store: Store = (
            SharedStore(clock=clock, pause=lambda: pauses.randint(0, 3)) if shared else MemoryStore(clock=clock)
        )
        together = [Counters(store, workers=workers, clock=clock) for _ in range(workers if shared else 1)]
        reserved: dict[tuple[int, int], int] = {}

        async def ask(position: int, amount: int, used: int, waits: int) -> None:
            for _ in range(waits):
                await asyncio.sleep(0)
            if waits == 3:
                clock.now += 7
            counters = pauses.choice(together)
            counter = counters.counter("a", requests(limit))
            if await counter.take(amount) is not None:
                return
            window = counter.window
            reserved[window] = reserved.get(window, 0) + amount
            assert reserved[window] <= limit
            await asyncio.sleep(0)
            if used < amount:
                reserved[window] -= amount - used
            counter.settle(amount, used, window)
            counters.settled(counter)

        await asyncio.gather(*(ask(position, *one) for position, one in enumerate(asked)))
        for counters in together:
            await counters.close()

    for shared in (False, True):
        asyncio.run(run(shared))


_WORKER = """
import asyncio, sys
from pathlib import Path
from router.access.counters import Counters
from router.access.quotas import Quota
from router.state.sqlite import SqliteStore

async def main():
    clock = lambda: float(sys.argv[2])
    store = await SqliteStore.open(Path(sys.argv[1]), timeout_s=60, clock=clock)
    counters = Counters(store, workers=3, clock=clock)
    counter = counters.counter("a", Quota("rate", "requests", 6000, "day"))
    answers = await asyncio.gather(*(counter.take(1) for _ in range(4000)))
    print(sum(answer is None for answer in answers))
    await store.close()

asyncio.run(main())
"""


async def test_processes_that_share_a_file_keep_to_the_limit(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", _WORKER, str(tmp_path / "state.sqlite3"), str(NOON)]
    workers = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    through = [int(worker.communicate(timeout=100)[0]) for worker in workers]
    batch = 6000 // (100 * 3)
    assert 6000 - 3 * (batch - 1) <= sum(through) <= 6000
    store = await SqliteStore.open(tmp_path / "state.sqlite3", clock=lambda: NOON)
    assert await Counters(store, clock=lambda: NOON).counter("a", requests(6000, "day")).take(1) is not None
    await store.close()

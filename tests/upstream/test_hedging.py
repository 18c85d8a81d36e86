"""Two tries at the same time: which one counts, and what becomes of the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from router.errors import GatewayError, UpstreamUnreachable
from router.upstream.hedging import first_success
from tests.upstream.scripted import DOWN, status


class Slow:
    """Says ``result`` once it is ``released``; notes whether it was cancelled."""

    def __init__(self, result: str | Exception, *, held: bool = True) -> None:
        self._result = result
        self.released = asyncio.Event()
        self.started = asyncio.Event()
        self.cancelled = False
        if not held:
            self.released.set()

    async def __call__(self) -> str:
        self.started.set()
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


async def race(
    first: Slow, second: Slow | None, *, after_s: float = 0.01, hopeless: Callable[[], bool] = lambda: False
) -> tuple[str, list[str]]:
    discarded: list[str] = []

    async def discard(result: str) -> None:
        discarded.append(result)

    result = await first_success(first, lambda: second, after_s=after_s, hopeless=hopeless, discard=discard)
    return result, discarded


async def test_what_is_quick_has_no_company() -> None:
    second = Slow("second", held=False)
    assert await race(Slow("first", held=False), second, after_s=10) == ("first", [])
    assert not second.started.is_set()


async def test_the_first_to_succeed_counts_and_the_other_is_cancelled() -> None:
    first = Slow("first")
    assert await race(first, Slow("second", held=False)) == ("second", [])
    assert first.cancelled
    first, second = Slow("first"), Slow("second")
    task = asyncio.ensure_future(race(first, second))
    await second.started.wait()
    first.released.set()
    assert await task == ("first", [])
    assert second.cancelled


async def test_two_that_succeed_at_once_are_one_result_and_one_to_discard() -> None:
    first, second = Slow("first"), Slow("second")
    task = asyncio.ensure_future(race(first, second))
    await second.started.wait()
    first.released.set()
    second.released.set()
    assert await task == ("first", ["second"])


async def test_a_failure_leaves_it_to_the_other() -> None:
    first, second = Slow(DOWN), Slow("second")
    task = asyncio.ensure_future(race(first, second))
    await second.started.wait()
    first.released.set()
    await asyncio.sleep(0)
    second.released.set()
    assert await task == ("second", [])


async def test_a_failure_before_there_is_company_is_raised() -> None:
    with pytest.raises(UpstreamUnreachable):
        await race(Slow(DOWN, held=False), Slow("second", held=False), after_s=10)


async def test_two_failures_raise_the_second() -> None:
    first = Slow(DOWN)
    second = Slow(status(500))
    task = asyncio.ensure_future(race(first, second))
    await second.started.wait()
    first.released.set()
    second.released.set()
    with pytest.raises(GatewayError) as caught:
        await task
    assert caught.value.status == 500


async def test_a_failure_that_nothing_helps_ends_the_other() -> None:
    first = Slow("first")
    with pytest.raises(GatewayError):
        await race(first, Slow(status(400), held=False), hopeless=lambda: True)
    assert first.cancelled


async def test_without_company_it_goes_on_alone() -> None:
    first = Slow("first")
    task = asyncio.ensure_future(race(first, None, after_s=0.001))
    await first.started.wait()
    first.released.set()
    assert await task == ("first", [])


async def test_cancelling_ends_both() -> None:
    first, second = Slow("first"), Slow("second")
    task = asyncio.ensure_future(race(first, second))
    await second.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert first.cancelled
    assert second.cancelled


async def test_cancelling_at_once_starts_nothing() -> None:
    first = Slow("first")
    task = asyncio.ensure_future(race(first, None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not first.started.is_set() or first.cancelled

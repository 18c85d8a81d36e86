from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from router.aio import timeout
from router.handlers.readiness import Readiness


class Models:
    """Who is asked; ``answers`` are given one after the other, the last one again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.cancelled = 0
        self.hold: asyncio.Event | None = None
        self.now = 100.0

    async def missing(self) -> Sequence[str]:
        self.asked += 1
        try:
            if self.hold is not None:
                await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def clock(self) -> float:
        return self.now


async def test_an_answer_holds_for_a_second() -> None:
    models = Models(["orchestrator"], [])
    readiness = Readiness(models.missing, clock=models.clock)
    assert [await readiness.missing() for _ in range(3)] == [["orchestrator"]] * 3
    models.now += 0.99
    assert (await readiness.missing(), models.asked) == (["orchestrator"], 1)
    models.now += 0.01
    assert (await readiness.missing(), models.asked) == ([], 2)


async def test_all_who_ask_at_once_get_one_answer() -> None:
    models = Models(["guard"])
    models.hold = asyncio.Event()
    readiness = Readiness(models.missing, clock=models.clock)
    asking = [asyncio.create_task(readiness.missing()) for _ in range(50)]
    await asyncio.sleep(0)
    models.hold.set()
    assert await asyncio.gather(*asking) == [["guard"]] * 50
    assert models.asked == 1


async def test_who_gives_up_takes_the_answer_from_nobody() -> None:
    models = Models(["guard"])
    models.hold = asyncio.Event()
    readiness = Readiness(models.missing, clock=models.clock)
    one, other = [asyncio.create_task(readiness.missing()) for _ in range(2)]
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    models.hold.set()
    assert (await other, models.asked, models.cancelled) == (["guard"], 1, 0)


async def test_nothing_is_asked_on_for_nobody() -> None:
    models = Models(["guard"])
    models.hold = asyncio.Event()
    readiness = Readiness(models.missing, clock=models.clock)
    asking = asyncio.create_task(readiness.missing())
    async with timeout(5):
        while not models.asked:
            await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with timeout(5):
        while not models.cancelled:
            await asyncio.sleep(0)
    models.hold.set()
    assert (await readiness.missing(), models.asked) == (["guard"], 2)


async def test_a_failure_is_nobodys_answer_later() -> None:
    asked = 0

    async def missing() -> Sequence[str]:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RuntimeError("gone")
        return []

    readiness = Readiness(missing)
    with pytest.raises(RuntimeError):
        await readiness.missing()
    assert await readiness.missing() == []

"""Hedging: a second try beside one that takes long; whichever succeeds first counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

from router.aio import TaskGroup
from router.errors import GatewayError

_Result = TypeVar("_Result")
_Start = Callable[[], Awaitable[_Result]]


async def first_success(
    first: _Start[_Result],
    second: Callable[[], _Start[_Result] | None],
    *,
    after_s: float,
    hopeless: Callable[[], bool],
    discard: Callable[[_Result], Awaitable[None]],
) -> _Result:
    """The result of ``first``, or of what ``second`` gives when that is not done after ``after_s``, if it is sooner.

    Raises the last ``GatewayError`` when both fail, or when one has and it is ``hopeless``. When this returns or
    raises, nothing is running any more: what was overtaken is cancelled, and what nobody gets was given to ``discard``.
    """
    tasks: list[asyncio.Task[_Result | GatewayError]] = []
    winner: asyncio.Task[_Result | GatewayError] | None = None
    try:
        async with TaskGroup() as group:
            tasks.append(group.create_task(_outcome(first)))
            await asyncio.wait(tasks, timeout=after_s)
            if not tasks[0].done() and (company := second()) is not None:
                tasks.append(group.create_task(_outcome(company)))
            winner = await _first_of(tasks, hopeless)
            for task in tasks:
                task.cancel()
    except BaseException:
        winner = None
        raise
    finally:
        for task in tasks:
            if task is not winner and _succeeded(task):
                await discard(cast("_Result", task.result()))
    outcomes = [task.result() for task in tasks if not task.cancelled()] if winner is None else [winner.result()]
    if isinstance(outcomes[-1], GatewayError):
        raise outcomes[-1]
    return outcomes[-1]


async def _outcome(start: _Start[_Result]) -> _Result | GatewayError:
    try:
        return await start()
    except GatewayError as exc:
        return exc


async def _first_of(
    tasks: Sequence[asyncio.Task[_Result | GatewayError]], hopeless: Callable[[], bool]
) -> asyncio.Task[_Result | GatewayError] | None:
    while True:
        for task in tasks:
            if _succeeded(task):
                return task
        running = [task for task in tasks if not task.done()]
        if not running or (len(running) < len(tasks) and hopeless()):
            return None
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)


def _succeeded(task: asyncio.Task[_Result | GatewayError]) -> bool:
    if not task.done() or task.cancelled() or task.exception() is not None:
        return False
    return not isinstance(task.result(), GatewayError)

"""Requests of a stream answered several at a time, each as soon as it is ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

Request = TypeVar("Request")
Response = TypeVar("Response")


async def answered(
    requests: AsyncIterator[Request], answer: Callable[[Request], Awaitable[Response]], *, parallel: int
) -> AsyncGenerator[Response, None]:
    """The answers to ``requests`` in the order in which they are ready.

    No more than ``parallel`` are being answered or wait to be taken; meanwhile nothing more is read. What ``answer`` or
    ``requests`` raises ends it. Close it, and what is still being answered is cancelled.
    """
    slots = asyncio.Semaphore(parallel)
    running: set[asyncio.Task[Response]] = set()
    finished: asyncio.Queue[asyncio.Task[Response] | None] = asyncio.Queue()

    async def read() -> None:
        async for request in requests:
            await slots.acquire()
            task = asyncio.ensure_future(answer(request))
            running.add(task)
            task.add_done_callback(finished.put_nowait)

    reading = asyncio.create_task(read(), name="read requests")
    reading.add_done_callback(lambda _: finished.put_nowait(None))
    try:
        while running or not reading.done():
            task = await finished.get()
            if task is None:
                reading.result()
                continue
            running.discard(task)
            slots.release()
            yield task.result()
        reading.result()
    finally:
        left = [reading, *running]
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)

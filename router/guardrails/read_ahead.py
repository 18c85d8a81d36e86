"""Reading an answer ahead of whoever waits for verdicts on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType

from router.dialects.canonical import JsonObject

_MAX_CHUNKS = 1024  # beyond these the answer is not read on: a client that does not read must not fill the memory


class ReadAhead:
    """Reads batches of chunks in a task of its own, from entering to leaving; then they are closed."""

    def __init__(self, batches: AsyncGenerator[list[JsonObject], None]) -> None:
        self._batches = batches
        self._held: list[JsonObject] = []
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def __aenter__(self) -> ReadAhead:
        self._task = asyncio.create_task(self._read(), name="read ahead")
        self._task.add_done_callback(lambda _: self._news.set())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def chunks(self) -> list[JsonObject]:
        """The chunks that came since the last call, at least one; none at the end. Raises what the answer raises.

        May be cancelled: nothing is lost.
        """
        while not self._held and not self._task.done():
            self._news.clear()
            await self._news.wait()
        if self._held:
            held, self._held = self._held, []
            self._room.set()
            return held
        self._task.result()
        return []

    async def _read(self) -> None:
        async with aclosing(self._batches) as batches:
            async for batch in batches:
                self._held += batch
                self._news.set()
                while len(self._held) >= _MAX_CHUNKS:
                    self._room.clear()
                    await self._room.wait()

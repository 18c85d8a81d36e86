"""Changes the configuration of a running instance: all of it, or nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from router.cli.holdings import Holdings
from router.cli.pool import WorkerPool
from router.config import ConfigErrors, LoadedConfig
from router.errors import OperatorError
from router.runtime import Assignment

logger = logging.getLogger(__name__)

WATCH_EVERY_S = 1.0


class Reloader:
    """Reads the file again, and has the workers serve what it says. ``close`` it before what it changes."""

    def __init__(
        self, loaded: LoadedConfig, load: Callable[[], LoadedConfig], holdings: Holdings, pool: WorkerPool
    ) -> None:
        self.loaded = loaded
        self._load = load
        self._holdings = holdings
        self._pool = pool
        self._changing = asyncio.Lock()
        self._long: str | None = None
        self._letting_go: asyncio.Task[None] | None = None

    async def reload(self) -> LoadedConfig:
        """What is served now. Raises ``ConfigErrors`` or ``OperatorError`` when nothing has changed.

        Returns when every worker serves it; what was being answered before may go on for as long as it takes.
        """
        try:
            async with self.changing(""):
                await self._change()
        except ConfigErrors as exc:
            problems = [problem.format(exc.path) for problem in exc.problems]
            logger.error("configuration is refused, nothing changes", extra={"problems": problems})
            raise
        except OperatorError as exc:
            logger.error("configuration cannot be served, nothing changes", extra={"cause": exc.message})
            raise
        logger.info("configuration reloaded", extra={"config": str(self.loaded.path)})
        return self.loaded

    @asynccontextmanager
    async def changing(self, what: str) -> AsyncIterator[None]:
        """A context for who changes what is served. As long as it takes, others get ``OperatorError`` with ``what``."""
        if self._long is not None:
            raise OperatorError(self._long, fix="Try again when it is done.")
        async with self._changing:
            self._long = what or None
            try:
                yield
            finally:
                self._long = None

    async def close(self) -> None:
        """Stop waiting for what was being answered before."""
        if self._letting_go is not None:
            self._letting_go.cancel()
            await asyncio.gather(self._letting_go, return_exceptions=True)

    async def _change(self) -> None:
        loaded = await asyncio.to_thread(self._load)
        try:
            triton = await self._holdings.extend(loaded)
            await self._pool.replace(Assignment(loaded, triton.url))
        except BaseException:
            await self._holdings.go_back(self.loaded)
            raise
        self.loaded = loaded
        await self._holdings.present(loaded, triton)
        if self._letting_go is None or self._letting_go.done():
            self._letting_go = asyncio.create_task(self._let_go(), name="letting go")

    async def _let_go(self) -> None:
        """Once nobody is answered as before: let go of what was needed for that."""
        served = None
        while served is not self.loaded:
            served = self.loaded
            await self._pool.settle()
            async with self._changing:
                if served is self.loaded:
                    try:
                        await self._holdings.reduce(served)
                    except OperatorError as exc:
                        logger.warning("something was not let go of", extra={"cause": exc.message})


class Watch:
    """Looks at files again and again, from what they are when it is made."""

    def __init__(self, files: Sequence[Path], *, every_s: float = WATCH_EVERY_S) -> None:
        self._files = tuple(files)
        self._every_s = every_s
        self._known = self._look()

    async def run(self, on_change: Callable[[], object]) -> None:
        """Call ``on_change`` whenever one has changed and then stays as it is for a while; never ends."""
        seen = self._known
        while True:
            now = self._look()
            if now == seen and now != self._known:
                self._known = now
                on_change()
            seen = now
            await asyncio.sleep(self._every_s)

    def _look(self) -> list[tuple[int, ...] | None]:
        return [_state(file) for file in self._files]


def _state(file: Path) -> tuple[int, ...] | None:
    try:
        status = file.stat()  # through links: what mounted volumes change is where they lead
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev

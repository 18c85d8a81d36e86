"""Keys from a file that may change while the gateway runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from router.access.keys import Grant, KeyRing
from router.config.access import ApiKey, contradictions
from router.config.key_file import load_key_file
from router.config.problems import ConfigErrors, Problem

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0


class KeyFileWatch:
    """Keeps ``ring`` up to date with a file: its keys and the ``fixed`` ones. ``names`` are those of ``Grant.of``.

    The first `load` has to succeed. After that, a file that is gone or wrong changes nothing but the log: the keys as
    they were last stay, so a revoked key is only revoked once the file can be read again.
    """

    def __init__(
        self,
        ring: KeyRing,
        path: Path,
        fixed: Sequence[ApiKey],
        listeners: Collection[str],
        *,
        names: Mapping[str, str] = MappingProxyType({}),
        look_every_s: float = _LOOK_EVERY_S,
    ) -> None:
        self._ring = ring
        self._path = path
        self._fixed = tuple(fixed)
        self._listeners = listeners
        self._names = names
        self._look_every_s = look_every_s
        self._seen: tuple[int, ...] | None = None
        self._watching: asyncio.Task[None] | None = None

    def load(self) -> None:
        """Read the file. Raises ``ConfigErrors`` when it cannot be used, with the ring as it was."""
        self._seen = self._look()
        self._use(load_key_file(self._path))

    def start(self) -> None:
        """Look at the file regularly, in the background."""
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """Stop looking."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._look_every_s)
            seen = await asyncio.to_thread(self._look)
            if seen == self._seen:
                continue
            self._seen = seen
            try:
                self._use(await asyncio.to_thread(load_key_file, self._path))
            except ConfigErrors as exc:
                found = [problem.format(self._path) for problem in exc.problems]
                logger.error("API keys unchanged: their file cannot be used", extra={"problems": found})

    def _look(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _use(self, keys: Sequence[ApiKey]) -> None:
        everybody = (*self._fixed, *keys)
        if found := contradictions(everybody, self._listeners):
            raise ConfigErrors(self._path, [Problem("error", "", message) for message in found])
        self._ring.replace(Grant.of(key, self._names) for key in everybody)
        logger.info("API keys loaded", extra={"keys": len(everybody)})

"""What is missing for requests to be served, asked once for everybody who wants to know it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

_HOLDS_S = 1.0  # load balancers ask this often, each of them


class Readiness:
    """Asks ``missing`` at most once a second and never twice at the same time; all who ask meanwhile get that answer.

    Nothing is asked on once nobody waits for it any more.
    """

    def __init__(
        self, missing: Callable[[], Awaitable[Sequence[str]]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = missing
        self._clock = clock
        self._asking: asyncio.Future[Sequence[str]] | None = None
        self._waiting = 0
        self._answer: Sequence[str] = ()
        self._holds_until: float | None = None

    async def missing(self) -> Sequence[str]:
        """What is missing, as of a second ago at most. Raises what asking raises."""
        if self._holds_until is not None and self._clock() < self._holds_until:
            return self._answer
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._ask())
        asking = self._asking
        self._waiting += 1
        try:
            self._answer = await asyncio.shield(asking)
            self._holds_until = self._clock() + _HOLDS_S
        finally:
            self._waiting -= 1
            if asking.done() or not self._waiting:
                asking.cancel()
                if self._asking is asking:
                    self._asking = None
        return self._answer

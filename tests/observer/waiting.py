"""Waiting for what other tasks and processes do, with a deadline instead of a guess."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from router.aio import timeout


async def until(condition: Callable[[], object], within_s: float = 10.0) -> None:
    """Return as soon as ``condition`` is true; ``TimeoutError`` when it never is."""
    async with timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)

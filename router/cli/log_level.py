"""Changes how much all processes of a running instance log."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from pathlib import Path

from router.aio import timeout
from router.errors import OperatorError
from router.observer.client import ask
from router.telemetry.logs import set_log_level

logger = logging.getLogger(__name__)

_WITHIN_S = 5.0


async def change_log_level(folder: Path, level: str) -> None:
    """Log at ``level`` here, in the telemetry process that has its socket in ``folder``, and in the workers."""
    logger.info("log level changes", extra={"to": level})
    set_log_level(level)
    try:
        async with timeout(_WITHIN_S), aclosing(ask(folder, "log_level", level=level)) as results:
            async for _ in results:
                pass
    except (OperatorError, TimeoutError, asyncio.TimeoutError) as exc:
        logger.warning("workers log as before", extra={"cause": str(exc)})

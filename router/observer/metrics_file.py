"""The sums of all workers in a file, so that they outlive the telemetry process.

What a worker that is gone had counted is nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import orjson

from router.observer.metrics import MergedMetrics

logger = logging.getLogger(__name__)

FILE_NAME = "metrics.json"
EVERY_S = 1.0  # workers report as often

_MAX_BYTES = 64 * 1024 * 1024


class MetricsFile:
    """Keeps ``merged`` in ``folder`` for one run of the gateway: ``run`` tells it from others, which begin at zero."""

    def __init__(self, folder: Path, run: str, merged: MergedMetrics) -> None:
        self._path = folder / FILE_NAME
        self._run = run
        self._merged = merged
        self._written = b""
        self._is_failing = False

    def load(self) -> None:
        """Go on from what an earlier telemetry process of this run has left, if there was one."""
        try:
            if self._path.stat().st_size > _MAX_BYTES:
                return
            saved = orjson.loads(self._path.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, orjson.JSONDecodeError) as exc:
            logger.warning("sums of before cannot be read", extra={"cause": repr(exc)})
            return
        if isinstance(saved, dict) and saved.get("run") == self._run:
            self._merged.restore(saved.get("metrics"))

    async def keep(self, every_s: float = EVERY_S) -> None:
        """Save again and again, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await self.save()

    async def save(self) -> None:
        """Save what has changed. A file that cannot be written is the log's to tell, once."""
        encoded = orjson.dumps({"run": self._run, "metrics": self._merged.saved()})
        if encoded == self._written:
            return
        try:
            await asyncio.to_thread(self._write, encoded)
        except OSError as exc:
            if not self._is_failing:
                logger.warning("sums cannot be saved", extra={"cause": repr(exc)})
            self._is_failing = True
            return
        self._written = encoded
        self._is_failing = False

    def _write(self, encoded: bytes) -> None:
        draft = self._path.with_suffix(".new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as stream:
            stream.write(encoded)
        draft.replace(self._path)

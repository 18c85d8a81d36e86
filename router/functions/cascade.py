"""Two extractors as one: a quick one on this machine, and a language model for what it is not sure of."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from router.context import Turn
from router.errors import GatewayError
from router.functions.extractor import Extraction, Extractor, PendingCall
from router.functions.targets import Target

logger = logging.getLogger(__name__)


class CascadeExtractor:
    """Asks ``first``, and ``then`` as well where the first one is not sure; its word stands where that fails."""

    def __init__(self, first: Extractor, then: Extractor, *, count_degraded: Callable[[], None]) -> None:
        self._first = first
        self._then = then
        self._count_degraded = count_degraded

    async def extract(
        self, targets: Sequence[Target], conversation: Sequence[Turn], pending: PendingCall | None, *, timeout_s: float
    ) -> Extraction:
        """See ``Extractor``. Half of the time that is left is for ``then``: what is called afterwards needs some."""
        deadline = time.monotonic() + timeout_s
        extraction = await self._first.extract(targets, conversation, pending, timeout_s=timeout_s)
        if extraction.calls and all(call.confident and not call.uncertain for call in extraction.calls):
            return extraction
        remaining_s = max(0.0, deadline - time.monotonic())
        try:
            return await self._then.extract(targets, conversation, pending, timeout_s=remaining_s / 2)
        except GatewayError as exc:
            _tell(exc, self._count_degraded)
            return extraction


class FallbackExtractor:
    """Asks ``first``, and ``then`` where that fails."""

    def __init__(self, first: Extractor, then: Extractor, *, count_degraded: Callable[[], None]) -> None:
        self._first = first
        self._then = then
        self._count_degraded = count_degraded

    async def extract(
        self, targets: Sequence[Target], conversation: Sequence[Turn], pending: PendingCall | None, *, timeout_s: float
    ) -> Extraction:
        """See ``Extractor``. Half of the time is for the first one."""
        deadline = time.monotonic() + timeout_s
        try:
            return await self._first.extract(targets, conversation, pending, timeout_s=timeout_s / 2)
        except GatewayError as exc:
            _tell(exc, self._count_degraded)
        remaining_s = max(0.0, deadline - time.monotonic())
        return await self._then.extract(targets, conversation, pending, timeout_s=remaining_s)


def _tell(error: GatewayError, count: Callable[[], None]) -> None:
    count()
    logger.warning("function model unavailable, going on without it", extra={"cause": repr(error.__cause__ or error)})

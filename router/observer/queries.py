"""What the command line may ask the telemetry process, by name."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeAlias

from router.dialects.canonical import JsonObject

logger = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[Mapping[str, Any]], AsyncIterator[JsonObject]]
"""Gets the fields of a ``query`` frame, gives its results. Endless ones go on until whoever asked is gone.

Raises ``QueryError`` for what cannot be asked so."""


class QueryError(Exception):
    """The message is for whoever asked."""


class Queries:
    """The questions that have been registered, each with the handler that answers it."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def register(self, what: str, handler: Handler) -> None:
        """Let ``handler`` answer queries for ``what``. Raises ``ValueError`` when another one does."""
        if what in self._handlers:
            raise ValueError(f"{what} is answered already")
        self._handlers[what] = handler

    async def answer(self, query: Mapping[str, Any]) -> AsyncGenerator[JsonObject, None]:
        """The ``result`` frames for a ``query`` frame; the last has ``end``, and ``error`` where it went wrong."""
        handler = self._handlers.get(str(query.get("what")))
        if handler is None:
            yield {"type": "result", "end": True, "error": "Nobody here answers this."}
            return
        error: str | None = None
        results = handler(query)
        try:
            if isinstance(results, AsyncGenerator):
                async with aclosing(results):
                    async for result in results:
                        yield {"type": "result", **result}
            else:
                async for result in results:
                    yield {"type": "result", **result}
        except QueryError as exc:
            error = str(exc)
        except Exception:
            logger.exception("query failed", extra={"what": query.get("what")})
            error = "The telemetry process could not answer this; its log has the details."
        yield {"type": "result", "end": True} if error is None else {"type": "result", "end": True, "error": error}

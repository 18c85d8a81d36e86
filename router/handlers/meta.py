"""Answers about the gateway itself: models, health, readiness."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import orjson

from router.context import RequestContext
from router.handlers.reply import JSON, Reply


class MetaHandler:
    """Health and model list of one listener.

    ``not_ready`` returns the names of what is missing before requests can be served as configured.
    """

    def __init__(self, models: Sequence[tuple[str, bool]], not_ready: Callable[[], Awaitable[Sequence[str]]]) -> None:
        self._models = orjson.dumps(
            {
                "object": "list",
                "data": [
                    {
                        "id": name,
                        "object": "model",
                        "created": 0,
                        "owned_by": name.partition("/")[0],
                        "available": available,
                    }
                    for name, available in models
                ],
            }
        )
        self._not_ready = not_ready

    async def models(self, context: RequestContext, body: bytes) -> Reply:
        """``GET /v1/models``: the configured models; ``available`` is false where a key is missing."""
        return Reply(200, JSON, self._models)

    async def healthz(self, context: RequestContext, body: bytes) -> Reply:
        """``GET /healthz``: the process answers."""
        return Reply(200, JSON, b'{"status":"ok"}')

    async def readyz(self, context: RequestContext, body: bytes) -> Reply:
        """``GET /readyz``: every model that requests need is ready; 503 with the missing ones otherwise."""
        missing = list(await self._not_ready())
        if missing:
            return Reply(503, JSON, orjson.dumps({"status": "not_ready", "missing": missing}))
        return Reply(200, JSON, b'{"status":"ready"}')

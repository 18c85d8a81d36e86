"""Answers about the gateway itself: models, health, readiness."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

import orjson

from router.access.keys import KeyRing
from router.context import RequestContext
from router.handlers.readiness import Readiness
from router.handlers.reply import JSON, Reply


class ListedModel(NamedTuple):
    """A name that clients may ask for, and every ``provider/model`` that may serve it."""

    name: str
    served_by: tuple[str, ...]
    available: bool


class MetaHandler:
    """Health and model list of one listener.

    ``not_ready`` returns the names of what is missing before requests can be served as configured. Clients whose key in
    ``keys`` is for some models only are shown no others.
    """

    def __init__(
        self, models: Sequence[ListedModel], not_ready: Callable[[], Awaitable[Sequence[str]]], keys: KeyRing
    ) -> None:
        self._models = tuple(models)
        self._all_models = _model_list(models)
        self._readiness = Readiness(not_ready)
        self._keys = keys

    async def models(self, context: RequestContext, body: bytes) -> Reply:
        """``GET /v1/models``: the configured models; ``available`` is false where a key is missing."""
        grant = self._keys.grant(context.identity)
        if grant is None or grant.models is None:
            return Reply(200, JSON, self._all_models)
        return Reply(200, JSON, _model_list(each for each in self._models if any(map(grant.may_use, each.served_by))))

    async def healthz(self, context: RequestContext, body: bytes) -> Reply:
        """``GET /healthz``: the process answers."""
        return Reply(200, JSON, b'{"status":"ok"}')

    async def readyz(self, context: RequestContext, body: bytes) -> Reply:
        """``GET /readyz``: every model that requests need is ready; 503 with the missing ones otherwise."""
        missing = list(await self._readiness.missing())
        if missing:
            return Reply(503, JSON, orjson.dumps({"status": "not_ready", "missing": missing}))
        return Reply(200, JSON, b'{"status":"ready"}')


def _model_list(models: Iterable[ListedModel]) -> bytes:
    listed = [
        {
            "id": each.name,
            "object": "model",
            "created": 0,
            "owned_by": each.name.partition("/")[0],
            "available": each.available,
        }
        for each in models
    ]
    return orjson.dumps({"object": "list", "data": listed})

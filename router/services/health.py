"""The standard health service (https://grpc.io/docs/guides/health-checking/): alive, ready, or on the way out.

Not grpcio's own: there, one watcher that leaves takes the news from all others of its service, and those that stay hold
up the end of the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from router.services.calls import ServicerContext

_LOOK_EVERY_S = 2.0
_Status = health_pb2.HealthCheckResponse


class Health:
    """The empty name is served while the process is; each service while the models that it needs are ready.

    ``not_ready`` names the models that are missing. Nobody needs a key to ask.
    """

    def __init__(self, services: Sequence[str], not_ready: Callable[[], Awaitable[Sequence[str]]]) -> None:
        self._services = tuple(services)
        self._not_ready = not_ready
        self._statuses: dict[str, int] = {"": _Status.SERVING}
        self._changed = asyncio.Condition()
        self._left = False
        self._watching: asyncio.Task[None] | None = None

    async def start(self, server: grpc.aio.Server) -> None:
        """Find out how things stand, add the service to ``server``, and keep looking."""
        health_pb2_grpc.add_HealthServicer_to_server(_Servicer(self), server)
        await self._look()
        self._watching = asyncio.create_task(self._watch(), name="watch readiness")

    async def leave(self) -> None:
        """Say for good that nothing is served here, so that balancers look elsewhere; watchers hear it and may go."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        self._left = True
        await self._set(dict.fromkeys(self._statuses, _Status.NOT_SERVING))

    def status(self, service: str) -> int | None:
        """How ``service`` is now; ``None`` where there is no such service."""
        return self._statuses.get(service)

    async def statuses(self, service: str) -> AsyncGenerator[int, None]:
        """How ``service`` is now, and whenever that changes, until nothing is served any more."""
        said: int | None = None
        while True:
            status = self._statuses.get(service, _Status.SERVICE_UNKNOWN)
            if status != said:
                said = status
                yield status
            elif self._left:
                return
            else:
                await self._news(service, said)

    async def _news(self, service: str, said: int | None) -> None:
        async with self._changed:
            while not self._left and self._statuses.get(service, _Status.SERVICE_UNKNOWN) == said:
                await self._changed.wait()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await self._look()

    async def _look(self) -> None:
        status = _Status.NOT_SERVING if await self._not_ready() else _Status.SERVING
        await self._set(dict.fromkeys(self._services, status))

    async def _set(self, statuses: dict[str, int]) -> None:
        async with self._changed:
            self._statuses.update(statuses)
            self._changed.notify_all()


class _Servicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    def __init__(self, health: Health) -> None:
        self._health = health

    async def Check(self, request: Any, context: ServicerContext) -> Any:  # noqa: N802
        status = self._health.status(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such service.")
        return _Status(status=status)

    async def Watch(self, request: Any, context: ServicerContext) -> AsyncGenerator[Any, None]:  # noqa: N802
        async with aclosing(self._health.statuses(request.service)) as statuses:
            async for status in statuses:
                yield _Status(status=status)

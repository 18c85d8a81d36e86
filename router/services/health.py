"""The standard health service (https://grpc.io/docs/guides/health-checking/): alive, ready, or on the way out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_health.v1.health import aio as health_aio  # type: ignore[import-untyped]

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 2.0


class Health:
    """The empty name is served while the process is; each service while the models that it needs are ready.

    ``not_ready`` names the models that are missing. Nobody needs a key to ask.
    """

    def __init__(self, services: Sequence[str], not_ready: Callable[[], Awaitable[Sequence[str]]]) -> None:
        self._services = tuple(services)
        self._not_ready = not_ready
        self._servicer = health_aio.HealthServicer()
        self._watching: asyncio.Task[None] | None = None

    async def start(self, server: grpc.aio.Server) -> None:
        """Find out how things stand, add the service to ``server``, and keep looking."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)
        await self._look()
        self._watching = asyncio.create_task(self._watch(), name="watch readiness")

    async def leave(self) -> None:
        """Say, for good, that nothing is served here, so that balancers look elsewhere."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._servicer.enter_graceful_shutdown()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await self._look()

    async def _look(self) -> None:
        missing = await self._not_ready()
        status = health_pb2.HealthCheckResponse
        for service in self._services:
            await self._servicer.set(service, status.NOT_SERVING if missing else status.SERVING)

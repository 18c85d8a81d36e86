"""The operator's port: what Prometheus scrapes, and whether the gateway is well. Configurations are never shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import orjson

from router.handlers.reply import JSON
from router.listeners.connection import ConnectionOptions
from router.listeners.exchange import Exchange
from router.listeners.server import Server
from router.observer import prometheus
from router.observer.metrics import MergedMetrics

_KEEPALIVE_S = 75.0
_HEAD_WITHIN_S = 10.0
_DRAIN_WITHIN_S = 1.0
_METHODS = ("GET", "HEAD")


class _Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes


class AdminListener:
    """Serves ``/metrics``, ``/healthz`` and ``/readyz``. ``missing`` names what is not ready."""

    def __init__(self, merged: MergedMetrics, missing: Callable[[], Sequence[str]]) -> None:
        self._merged = merged
        self._missing = missing
        self._paths: dict[str, Callable[[Exchange], _Answer]] = {
            "/metrics": self._metrics,
            "/healthz": lambda exchange: _json(200, {"status": "ok"}),
            "/readyz": lambda exchange: self._readiness(),
        }
        self._server = Server(self._serve, ConnectionOptions(0, _KEEPALIVE_S, _HEAD_WITHIN_S))

    @property
    def port(self) -> int | None:
        """The port in use."""
        return self._server.port

    async def open(self, address: str, port: int, *, reuse_port: bool = False) -> None:
        """Bind and accept. Raises ``OSError``."""
        await self._server.listen(address, port, reuse_port=reuse_port)

    async def close(self) -> None:
        """Stop, within about a second."""
        await self._server.drain(_DRAIN_WITHIN_S)

    async def _serve(self, exchange: Exchange) -> None:
        answering = self._paths.get(exchange.path)
        headers = {"Server": "trident", "Cache-Control": "no-store"}
        if answering is None:
            answer = _json(404, {"error": "no such path", "paths": list(self._paths)})
        elif exchange.method not in _METHODS:
            answer = _json(405, {"error": "method not allowed"})
            headers["Allow"] = ", ".join(_METHODS)
        else:
            answer = answering(exchange)
        exchange.send(answer.status, {"Content-Type": answer.content_type, **headers}, answer.body)

    def _metrics(self, exchange: Exchange) -> _Answer:
        media_type = prometheus.content_type(exchange.headers.get("accept", ""))
        return _Answer(200, media_type, prometheus.encode(self._merged.families(), media_type))

    def _readiness(self) -> _Answer:
        missing = list(self._missing())
        return _json(503, {"status": "not_ready", "missing": missing}) if missing else _json(200, {"status": "ready"})


def _json(status: int, value: object) -> _Answer:
    return _Answer(status, JSON, orjson.dumps(value))

"""The Triton that a command works with: the one of the configuration, or an embedded one for as long as it runs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from router.cli.instances import InstanceDirectory, instance_folder
from router.config import LoadedConfig
from router.config.tracing import Tracing
from router.routing.router import AgentRouter
from router.runtime import (
    Orchestrators,
    build_chats,
    build_model_router,
    build_routers,
    build_services,
    models_in_use,
)
from router.telemetry.metrics import Metrics
from router.triton.client import TritonClient
from router.triton.repository import embedded_repositories
from router.triton.server import EmbeddedTriton
from router.triton.store import ModelStore
from router.upstream.http import HttpClient

logger = logging.getLogger(__name__)

STARTING = "Starting Triton"

# An address that nobody asks, for a gateway without models: the discard port of RFC 863.
NOWHERE = "127.0.0.1:9"

_EVERY_REQUEST = 100.0  # percent

# How long an external Triton gets to say that it is ready before the start goes on with a warning.
ASK_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class RunningTriton:
    """Where Triton is asked over gRPC, what is known about it; where it logs, and the ``server`` (embedded only)."""

    url: str
    description: str
    logs: Mapping[str, str] = field(default_factory=dict)
    server: EmbeddedTriton | None = None


@asynccontextmanager
async def triton_for(loaded: LoadedConfig, state_dir: Path, console: Console) -> AsyncIterator[RunningTriton]:
    """Triton with the models of the configuration ready; an embedded one is stopped at the end.

    Raises OperatorError when an embedded one cannot start. An external one that is not ready is only warned about: it
    may come later, and until then requests follow the failure policy.
    """
    url = loaded.config.triton.url
    if url is not None:
        yield await _external(url)
        return
    models = models_in_use(loaded.config)
    if not models:
        yield RunningTriton(NOWHERE, "Triton is not started: nothing asks a model")
        return
    server = _embedded(loaded, models, state_dir)
    with console.status(STARTING) as spinner:
        await server.start(lambda progress: spinner.update(f"{STARTING}: {progress}"))
    try:
        logs = {"triton": str(server.log_file)}
        yield RunningTriton(server.grpc_address, f"Triton {server.version} on this machine", logs, server)
    finally:
        await server.stop()


@asynccontextmanager
async def live_routers(
    loaded: LoadedConfig, triton_url: str | None, state_dir: Path, console: Console
) -> AsyncIterator[Mapping[str, AgentRouter]]:
    """The routers of the configuration, connected to a Triton.

    That is ``triton_url``, else the one of the running instance, else the one that `triton_for` finds or starts.
    """
    async with AsyncExitStack() as stack:
        url = triton_url or _running_triton(loaded, state_dir)
        if url is None:
            url = (await stack.enter_async_context(triton_for(loaded, state_dir, console))).url
        client = TritonClient(url)
        stack.push_async_callback(client.close)
        http = HttpClient(connect_timeout_s=loaded.config.limits.connect_timeout)
        stack.push_async_callback(http.close)
        chats = build_chats(loaded.config, build_services(loaded.config), http)
        elsewhere = None
        if loaded.config.services.router is not None:
            from router.runtime.services import Elsewhere  # loads gRPC's server, too

            elsewhere = Elsewhere(loaded.config.services)
            stack.push_async_callback(elsewhere.close)
        orchestrators = Orchestrators(loaded.config, client, build_model_router(loaded.config), chats, elsewhere)
        # Connects, so that the latency of a decision is its own; without an answer the decision says so itself.
        await client.server_ready(ASK_WITHIN_S)
        yield build_routers(loaded.config, Metrics(), orchestrators)


def _running_triton(loaded: LoadedConfig, state_dir: Path) -> str | None:
    for instance in InstanceDirectory(state_dir).with_config(loaded.path):
        if instance.triton is not None:
            return instance.triton
    return None


async def _external(url: str) -> RunningTriton:
    client = TritonClient(url)
    try:
        if not await client.server_ready(ASK_WITHIN_S):
            logger.warning("Triton is not ready, requests follow the failure policy until it is", extra={"triton": url})
    finally:
        await client.close()
    return RunningTriton(url, f"Triton at {url}")


def _embedded(loaded: LoadedConfig, models: Sequence[str], state_dir: Path) -> EmbeddedTriton:
    folder = instance_folder(loaded.path, state_dir)
    repository = model_store(folder).refresh(embedded_repositories(loaded.config.triton.model_repository))
    return EmbeddedTriton([repository], models, folder, trace_url=triton_trace_url(loaded.config.tracing))


def model_store(folder: Path) -> ModelStore:
    """Which versions of models the instance that keeps its state in ``folder`` serves."""
    return ModelStore(folder / "models")


def triton_trace_url(tracing: Tracing) -> str | None:
    """Where Triton sends its own spans: to the gateway's collector, else to a collector that takes OTLP over HTTP.

    It does so without headers and without TLS, and only where every request is traced: it cannot tell those that are
    not.
    """
    if tracing.random_sampling < _EVERY_REQUEST:
        return None
    if tracing.collector is not None and tracing.collector.http_port is not None:
        return f"http://{tracing.collector.address}:{tracing.collector.http_port}/v1/traces"
    for exporter in tracing.otlp:
        plain = exporter.protocol == "http/protobuf" and exporter.traces and not exporter.headers
        if plain and exporter.endpoint.startswith("http://"):
            return exporter.endpoint.rstrip("/") + exporter.traces_path
    return None

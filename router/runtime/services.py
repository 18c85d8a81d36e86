"""Our gRPC services: the server of a configuration, what it serves, and the services elsewhere that it asks.

Imported only where a configuration has them: gRPC takes a third of a second to load.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from router.config import Config
from router.config.grpc import Grpc, RemoteService, Services
from router.config.guards import PromptGuards
from router.config.listeners import DEFAULT_ORCHESTRATOR
from router.config.triton import Orchestrator
from router.guardrails.checks import TopicScorer
from router.listeners.auth import KeyAuthentication
from router.protos.v1.guardrail_pb2_grpc import GuardrailServiceStub
from router.protos.v1.router_pb2_grpc import RouterServiceStub
from router.routing.router import AgentRouter
from router.runtime.access import Access
from router.runtime.agents import build_routers, models_in_use
from router.runtime.guards import Guards
from router.runtime.models import build_chats, build_client, build_model_router, build_prices, build_services
from router.runtime.orchestrators import Orchestrators
from router.runtime.parts import Parts, Surroundings
from router.services.calls import Authenticate, CallLimits, Calls
from router.services.guardrail_service import GuardrailService
from router.services.inline_guards import InlineGuards
from router.services.model_service import ModelService
from router.services.remote import ClientTls, RemoteOptions
from router.services.remote import RemoteService as Remote
from router.services.remote_guardrails import RemoteClassifier, RemoteTopics
from router.services.remote_router import RemoteOrchestrator
from router.services.router_service import RouterService, RouteScorer
from router.services.server import GrpcServer, ServerOptions, ServerTls
from router.services.servicers import ServiceSet
from router.services.verdicts import NamedGuard
from router.telemetry.access_log import AccessLog
from router.telemetry.metrics import Metrics
from router.triton.client import TritonClient

if TYPE_CHECKING:
    from router.listeners.recording import Recorder
    from router.protos.v1.guardrail_pb2_grpc import GuardrailServiceAsyncStub
    from router.protos.v1.router_pb2_grpc import RouterServiceAsyncStub
    from router.services.ext_proc.processor import ExternalProcessor

logger = logging.getLogger(__name__)

Part: TypeAlias = Literal["router", "guardrail", "gateway", "all"]

_READY_WITHIN_S = 1.0


def config_for(config: Config, part: Part) -> Config:
    """``config`` as one part of a deployment needs it: what other parts do is left out.

    A service is the one who is asked, so that ``services`` is for gateways only.
    """
    grpc = config.grpc or Grpc()
    if part == "gateway":
        return config.model_copy(update={"grpc": None})
    if part == "all":
        return config.model_copy(update={"grpc": grpc})
    # What decides about Envoy's traffic needs guards and routes alike.
    alone: dict[str, object] = {"grpc": grpc.model_copy(update={"ext_proc": None}), "services": Services()}
    if part == "router":
        unguarded = tuple(each.model_copy(update={"moderations": False}) for each in config.listeners)
        return config.model_copy(
            update={**alone, "listeners": unguarded, "guardrails": (), "prompt_guards": PromptGuards(), "filters": ()}
        )
    classifying = tuple(each for each in config.filters if each.type == "guardrail")
    return config.model_copy(update={**alone, "listeners": (), "routing_preferences": (), "filters": classifying})


class Elsewhere:
    """Services on other machines, as ``services`` names them; ``close`` it."""

    def __init__(self, services: Services) -> None:
        self._router: Remote[RouterServiceAsyncStub] | None = None
        self._guardrails: Remote[GuardrailServiceAsyncStub] | None = None
        if services.router is not None:
            self._router = Remote(_remote(services.router, "router service"), RouterServiceStub)
        if services.guardrails is not None:
            self._guardrails = Remote(_remote(services.guardrails, "guardrail service"), GuardrailServiceStub)

    async def close(self) -> None:
        """Close the channels."""
        for service in (self._router, self._guardrails):
            if service is not None:
                await service.close()

    def orchestrator(self, settings: Orchestrator) -> RemoteOrchestrator | None:
        """Who decides elsewhere in the place of this orchestrator; ``None`` where it is asked here."""
        if self._router is None:
            return None
        return RemoteOrchestrator(self._router, None if settings.name == DEFAULT_ORCHESTRATOR else settings.name)

    def classifier(self, model: str) -> RemoteClassifier | None:
        """The classifier elsewhere; ``None`` where it is asked here."""
        return None if self._guardrails is None else RemoteClassifier(self._guardrails, model)

    def topics(self, model: str) -> RemoteTopics | None:
        """The scorer of topics elsewhere; ``None`` where it is asked here."""
        return None if self._guardrails is None else RemoteTopics(self._guardrails, model)


@dataclass(frozen=True, slots=True)
class Engines:
    """What decides and judges: the same objects that the listeners use.

    ``recorder`` is told about requests that Envoy carries; without one, only their numbers are kept.
    """

    routers: Mapping[str, AgentRouter]
    orchestrators: Orchestrators
    guards: Guards
    recorder: Recorder | None = None


def build_server(
    parts: Parts,
    engines: Engines,
    access_log: AccessLog,
    *,
    offered: Collection[Part] = ("router", "guardrail"),
) -> GrpcServer:
    """The server of ``grpc``, not yet started, with the services ``offered`` and the one about models."""
    config, triton = parts.config, parts.triton
    grpc = config.grpc or Grpc()
    models = models_in_use(config)
    services = ServiceSet(
        router=_router_service(parts, engines) if "router" in offered else None,
        guardrail=_guardrail_service(parts, engines) if "guardrail" in offered else None,
        model=ModelService(triton, models),
        processor=_processor(parts, engines, access_log),
    )
    limits = CallLimits(grpc.limits.timeout, grpc.limits.stream_timeout, grpc.limits.max_concurrent)
    calls = Calls(limits, parts.metrics, access_log, _authentication(parts, grpc))
    return GrpcServer(_options(config, grpc), services, calls, _readiness(triton, models))


class ServicesRuntime:
    """The services of one configuration, without the gateway. ``start`` it, then ``close`` it, which drains first."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        offered: Collection[Part],
        *,
        access_log: AccessLog,
        metrics: Metrics | None = None,
    ) -> None:
        self._config = config
        self._surroundings = surroundings
        self._offered = offered
        self._access_log = access_log
        self._metrics = metrics or Metrics()
        self._closing = AsyncExitStack()
        self.server: GrpcServer | None = None

    async def start(self) -> None:
        """Bind. Raises ``OperatorError``, with nothing left open, when that cannot be done."""
        async with AsyncExitStack() as opened:
            server = await self._build(opened)
            await server.start()
            opened.push_async_callback(server.drain)
            self._closing = opened.pop_all()
        self.server = server

    async def close(self) -> None:
        """Stop accepting, let calls in flight finish, then let go of everything."""
        await self._closing.aclose()

    async def _build(self, opened: AsyncExitStack) -> GrpcServer:
        config, around, metrics = self._config, self._surroundings, self._metrics
        triton = TritonClient(around.triton_url)
        opened.push_async_callback(triton.close)
        triton.open()
        client = build_client(config)
        opened.push_async_callback(client.close)
        prices = build_prices(config)
        access = await Access.open(
            config, state_dir=around.state_dir, workers=around.workers, prices=prices, metrics=metrics
        )
        opened.push_async_callback(access.close)
        parts = Parts(config, client, triton, metrics, prices, access.control)
        chats = build_chats(config, build_services(config), client)
        orchestrators = Orchestrators(config, triton, build_model_router(config), chats, metrics=metrics)
        routers = build_routers(config, metrics, orchestrators)
        engines = Engines(routers, orchestrators, Guards(config, triton, metrics))
        return build_server(parts, engines, self._access_log, offered=self._offered)


async def serve_services(
    config: Config,
    surroundings: Surroundings,
    offered: Collection[Part],
    *,
    access_log: AccessLog,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve the services ``offered`` until SIGTERM or SIGINT, then let the calls in flight finish."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runtime = ServicesRuntime(config, surroundings, offered, access_log=access_log)
    await runtime.start()
    try:
        on_ready()
        await stop.wait()
        logger.info("draining", extra={"timeout_s": config.limits.drain_timeout})
    finally:
        await runtime.close()
        access_log.flush()


def _router_service(parts: Parts, engines: Engines) -> RouterService:
    names = [DEFAULT_ORCHESTRATOR, *(entry.name for entry in parts.config.orchestrators)]
    scorers = {}
    for name in names:
        orchestrator, settings = engines.orchestrators.named(name)
        scorers[name] = RouteScorer(orchestrator, settings.threshold, settings.timeout)
    return RouterService(engines.routers, scorers, scorers[DEFAULT_ORCHESTRATOR], parts.access, parts.metrics)


def _guardrail_service(parts: Parts, engines: Engines) -> GuardrailService:
    config, guards = parts.config, engines.guards
    asked = {guardrail.name: guardrail.topic.model for guardrail in config.guardrails if guardrail.topic is not None}
    models = {scored: model for model, scored in guards.classifiers.items()}
    for name, guard in guards.by_name.items():
        if guard.check.model is not None:
            asked[name] = models[guard.check.model]
    named = {name: NamedGuard(guard, asked.get(name, "")) for name, guard in guards.by_name.items()}
    topics: dict[str, TopicScorer] = {
        guardrail.topic.model: guards.topics(guardrail.topic.model)
        for guardrail in config.guardrails
        if guardrail.topic is not None
    }
    inline = InlineGuards(guards.classifiers, topics, parts.metrics)
    return GuardrailService(named, inline, parts.access, parts.metrics, max_chars=config.limits.max_guard_chars)


def _processor(parts: Parts, engines: Engines, access_log: AccessLog) -> ExternalProcessor | None:
    if parts.config.grpc is None or parts.config.grpc.ext_proc is None:
        return None
    from router.runtime.ext_proc import build_processor  # loads what few have use for

    return build_processor(parts, engines, parts.config.grpc.ext_proc, access_log)


def _authentication(parts: Parts, grpc: Grpc) -> Authenticate | None:
    auth = parts.config.auth
    if auth is None or grpc.unauthenticated:
        return None
    return KeyAuthentication(parts.access.keys, parts.metrics, header=auth.header)


def _options(config: Config, grpc: Grpc) -> ServerOptions:
    tls = None if grpc.tls is None else ServerTls(grpc.tls.cert, grpc.tls.key, grpc.tls.client_ca)
    return ServerOptions(
        grpc.address,
        grpc.port,
        tls,
        max_message_bytes=grpc.limits.max_message_bytes,
        max_streams_per_connection=grpc.limits.max_streams_per_connection,
        keepalive_s=grpc.limits.keepalive,
        max_connection_age_s=grpc.limits.max_connection_age,
        drain_timeout_s=config.limits.drain_timeout,
    )


def _readiness(triton: TritonClient, models: Sequence[str]) -> Callable[[], Awaitable[Sequence[str]]]:
    async def not_ready() -> list[str]:
        answers = await asyncio.gather(*(triton.model_ready(model, _READY_WITHIN_S) for model in models))
        return [model for model, ready in zip(models, answers, strict=True) if not ready]

    return not_ready


def _remote(service: RemoteService, name: str) -> RemoteOptions:
    tls = service.tls
    return RemoteOptions(
        name,
        service.url,
        tls=None if tls is None else ClientTls(tls.ca, tls.cert, tls.key, tls.server_name),
        api_key=None if service.api_key is None else service.api_key.get_secret_value(),
        timeout_s=service.timeout,
    )

"""Everything that serves one configuration, from start to drain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from router.config import Config, Listener
from router.config.grpc import Services
from router.dialects.registry import CLIENT_DIALECTS
from router.filters.building import Filters
from router.handlers.agents import AgentsHandler, AnswerOptions
from router.handlers.meta import MetaHandler
from router.listeners.handover import SuccessiveListener
from router.listeners.http import ListenerOptions
from router.listeners.middleware import Resource
from router.listeners.recording import Recorder, Recording, RequestRecorder
from router.memories.opening import open_memories
from router.runtime.access import Access
from router.runtime.agents import (
    agent_orchestrator_name,
    build_agents,
    build_routers,
    decides_elsewhere,
    filtered_agents,
    models_in_use,
)
from router.runtime.conversations import ConversationState
from router.runtime.functions import Functions
from router.runtime.guards import Guards
from router.runtime.model_gateway import ModelGateway
from router.runtime.models import build_client, build_prices, metric_models, model_list
from router.runtime.parts import Parts, Surroundings
from router.telemetry.access_log import AccessLog
from router.telemetry.channel import Sink
from router.telemetry.metrics import Metrics
from router.triton.client import TritonClient
from router.triton.directed import DirectedClient, Tally

if TYPE_CHECKING:
    from router.services.server import GrpcServer  # loads gRPC

_READY_WITHIN_S = 1.0


class Runtime:
    """Everything that serves one configuration. ``start`` it, then ``close`` it, which drains first."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        *,
        access_log: AccessLog,
        metrics: Metrics | None = None,
        sink: Sink | None = None,
    ) -> None:
        self._config = config
        self._surroundings = surroundings
        self._metrics = metrics or Metrics(models=metric_models(config))
        self._access_log = access_log
        self._sink = sink
        self._closing = AsyncExitStack()
        self.listeners: tuple[SuccessiveListener, ...] = ()
        self.services: GrpcServer | None = None
        self._draining: tuple[SuccessiveListener, ...] = ()
        self._triton: TritonClient | None = None

    async def start(self, *, reuse_port: bool = False, predecessor: Runtime | None = None) -> None:
        """Bind every listener. Raises ``OperatorError``, with nothing left open, when one cannot be bound.

        Where ``predecessor`` listens already, its port is used, from `take_over` on.
        """
        present = () if predecessor is None else predecessor.listeners
        try:
            for listener in await self._build():
                listener.predecessor = next((each for each in present if listener.succeeds(each)), None)
                if listener.predecessor is None:
                    await listener.start(reuse_port=reuse_port)
                self.listeners += (listener,)
            if self.services is not None:
                services, self.services = self.services, None
                await services.start(reuse_port=reuse_port)
                self.services = services
        except BaseException:
            await self.close()
            raise

    @property
    def drain_timeout_s(self) -> float:
        """How long requests in flight may go on once everything stops."""
        return self._config.limits.drain_timeout

    @property
    def tallies(self) -> Mapping[str, Tally]:
        """How the models have done that it was given directions about, by their names on Triton."""
        return self._triton.tallies if isinstance(self._triton, DirectedClient) else {}

    def share(self, share: float) -> None:
        """Answer this share (0 to 1) of the requests that arrive at the predecessor's ports."""
        for listener in self.listeners:
            listener.share(share)

    def take_over(self) -> None:
        """Answer every request from now on. The predecessor answers what it has begun; its owner closes it."""
        self._metrics.reconfigured(metric_models(self._config))
        for listener in self.listeners:
            listener.take_over()

    def cut_off(self) -> None:
        """End the requests in flight, now: for a predecessor that has more time than there is."""
        for listener in self._draining:
            listener.cut_off()

    async def close(self) -> None:
        """Stop accepting on every listener, let requests in flight finish, then let go of everything."""
        listeners = self._draining = self.listeners
        self.listeners = ()
        services, self.services = self.services, None
        draining = [listener.drain() for listener in listeners]
        await asyncio.gather(*draining, *([] if services is None else [services.drain()]))
        await self._closing.aclose()

    async def _build(self) -> list[SuccessiveListener]:
        config, around = self._config, self._surroundings
        triton = self._triton = around.triton()
        if models_in_use(config):
            triton.open()
        self._closing.push_async_callback(triton.close)
        client = build_client(config)
        self._closing.push_async_callback(client.close)
        prices = build_prices(config)
        access = await Access.open(
            config,
            state_dir=around.state_dir,
            workers=around.workers,
            prices=prices,
            metrics=self._metrics,
            stores=around.stores,
        )
        self._closing.push_async_callback(access.close)
        memories = await open_memories(config, directory=around.state_dir)
        if memories is not None:
            self._closing.push_async_callback(memories.close)
        elsewhere = None
        if config.services != Services():
            from router.runtime.services import Elsewhere  # loads gRPC

            elsewhere = Elsewhere(config.services)
            self._closing.push_async_callback(elsewhere.close)
        parts = Parts(config, client, triton, self._metrics, prices, access.control, memories, elsewhere)
        models = await ModelGateway.open(
            parts, state_dir=around.state_dir, workers=around.workers, stores=around.stores
        )
        self._closing.push_async_callback(models.close)
        recorder = RequestRecorder(self._metrics, prices, self._sink, _recording(config))
        state = await ConversationState.open(
            config, state_dir=around.state_dir, workers=around.workers, metrics=self._metrics, stores=around.stores
        )
        self._closing.push_async_callback(state.close)
        return [
            SuccessiveListener(
                _options(config, listener),
                state.around(paths),
                recorder,
                self._access_log,
                access.authentication(listener),
            )
            for listener, paths in self._paths(parts, models, recorder)
        ]

    def _paths(
        self, parts: Parts, models: ModelGateway, recorder: Recorder
    ) -> Iterator[tuple[Listener, dict[str, Resource]]]:
        """What each listener offers at which path."""
        config = self._config
        guards = Guards(config, parts.triton, self._metrics, parts.elsewhere)
        meta = MetaHandler(model_list(config), _readiness(parts.triton, models_in_use(config)), parts.access.keys)
        routers = build_routers(config, self._metrics, models.orchestrators)
        if config.grpc is not None:
            from router.runtime.services import Engines, build_server  # loads gRPC

            engines = Engines(routers, models.orchestrators, guards, recorder)
            self.services = build_server(parts, engines, self._access_log)
        agents = build_agents(config, parts.client, self._metrics)
        filters = Filters(
            config.filters,
            parts.client,
            self._metrics,
            triton=parts.triton,
            guard=guards.filter,
            memories=parts.memories,
        )
        self._closing.push_async_callback(filters.close)
        functions = Functions(parts, models.orchestrators)
        self._closing.push_async_callback(functions.close)
        common = {
            "/v1/models": Resource({"GET": meta.models}),
            "/healthz": Resource({"GET": meta.healthz}),
            "/readyz": Resource({"GET": meta.readyz}),
        }
        for listener in config.listeners:
            chain = filters.chain(listener.input_filters, listener.output_filters, listener=listener.type)
            guards_first = decides_elsewhere(config, listener)
            admission = guards.admission(listener.name, chain, guards_first=guards_first)
            if listener.type == "agent":
                options = AnswerOptions(listener.answer, listener.parallel)
                own = filtered_agents(listener, agents, filters)
                offered = {**own, **functions.agents(listener, admission, models.answering_model(listener))}
                handler = AgentsHandler(offered, routers[listener.name], admission, parts.access, options)
                answers = {
                    dialect.PATH: Resource({"POST": handler.complete}, name)
                    for name, dialect in CLIENT_DIALECTS.items()
                }
                yield listener, {**answers, **functions.tool_paths(listener, admission, own), **common}
            elif listener.type == "model":
                yield listener, {**models.paths(listener, admission), **common}
            else:
                orchestrator = agent_orchestrator_name(config, listener)
                model = models.answering_model(listener)
                yield listener, {**functions.paths(listener, admission, model, orchestrator), **common}


def _options(config: Config, listener: Listener) -> ListenerOptions:
    limits = config.limits
    return ListenerOptions(
        listener.name,
        listener.address,
        listener.port,
        timeout_s=listener.timeout,
        max_body_bytes=limits.max_body_bytes,
        drain_timeout_s=limits.drain_timeout,
        body_timeout_s=limits.body_timeout,
    )


def _recording(config: Config) -> Recording:
    tracing = config.tracing
    content = tracing.capture_content or any(each.enabled and each.capture_messages for each in tracing.exporters)
    return Recording(
        sampling=tracing.random_sampling / 100,
        conversations=content or not config.overrides.disable_signals,
        stream_usage=tracing.stream_usage,
        header_prefixes=tracing.span_attributes.header_prefixes,
        headers=[each.distinct_id_header for each in tracing.exporters if each.distinct_id_header is not None],
    )


def _readiness(triton: TritonClient, models: Sequence[str]) -> Callable[[], Awaitable[Sequence[str]]]:
    async def not_ready() -> list[str]:
        answers = await asyncio.gather(*(triton.model_ready(model, _READY_WITHIN_S) for model in models))
        return [model for model, ready in zip(models, answers, strict=True) if not ready]

    return not_ready

"""The external processor of a configuration: a listener whose requests, and whose upstreams, Envoy carries.

Everything that decides is what the HTTP listener has; only the client of upstreams is another one. Imported only where
a configuration has it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from router.config import Config, Listener
from router.config.grpc import ExtProc
from router.config.resilience import Hedging
from router.context import RequestContext
from router.dialects.canonical import DialectName
from router.dialects.registry import CLIENT_DIALECTS
from router.filters.building import Filters
from router.handlers.admission import Admission
from router.handlers.agents import AgentsHandler, AnswerOptions
from router.handlers.meta import MetaHandler
from router.listeners.auth import Authenticate, KeyAuthentication
from router.listeners.http import HttpListener, ListenerOptions
from router.listeners.middleware import Resource
from router.listeners.recording import Outcome, Recorder, RequestRecorder
from router.runtime.agents import build_agents, decides_elsewhere, filtered_agents
from router.runtime.functions import Functions
from router.runtime.model_gateway import ModelGateway
from router.runtime.models import model_list
from router.services.ext_proc.exchange import EnvoyExchange, ExchangeOptions
from router.services.ext_proc.processor import ExternalProcessor
from router.services.ext_proc.upstream import CarriedAgent, EnvoyClient
from router.telemetry.access_log import AccessLog
from router.upstream.http import HttpClient

if TYPE_CHECKING:
    from router.listeners.exchange import Exchange
    from router.runtime.parts import Parts
    from router.runtime.services import Engines


class _CarriedRecorder:
    """Records what Envoy carries, and lets the exchange know what is known of its request."""

    def __init__(self, recorder: Recorder, carried: ContextVar[EnvoyExchange]) -> None:
        self._recorder = recorder
        self._carried = carried

    @property
    def wants_answers(self) -> bool:
        """See ``Recorder``."""
        return self._recorder.wants_answers

    def begin(self, method: str, route: str | None, context: RequestContext) -> None:
        """See ``Recorder``."""
        self._recorder.begin(method, route, context)
        self._carried.get().context = context

    def finish(self, context: RequestContext, outcome: Outcome) -> float | None:
        """See ``Recorder``; an answer that went out as it was has the status that it had."""
        relayed = self._carried.get().relayed
        if relayed is not None:
            outcome.status = relayed
        return self._recorder.finish(context, outcome)


class CarriedListener(HttpListener):
    """A listener without a socket: Envoy brings its requests."""

    def __init__(
        self,
        options: ListenerOptions,
        paths: dict[str, Resource],
        recorder: Recorder,
        access_log: AccessLog,
        authenticate: Authenticate | None,
        *,
        reads_answers: Callable[[Resource], bool],
    ) -> None:
        """``reads_answers``: whether something has to be done with answers of a resource."""
        self._read = {path for path, resource in paths.items() if reads_answers(resource)}
        self._carried: ContextVar[EnvoyExchange] = ContextVar("exchange")
        super().__init__(options, paths, _CarriedRecorder(recorder, self._carried), access_log, authenticate)

    def offers(self, path: str) -> bool:
        """Whether the path is one of its own."""
        return self._paths.find(path) is not None

    def reads_answers(self, path: str) -> bool:
        """Whether answers to requests for ``path`` have to be looked at."""
        match = self._paths.find(path)
        return match is not None and match.template in self._read

    async def serve(self, exchange: EnvoyExchange) -> None:
        """Answer one request, and record it."""
        self._carried.set(exchange)
        await self._serve(cast("Exchange", exchange))  # it has all that a listener asks of one


def build_processor(parts: Parts, engines: Engines, settings: ExtProc, access_log: AccessLog) -> ExternalProcessor:
    """The processor, which closes what was made for it."""
    config = parts.config
    listener = next(each for each in config.listeners if each.name == settings.listener)
    closing = AsyncExitStack()
    client = EnvoyClient()
    closing.push_async_callback(client.close)
    paths = _paths(parts, engines, listener, client, closing)
    limits = config.limits
    options = ListenerOptions(
        listener.name,
        listener.address,
        listener.port,
        timeout_s=listener.timeout,
        max_body_bytes=limits.max_body_bytes,
        drain_timeout_s=limits.drain_timeout,
        body_timeout_s=limits.body_timeout,
    )

    def reads_answers(resource: Resource) -> bool:
        return settings.answers == "all" or needs_answers(config, listener, resource.dialect)

    recorder = engines.recorder or RequestRecorder(parts.metrics, parts.prices)
    authenticate = _authentication(parts, listener)
    front = CarriedListener(options, paths, recorder, access_log, authenticate, reads_answers=reads_answers)
    exchanges = ExchangeOptions(
        settings.route_header.lower(),
        credentials=settings.credentials,
        max_body_bytes=limits.max_body_bytes,
        max_answer_bytes=limits.max_response_bytes,
    )
    return ExternalProcessor(front, client, exchanges, closing.aclose)


def _paths(
    parts: Parts, engines: Engines, listener: Listener, client: HttpClient, closing: AsyncExitStack
) -> dict[str, Resource]:
    config = parts.config
    filters = Filters(
        config.filters,
        parts.client,
        parts.metrics,
        triton=parts.triton,
        guard=engines.guards.filter,
        memories=parts.memories,
    )
    closing.push_async_callback(filters.close)
    chain = filters.chain(listener.input_filters, listener.output_filters, listener=listener.type)
    guards_first = decides_elsewhere(config, listener)
    admission = engines.guards.admission(listener.name, chain, guards_first=guards_first)
    if listener.type == "agent":
        paths = _agent_paths(parts, engines, listener, client, filters, admission, closing)
    else:
        # Whoever tries again is Envoy; the orchestrators are asked from here.
        once = config.resilience.model_copy(update={"max_retries": 0, "hedging": Hedging()})
        carried = replace(parts, client=client, config=config.model_copy(update={"resilience": once}))
        gateway = ModelGateway(carried, None)
        gateway.orchestrators = engines.orchestrators
        paths = gateway.paths(listener.model_copy(update={"max_retries": 0}), admission)

    async def nothing_missing() -> list[str]:
        return []

    meta = MetaHandler(model_list(config), nothing_missing, parts.access.keys)
    return {**paths, "/v1/models": Resource({"GET": meta.models})}


def _agent_paths(
    parts: Parts,
    engines: Engines,
    listener: Listener,
    client: HttpClient,
    filters: Filters,
    admission: Admission,
    closing: AsyncExitStack,
) -> dict[str, Resource]:
    config = parts.config
    themselves = build_agents(config, parts.client, parts.metrics)
    carried = build_agents(config, client, parts.metrics)
    agents = {name: CarriedAgent(agent, carried[name]) for name, agent in themselves.items()}
    functions = Functions(parts, engines.orchestrators)
    closing.push_async_callback(functions.close)
    answering = ModelGateway(parts, None).answering_model(listener)
    offered = {**filtered_agents(listener, agents, filters), **functions.agents(listener, admission, answering)}
    # Parts of one answer cannot come through Envoy from several agents: those before the last are its context.
    handler = AgentsHandler(offered, engines.routers[listener.name], admission, parts.access, AnswerOptions("last"))
    return {dialect.PATH: Resource({"POST": handler.complete}, name) for name, dialect in CLIENT_DIALECTS.items()}


def needs_answers(config: Config, listener: Listener, dialect: DialectName) -> bool:
    """Whether something is done with answers to clients of ``dialect``.

    That is where guards or filters look at them, where keys and limits may count their tokens, and where somebody who
    may answer does not speak it.
    """
    guarded = any(
        guardrail.direction != "input" and listener.name in (guardrail.listeners or [listener.name])
        for guardrail in config.guardrails
    )
    filtering = listener.output_filters or any(entry.output_filters for entry in listener.agents)
    remembering = any(each.type in ("memory", "pii") for each in config.filters)
    if guarded or filtering or remembering or config.auth is not None or config.ratelimits:
        return True
    if listener.type == "agent":
        offered = {entry.id for entry in listener.agents}
        return any(agent.dialect != dialect for agent in config.agents if agent.id in offered)
    return any(dialect not in entry.dialects for entry in config.model_providers)


def _authentication(parts: Parts, listener: Listener) -> Authenticate | None:
    auth = parts.config.auth
    if auth is None or listener.unauthenticated:
        return None
    return KeyAuthentication(parts.access.keys, parts.metrics, header=auth.header)

"""What agent listeners are made of: who decides, and who answers."""

from __future__ import annotations

from collections.abc import Mapping

from router.config import Agent, Config, Listener
from router.config.listeners import DEFAULT_ORCHESTRATOR
from router.context import RouteDescription
from router.dialects.registry import CLIENT_DIALECTS, PROVIDER_DIALECTS
from router.filters.building import Filters
from router.handlers.filtered_agent import Agent as Answering
from router.handlers.filtered_agent import FilteredAgent
from router.handlers.observed_agent import ObservedAgent
from router.routing.router import AgentRouter
from router.runtime.functions import chooses_targets, offered_targets, unfinished_first
from router.runtime.guards import MODERATION_MODEL, guard_models
from router.runtime.orchestrators import Orchestrators, models_on_triton, on_triton, preference_orchestrator_name
from router.telemetry.metrics import Metrics
from router.upstream.chat import ChatUpstream
from router.upstream.http import Endpoint, HttpClient
from router.upstream.service import FixedService, agent_url


def models_in_use(config: Config) -> tuple[str, ...]:
    """The models on Triton without which ``config`` cannot be served as it says."""
    asked: list[str | None] = [
        agent_orchestrator_name(config, listener)
        for listener in config.listeners
        if chooses_targets(config, listener) or len(listener.agents) > 1
    ]
    if config.routing_preferences and any(listener.type == "model" for listener in config.listeners):
        asked.append(preference_orchestrator_name(config))
    if config.grpc is not None and config.listeners:  # a server of guards alone has none
        asked += [DEFAULT_ORCHESTRATOR, *(each.name for each in config.orchestrators)]
    orchestrators = [on_triton(config, name) for name in asked] if config.services.router is None else []
    names = [name for each in orchestrators if each is not None for name in models_on_triton(each)]
    names += guard_models(config)
    if any(listener.moderations for listener in config.listeners):
        names.append(MODERATION_MODEL)
    if config.signals.encoder is not None and not config.overrides.disable_signals:
        names.append(config.signals.encoder)
    return tuple(dict.fromkeys(names))


def agent_orchestrator_name(config: Config, listener: Listener) -> str:
    """Who chooses the agents of a listener: what its ``router`` names, unless that is the default and overridden."""
    override = config.overrides.agent_orchestration_model
    return override if override is not None and listener.router == DEFAULT_ORCHESTRATOR else listener.router


def decides_elsewhere(config: Config, listener: Listener) -> bool:
    """Whether a provider's language model decides on a listener: it must not read what the guards have yet to judge."""
    name = preference_orchestrator_name(config)
    if listener.type != "model":
        name = agent_orchestrator_name(config, listener)
    return on_triton(config, name) is None


def build_routers(config: Config, metrics: Metrics, orchestrators: Orchestrators) -> dict[str, AgentRouter]:
    """The router of each agent listener, by the listener's name."""
    routers = {}
    for listener in config.listeners:
        if listener.type == "agent":
            scorer, settings = orchestrators.named(agent_orchestrator_name(config, listener))
            routes = [RouteDescription(agent.id, agent.description.strip()) for agent in listener.agents]
            routes += [
                RouteDescription(each.name, each.description.strip()) for each in offered_targets(config, listener)
            ]
            marked = [agent.id for agent in listener.agents if agent.default]
            routers[listener.name] = AgentRouter(
                listener.name,
                routes,
                default=marked[0] if marked else listener.agents[0].id,
                orchestrator=unfinished_first(config, listener, scorer, settings.threshold),
                threshold=settings.threshold,
                timeout_s=settings.timeout,
                metrics=metrics,
            )
    return routers


def build_agents(config: Config, client: HttpClient, metrics: Metrics) -> dict[str, Answering]:
    """The agents by id."""
    limit = config.limits.max_response_bytes
    return {
        agent.id: ObservedAgent(ChatUpstream(_service(agent), client, max_response_bytes=limit), metrics)
        for agent in config.agents
    }


def filtered_agents(listener: Listener, agents: Mapping[str, Answering], filters: Filters) -> dict[str, Answering]:
    """The agents of a listener, each behind the filters that it has there."""
    offered: dict[str, Answering] = {}
    for entry in listener.agents:
        chain = filters.chain(entry.input_filters, entry.output_filters, listener="agent", agent=entry.id)
        offered[entry.id] = FilteredAgent(agents[entry.id], chain) if chain else agents[entry.id]
    return offered


def _service(agent: Agent) -> FixedService:
    url = agent_url(agent.url, CLIENT_DIALECTS[agent.dialect].PATH)
    return FixedService(Endpoint(agent.id, url, agent.timeout, agent.headers), (PROVIDER_DIALECTS[agent.dialect],))

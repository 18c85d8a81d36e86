"""What agent listeners are made of: who decides, and who answers."""

from __future__ import annotations

from opentelemetry.metrics import get_meter

from router import __version__
from router.config import Agent, Config, Listener, Orchestrator
from router.context import RouteDescription
from router.dialects.registry import CLIENT_DIALECTS, PROVIDER_DIALECTS
from router.routing.router import AgentRouter
from router.runtime.guards import JAILBREAK_MODEL
from router.telemetry.metrics import Metrics
from router.triton.client import TritonClient
from router.triton.models import ScoringOrchestrator
from router.upstream.chat import ChatUpstream
from router.upstream.http import Endpoint, HttpClient
from router.upstream.service import FixedService, agent_url


def models_in_use(config: Config) -> tuple[str, ...]:
    """The models on Triton without which ``config`` cannot be served as it says."""
    names = [orchestrator_of(config, listener).model for listener in config.listeners if len(listener.agents) > 1]
    if config.prompt_guards.input_guards.jailbreak is not None:
        names.append(JAILBREAK_MODEL)
    return tuple(dict.fromkeys(names))


def orchestrator_of(config: Config, listener: Listener) -> Orchestrator:
    """The orchestrator that a listener's ``router`` names; the built-in one where ``orchestrators`` has none."""
    named = (entry for entry in config.orchestrators if entry.name == listener.router)
    return next(named, Orchestrator(name=listener.router))


def build_routers(config: Config, client: TritonClient, metrics: Metrics | None = None) -> dict[str, AgentRouter]:
    """The router of each agent listener, by the listener's name."""
    counted = metrics or Metrics(get_meter("trident", __version__))
    routers = {}
    for listener in config.listeners:
        if listener.type == "agent":
            orchestrator = orchestrator_of(config, listener)
            marked = [agent.id for agent in listener.agents if agent.default]
            routers[listener.name] = AgentRouter(
                listener.name,
                [RouteDescription(agent.id, agent.description.strip()) for agent in listener.agents],
                default=marked[0] if marked else listener.agents[0].id,
                orchestrator=ScoringOrchestrator(client, orchestrator.model),
                threshold=orchestrator.threshold,
                timeout_s=orchestrator.timeout,
                metrics=counted,
            )
    return routers


def build_agents(config: Config, client: HttpClient) -> dict[str, ChatUpstream]:
    """The agents by id."""
    limit = config.limits.max_response_bytes
    return {agent.id: ChatUpstream(_service(agent), client, max_response_bytes=limit) for agent in config.agents}


def _service(agent: Agent) -> FixedService:
    url = agent_url(agent.url, CLIENT_DIALECTS[agent.dialect].PATH)
    return FixedService(Endpoint(agent.id, url, agent.timeout, agent.headers), (PROVIDER_DIALECTS[agent.dialect],))

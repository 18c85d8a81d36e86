"""Prompt targets as one configuration has them: what prompt listeners are made of, and tools on agent listeners."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Literal

from yarl import URL

from router.config import Config, Listener
from router.config.prompts import EndpointCall, PromptTarget
from router.context import Turn
from router.dialects.registry import CLIENT_DIALECTS
from router.errors import ModelNotFound, ProviderUnavailable
from router.functions.calls import FunctionCalls
from router.functions.cascade import CascadeExtractor, FallbackExtractor
from router.functions.engine import FunctionEngine, schemas_of
from router.functions.extractor import Extractor, NoExtractor
from router.functions.http_call import ApiCall, ApiClients
from router.functions.llm_extractor import LlmExtractor
from router.functions.planning import Planner
from router.functions.questions import Questions
from router.functions.selection import Scorer, TargetSelection, UnfinishedFirst
from router.functions.targets import ApiEndpoint, Parameter, Target, callable_names, parameter_type
from router.handlers import mcp
from router.handlers.admission import Admission
from router.handlers.answering_model import AnsweringModel
from router.handlers.filtered_agent import Agent
from router.handlers.function_agent import FunctionAgent
from router.handlers.functions import FunctionsHandler
from router.handlers.mcp import McpHandler
from router.handlers.observed_agent import ObservedAgent
from router.handlers.tools import AgentTool, FunctionTool, Tool, ToolsHandler
from router.listeners.middleware import Resource
from router.routing import prompt
from router.runtime.models import build_chats, build_model_router, build_services
from router.runtime.orchestrators import Orchestrators
from router.runtime.parts import Parts

logger = logging.getLogger(__name__)

TOOLS_PATH = "/v1/tools"
EMBEDDED = "embedded"


def offered_targets(config: Config, listener: Listener) -> tuple[PromptTarget, ...]:
    """The prompt targets of a listener, in the order of the file."""
    if listener.prompt_targets is None:
        return config.prompt_targets if listener.type == "prompt" else ()
    return tuple(target for target in config.prompt_targets if target.name in listener.prompt_targets)


def chooses_targets(config: Config, listener: Listener) -> bool:
    """Whether an orchestrator has to choose because of the prompt targets of a listener."""
    targets = offered_targets(config, listener)
    return bool(targets) and (listener.type == "agent" or any(not target.default for target in targets))


def unfinished_first(config: Config, listener: Listener, scorer: Scorer, threshold: float | None) -> Scorer:
    """``scorer`` of an agent listener, by which an answer to a question of a target goes to that target."""
    targets = [_target(config, entry) for entry in offered_targets(config, listener)]
    if not targets:
        return scorer
    questions = Questions(targets)

    def pending(conversation: Sequence[Turn]) -> str | None:
        asked = questions.pending(conversation)
        return None if asked is None else asked.target.name

    return UnfinishedFirst(scorer, pending, threshold=threshold)


class Functions:
    """The prompt targets of a configuration. Close it with ``close``, after the listeners.

    ``embedded`` is the extractor that needs no model, ``None`` for the built-in one.
    """

    def __init__(self, parts: Parts, orchestrators: Orchestrators, *, embedded: Extractor | None = None) -> None:
        config = parts.config
        self._parts = parts
        self._orchestrators = orchestrators
        self._closing = AsyncExitStack()
        self._clients: dict[float, ApiClients] = {}
        self._targets = {entry.name: _target(config, entry) for entry in config.prompt_targets}
        self._schemas = schemas_of(tuple(self._targets.values()))
        self._calls = FunctionCalls(
            {
                target.name: self._api(config, target.endpoint)
                for target in self._targets.values()
                if target.endpoint is not None
            },
            self._error_target(config),
        )
        self._extractor: Extractor = NoExtractor()
        self._rederives = True
        if self._targets:
            self._extractor, self._rederives = self._build_extractor(embedded or _embedded())

    async def close(self) -> None:
        """Close all connections to APIs."""
        await self._closing.aclose()

    def targets(self, listener: Listener) -> list[Target]:
        """What ``listener`` offers."""
        return [self._targets[entry.name] for entry in offered_targets(self._parts.config, listener)]

    # Prompt listeners

    def paths(
        self, listener: Listener, admission: Admission, model: AnsweringModel | None, orchestrator: str
    ) -> dict[str, Resource]:
        """What a prompt listener offers; ``orchestrator`` is the name of who chooses, ``model`` words the answers."""
        targets = self.targets(listener)
        config, parts = self._parts.config, self._parts
        scorer, settings = self._orchestrators.named(orchestrator)
        threshold = config.overrides.prompt_target_intent_matching_threshold
        selection = TargetSelection(
            listener.name,
            targets,
            scorer=scorer,
            fit=prompt.fit,
            threshold=settings.threshold if threshold is None else threshold,
            timeout_s=settings.timeout,
            metrics=parts.metrics,
        )
        engine = self._engine(targets, admission, selection)
        handler = FunctionsHandler(engine, model, admission, parts.access)
        answers = {
            dialect.PATH: Resource({"POST": handler.complete}, name) for name, dialect in CLIENT_DIALECTS.items()
        }
        return {**answers, **self.tool_paths(listener, admission, {})}

    # Agent listeners

    def agents(self, listener: Listener, admission: Admission, model: AnsweringModel | None) -> dict[str, Agent]:
        """The targets of an agent listener, as agents."""
        agents = [
            FunctionAgent(target.name, self._engine([target], admission), model) for target in self.targets(listener)
        ]
        return {agent.name: ObservedAgent(agent, self._parts.metrics) for agent in agents}

    # Both

    def tool_paths(self, listener: Listener, admission: Admission, agents: Mapping[str, Agent]) -> dict[str, Resource]:
        """``/v1/tools`` and ``/mcp``: the targets of a listener, and ``agents``, those of its agents that are none."""
        targets = self.targets(listener)
        described = {entry.id: entry.description for entry in listener.agents}
        names = callable_names([*(target.name for target in targets), *agents])
        tools: list[Tool] = [
            FunctionTool(self._schemas[target.name], self._calls, name=names[target.name]) for target in targets
        ]
        tools += [AgentTool(agent, described.get(name, ""), name=names[name]) for name, agent in agents.items()]
        server = McpHandler(tools, admission, self._parts.access)
        return {
            TOOLS_PATH: Resource({"GET": ToolsHandler(targets, self._schemas).tools}),
            mcp.PATH: Resource({"POST": server.serve}),
        }

    def _engine(
        self, targets: Sequence[Target], admission: Admission, selection: TargetSelection | None = None
    ) -> FunctionEngine:
        return FunctionEngine(
            targets,
            self._planner(targets),
            self._calls,
            selection=selection,
            system_prompt=self._parts.config.system_prompt,
            judge=admission.judged_result,
        )

    def _planner(self, targets: Sequence[Target]) -> Planner:
        return Planner(targets, self._schemas, self._extractor, rederives=self._rederives)

    def _api(self, config: Config, endpoint: ApiEndpoint) -> ApiCall:
        entry = config.endpoints.get(endpoint.name)
        connect_timeout_s = entry.connect_timeout if entry is not None else config.limits.connect_timeout
        clients = self._clients.get(connect_timeout_s)
        if clients is None:
            clients = self._clients[connect_timeout_s] = ApiClients(connect_timeout_s=connect_timeout_s)
            self._closing.push_async_callback(clients.close)
        return ApiCall(endpoint, clients)

    def _error_target(self, config: Config) -> ApiCall | None:
        if config.error_target is None:
            return None
        call = config.error_target.endpoint
        if call.http_method in {"GET", "DELETE"}:  # a report has a body
            call = call.model_copy(update={"http_method": "POST"})
        return self._api(config, _endpoint(config, call))

    def _build_extractor(self, embedded: Extractor) -> tuple[Extractor, bool]:
        """Who finds the parameters, and whether it has to be told what was known before a question."""
        config = self._parts.config
        name = config.overrides.function_model
        if name == EMBEDDED:
            return embedded, True
        model = self._language_model(name)
        if model is None:
            return embedded, True
        degraded = partial(self._parts.metrics.degraded, "function_model")
        if name is None:
            return CascadeExtractor(embedded, model, count_degraded=degraded), True
        return FallbackExtractor(model, embedded, count_degraded=degraded), False

    def _language_model(self, name: str | None) -> LlmExtractor | None:
        config = self._parts.config
        router = build_model_router(config)
        try:
            choice = router.choices(name)[0]
        except ProviderUnavailable as exc:
            if name is not None:
                logger.warning("function model unavailable, using the embedded extractor", extra={"cause": exc.message})
            return None
        except ModelNotFound:
            return None
        chats = build_chats(config, build_services(config), self._parts.client)
        return LlmExtractor(chats[choice.entry.id].complete, choice.model)


def _embedded() -> Extractor:
    # What it reads dates and numbers with takes a while to load, for nothing where there are no prompt targets.
    from router.functions.extraction.embedded import EmbeddedExtractor

    return EmbeddedExtractor()


def _target(config: Config, entry: PromptTarget) -> Target:
    return Target(
        entry.name,
        entry.description,
        tuple(
            Parameter(
                each.name,
                each.description,
                parameter_type(each.type),
                each.required,
                each.default,
                each.enum,
                each.in_path,
                each.format,
            )
            for each in entry.parameters
        ),
        None if entry.endpoint is None else _endpoint(config, entry.endpoint),
        entry.system_prompt,
        entry.auto_llm_dispatch_on_response,
        entry.default,
    )


def _endpoint(config: Config, call: EndpointCall) -> ApiEndpoint:
    entry = config.endpoints.get(call.name)
    if entry is None:
        return _service(config, call)
    headers = {**({} if entry.http_host is None else {"host": entry.http_host}), **call.http_headers}
    return ApiEndpoint(
        call.name,
        entry.endpoint,
        call.path,
        call.http_method,
        entry.protocol,
        headers,
        timeout_s=entry.timeout,
        max_retries=entry.max_retries,
        max_response_bytes=entry.max_response_bytes,
        allow_private=entry.allow_private,
    )


def _service(config: Config, call: EndpointCall) -> ApiEndpoint:
    """An agent or a filter as an endpoint: existing configurations name them."""
    urls = {**{each.id: each.url for each in config.filters}, **{each.id: each.url for each in config.agents}}
    url = URL(urls[call.name] or "")
    path = url.path.rstrip("/") + (call.path if call.path.startswith("/") else f"/{call.path}")
    protocol: Literal["http", "https"] = "https" if url.scheme == "https" else "http"
    return ApiEndpoint(call.name, url.authority, path, call.http_method, protocol, call.http_headers)

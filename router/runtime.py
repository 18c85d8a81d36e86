"""The composition root: a checked configuration becomes live objects, which start, drain and close together."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack

from opentelemetry.metrics import get_meter
from yarl import URL

from router import __version__
from router.config import Config, Listener, LoadedConfig, ModelProvider, Orchestrator
from router.context import RouteDescription
from router.dialects.registry import CLIENT_DIALECTS
from router.errors import OperatorError
from router.guardrails import Guard, GuardPolicy
from router.handlers.admission import Admission
from router.handlers.agents import AgentsHandler, AnswerOptions
from router.handlers.completions import CompletionsHandler
from router.handlers.meta import MetaHandler
from router.listeners.http import HttpListener, ListenerOptions
from router.listeners.middleware import Handler, Resource
from router.routing.models import ModelRouter, ProviderModel
from router.routing.router import AgentRouter
from router.telemetry.access_log import AccessLog
from router.telemetry.metrics import Metrics
from router.triton.client import TritonClient
from router.triton.models import Classifier, ScoringOrchestrator
from router.upstream.chat import ChatUpstream
from router.upstream.http import Endpoint, HttpClient
from router.upstream.service import FixedService, agent_url

logger = logging.getLogger(__name__)

JAILBREAK_MODEL = "jailbreak"
_JAILBREAK_LABELS = frozenset({"jailbreak", "injection"})
_READY_WITHIN_S = 1.0
_PROVIDER_TIMEOUT_S = 300.0  # to the first byte and between two bytes; a listener's timeout is usually shorter


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


class Runtime:
    """Everything that serves one configuration. ``start`` it, then ``close`` it, which drains first."""

    def __init__(self, config: Config, *, triton_url: str, metrics: Metrics, access_log: AccessLog) -> None:
        self._config = config
        self._triton_url = triton_url
        self._metrics = metrics
        self._access_log = access_log
        self._closing = AsyncExitStack()
        self.listeners: tuple[HttpListener, ...] = ()

    async def start(self, *, reuse_port: bool = False) -> None:
        """Bind every listener. Raises ``OperatorError``, with nothing left open, when one cannot be bound."""
        triton = TritonClient(self._triton_url)
        self._closing.push_async_callback(triton.close)
        client = HttpClient(connect_timeout_s=self._config.limits.connect_timeout)
        self._closing.push_async_callback(client.close)
        try:
            for listener in self._build(triton, client):
                await listener.start(reuse_port=reuse_port)
                self.listeners += (listener,)
            if not self.listeners:
                raise OperatorError(
                    "Nothing to serve: this version serves listeners of the types agent and model only.",
                    fix="Add a listener of one of these types.",
                )
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop accepting on every listener, let requests in flight finish, then let go of everything."""
        listeners, self.listeners = self.listeners, ()
        await asyncio.gather(*(listener.drain() for listener in listeners))
        await self._closing.aclose()

    def _build(self, triton: TritonClient, client: HttpClient) -> Iterable[HttpListener]:
        config = self._config
        limits = config.limits
        admission = Admission(self._guard(triton), max_chars=limits.max_guard_chars)
        meta = MetaHandler(_model_list(config), _readiness(triton, models_in_use(config)))
        routers = build_routers(config, triton, self._metrics)
        agents = {
            agent.id: ChatUpstream(
                FixedService(Endpoint(agent.id, agent_url(agent.url), agent.timeout, agent.headers)),
                client,
                max_response_bytes=limits.max_response_bytes,
            )
            for agent in config.agents
        }
        completions = CompletionsHandler(_model_router(config), self._providers(client), admission)
        for listener in config.listeners:
            if listener.type == "agent":
                options = AnswerOptions(listener.answer, listener.parallel)
                complete = AgentsHandler(agents, routers[listener.name], admission, options).complete
            elif listener.type == "model":
                complete = completions.complete
            else:
                continue  # prompt listeners load, and are named among the keys that do nothing yet
            yield HttpListener(
                ListenerOptions(
                    listener.name,
                    listener.address,
                    listener.port,
                    timeout_s=listener.timeout,
                    max_body_bytes=limits.max_body_bytes,
                    drain_timeout_s=limits.drain_timeout,
                    body_timeout_s=limits.body_timeout,
                ),
                _paths(complete, meta),
                self._metrics,
                self._access_log,
            )

    def _guard(self, triton: TritonClient) -> Guard | None:
        jailbreak = self._config.prompt_guards.input_guards.jailbreak
        if jailbreak is None:
            return None
        policy = GuardPolicy(
            "jailbreak",
            _JAILBREAK_LABELS,
            threshold=jailbreak.threshold,
            message=jailbreak.on_exception.message,
            on_error=jailbreak.on_error,
            timeout_s=self._config.triton.timeout,
        )
        return Guard(policy, Classifier(triton, JAILBREAK_MODEL), self._metrics)

    def _providers(self, client: HttpClient) -> dict[str, ChatUpstream]:
        return {
            provider.name: ChatUpstream(
                FixedService(_provider_endpoint(provider)),
                client,
                max_response_bytes=self._config.limits.max_response_bytes,
            )
            for provider in self._config.model_providers
            if unavailable_reason(provider) is None
        }


def _paths(complete: Handler, meta: MetaHandler) -> Mapping[str, Resource]:
    return {
        **{dialect.PATH: Resource({"POST": complete}, name) for name, dialect in CLIENT_DIALECTS.items()},
        "/v1/models": Resource({"GET": meta.models}),
        "/healthz": Resource({"GET": meta.healthz}),
        "/readyz": Resource({"GET": meta.readyz}),
    }


def _model_list(config: Config) -> list[tuple[str, bool]]:
    models = [
        (entry.model, unavailable_reason(entry) is None) for entry in config.model_providers if not entry.is_wildcard
    ]
    return [*models, *((alias, True) for alias in config.model_aliases)]


def _model_router(config: Config) -> ModelRouter:
    entries = [
        ProviderModel(
            entry.name, entry.provider, entry.model_id, default=entry.default, unavailable=_unavailable(entry)
        )
        for entry in config.model_providers
    ]
    return ModelRouter(entries, {name: alias.target for name, alias in config.model_aliases.items()})


def unavailable_reason(provider: ModelProvider) -> str | None:
    """Why requests to a provider are refused; ``None`` when they are not."""
    if provider.unavailable_reason is None and provider.dialect != "openai_chat":
        return f"this version does not speak the {provider.dialect} dialect yet"
    return provider.unavailable_reason


def _unavailable(provider: ModelProvider) -> str | None:
    reason = unavailable_reason(provider)
    return None if reason is None else f"'{provider.model}' cannot be used: {reason}."


def _provider_endpoint(provider: ModelProvider) -> Endpoint:
    headers = dict(provider.headers)
    if provider.access_key is not None:
        # Keys that come out of files often end in a line break.
        headers["Authorization"] = f"Bearer {provider.access_key.get_secret_value().strip()}"
    if provider.http_host is not None:
        headers["Host"] = provider.http_host
    url = URL(f"{provider.base_url}/chat/completions")
    try:
        return Endpoint(provider.name, url, _PROVIDER_TIMEOUT_S, headers)
    except ValueError as exc:
        raise OperatorError(
            f"Provider '{provider.name}' cannot be called: its access_key or a header has characters that no request "
            "can carry.",
            fix="Look for line breaks and control characters in their values.",
        ) from exc


def _readiness(triton: TritonClient, models: Sequence[str]) -> Callable[[], Awaitable[Sequence[str]]]:
    async def not_ready() -> list[str]:
        answers = await asyncio.gather(*(triton.model_ready(model, _READY_WITHIN_S) for model in models))
        return [model for model, ready in zip(models, answers, strict=True) if not ready]

    return not_ready


async def serve(
    loaded: LoadedConfig,
    *,
    triton_url: str,
    access_log: AccessLog,
    reuse_port: bool = False,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve every listener of ``loaded`` until SIGTERM or SIGINT, then let the requests in flight finish."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = Metrics(get_meter("trident", __version__))
    runtime = Runtime(loaded.config, triton_url=triton_url, metrics=metrics, access_log=access_log)
    await runtime.start(reuse_port=reuse_port)
    try:
        gc.freeze()  # what is here now stays; the collector need not look at it again
        on_ready()
        await stop.wait()
        logger.info("draining", extra={"timeout_s": loaded.config.limits.drain_timeout})
    finally:
        await runtime.close()
        access_log.flush()

"""Who decides between routes: an orchestrator on Triton, two of them, or a language model of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from router.config import Config, Orchestrator
from router.config.listeners import DEFAULT_ORCHESTRATOR
from router.context import RequestContext
from router.dialects.canonical import ChatRequest
from router.errors import OperatorError, ProviderUnavailable
from router.routing.cascade import CascadeOrchestrator
from router.routing.generating import TritonOrchestrator
from router.routing.generation import STANDARD_TEMPLATE, PromptTemplate
from router.routing.llm_orchestrator import Ask, LlmOrchestrator
from router.routing.models import ModelRouter
from router.routing.router import Orchestrator as RouteScorer
from router.runtime.models import build_model_router
from router.telemetry.metrics import Metrics
from router.triton.client import TritonClient
from router.upstream.chat import ChatUpstream

if TYPE_CHECKING:
    from router.runtime.services import Elsewhere  # loads gRPC


def on_triton(config: Config, name: str | None) -> Orchestrator | None:
    """The orchestrator on Triton that ``name`` stands for; ``None`` where it is a model of ``model_providers``.

    An entry of ``orchestrators`` by its name or model comes first; what is neither is the built-in one.
    """
    entry = next((each for each in config.orchestrators if name in (each.name, each.model)), None)
    # A bare name also means a model below the only wildcard, which the built-in orchestrator's is not.
    if entry is None and name not in (None, DEFAULT_ORCHESTRATOR) and build_model_router(config).knows(str(name)):
        return None
    return entry or Orchestrator(name=DEFAULT_ORCHESTRATOR)


def models_on_triton(settings: Orchestrator) -> tuple[str, ...]:
    """The models on Triton that an orchestrator asks, in this order."""
    return (settings.model, settings.second) if settings.strategy == "cascade" else (settings.model,)


def preference_orchestrator_name(config: Config) -> str | None:
    """Who decides on routing preferences; ``None`` for the built-in one."""
    return config.overrides.llm_routing_model or config.routing.model


class Orchestrators:
    """Makes the orchestrators of one configuration, by the names that it uses for them."""

    def __init__(
        self,
        config: Config,
        triton: TritonClient,
        router: ModelRouter,
        chats: Mapping[str, ChatUpstream],
        elsewhere: Elsewhere | None = None,
        *,
        metrics: Metrics | None = None,
    ) -> None:
        self._config = config
        self._elsewhere = elsewhere
        self._triton = triton
        self._router = router
        self._chats = chats
        self._metrics = metrics or Metrics()
        self._context_tokens = config.overrides.orchestrator_model_context_length

    def named(self, name: str | None) -> tuple[RouteScorer, Orchestrator]:
        """What decides under ``name`` (see ``on_triton``), and its settings.

        A language model whose key is missing can be named too: it fails every time, as one that is down.
        """
        settings = on_triton(self._config, name)
        if settings is not None or name is None:
            settings = settings or Orchestrator(name=DEFAULT_ORCHESTRATOR)
            remote = None if self._elsewhere is None else self._elsewhere.orchestrator(settings)
            return remote or self._configured(settings), settings
        ask, model = self._language_model(name)
        return LlmOrchestrator(ask, model, context_tokens=self._context_tokens), Orchestrator(name=name)

    def _configured(self, settings: Orchestrator) -> RouteScorer:
        template = _template(settings)
        first, *others = [
            TritonOrchestrator(self._triton, model, template=template, context_tokens=self._context_tokens)
            for model in models_on_triton(settings)
        ]
        if not others:
            return first
        return CascadeOrchestrator(
            first, others[0], confidence=settings.confidence, threshold=settings.threshold, metrics=self._metrics
        )

    def _language_model(self, name: str) -> tuple[Ask, str]:
        try:
            choice = self._router.choices(name)[0]
        except ProviderUnavailable as exc:
            return partial(_refuse, exc.message), name
        return self._chats[choice.entry.id].ask, choice.model


async def _refuse(reason: str, request: ChatRequest, context: RequestContext) -> str:
    raise ProviderUnavailable(reason)


def _template(settings: Orchestrator) -> PromptTemplate:
    if settings.prompt_template is None:
        return STANDARD_TEMPLATE
    try:
        return PromptTemplate.parse(settings.prompt_template.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:  # it was fine when the configuration was read
        raise OperatorError(
            f"{settings.prompt_template} is no prompt template: {exc}", fix="Correct the file, or leave it out."
        ) from exc

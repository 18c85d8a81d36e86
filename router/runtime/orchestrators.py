"""Who decides between routes: an orchestrator on Triton, or a language model of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from router.config import Config, Orchestrator
from router.config.listeners import DEFAULT_ORCHESTRATOR
from router.context import RequestContext
from router.dialects.canonical import ChatRequest
from router.errors import ProviderUnavailable
from router.routing.llm_orchestrator import Ask, LlmOrchestrator
from router.routing.models import ModelRouter
from router.routing.router import Orchestrator as RouteScorer
from router.runtime.models import build_model_router
from router.triton.client import TritonClient
from router.triton.models import ScoringOrchestrator
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
    ) -> None:
        self._config = config
        self._elsewhere = elsewhere
        self._triton = triton
        self._router = router
        self._chats = chats

    def named(self, name: str | None) -> tuple[RouteScorer, Orchestrator]:
        """What decides under ``name`` (see ``on_triton``), and its settings.

        A language model whose key is missing can be named too: it fails every time, as one that is down.
        """
        settings = on_triton(self._config, name)
        if settings is not None or name is None:
            settings = settings or Orchestrator(name=DEFAULT_ORCHESTRATOR)
            remote = None if self._elsewhere is None else self._elsewhere.orchestrator(settings)
            return remote or ScoringOrchestrator(self._triton, settings.model), settings
        tokens = self._config.overrides.orchestrator_model_context_length
        ask, model = self._language_model(name)
        return LlmOrchestrator(ask, model, context_tokens=tokens), Orchestrator(name=name)

    def _language_model(self, name: str) -> tuple[Ask, str]:
        try:
            choice = self._router.choices(name)[0]
        except ProviderUnavailable as exc:
            return partial(_refuse, exc.message), name
        return self._chats[choice.entry.id].ask, choice.model


async def _refuse(reason: str, request: ChatRequest, context: RequestContext) -> str:
    raise ProviderUnavailable(reason)

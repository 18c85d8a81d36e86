"""Orchestrators on Triton: whichever contract the model that is loaded now speaks, it is asked that way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable
from router.routing import generation, prompt
from router.routing.llm_orchestrator import chosen_scores, conversation_budget
from router.triton.client import TritonClient
from router.triton.generation import generate
from router.triton.metadata import ModelConfig, ModelMetadata
from router.triton.models import RouteScores, ScoringOrchestrator, orchestrator_contract

# A list of route names is short; one that does not end is none.
MAX_ANSWER_TOKENS = 256

# Parameter of the model's configuration: one of ``generation.CHAT_FORMATS``.
CHAT_FORMAT = "chat_format"

# A model can be swapped for one of the same contract that wants another chat format.
_CONFIG_LIFETIME_S = 60.0


class GeneratingOrchestrator:
    """A language model of the generation contract, as ``config`` describes it.

    Chosen routes score 1, all others 0, and run in the order of the answer. ``context_tokens`` is what prompt and
    answer may have together.
    """

    def __init__(
        self,
        client: TritonClient,
        config: ModelConfig,
        *,
        template: generation.PromptTemplate = generation.STANDARD_TEMPLATE,
        context_tokens: int = prompt.CONTEXT_TOKENS,
    ) -> None:
        self._client = client
        self._config = config
        self._template = template
        self._budget = conversation_budget(context_tokens, template, MAX_ANSWER_TOKENS)

    async def score(
        self, conversation: Sequence[Turn], routes: Sequence[RouteDescription], *, timeout_s: float
    ) -> RouteScores:
        """Which of ``routes`` (at least one) the newest turn needs. Raises ``ModelUnavailable``."""
        chat_format = self._config.parameters.get(CHAT_FORMAT, generation.DEFAULT_CHAT_FORMAT)
        around = generation.CHAT_FORMATS.get(chat_format)
        if around is None:
            raise ModelUnavailable(f"The model {self._config.name!r} wants an unknown chat format.")
        seen = prompt.fit(conversation, routes, max_tokens=self._budget)
        before, after = around
        written = await generate(
            self._client,
            self._config,
            f"{before}{self._template.build(seen, routes)}{after}",
            generation.answer_schema([route.name for route in routes]),
            max_tokens=MAX_ANSWER_TOKENS,
            timeout_s=timeout_s,
        )
        return chosen_scores(written.text, routes, written.model, written.version)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A model as its configuration described it at ``read_at``, and how it is asked."""

    config: ModelConfig
    orchestrator: ScoringOrchestrator | GeneratingOrchestrator
    read_at: float


class TritonOrchestrator:
    """The orchestrator ``model``: what contract it speaks is read from Triton, again every minute, and when it fails.

    So the model may be swapped for one of the other contract while it is being asked.
    """

    def __init__(
        self,
        client: TritonClient,
        model: str,
        *,
        template: generation.PromptTemplate = generation.STANDARD_TEMPLATE,
        context_tokens: int = prompt.CONTEXT_TOKENS,
    ) -> None:
        self.model = model
        self._client = client
        self._template = template
        self._context_tokens = context_tokens
        self._scoring = ScoringOrchestrator(client, model)
        self._loaded: _Loaded | None = None

    async def score(
        self, conversation: Sequence[Turn], routes: Sequence[RouteDescription], *, timeout_s: float
    ) -> RouteScores:
        """What the model says about ``routes`` (at least one) for the newest turn. Raises ``ModelUnavailable``."""
        deadline = time.monotonic() + timeout_s
        loaded = self._loaded
        if loaded is None or time.monotonic() - loaded.read_at > _CONFIG_LIFETIME_S:
            loaded = self._loaded = await self._find(deadline)
        try:
            return await loaded.orchestrator.score(conversation, routes, timeout_s=deadline - time.monotonic())
        except ModelUnavailable:
            self._loaded = None
            if time.monotonic() >= deadline:
                raise
            found = self._loaded = await self._find(deadline)
            if found.config == loaded.config:
                raise
        return await found.orchestrator.score(conversation, routes, timeout_s=deadline - time.monotonic())

    async def _find(self, deadline: float) -> _Loaded:
        config = await self._client.model_config(self.model, deadline - time.monotonic())
        signature = ModelMetadata(config.name, (), config.backend, config.inputs, config.outputs)
        orchestrator: ScoringOrchestrator | GeneratingOrchestrator = self._scoring
        if orchestrator_contract(signature) == "generation":
            orchestrator = GeneratingOrchestrator(
                self._client, config, template=self._template, context_tokens=self._context_tokens
            )
        return _Loaded(config, orchestrator, time.monotonic())

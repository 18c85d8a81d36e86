"""A language model behind an OpenAI-compatible API as the orchestrator, by the generation contract."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

from router.aio import timeout
from router.context import RequestContext, RouteDescription, Turn
from router.dialects import openai_chat
from router.dialects.canonical import ChatRequest
from router.errors import ModelUnavailable
from router.routing import generation, prompt
from router.triton.models import RouteScores

# ``ChatUpstream.ask``: the text of the answer.
Ask: TypeAlias = Callable[[ChatRequest, RequestContext], Awaitable[str]]

# Close to 0, so that the same question gets the same answer; 0 itself is refused by some servers.
DEFAULT_PARAMETERS: Mapping[str, Any] = MappingProxyType({"temperature": 0.01, "max_tokens": 1024})

_THRESHOLD = 0.5


class LlmOrchestrator:
    """Asks ``model`` through ``ask``; chosen routes score 1, all others 0, and run in the order of the answer.

    ``context_tokens`` is what prompt and answer may have together. ``parameters`` go into every request. ``template``
    is the prompt.
    """

    def __init__(
        self,
        ask: Ask,
        model: str,
        *,
        context_tokens: int = prompt.CONTEXT_TOKENS,
        parameters: Mapping[str, Any] = DEFAULT_PARAMETERS,
        template: generation.PromptTemplate = generation.STANDARD_TEMPLATE,
    ) -> None:
        self._ask = ask
        self._model = model
        self._parameters = dict(parameters)
        self._template = template
        self._budget = conversation_budget(context_tokens, template, _answer_tokens(parameters))

    async def score(
        self, conversation: Sequence[Turn], routes: Sequence[RouteDescription], *, timeout_s: float
    ) -> RouteScores:
        """Which of ``routes`` (at least one) the newest turn needs. Raises ``GatewayError`` for no usable answer."""
        seen = prompt.fit(conversation, routes, max_tokens=self._budget)
        request = ChatRequest(
            {
                "model": self._model,
                "messages": [{"role": "user", "content": self._template.build(seen, routes)}],
                **self._parameters,
            }
        )
        context = RequestContext(
            f"route-{uuid.uuid4().hex}", "orchestrator", openai_chat.PATH, {}, time.monotonic() + timeout_s
        )
        try:
            async with timeout(timeout_s):
                answer = await self._ask(request, context)
        except (asyncio.TimeoutError, TimeoutError) as exc:
            raise ModelUnavailable(f"The orchestrator '{self._model}' did not answer in time.") from exc
        return chosen_scores(answer, routes, self._model)


def conversation_budget(context_tokens: int, template: generation.PromptTemplate, answer_tokens: int) -> int:
    """What is left of a model's context for routes and conversation, at least half of it."""
    instructions = template.chars // prompt.CHARS_PER_TOKEN
    return max(context_tokens // 2, context_tokens - instructions - answer_tokens)


def chosen_scores(answer: str, routes: Sequence[RouteDescription], model: str, version: str = "") -> RouteScores:
    """What a language model's answer says about ``routes``: 1 for those it chose, in their order, 0 for all others.

    Raises ``ModelUnavailable`` for an answer that says nothing.
    """
    names = [route.name for route in routes]
    try:
        chosen = generation.parse_answer(answer, names)
    except generation.UnparsableAnswer as exc:
        raise ModelUnavailable(f"The answer of the orchestrator '{model}' names no routes.") from exc
    place = {name: position for position, name in enumerate(chosen)}
    return RouteScores(
        scores=tuple(1.0 if name in place else 0.0 for name in names),
        order=tuple(place.get(name, len(names)) for name in names),
        model=model,
        version=version,
        threshold=_THRESHOLD,
    )


def _answer_tokens(parameters: Mapping[str, Any]) -> int:
    limit = parameters.get("max_tokens") or parameters.get("max_completion_tokens")
    return limit if isinstance(limit, int) else 0

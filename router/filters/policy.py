"""Which requests a filter is for, how long it may take, and what becomes of them when it fails."""

from __future__ import annotations

import asyncio
import fnmatch
import logging
import random as random_numbers
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from router.aio import timeout
from router.context import RequestContext
from router.dialects.canonical import ChatRequest, JsonObject
from router.errors import FilterUnavailable, GatewayError
from router.filters.base import AnswerFilter, AnswerOutcome, Blocked, Filter, LocalAnswer, Rejection, RequestOutcome
from router.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

_Value = TypeVar("_Value")


class NamePatterns:
    """Names in which ``*`` stands for anything, such as ``openai/*``; none at all match every name."""

    __slots__ = ("_patterns",)

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = [re.compile(fnmatch.translate(pattern)) for pattern in patterns]

    def match(self, name: str) -> bool:
        return not self._patterns or any(pattern.match(name) for pattern in self._patterns)


class Condition:
    """Which requests a filter is for. What is not said does not matter.

    ``roles``: those of the newest message. ``models``: the model as the request names it. ``paths``: the API path.
    ``agents``: the agent that answers; as long as that is not decided, the filter is for the request.
    """

    __slots__ = ("_agents", "_models", "_paths", "_roles")

    def __init__(
        self,
        *,
        roles: Sequence[str] = (),
        models: Sequence[str] = (),
        agents: Sequence[str] = (),
        paths: Sequence[str] = (),
    ) -> None:
        self._roles = frozenset(roles)
        self._agents = frozenset(agents)
        self._models = NamePatterns(models)
        self._paths = NamePatterns(paths)

    def holds(self, request: ChatRequest, context: RequestContext, agent: str | None) -> bool:
        """Whether the filter is for ``request``; ``agent`` is whose chain is being run, where it is an agent's."""
        return (
            (not self._roles or any(message["role"] in self._roles for message in request.messages[-1:]))
            and self._models.match(request.model or "")
            and self._paths.match(context.path)
            and (not self._agents or self._is_for_agent(context, agent))
        )

    def _is_for_agent(self, context: RequestContext, agent: str | None) -> bool:
        if agent is not None:
            return agent in self._agents
        return context.decision is None or not self._agents.isdisjoint(context.decision.routes)


@dataclass(frozen=True, slots=True)
class FilterPolicy:
    """``timeout_s`` bounds each question to the filter; ``sample`` is the share of requests that it looks at."""

    timeout_s: float = 5.0
    on_error: Literal["deny", "allow"] = "deny"
    when: Condition | None = None
    sample: float = 1.0


class PolicedFilter:
    """A filter with its policy. What it raises is ``FilterUnavailable``, when the filter failed and is fail-closed."""

    def __init__(
        self,
        filter_: Filter,
        policy: FilterPolicy,
        metrics: Metrics,
        *,
        random: Callable[[], float] = random_numbers.random,
    ) -> None:
        self.name = filter_.name
        self._filter = filter_
        self._policy = policy
        self._metrics = metrics
        self._random = random

    def applies(self, request: ChatRequest, context: RequestContext, agent: str | None = None) -> bool:
        """Whether the filter looks at this request and its answer; one draw decides for both."""
        when = self._policy.when
        if when is not None and not when.holds(request, context, agent):
            return False
        if self._policy.sample >= 1.0:
            return True
        key = (self.name, "sample")
        if key not in context.filter_state:
            context.filter_state[key] = self._random() < self._policy.sample
        drawn: bool = context.filter_state[key]
        return drawn

    async def on_request(self, request: ChatRequest, context: RequestContext) -> RequestOutcome:
        """What the filter says; the unchanged request when it failed and may be passed over."""
        try:
            outcome = await self.within_time(self._filter.on_request(request, context), context)
            if not isinstance(outcome, (ChatRequest, Rejection, LocalAnswer)):
                raise TypeError(f"on_request gave {type(outcome).__name__}")
        except Exception as exc:
            self.failed(exc, context)
            return request
        return outcome

    def answer_filter(self, request: ChatRequest, context: RequestContext) -> AnswerFilter | None:
        """Who looks at one answer, under the same policy."""
        try:
            inner = self._filter.answer_filter(request, context)
        except Exception as exc:
            self.failed(exc, context)
            return None
        return None if inner is None else _PolicedAnswer(self, inner, context)

    async def within_time(self, answer: Awaitable[_Value], context: RequestContext) -> _Value:
        """The answer, unless it takes longer than the filter, or the request, has. Raises ``TimeoutError``."""
        async with timeout(min(self._policy.timeout_s, context.remaining_s())):
            return await answer

    def failed(self, exc: Exception, context: RequestContext) -> None:
        """Count and log a failure. Raises ``FilterUnavailable``, unless the filter may be passed over."""
        denies = self._policy.on_error == "deny"
        self._metrics.degraded("filter")
        # Messages of foreign exceptions may quote what was said; the gateway's own do not.
        cause = str(exc) if isinstance(exc, GatewayError) else type(exc).__name__
        if isinstance(exc, (asyncio.TimeoutError, TimeoutError)):
            cause = "timeout"
        fields = {"filter": self.name, "on_error": self._policy.on_error, "cause": cause}
        logger.warning("filter failed", extra={**fields, "request_id": context.request_id})
        if denies:
            raise FilterUnavailable(f"The filter '{self.name}' is not available.") from exc
        if "filter" not in context.degraded:
            context.degraded.append("filter")


class _PolicedAnswer:
    """An answer filter that is passed over from its first failure on, where that is allowed."""

    __slots__ = ("_context", "_inner", "_owner", "_passed_over")

    def __init__(self, owner: PolicedFilter, inner: AnswerFilter, context: RequestContext) -> None:
        self._owner = owner
        self._inner = inner
        self._context = context
        self._passed_over = False

    async def feed(self, chunks: list[JsonObject]) -> AnswerOutcome:
        return chunks if self._passed_over else await self._asked(self._inner.feed(chunks))

    async def finish(self) -> AnswerOutcome:
        return [] if self._passed_over else await self._asked(self._inner.finish())

    def held(self) -> list[JsonObject]:
        return self._inner.held()

    async def _asked(self, answer: Awaitable[AnswerOutcome]) -> AnswerOutcome:
        try:
            outcome = await self._owner.within_time(answer, self._context)
            if not isinstance(outcome, (list, Blocked)):
                raise TypeError(f"an answer filter gave {type(outcome).__name__}")
        except Exception as exc:
            self._owner.failed(exc, self._context)
            self._passed_over = True
            return self.held()
        return outcome

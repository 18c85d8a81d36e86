"""Fail-over: one request, several who could answer it, tried in turn until the first byte of an answer.

The members of the first candidate come first (the same model at another provider), at once and without a pause, then
those of the next candidate (the next preferred model), unless a limit keeps the request from it. When all of them have
failed in ways that may pass (``retry`` has the table), there is a pause with jitter, or as long as ``Retry-After``
says, and another round. All of it within ``max_retries`` further tries, the retry budget of the gateway, and the time
that the request has left.

Once an answer has begun there is no other try: what breaks then is raised. While the circuit breaker of every member is
open a request fails at once, with 503 ``provider_unavailable`` and a ``Retry-After``; while they are all rate limited,
with 429. Trying one of them all the same would only make clients wait for it and keep it busy; its breaker lets probes
through soon enough.

Hedging (off by default) is for streams: a member that is slower than 95 of 100 earlier streams gets company, and
whoever says something first is heard. Whole answers are not hedged: they would all be paid for twice.
"""

from __future__ import annotations

import asyncio
import logging
import random as random_numbers
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple, TypeVar

from router.aio import timeout
from router.context import RequestContext
from router.dialects.canonical import ChatRequest
from router.errors import GatewayError, UpstreamProtocolError, UpstreamTimeout
from router.telemetry.metrics import Metrics
from router.upstream.breaker import BreakerPolicy, BreakerState, CircuitBreaker
from router.upstream.chat import Upstream
from router.upstream.cluster import Candidate, Member
from router.upstream.hedging import first_success
from router.upstream.latency import Latency
from router.upstream.retry import Backoff, RetryBudget
from router.upstream.search import Choice, Search
from router.upstream.tries import Try

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")
_Open = Callable[[Search, Choice], Awaitable[_Answer]]


@dataclass(frozen=True, slots=True)
class FallbackPolicy:
    """How much is done for a request before it fails.

    ``first_byte_timeout_s`` bounds a try at a stream until its first event; a whole answer has no first byte to wait
    for. ``hedge_after_at_least_s`` turns hedging on: a member gets that long even when it is usually quicker.
    """

    max_retries: int = 2
    first_byte_timeout_s: float | None = None
    retry_budget_ratio: float = 0.2
    backoff: Backoff = field(default_factory=Backoff)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    hedge_after_at_least_s: float | None = None


class Fallback:
    """What all requests share: the policy, the retry budget, and the making of members."""

    def __init__(
        self,
        policy: FallbackPolicy,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random_numbers.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.policy = policy
        self.metrics = metrics
        self.budget = RetryBudget(policy.retry_budget_ratio)
        self.clock = clock
        self.random = random
        self.sleep = sleep

    def member(
        self,
        name: str,
        upstream: Upstream,
        *,
        weight: float = 1.0,
        context_window: int | None = None,
        own_credentials: bool = True,
        provider: str | None = None,
    ) -> Member:
        """A member with a breaker of its own; one for each provider entry, for as long as the configuration lives."""
        breaker = CircuitBreaker(
            self.policy.breaker, random=self.random, on_change=partial(self._breaker_changed, name)
        )
        latency = Latency(self.clock)
        return Member(name, upstream, breaker, latency, weight, context_window, own_credentials, provider)

    def to(self, candidates: Sequence[Candidate], *, max_retries: int | None = None) -> Upstream:
        """An upstream for one request that tries ``candidates`` in order. ``max_retries`` wins over the policy's."""
        if not candidates:
            raise ValueError("A request needs somebody who could answer it.")
        return _FallbackUpstream(self, candidates, self.policy.max_retries if max_retries is None else max_retries)

    def _breaker_changed(self, name: str, state: BreakerState) -> None:
        self.metrics.breaker_changed(name, state)
        level = logging.WARNING if state == "open" else logging.INFO
        logger.log(level, "circuit breaker changed", extra={"upstream": name, "state": state})


class _Begun(NamedTuple):
    """A stream whose first event is here."""

    tried: Try
    first: bytes
    rest: AsyncGenerator[bytes, None]

    async def give_up(self) -> None:
        self.tried.given_up(asyncio.CancelledError())
        await self.rest.aclose()


class _FallbackUpstream:
    """One request's way to an answer; an ``Upstream``."""

    __slots__ = ("_candidates", "_max_retries", "_shared")

    def __init__(self, shared: Fallback, candidates: Sequence[Candidate], max_retries: int) -> None:
        self._shared = shared
        self._candidates = candidates
        self._max_retries = max_retries

    async def complete(self, request: ChatRequest, context: RequestContext) -> bytes:
        """A whole answer of the first one that gives one. Raises ``GatewayError``, the most telling of all tries."""

        async def whole(search: Search, choice: Choice) -> bytes:
            tried = self._try(search, choice, context, stream=False)
            try:
                answer = await choice.member.upstream.complete(_for_model(request, choice), context)
            except GatewayError as exc:
                search.failed(choice, exc, tried.failed(exc))
                raise
            except BaseException as exc:
                tried.given_up(exc)
                raise
            tried.succeeded()
            return answer

        return await self._until_answered(whole, context)

    async def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
        """The stream of the first one that begins one. Raises ``GatewayError``, before or after the first event."""

        async def begin(search: Search, choice: Choice) -> _Begun:
            delay_s = self._hedge_delay_s(choice)
            if delay_s is None:
                return await self._begin(search, choice, request, context)
            return await self._hedged(search, choice, request, context, delay_s)

        tried, first, rest = await self._until_answered(begin, context)
        try:
            async with aclosing(rest):
                yield first
                async for events in rest:
                    yield events
        except GatewayError as exc:
            tried.failed(exc)
            raise
        except BaseException as exc:
            tried.given_up(exc)
            raise
        finally:
            context.usage = tried.context.usage
        tried.succeeded()

    async def _until_answered(self, answer: _Open[_Answer], context: RequestContext) -> _Answer:
        shared = self._shared
        search = Search(self._candidates)
        now = shared.clock()
        shared.budget.deposit(now)
        choice = search.next(now)
        try:
            while choice is not None:
                if not await self._is_admitted(search, choice, context):
                    choice = await self._next(search, context)
                    continue
                try:
                    return await answer(search, choice)
                except GatewayError:
                    context.usage = None  # what a failed try counted is not the answer's
                    choice = await self._next(search, context)
            raise search.failure(shared.clock())
        finally:
            search.forget_error()

    async def _is_admitted(self, search: Search, choice: Choice, context: RequestContext) -> bool:
        """Whether a model that stands in may be used: limits hold for it as where it is asked for by name."""
        if context.admit_stand_in is None or choice.candidate is self._candidates[0]:
            return True
        try:
            await context.admit_stand_in(choice.candidate.full_names)
        except GatewayError as exc:
            logger.info("no stand-in", extra={"model": choice.candidate.model, "code": exc.code})
            search.refused(choice.candidate)
            return False
        return True

    async def _next(self, search: Search, context: RequestContext) -> Choice | None:
        """Who is tried after a failure, perhaps after a pause; ``None`` when it is final."""
        shared = self._shared
        now = shared.clock()
        if search.settled or search.tries > self._max_retries:
            return None
        choice = search.next(now)
        if choice is not None:
            return choice if now < context.deadline and (search.unpaid or shared.budget.withdraw(now)) else None
        pause_s = search.pause_s(now, shared.policy.backoff, shared.random)
        if pause_s is None or now + pause_s >= context.deadline or not shared.budget.withdraw(now):
            return None
        await shared.sleep(pause_s)
        search.start_over()
        return search.next(shared.clock())

    def _try(self, search: Search, choice: Choice, context: RequestContext, *, stream: bool) -> Try:
        search.began(choice)
        return Try(choice, context, self._shared.clock, self._shared.metrics, stream=stream)

    async def _begin(self, search: Search, choice: Choice, request: ChatRequest, context: RequestContext) -> _Begun:
        """One try, up to its first event."""
        events = choice.member.upstream.stream(_for_model(request, choice), context)
        tried = self._try(search, choice, context, stream=True)
        try:
            first = await self._first(events, choice.member.name)  # a generator that raises is closed
        except GatewayError as exc:
            search.failed(choice, exc, tried.failed(exc))
            raise
        except BaseException as exc:
            tried.overtaken(exc)
            raise
        tried.began()
        return _Begun(tried, first, events)

    async def _first(self, events: AsyncGenerator[bytes, None], name: str) -> bytes:
        limit_s = self._shared.policy.first_byte_timeout_s
        try:
            if limit_s is None:
                return await anext(events)
            try:
                async with timeout(limit_s):
                    return await anext(events)
            except (asyncio.TimeoutError, TimeoutError) as exc:
                raise UpstreamTimeout(f"'{name}' did not begin its answer in time.") from exc
        except StopAsyncIteration:
            raise UpstreamProtocolError(f"'{name}' sent an empty answer.") from None

    def _hedge_delay_s(self, choice: Choice) -> float | None:
        at_least_s = self._shared.policy.hedge_after_at_least_s
        if at_least_s is None or choice.member.breaker.state != "closed":
            return None
        p95 = choice.member.latency.first_byte_p95(choice.candidate.model)
        return None if p95 is None else max(p95, at_least_s)

    async def _hedged(
        self, search: Search, choice: Choice, request: ChatRequest, context: RequestContext, delay_s: float
    ) -> _Begun:
        def begin(choice: Choice) -> Awaitable[_Begun]:
            # A context of its own, so that only the try that is heard says how many tokens were used.
            return self._begin(search, choice, request, replace(context))

        def company() -> Callable[[], Awaitable[_Begun]] | None:
            twin = self._twin(search, choice, context)
            return None if twin is None else partial(begin, twin)

        begun = await first_success(
            partial(begin, choice), company, after_s=delay_s, hopeless=lambda: search.settled, discard=_Begun.give_up
        )
        begun.tried.is_heard()
        return begun

    def _twin(self, search: Search, choice: Choice, context: RequestContext) -> Choice | None:
        """Whom to ask beside ``choice``, where that can be afforded."""
        now = self._shared.clock()
        if search.tries > self._max_retries or now >= context.deadline:
            return None
        twin = search.twin(choice, now)
        return twin if twin is not None and self._shared.budget.withdraw(now) else None


def _for_model(request: ChatRequest, choice: Choice) -> ChatRequest:
    model = choice.candidate.model
    return request if request.model == model else request.replace(model=model)

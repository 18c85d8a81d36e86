"""An agent whose calls are spans and numbers, and whose tokens add up with those of the others in one request."""

from __future__ import annotations

import copy
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import fields

from router.context import RequestContext
from router.dialects.canonical import ChatRequest, JsonObject, Usage
from router.errors import GatewayError
from router.handlers.filtered_agent import Agent
from router.telemetry import semconv
from router.telemetry.metrics import Metrics
from router.upstream.span_attributes import usage_attributes


class ObservedAgent:
    """``agent``, observed; every method is as it is there."""

    def __init__(self, agent: Agent, metrics: Metrics) -> None:
        self._agent = agent
        self._metrics = metrics

    @property
    def name(self) -> str:
        return self._agent.name

    async def complete(self, request: ChatRequest, context: RequestContext) -> bytes:
        """A whole answer in the client's dialect."""
        with _Call(self.name, context, self._metrics) as call:
            return await self._agent.complete(request, call.context)

    async def ask(self, request: ChatRequest, context: RequestContext) -> str:
        """The text of the answer."""
        with _Call(self.name, context, self._metrics) as call:
            return await self._agent.ask(request, call.context)

    async def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
        """The answer as events in the client's dialect."""
        with _Call(self.name, context, self._metrics, stream=True) as call:
            async with aclosing(self._agent.stream(request, call.context)) as events:
                async for data in events:
                    call.began()
                    yield data

    async def chunks(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[list[JsonObject], None]:
        """The answer as batches of canonical chunks."""
        with _Call(self.name, context, self._metrics, stream=True) as call:
            async with aclosing(self._agent.chunks(request, call.context)) as batches:
                async for batch in batches:
                    call.began()
                    yield batch


class _Call:
    """One call of an agent. ``context`` is the request's, with a span and tokens of its own: agents may run at once."""

    __slots__ = ("_agent", "_began_s", "_metrics", "_request_context", "_started", "_stream", "context")

    def __init__(self, agent: str, context: RequestContext, metrics: Metrics, *, stream: bool = False) -> None:
        self._stream = stream
        self._agent = agent
        self._metrics = metrics
        self._request_context = context
        self._began_s: float | None = None

    def __enter__(self) -> _Call:
        context = self.context = copy.copy(self._request_context)
        context.usage = None
        if context.span.recording:
            context.span = context.span.child(
                f"{semconv.INVOKE_AGENT} {self._agent}",
                "client",
                {
                    semconv.OPERATION: semconv.INVOKE_AGENT,
                    semconv.AGENT_ID: self._agent,
                    semconv.AGENT_NAME: self._agent,
                    semconv.UPSTREAM: self._agent,
                    **({semconv.REQUEST_STREAM: True} if self._stream else {}),
                },
            )
        self._started = time.perf_counter()
        return self

    def began(self) -> None:
        """A part of the answer is here."""
        if self._began_s is None:
            self._began_s = time.perf_counter() - self._started

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, traceback: object) -> None:
        duration_s = time.perf_counter() - self._started
        error = _error_of(exc)
        self._metrics.operation_finished(
            semconv.INVOKE_AGENT,
            self._agent,
            provider="",
            model="",
            error=error,
            duration_s=duration_s,
            first_byte_s=self._began_s,
        )
        usage, span = self.context.usage, self.context.span
        if usage is not None:
            tokens = {"input": usage.input, "output": usage.output}
            self._metrics.tokens_counted(semconv.INVOKE_AGENT, self._agent, provider="", model="", tokens=tokens)
            said = self._request_context.usage
            self._request_context.usage = usage if said is None else _total(said, usage)
            if span.recording:
                span.attributes.update(usage_attributes(usage))
        span.set(semconv.TIME_TO_FIRST_CHUNK, self._began_s)
        if error:
            span.fail(error)
        span.end()


def _error_of(exc: BaseException | None) -> str:
    """What went wrong, from a closed set; empty where nothing did."""
    if exc is None:
        return ""
    if isinstance(exc, GatewayError):
        return type(exc).code  # an agent's own codes are an open set
    return "cancelled" if not isinstance(exc, Exception) else "internal_error"


def _total(one: Usage, other: Usage) -> Usage:
    return Usage(**{each.name: getattr(one, each.name) + getattr(other, each.name) for each in fields(Usage)})

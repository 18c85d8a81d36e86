"""Questions about traces, and their answers in JSON.

``traces``        filters as in ``TraceFilter.from_query``, ``limit``: one ``{"trace": summary}`` each, newest first
``trace``         ``id`` (the beginning of one, or a request id; without it the newest trace that the filters let
                  through): ``{"trace": summary}``, then ``{"span": ...}`` for each of its ``spans``, by start
``traces_follow`` filters: as ``trace``, for every trace as it comes, for as long as somebody listens

A summary: ``trace_id``, ``name``, ``service``, ``started_ns``, ``duration_ms``, ``error`` (of any span), ``spans``
(number), ``dropped``, ``services``, and, where known, ``listener``, ``agents``, ``models``, ``request_id``, ``status``
(of HTTP), ``input_tokens``, ``output_tokens``, ``cost_usd``, ``time_to_first_chunk_s``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any

from router.dialects.canonical import JsonObject
from router.observer.queries import Queries, QueryError
from router.observer.spans import FinishedSpan
from router.observer.trace_filter import TraceFilter
from router.observer.trace_store import StoredTrace, TraceStore
from router.telemetry import semconv

DEFAULT_LIMIT = 20
MAX_LIMIT = 1000

_LOOKED_AT_ONCE = 50  # traces, before others get their turn

_OF_ROOT = {
    "listener": semconv.LISTENER,
    "request_id": semconv.REQUEST_ID,
    "status": semconv.HTTP_STATUS,
    "input_tokens": semconv.INPUT_TOKENS,
    "output_tokens": semconv.OUTPUT_TOKENS,
    "cost_usd": semconv.COST_USD,
    "time_to_first_chunk_s": semconv.TIME_TO_FIRST_CHUNK,
}


class TraceQueries:
    """Answers from ``store``; ``register`` it once."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store

    def register(self, queries: Queries) -> None:
        """Answer these questions from now on."""
        queries.register("traces", self.traces)
        queries.register("trace", self.trace)
        queries.register("traces_follow", self.follow)

    async def traces(self, query: Mapping[str, Any]) -> AsyncIterator[JsonObject]:
        """See the head of this file."""
        for trace in await self._matching(query, _limit(query)):
            yield {"trace": summary(trace)}

    async def trace(self, query: Mapping[str, Any]) -> AsyncIterator[JsonObject]:
        """See the head of this file."""
        wanted = str(query.get("id") or "").strip().lower()
        if wanted:
            found = self._one(wanted, str(query["id"]).strip())
        elif matching := await self._matching(query, 1):
            found = matching[0]
        else:
            raise QueryError("No trace is here that the filters let through.")
        for frame in as_frames(found):
            yield frame

    async def follow(self, query: Mapping[str, Any]) -> AsyncIterator[JsonObject]:
        """See the head of this file."""
        wanted = _filter(query)
        async with aclosing(self._store.follow()) as traces:
            async for trace in traces:
                if wanted.matches(trace):
                    for frame in as_frames(trace):
                        yield frame

    async def _matching(self, query: Mapping[str, Any], limit: int) -> list[StoredTrace]:
        wanted = _filter(query)
        found: list[StoredTrace] = []
        for number, trace in enumerate(list(self._store.newest_first()), start=1):
            if wanted.matches(trace):
                found.append(trace)
                if len(found) == limit:
                    break
            if number % _LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return found

    def _one(self, prefix: str, request_id: str) -> StoredTrace:
        found = self._store.beginning_with(prefix)
        if not found:
            found = [
                trace
                for trace in self._store.newest_first()
                if any(span.attributes.get(semconv.REQUEST_ID) == request_id for span in trace.spans.values())
            ][:1]
        if not found:
            raise QueryError(f"No trace begins with {prefix[:64]}, and no request has this id. It may be too old.")
        if len(found) > 1:
            ids = ", ".join(trace.trace_id for trace in found[:5])
            raise QueryError(f"{len(found)} traces begin with {prefix[:64]}: {ids}.")
        return found[0]


def as_frames(trace: StoredTrace) -> Iterator[JsonObject]:
    """A trace and all of its spans, one by one: a frame has room for any of them."""
    yield {"trace": summary(trace)}
    for span in sorted(trace.spans.values(), key=lambda span: span.started_ns):
        yield {"span": span_fields(span)}


def summary(trace: StoredTrace) -> JsonObject:
    """See the head of this file."""
    root, spans = trace.root, trace.spans.values()
    fields: JsonObject = {
        "trace_id": trace.trace_id,
        "name": root.name,
        "service": root.service,
        "started_ns": root.started_ns,
        "duration_ms": round((root.ended_ns - root.started_ns) / 1e6, 3),
        "error": next((span.error for span in (root, *spans) if span.error is not None), None),
        "spans": len(spans),
        "dropped": trace.dropped,
        "services": sorted({span.service for span in spans}),
        "agents": _said(spans, semconv.AGENT_NAME, semconv.AGENT_ID),
        "models": _said(spans, semconv.REQUEST_MODEL),
    }
    # Of the gateway's own span where another service called it.
    gateway = root
    if semconv.REQUEST_ID not in root.attributes:
        gateway = next((span for span in spans if semconv.REQUEST_ID in span.attributes), root)
    fields |= {key: gateway.attributes[name] for key, name in _OF_ROOT.items() if name in gateway.attributes}
    return fields


def span_fields(span: FinishedSpan) -> JsonObject:
    """A span in JSON."""
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "name": span.name,
        "kind": span.kind,
        "service": span.service,
        "started_ns": span.started_ns,
        "ended_ns": span.ended_ns,
        "error": span.error,
        "attributes": span.attributes,
        "events": [{"time_ns": at, "name": name, "attributes": dict(said)} for at, name, said in span.events],
    }


def _said(spans: Iterable[FinishedSpan], *names: str) -> list[str]:
    found = (str(span.attributes[name]) for span in spans for name in names[:1] if name in span.attributes)
    values = list(dict.fromkeys(found))
    return values or (_said(spans, *names[1:]) if len(names) > 1 else [])


def _filter(query: Mapping[str, Any]) -> TraceFilter:
    try:
        return TraceFilter.from_query(query)
    except ValueError as exc:
        raise QueryError(str(exc)) from exc


def _limit(query: Mapping[str, Any]) -> int:
    limit = query.get("limit", DEFAULT_LIMIT)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_LIMIT:
        raise QueryError(f"`limit` is a number from 1 to {MAX_LIMIT}.")
    return limit

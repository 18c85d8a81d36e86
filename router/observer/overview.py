"""What is going on, in one JSON object: what ``trident top`` shows.

``query``: ``overview``, with ``interval_s`` (0.2 to 60); an object at once, and then one after each interval for as
long as somebody listens. Totals are since the telemetry process began; rates and percentiles are those of the last
minute, percentiles of all time where there was nothing in it.

``uptime_s``, ``workers``, ``window_s``, ``requests`` (``total``, ``per_s``, ``in_flight``, ``errors``, ``p50_s``,
``p95_s``), then lists of rows: ``listeners``, ``agents``, ``models`` (``name`` and what is known of each: ``total``,
``per_s``, ``errors``, ``p50_s``, ``p95_s``, ``first_token_p50_s``, ``input_tokens``, ``output_tokens``, ``cost_usd``,
``in_flight``), ``routes``, ``guards`` (``name``, ``outcomes``), ``signals``, ``quality``, ``degraded``, ``breakers``,
``dropped`` (``name``, ``total``), ``recent`` (summaries of ``trace_queries``), ``tokens``, ``cost_usd``.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

from router.dialects.canonical import JsonObject
from router.observer.metrics import HistogramValue, MergedMetrics
from router.observer.queries import Queries, QueryError
from router.observer.snapshots import Labels, Row, Snapshot, counted, number, recorded
from router.observer.trace_queries import summary
from router.observer.trace_store import TraceStore
from router.telemetry import catalogue, semconv
from router.telemetry.instruments import Definition

WINDOW_S = 60.0
RECENT = 10

_DEFAULT_INTERVAL_S = 2.0
_FAILED = frozenset({"4xx", "5xx"})
_PROVIDERS = {told: configured for configured, told in semconv.PROVIDER_NAMES.items()}


class OverviewQuery:
    """Answers ``overview``; ``register`` it once."""

    def __init__(self, metrics: MergedMetrics, store: TraceStore) -> None:
        self._metrics = metrics
        self._store = store

    def register(self, queries: Queries) -> None:
        """Answer from now on."""
        queries.register("overview", self.answer)

    async def answer(self, query: Mapping[str, Any]) -> AsyncIterator[JsonObject]:
        """See the head of this file."""
        interval_s = query.get("interval_s", _DEFAULT_INTERVAL_S)
        if not isinstance(interval_s, int | float) or not 0.2 <= interval_s <= 60:
            raise QueryError("`interval_s` is a number of seconds from 0.2 to 60.")
        history: deque[Snapshot] = deque()
        while True:
            now = Snapshot.of(self._metrics.families(), time.monotonic())
            history.append(now)
            while len(history) > 1 and history[1].at_s <= now.at_s - WINDOW_S:
                history.popleft()
            fields = overview(now, history[0])
            fields["uptime_s"] = round((time.time_ns() - self._metrics.started_ns) / 1e9, 1)
            fields["workers"] = self._metrics.workers
            fields["recent"] = [summary(trace) for trace in itertools.islice(self._store.newest_first(), RECENT)]
            yield {"overview": fields}
            await asyncio.sleep(float(interval_s))


def overview(now: Snapshot, before: Snapshot) -> JsonObject:
    """All but ``uptime_s``, ``workers`` and ``recent``."""
    window_s = now.at_s - before.at_s
    listeners = _listeners(now, before)
    agents, models = _upstreams(now, before)
    everything = Row()
    for row in listeners.values():
        everything.total += row.total
        everything.recent += row.recent
        everything.errors += row.errors
        everything.in_flight = (everything.in_flight or 0) + (row.in_flight or 0)
        everything.durations += row.durations
        everything.recent_durations += row.recent_durations
    whole = everything.fields("all", window_s, catalogue.REQUEST_DURATION, catalogue.TIME_TO_FIRST_TOKEN)
    tokens: Counter[str] = Counter()
    for labels, value in now.series(catalogue.TOKENS):
        tokens[labels[semconv.TOKEN_TYPE]] += int(number(value))
    return {
        "window_s": round(window_s, 1),
        "requests": {key: whole[key] for key in ("total", "per_s", "in_flight", "errors", "p50_s", "p95_s")},
        "listeners": _rows(listeners, window_s, catalogue.REQUEST_DURATION, catalogue.TIME_TO_FIRST_TOKEN),
        "agents": _rows(agents, window_s, catalogue.OPERATION_DURATION, catalogue.TIME_TO_FIRST_CHUNK),
        "models": _rows(models, window_s, catalogue.OPERATION_DURATION, catalogue.TIME_TO_FIRST_CHUNK),
        "tokens": dict(tokens),
        "cost_usd": round(sum(number(value) for _, value in now.series(catalogue.COST)), 6),
        "routes": _totals(now, catalogue.ROUTES_SELECTED, semconv.ROUTE),
        "guards": _guards(now),
        "signals": _totals(now, catalogue.SIGNALS, semconv.SIGNAL_TYPE),
        "quality": _totals(now, catalogue.CONVERSATION_QUALITY, semconv.QUALITY),
        "degraded": _totals(now, catalogue.DEGRADED, semconv.PART),
        "breakers": _breakers(now),
        "dropped": _totals(now, catalogue.TELEMETRY_DROPPED, semconv.DROPPED),
    }


def _listeners(now: Snapshot, before: Snapshot) -> dict[str, Row]:
    rows: defaultdict[str, Row] = defaultdict(Row)
    for labels, total, recent in counted(now, before, catalogue.REQUESTS):
        row = rows[labels[semconv.LISTENER]]
        row.total += total
        row.recent += recent
        if labels[semconv.STATUS_CLASS] in _FAILED:
            row.errors += total
    for labels, value in now.series(catalogue.ACTIVE_REQUESTS):
        row = rows[labels[semconv.LISTENER]]
        row.in_flight = (row.in_flight or 0) + number(value)
    for labels, whole, part in recorded(now, before, catalogue.REQUEST_DURATION):
        row = rows[labels[semconv.LISTENER]]
        row.durations.append(whole)
        row.recent_durations.append(part)
    for labels, whole, part in recorded(now, before, catalogue.TIME_TO_FIRST_TOKEN):
        row = rows[labels[semconv.LISTENER]]
        row.first_tokens.append(whole)
        row.recent_first_tokens.append(part)
    for labels, value in now.series(catalogue.TOKENS):
        _add_tokens(rows[labels[semconv.LISTENER]], labels, number(value))
    for labels, value in now.series(catalogue.COST):
        rows[labels[semconv.LISTENER]].cost_usd += number(value)
    return rows


def _upstreams(now: Snapshot, before: Snapshot) -> tuple[dict[str, Row], dict[str, Row]]:
    """Agents by their id, models by provider and name."""
    agents: defaultdict[str, Row] = defaultdict(Row)
    models: defaultdict[str, Row] = defaultdict(Row)

    def row_of(labels: Labels) -> Row:
        if labels[semconv.OPERATION] == semconv.INVOKE_AGENT:
            return agents[labels[semconv.UPSTREAM]]
        return models[_model(labels)]

    for labels, whole, part in recorded(now, before, catalogue.OPERATION_DURATION):
        row = row_of(labels)
        row.total += whole.count
        row.recent += part.count
        if labels[semconv.ERROR_TYPE]:
            row.errors += whole.count
        row.durations.append(whole)
        row.recent_durations.append(part)
    for labels, whole, part in recorded(now, before, catalogue.TIME_TO_FIRST_CHUNK):
        row = row_of(labels)
        row.first_tokens.append(whole)
        row.recent_first_tokens.append(part)
    for labels, value in now.series(catalogue.TOKEN_USAGE):
        if isinstance(value, HistogramValue):
            _add_tokens(row_of(labels), labels, value.sum)
    for labels, value in now.series(catalogue.COST):
        name = labels[semconv.REQUEST_MODEL]
        if name in models:
            models[name].cost_usd += number(value)
    return agents, models


def _model(labels: Labels) -> str:
    """The name of a model as the configuration has it."""
    name, told = labels[semconv.REQUEST_MODEL], labels[semconv.PROVIDER]
    provider = _PROVIDERS.get(told, told)
    return name if not provider or name.startswith(f"{provider}/") else f"{provider}/{name}"


def _add_tokens(row: Row, labels: Labels, count: float) -> None:
    if labels[semconv.TOKEN_TYPE] == "input":
        row.input_tokens += count
    else:
        row.output_tokens += count


def _rows(rows: Mapping[str, Row], window_s: float, bounds: Definition, first_bounds: Definition) -> list[JsonObject]:
    busiest = sorted(rows.items(), key=lambda entry: (-entry[1].total, entry[0]))
    return [row.fields(name, window_s, bounds, first_bounds) for name, row in busiest]


def _totals(now: Snapshot, definition: Definition, label: str) -> list[JsonObject]:
    totals: Counter[str] = Counter()
    for labels, value in now.series(definition):
        totals[labels[label]] += int(number(value))
    return [{"name": name, "total": total} for name, total in totals.most_common()]


def _guards(now: Snapshot) -> list[JsonObject]:
    guards: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for labels, value in now.series(catalogue.GUARD_VERDICTS):
        guards[labels[semconv.GUARD]][labels[semconv.OUTCOME]] += int(number(value))
    return [{"name": name, "outcomes": dict(outcomes)} for name, outcomes in sorted(guards.items())]


def _breakers(now: Snapshot) -> list[JsonObject]:
    """The upstreams whose circuit breakers are not closed."""
    open_ones = [
        {"name": labels[semconv.UPSTREAM], "state": labels[semconv.BREAKER], "workers": int(number(value))}
        for labels, value in now.series(catalogue.BREAKER_STATE)
    ]
    return [breaker for breaker in open_ones if breaker["workers"]]

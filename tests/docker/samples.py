"""A registry with a sample in every metric of the catalogue, under every word that the code has for its labels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import product
from typing import get_args

from router.context import RouteReason
from router.observer.admin import AdminListener
from router.observer.metrics import MergedMetrics
from router.signals.report import SIGNAL_TYPES, Quality
from router.telemetry import catalogue, semconv
from router.telemetry.instruments import Definition, Registry
from router.telemetry.metrics import AccessRefusal, AttemptOutcome, DegradablePart, GuardOutcome, Metrics
from router.upstream.breaker import BreakerState


def _confidences() -> tuple[str, ...]:
    """The words for an orchestrator's certainty, from the code that chooses them."""
    metrics = Metrics()
    for score in (None, *(step / 20 for step in range(21))):
        metrics.route_selected("", "", score)
    return tuple(series[-1] for series in metrics.registry.sum(catalogue.ROUTES_SELECTED).series)


# Labels without an entry have one value, "x": no dashboard asks for certain ones of theirs.
VALUES: Mapping[str, tuple[str, ...]] = {
    semconv.LISTENER: ("web",),
    semconv.STATUS_CLASS: ("2xx", "4xx", "5xx"),
    semconv.HTTP_ROUTE: ("/v1/chat/completions",),
    semconv.OPERATION: (semconv.CHAT, semconv.INVOKE_AGENT),
    semconv.PROVIDER: ("openai",),
    semconv.REQUEST_MODEL: ("gpt-4o",),
    semconv.UPSTREAM: ("openai", "weather"),
    semconv.ERROR_TYPE: ("", "timeout"),
    semconv.TOKEN_TYPE: ("input", "output"),
    semconv.API_KEY: ("default",),
    semconv.ROUTE_REASON: get_args(RouteReason),
    semconv.ROUTE: ("weather",),
    semconv.CONFIDENCE: _confidences(),
    semconv.GUARD: ("jailbreak",),
    semconv.OUTCOME: get_args(GuardOutcome),
    semconv.PART: get_args(DegradablePart),
    semconv.REFUSAL_REASON: get_args(AccessRefusal),
    semconv.ATTEMPT_OUTCOME: get_args(AttemptOutcome),
    semconv.BREAKER: tuple(state for state in get_args(BreakerState) if state != "closed"),
    semconv.DROPPED: ("requests", "spans", "metrics", "exchanges"),
    semconv.SIGNAL_TYPE: SIGNAL_TYPES,
    semconv.QUALITY: get_args(Quality),
    semconv.MODEL: ("orchestrator",),
    semconv.MODEL_VERSION: ("1",),
    semconv.VERSION: ("0.1.0",),
    semconv.PYTHON: ("3.12.12",),
    semconv.CONFIG_HASH: ("0123abcd",),
    "outcome": ("ok", "error"),
}

# What only counts while something is wrong.
_WRONG: Mapping[str, Collection[str]] = {
    semconv.STATUS_CLASS: ("5xx",),
    semconv.ERROR_TYPE: ("timeout",),
    semconv.OUTCOME: ("unavailable", "allowed_unchecked"),
    semconv.PART: VALUES[semconv.PART],
    semconv.REFUSAL_REASON: VALUES[semconv.REFUSAL_REASON],
    semconv.BREAKER: VALUES[semconv.BREAKER],
    semconv.DROPPED: VALUES[semconv.DROPPED],
    "outcome": ("error",),
}


class Samples:
    """The registry. ``count`` counts everything once more; what is wrong only while ``is_broken``."""

    def __init__(self, *, is_broken: bool) -> None:
        self.registry = Registry()
        self.is_broken = is_broken

    def count(self) -> None:
        """Bring every counter and histogram on, and every level to what it is now."""
        for definition in catalogue.METRICS.values():
            if definition.name != semconv.WORKERS:  # the observer's own
                for labels in _series(definition):
                    self._count(definition, labels)

    def _count(self, definition: Definition, labels: tuple[str, ...]) -> None:
        is_wrong = any(value in _WRONG.get(name, ()) for name, value in zip(definition.labels, labels, strict=True))
        amount = 1.0 if self.is_broken or not is_wrong else 0.0
        match definition.kind:
            case "counter":
                self.registry.sum(definition).add(amount, *labels)
            case "up_down_counter":
                level = self.registry.sum(definition)
                level.add(amount - level.series.get(labels, 0), *labels)
            case "gauge":
                is_down = definition.name == semconv.TRITON_UP and self.is_broken
                self.registry.gauge(definition).set(0 if is_down else 1, *labels)
            case "histogram":
                self.registry.histogram(definition).record(9.0 if self.is_broken else 0.03, *labels)


def _series(definition: Definition) -> Iterator[tuple[str, ...]]:
    return product(*(VALUES.get(label, ("x",)) for label in definition.labels))


@asynccontextmanager
async def served(samples: Samples) -> AsyncIterator[AdminListener]:
    """The samples as the observer exposes them, counting on many times a second until the end."""
    listener = AdminListener(MergedMetrics(samples.registry), list)
    samples.count()
    await listener.open("127.0.0.1", 0)

    async def count_on() -> None:
        while True:
            await asyncio.sleep(0.05)
            samples.count()

    counting = asyncio.create_task(count_on())
    try:
        yield listener
    finally:
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)
        await listener.close()

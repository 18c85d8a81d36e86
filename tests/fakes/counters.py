"""Reads back what was counted."""

from __future__ import annotations

from collections.abc import Iterable

from router.listeners.recording import RequestRecorder
from router.pricing import PriceTable
from router.telemetry.instruments import Registry
from router.telemetry.metrics import Metrics


class RecordedMetrics:
    """``metrics``, or a ``recorder`` on them, to hand to the code under test; ``count`` says what arrived."""

    def __init__(self, models: Iterable[str] = ()) -> None:
        self.registry = Registry()
        self.metrics = Metrics(self.registry, models)
        self.recorder = RequestRecorder(self.metrics, PriceTable({}))

    def count(self, name: str, *values: str) -> int:
        """The sum of counter ``name`` over all series that carry the label ``values``."""
        wanted = set(values)
        return sum(int(value) for labels, value in self.registry.snapshot().get(name, ()) if wanted <= set(labels))

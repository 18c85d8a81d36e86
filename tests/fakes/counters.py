"""Reads back what was counted."""

from __future__ import annotations

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from router.telemetry.metrics import Metrics


class RecordedMetrics:
    """``metrics`` to hand to the code under test; ``count`` says what arrived."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.metrics = Metrics(MeterProvider([self._reader]).get_meter("test"))

    def count(self, name: str, *values: str) -> int:
        """The sum of counter ``name`` over all data points that carry the attribute ``values``."""
        wanted = set(values)
        data = self._reader.get_metrics_data()
        total = 0
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == name:
                        total += sum(
                            int(point.value)  # type: ignore[union-attr]
                            for point in metric.data.data_points
                            if wanted <= {str(value) for value in (point.attributes or {}).values()}
                        )
        return total

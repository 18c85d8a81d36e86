"""Everything that spans and metrics leave the telemetry process through, as one configuration says."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence

from router.config.tracing import OtlpExporter, Tracing
from router.observer.collector import Collector
from router.observer.export_queue import ExportQueue
from router.observer.metrics import MergedMetrics
from router.observer.metrics_export import MetricsExport
from router.observer.otlp_encoding import OtlpEncoder, resource_attributes
from router.observer.otlp_export import destination
from router.observer.otlp_spans import OtlpSpans
from router.observer.overview import OverviewQuery
from router.observer.posthog import PosthogDestination, PosthogSpans
from router.observer.queries import Queries
from router.observer.spans import SpanTaker
from router.observer.trace_queries import TraceQueries
from router.observer.trace_store import TraceStore
from router.telemetry import catalogue
from router.telemetry.instruments import Registry

CLOSE_WITHIN_S = 3.0


class Outlets:
    """The store, the exporters and the collector. ``open`` it in the event loop, ``close`` it.

    ``takers`` get the spans of this gateway. Those that others deliver to the collector join them in the store, and go
    nowhere else. What is lost is counted in ``own``.
    """

    def __init__(self, tracing: Tracing, metrics: MergedMetrics, own: Registry) -> None:
        """Raises ``OperatorError`` for certificates and addresses that are none."""
        self.store = TraceStore()
        self._tracing = tracing
        self._metrics = metrics
        self._own = own
        self._dropped = own.sum(catalogue.TELEMETRY_DROPPED)
        self._encoder = OtlpEncoder(resource_attributes(tracing.service_name, tracing.resource))
        self._queues: list[ExportQueue] = []
        self._metrics_exports: list[MetricsExport] = []
        self._collector = Collector([self.store]) if tracing.collector is not None else None
        self.takers: tuple[SpanTaker, ...] = (self.store, *self._exporters())

    def register(self, queries: Queries) -> None:
        """Answer questions about traces, and about what is going on."""
        TraceQueries(self.store).register(queries)
        OverviewQuery(self._metrics, self.store).register(queries)

    async def open(self) -> None:
        """Begin to deliver and to collect. Raises ``OperatorError`` where the collector's port is taken."""
        for queue in self._queues:
            queue.open()
        for export in self._metrics_exports:
            export.open()
        of = self._tracing.collector
        if self._collector is not None and of is not None:
            await self._collector.open(of.address, grpc_port=of.grpc_port, http_port=of.http_port)

    async def close(self, within_s: float = CLOSE_WITHIN_S) -> None:
        """Deliver what is left within this time, and let go."""
        if self._collector is not None:
            await self._collector.close()
        exports: Sequence[ExportQueue | MetricsExport] = (*self._queues, *self._metrics_exports)
        await asyncio.gather(*(export.close(within_s) for export in exports))

    def _exporters(self) -> list[SpanTaker]:
        takers: list[SpanTaker] = []
        collectors = self._collectors()
        if queues := [self._span_queue(collector) for collector in collectors if collector.traces]:
            self._queues += queues
            content = self._tracing.capture_content
            takers.append(OtlpSpans(self._encoder, queues, self._own, with_content=content))
        for collector in collectors:
            if collector.metrics:
                self._metrics_exports.append(
                    MetricsExport(
                        self._metrics,
                        self._encoder,
                        destination(collector, "metrics"),
                        functools.partial(self._count, "metrics"),
                        interval_s=collector.metrics_interval,
                    )
                )
        for exporter in self._tracing.exporters:
            if exporter.enabled:
                posthog = PosthogDestination(exporter)
                queue = ExportQueue(posthog, posthog.assemble, functools.partial(self._count, "events"))
                self._queues.append(queue)
                takers.append(PosthogSpans(exporter, queue))
        return takers

    def _collectors(self) -> tuple[OtlpExporter, ...]:
        endpoint = self._tracing.opentracing_grpc_endpoint
        if endpoint is None:
            return self._tracing.otlp
        # The key is Plano's, which sends it spans and nothing else, as they are.
        plain = OtlpExporter(endpoint=endpoint, protocol="grpc", compression="none", metrics=False)
        return plain, *self._tracing.otlp

    def _span_queue(self, collector: OtlpExporter) -> ExportQueue:
        lost = functools.partial(self._count, "spans")
        return ExportQueue(destination(collector, "traces"), self._encoder.trace_request, lost)

    def _count(self, what: str, lost: int) -> None:
        self._dropped.add(lost, what)

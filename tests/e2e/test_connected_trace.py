"""One request, one trace: gateway, Triton, a filter and an agent with spans of their own, in a real OTLP receiver."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tests.e2e.trident import Instance, body, free_port, up
from tests.fakes import agents
from tests.fakes.agents import Behaviour, FakeAgent
from tests.fakes.collector import FakeCollector, ReceivedSpan
from tests.fakes.http_exchange import Exchange

pytestmark = [pytest.mark.e2e, pytest.mark.triton]

CONFIG = """\
version: v0.4.0
agents:
  - {{id: weather_agent, url: {weather}}}
  - {{id: flight_agent, url: {weather}}}
filters:
  - {{id: gate, type: http, url: {gate}}}
listeners:
  - type: agent
    name: travel
    port: {port}
    input_filters: [gate]
    agents:
      - {{id: weather_agent, description: Gets real-time weather and forecasts for any city.}}
      - {{id: flight_agent, description: Searches flights between airports with schedules.}}
prompt_guards: {{input_guards: {{jailbreak: {{on_exception: {{message: No.}}}}}}}}
tracing: {{otlp: [{{endpoint: "{collector}", protocol: http/protobuf, metrics_interval: 1s}}]}}
"""
REQUESTS = 6


class Instrumented:
    """A service with OpenTelemetry's own SDK, as somebody else would write one."""

    def __init__(self, name: str, collector: str) -> None:
        self._name = name
        self._provider = TracerProvider(resource=Resource.create({"service.name": name}))
        exporter = OTLPSpanExporter(endpoint=f"{collector}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=200))
        self._tracer = self._provider.get_tracer("test")

    def traced(self, behaviour: Behaviour) -> Behaviour:
        async def behave(exchange: Exchange) -> None:
            parent = TraceContextTextMapPropagator().extract(dict(exchange.request.headers))
            with self._tracer.start_as_current_span(f"{self._name} work", context=parent, kind=SpanKind.SERVER):
                await behaviour(exchange)

        return behave

    async def close(self) -> None:
        await asyncio.to_thread(self._provider.shutdown)


async def _passes(exchange: Exchange) -> None:
    await exchange.send_json(exchange.request.json)


@dataclass
class World:
    running: Instance
    collector: FakeCollector


@contextmanager
def _without_export_settings() -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("OTEL_")}
    try:
        yield
    finally:
        os.environ.update(kept)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        stack.enter_context(_without_export_settings())
        collector = await stack.enter_async_context(FakeCollector())
        weather, gate = (Instrumented(name, collector.http_url) for name in ("weather_service", "gate_service"))
        stack.push_async_callback(weather.close)
        stack.push_async_callback(gate.close)
        agent = await stack.enter_async_context(FakeAgent(behaviour=weather.traced(agents.answer("Sunny."))))
        filter_ = await stack.enter_async_context(FakeAgent(behaviour=gate.traced(_passes)))
        port, config = free_port(), tmp_path / "config.yaml"
        config.write_text(CONFIG.format(weather=agent.url, gate=filter_.url, collector=collector.http_url, port=port))
        yield World(await stack.enter_async_context(up(config, tmp_path / "state", port)), collector)


def _trace_id(number: int) -> str:
    return f"4bf92f3577b34da6a3ce929d0e0e47{number:02x}"


async def test_a_request_is_one_trace_over_all_processes(world: World) -> None:
    async with aiohttp.ClientSession(world.running.url) as session:
        for number in range(REQUESTS):
            headers = {"traceparent": f"00-{_trace_id(number)}-00f067aa0ba902b7-01"}
            question = body(f"What is the weather in Oslo on day {number}?")
            async with session.post("/v1/chat/completions", json=question, headers=headers) as answer:
                assert answer.status == 200
    every = {"trident", "triton", "weather_service", "gate_service"}
    # Triton loses the context of a request now and then; of the gateway, filter and agent none may be missing.
    own = every - {"triton"}

    def arrived(collector: FakeCollector) -> bool:
        services = [{span.service for span in collector.trace(_trace_id(number))} for number in range(REQUESTS)]
        return all(own <= each for each in services) and every in services

    await world.collector.wait_until(arrived, within_s=30)
    for number in range(REQUESTS):
        _check_connected(world.collector.trace(_trace_id(number)))
    await world.collector.wait_until(lambda collector: "trident.requests" in collector.metrics, within_s=10)


def _check_connected(spans: list[ReceivedSpan]) -> None:
    """Every span but the request's own has its parent in the trace, and the parent is who asked."""
    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == len(spans)
    parents = {span.name: by_id.get(span.parent_id) for span in spans}
    orphans = [span.name for span in spans if span.parent_id not in by_id]
    assert orphans == ["POST /v1/chat/completions"]
    assert _name(parents["weather_service work"]) == "invoke_agent weather_agent"
    assert _name(parents["gate_service work"]) == "filter gate"
    assert _name(parents["route"]) == _name(parents["guardrails"]) == "POST /v1/chat/completions"
    if "InferRequest" in parents:
        assert _name(parents["InferRequest"]) == "inference.GRPCInferenceService/ModelInfer"


def _name(span: ReceivedSpan | None) -> str | None:
    return None if span is None else span.name

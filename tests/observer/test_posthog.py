"""Calls of models as events of PostHog's capture API."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from router import __version__
from router.config.tracing import TraceExporter, Tracing
from router.observer.export_queue import ExportQueue, QueueLimits
from router.observer.metrics import MergedMetrics
from router.observer.outlets import Outlets
from router.observer.posthog import MAX_MESSAGE_CHARS, PosthogDestination, PosthogSpans
from router.observer.spans import FinishedSpan
from router.telemetry import catalogue, semconv
from router.telemetry.instruments import Registry
from router.upstream.retry import Backoff
from tests.observer.spans import START_NS, TRACE, span
from tests.observer.waiting import until

CALL: dict[str, Any] = {
    semconv.OPERATION: "chat",
    semconv.PROVIDER: "openai",
    semconv.REQUEST_MODEL: "gpt-4o",
    semconv.RESPONSE_MODEL: "gpt-4o-2024-11-20",
    semconv.INPUT_TOKENS: 12,
    semconv.OUTPUT_TOKENS: 34,
    semconv.TIME_TO_FIRST_CHUNK: 0.25,
    semconv.HTTP_STATUS: 200,
}


class FakePosthog:
    """A capture API on port 0: keeps the batches it gets, answers with ``statuses`` first."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.paths: list[str] = []
        self.batches: list[dict[str, Any]] = []
        self.url = ""

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for batch in self.batches for event in batch["batch"]]

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.paths.append(request.path)
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.batches.append(json.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body))
        return web.json_response({"status": "Ok"}, status=status)


@asynccontextmanager
async def posthog(*statuses: int) -> AsyncIterator[FakePosthog]:
    fake = FakePosthog(*statuses)
    app = web.Application()
    app.router.add_post("/{path:.*}", fake.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "localhost", 0).start()
    fake.url = f"http://localhost:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


def exporter(fake: FakePosthog, **more: Any) -> TraceExporter:
    return TraceExporter.model_validate({"type": "posthog", "url": fake.url, "api_key": "phc_secret", **more})


async def captured(spans: list[FinishedSpan], **more: Any) -> list[dict[str, Any]]:
    async with posthog() as fake:
        own = Registry()
        section = {"exporters": [exporter(fake, **more)]}
        outlets = Outlets(Tracing.model_validate(section), MergedMetrics(own), own)
        await outlets.open()
        for taker in outlets.takers:
            taker.take(spans)
        await outlets.close(5)
        assert {batch["api_key"] for batch in fake.batches} <= {"phc_secret"}
        assert set(fake.paths) <= {"/batch/"}
        return fake.events


def request_with(call: FinishedSpan, **root: Any) -> list[FinishedSpan]:
    gateway = span(span_id="a" * 16, attributes={semconv.LISTENER: "models", semconv.COST_USD: 0.002, **root})
    call.parent_id = gateway.span_id
    return [gateway, span("route", kind="internal", parent=gateway.span_id), call]


def call_of_a_model(**more: Any) -> FinishedSpan:
    return span("chat gpt-4o", span_id="b" * 16, kind="client", start_ms=2, ms=1500, attributes={**CALL, **more})


async def test_a_call_of_a_model_becomes_a_generation() -> None:
    (event,) = await captured(request_with(call_of_a_model()))
    assert event["event"] == "$ai_generation"
    assert event["timestamp"] == "2025-06-15T15:06:40.002000+00:00"
    assert START_NS == 1_750_000_000_000_000_000
    assert event["distinct_id"] == TRACE
    assert event["properties"] == {
        "$ai_trace_id": TRACE,
        "$ai_span_id": "b" * 16,
        "$ai_span_name": "chat gpt-4o",
        "$ai_parent_id": "a" * 16,
        "$ai_model": "gpt-4o-2024-11-20",
        "$ai_provider": "openai",
        "$ai_latency": 1.5,
        "$ai_time_to_first_token": 0.25,
        "$ai_input_tokens": 12,
        "$ai_output_tokens": 34,
        "$ai_http_status": 200,
        "$ai_is_error": False,
        "$ai_total_cost_usd": 0.002,
        "$process_person_profile": False,
        "$lib": "trident",
        "$lib_version": __version__,
        "trident.listener": "models",
    }


async def test_a_call_that_failed_says_so_and_costs_nothing() -> None:
    failed = call_of_a_model()
    failed.error = "timeout"
    (event,) = await captured(request_with(failed))
    properties = event["properties"]
    assert (properties["$ai_is_error"], properties["$ai_error"]) == (True, "timeout")
    assert "$ai_total_cost_usd" not in properties


@pytest.mark.parametrize("value", ["user-7", ["user-7"]])
async def test_the_header_that_identifies_the_user_does(value: Any) -> None:
    spans = request_with(call_of_a_model(), **{"http.request.header.x-user-id": value})
    (event,) = await captured(spans, distinct_id_header="X-User-Id")
    assert event["distinct_id"] == "user-7"
    assert "$process_person_profile" not in event["properties"]


async def test_without_the_header_nobody_is_identified() -> None:
    spans = request_with(call_of_a_model(), **{"http.request.header.x-user-id": "user-7"})
    (event,) = await captured(spans)
    assert (event["distinct_id"], event["properties"]["$process_person_profile"]) == (TRACE, False)


MESSAGES = [
    {"role": "user", "parts": [{"type": "text", "content": "x" * 5000}, {"type": "image_url"}]},
    {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": "1", "name": "weather", "arguments": '{"city":"Oslo"}'}],
    },
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "rain"}]},
]


async def test_prompts_are_sent_only_when_asked_for_and_then_shortened() -> None:
    spans = request_with(call_of_a_model(**{semconv.INPUT_MESSAGES: json.dumps(MESSAGES)}))
    (event,) = await captured(spans)
    assert "$ai_input" not in event["properties"]
    assert "xxx" not in json.dumps(event)
    (event,) = await captured(spans, capture_messages=True)
    assert event["properties"]["$ai_input"] == [
        {"role": "user", "content": [{"type": "text", "text": "x" * MAX_MESSAGE_CHARS}]},
        {
            "role": "assistant",
            "content": [{"type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}],
        },
        {"role": "tool", "content": [{"type": "text", "text": "rain"}]},
    ]


@pytest.mark.parametrize("said", ["no json", "{}", "[1]", None])
async def test_messages_that_cannot_be_read_are_left_out(said: str | None) -> None:
    (event,) = await captured(request_with(call_of_a_model(**{semconv.INPUT_MESSAGES: said})), capture_messages=True)
    assert "$ai_input" not in event["properties"]


async def test_embeddings_have_an_event_of_their_own_and_agents_have_none() -> None:
    embedding = call_of_a_model(**{semconv.OPERATION: "embeddings"})
    (event,) = await captured(request_with(embedding))
    assert event["event"] == "$ai_embedding"
    assert await captured(request_with(call_of_a_model(**{semconv.OPERATION: "invoke_agent"}))) == []


async def test_an_exporter_that_is_turned_off_sends_nothing() -> None:
    assert await captured(request_with(call_of_a_model()), enabled=False) == []


@pytest.mark.parametrize(("statuses", "taken", "lost"), [((503, 429), 1, []), ((400,), 0, [1]), ((401,), 0, [1])])
async def test_events_are_sent_again_where_that_may_help(
    statuses: tuple[int, ...], taken: int, lost: list[int]
) -> None:
    async with posthog(*statuses) as fake:
        counted: list[int] = []
        way = PosthogDestination(exporter(fake, url=f"{fake.url}/ingest/batch"))
        queue = ExportQueue(
            way, way.assemble, counted.append, QueueLimits(batch_after_s=0.01, backoff=Backoff(0.01, 0.02))
        )
        queue.open()
        PosthogSpans(exporter(fake), queue).take(request_with(call_of_a_model()))
        await until(lambda: fake.events or counted)
        await queue.close(5)
        assert (len(fake.events), counted) == (taken, lost)
        assert set(fake.paths) == {"/ingest/batch/"}


async def test_the_loss_of_events_is_counted() -> None:
    async with posthog(400) as fake:
        own = Registry()
        outlets = Outlets(Tracing.model_validate({"exporters": [exporter(fake)]}), MergedMetrics(own), own)
        await outlets.open()
        for taker in outlets.takers:
            taker.take(request_with(call_of_a_model()))
        await outlets.close(5)
        assert own.sum(catalogue.TELEMETRY_DROPPED).series == {("events",): 1}


def test_the_key_is_in_no_repr_and_no_name() -> None:
    fake = FakePosthog()
    fake.url = "https://eu.posthog.example"
    assert "phc_secret" not in repr(exporter(fake))
    assert PosthogDestination(exporter(fake)).name == "events to eu.posthog.example"

"""The newest traces: bounded, merged, filtered, followed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import pytest

from router.aio import timeout
from router.observer import trace_store
from router.observer.queries import Queries
from router.observer.trace_filter import Condition
from router.observer.trace_queries import TraceQueries
from router.observer.trace_store import TraceStore
from router.telemetry import semconv
from tests.observer.spans import START_NS, TRACE, span, trace_id

CHAT = {
    semconv.LISTENER: "models",
    semconv.REQUEST_ID: "req-1",
    semconv.HTTP_STATUS: 200,
    semconv.INPUT_TOKENS: 12,
    semconv.OUTPUT_TOKENS: 34,
    semconv.COST_USD: 0.0021,
}
CALL = {semconv.OPERATION: "chat", semconv.REQUEST_MODEL: "gpt-4o", "tags": ["a", "b"], "cached": True}


async def results(store: TraceStore, what: str, **query: Any) -> list[Mapping[str, Any]]:
    """What the queries of ``store`` answer, without the frame that ends it."""
    queries = Queries()
    TraceQueries(store).register(queries)
    found = [frame async for frame in queries.answer({"what": what, **query})]
    assert found[-1]["end"]
    if "error" in found[-1]:
        raise LookupError(found[-1]["error"])
    return found[:-1]


async def listed(store: TraceStore, **query: Any) -> list[str]:
    return [frame["trace"]["trace_id"] for frame in await results(store, "traces", **query)]


def test_spans_of_one_trace_are_put_together_from_several_deliveries() -> None:
    store = TraceStore()
    root = span(span_id="a" * 16)
    store.take([root])
    store.take([span("agent", parent=root.span_id, service="weather", start_ms=1)])
    trace = store.get(TRACE)
    assert trace is not None
    assert [each.service for each in trace.spans.values()] == ["trident", "weather"]
    assert trace.root is root


def test_a_repeated_delivery_changes_nothing() -> None:
    store = TraceStore()
    again = span(attributes={"text": "x" * 100})
    store.take([again])
    size = store.size_bytes
    store.take([again])
    assert (len(store), len(store.get(TRACE).spans), store.size_bytes) == (1, 1, size)


def test_the_trace_that_heard_nothing_for_longest_goes_first() -> None:
    store = TraceStore(max_traces=2)
    store.take([span(trace=trace_id(1))])
    store.take([span(trace=trace_id(2))])
    store.take([span(trace=trace_id(1))])
    store.take([span(trace=trace_id(3))])
    assert [trace.trace_id for trace in store.newest_first()] == [trace_id(3), trace_id(1)]


def test_bytes_are_bounded_whatever_spans_hold() -> None:
    store = TraceStore(max_bytes=100_000)
    for number in range(1, 50):
        event = (START_NS, "said", {"text": "y" * 2000})
        attributes = {"text": "x" * 3000, "list": ["z" * 500] * 4}
        store.take([span(trace=trace_id(number), attributes=attributes, events=[event])])
        assert store.size_bytes <= 100_000
    assert 5 < len(store) < 20
    assert store.size_bytes == sum(trace.size_bytes for trace in store.newest_first())
    store.take([span(trace=trace_id(99), attributes={"text": "x" * 200_000})])
    assert (len(store), store.size_bytes) == (0, 0)


def test_one_trace_has_so_many_spans_and_no_more() -> None:
    store = TraceStore()
    store.take([span() for _ in range(trace_store.MAX_SPANS + 5)])
    trace = store.get(TRACE)
    assert trace is not None
    assert (len(trace.spans), trace.dropped) == (trace_store.MAX_SPANS, 5)


async def test_a_summary_says_what_the_request_was() -> None:
    store = TraceStore()
    root = span("GET /plan", service="frontend", ms=100)
    gateway = span(parent=root.span_id, attributes=CHAT, start_ms=5, ms=80)
    call = span("chat gpt-4o", kind="client", parent=gateway.span_id, attributes=CALL, error="timeout", start_ms=6)
    store.take([gateway, call])
    store.take([root])
    (frame,) = await results(store, "traces")
    assert frame["trace"] == {
        "trace_id": TRACE,
        "name": "GET /plan",
        "service": "frontend",
        "started_ns": START_NS,
        "duration_ms": 100.0,
        "error": "timeout",
        "spans": 3,
        "dropped": 0,
        "services": ["frontend", "trident"],
        "agents": [],
        "models": ["gpt-4o"],
        "listener": "models",
        "request_id": "req-1",
        "status": 200,
        "input_tokens": 12,
        "output_tokens": 34,
        "cost_usd": 0.0021,
    }


def two_traces() -> TraceStore:
    store = TraceStore()
    first = span(trace=trace_id(1), attributes=CHAT, ms=50)
    store.take([first, span("chat gpt-4o", trace=trace_id(1), parent=first.span_id, attributes=CALL, ms=40)])
    other = {semconv.LISTENER: "travel", semconv.AGENT_NAME: "weather", semconv.REQUEST_ID: "req-2"}
    store.take([span("GET /v1/models", trace=trace_id(2), attributes=other, start_ms=1000, error="502", ms=5)])
    return store


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({}, [2, 1]),
        ({"limit": 1}, [2]),
        ({"listener": "models"}, [1]),
        ({"agent": "weather"}, [2]),
        ({"model": "gpt-4o"}, [1]),
        ({"status": "error"}, [2]),
        ({"status": "ok"}, [1]),
        ({"min_duration_ms": 20}, [1]),
        ({"since_ns": START_NS + 1}, [2]),
        ({"where": ["gen_ai.request.model=gpt-4o"]}, [1]),
        ({"where": ["gen_ai.request.model=gpt"]}, []),
        ({"where": ["gen_ai.request.model~GPT"]}, [1]),
        ({"where": ["http.response.status_code=200", "gen_ai.request.model~4o"]}, [1]),
        ({"where": ["tags=b"]}, [1]),
        ({"where": ["cached=true"]}, [1]),
        ({"where": ["trident.cost.usd=0.0021"]}, [1]),
        ({"where": ["name~v1/models"]}, [2]),
        ({"where": ["error=502"]}, [2]),
        ({"where": ["service=trident"]}, [2, 1]),
    ],
)
async def test_filters_let_through_what_they_say(query: dict[str, Any], numbers: list[int]) -> None:
    assert await listed(two_traces(), **query) == [trace_id(number) for number in numbers]


@pytest.mark.parametrize(
    "query",
    [
        {"where": ["no condition"]},
        {"where": ["=x"]},
        {"where": "a=b"},
        {"where": ["a=b"] * 100},
        {"status": "bad"},
        {"min_duration_ms": "long"},
        {"limit": 0},
        {"limit": True},
        {"limit": "many"},
    ],
)
async def test_filters_that_are_none_are_refused(query: dict[str, Any]) -> None:
    with pytest.raises(LookupError):
        await listed(two_traces(), **query)


def test_the_first_sign_of_a_condition_is_its_operator() -> None:
    assert Condition.parse("a~b=c") == Condition(("a",), "~", "b=c")
    assert Condition.parse("a = b~c ") == Condition(("a",), "=", "b~c")


@pytest.mark.parametrize("wanted", [trace_id(1), trace_id(1).upper(), "req-1"])
async def test_a_trace_is_found_by_its_id_and_that_of_its_request(wanted: str) -> None:
    head, *spans = await results(two_traces(), "trace", id=wanted)
    assert (head["trace"]["trace_id"], head["trace"]["spans"]) == (trace_id(1), 2)
    assert [frame["span"]["name"] for frame in spans] == ["POST /v1/chat/completions", "chat gpt-4o"]
    assert spans[1]["span"]["attributes"]["tags"] == ["a", "b"]


async def test_without_an_id_it_is_the_newest_that_the_filters_let_through() -> None:
    assert (await results(two_traces(), "trace"))[0]["trace"]["trace_id"] == trace_id(2)
    assert (await results(two_traces(), "trace", listener="models"))[0]["trace"]["trace_id"] == trace_id(1)
    with pytest.raises(LookupError, match="No trace is here"):
        await results(two_traces(), "trace", listener="none")


async def test_an_id_has_to_be_clear() -> None:
    with pytest.raises(LookupError, match="2 traces begin with 000"):
        await results(two_traces(), "trace", id="000")
    with pytest.raises(LookupError, match="No trace begins with fff"):
        await results(two_traces(), "trace", id="fff")


async def test_followers_see_a_trace_when_nothing_more_of_it_comes_and_again_when_it_does() -> None:
    store = TraceStore()
    async with timeout(10), aclosing(store.follow(settle_s=0.05)) as followed:
        waiting = asyncio.ensure_future(anext(followed))
        await asyncio.sleep(0)
        store.take([span()])
        store.take([span(trace=trace_id(7))])
        store.take([span()])
        assert (await waiting).trace_id == trace_id(7)
        assert len((await anext(followed)).spans) == 2
        store.take([span()])
        assert len((await anext(followed)).spans) == 3


async def test_the_query_that_follows_filters() -> None:
    store = TraceStore()
    queries = Queries()
    TraceQueries(store).register(queries)
    async with timeout(10), aclosing(queries.answer({"what": "traces_follow", "status": "error"})) as frames:
        waiting = asyncio.ensure_future(anext(frames))
        await asyncio.sleep(0)
        store.take([span(trace=trace_id(1))])
        store.take([span(trace=trace_id(2), error="500")])
        assert (await waiting)["trace"]["trace_id"] == trace_id(2)
        assert (await anext(frames))["span"]["error"] == "500"


async def test_followers_that_are_gone_cost_nothing_more() -> None:
    store = TraceStore()
    followed = store.follow()
    waiting = asyncio.ensure_future(anext(followed))
    await asyncio.sleep(0)
    assert len(store._followers) == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await followed.aclose()
    assert not store._followers

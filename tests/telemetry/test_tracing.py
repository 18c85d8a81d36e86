from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import UpstreamStatus
from router.telemetry.tracing import (
    MAX_EVENTS,
    MAX_SPANS,
    NOT_TRACED,
    Sampler,
    Span,
    Unrecorded,
    current_span,
    trace_headers,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{PARENT}-01"


def begin(headers: dict[str, str] | None = None, ratio: float = 1.0) -> Span:
    return Sampler(ratio).begin("POST /", headers or {})


def test_a_trace_goes_on_where_the_client_began_one() -> None:
    span = begin({"traceparent": SAMPLED, "tracestate": "vendor=1"})
    assert (span.trace_id, span.parent_id, span.trace.tracestate) == (TRACE, PARENT, "vendor=1")
    assert span.traceparent == f"00-{TRACE}-{span.span_id}-01"


def test_a_request_without_a_trace_begins_one() -> None:
    one, other = begin(), begin()
    assert one.recording
    assert one.parent_id == ""
    assert one.trace_id != other.trace_id
    assert len(one.trace_id) == 32
    assert len(one.span_id) == 16


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "garbage",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-0\r\nx: y",
        f"{SAMPLED}-more",  # for versions to come only
    ],
)
def test_what_is_no_trace_context_is_passed_over(traceparent: str) -> None:
    span = begin({"traceparent": traceparent})
    assert span.recording
    assert span.trace_id != TRACE


def test_a_client_that_does_not_sample_is_followed_and_its_context_passed_on() -> None:
    given_context = f"00-{TRACE}-{PARENT}-00"
    span = begin({"traceparent": given_context})
    assert not span.recording
    assert span.traceparent == given_context
    assert span.trace_id == TRACE


def test_without_sampling_the_clients_context_is_only_passed_on() -> None:
    assert begin(ratio=0.0).traceparent is None
    span = begin({"traceparent": SAMPLED}, ratio=0.0)
    assert (span.recording, span.traceparent) == (False, SAMPLED)


def test_the_ratio_is_that_of_requests() -> None:
    recorded = sum(begin(ratio=0.25).recording for _ in range(4000))
    assert 800 < recorded < 1200  # 7 standard deviations


def test_what_is_not_sampled_says_so_to_those_who_are_called() -> None:
    spans = [span for _ in range(64) if not (span := begin(ratio=0.5)).recording]
    assert spans
    assert all(span.traceparent is not None and span.traceparent.endswith("-00") for span in spans)


def test_children_belong_to_their_parent() -> None:
    root = begin()
    child = root.child("route", attributes={"a": 1})
    grandchild = child.child("infer", "client")
    assert [span.name for span in root.trace.spans] == ["POST /", "route", "infer"]
    assert (child.parent_id, grandchild.parent_id) == (root.span_id, child.span_id)
    assert grandchild.kind == "client"


def test_spans_and_events_are_bounded_and_what_is_too_much_still_passes_the_trace_on() -> None:
    root = begin()
    children = [root.child("x") for _ in range(MAX_SPANS + 10)]
    assert len(root.trace.spans) == MAX_SPANS
    assert root.trace.dropped == 11
    assert not children[-1].recording
    assert children[-1].traceparent == root.traceparent
    for number in range(MAX_EVENTS + 5):
        root.event("e", {"n": number})
    assert len(root.events) == MAX_EVENTS


def test_a_block_makes_its_span_the_current_one_and_ends_it() -> None:
    root = begin()
    assert current_span() is NOT_TRACED
    with root.child("outer") as outer:
        assert current_span() is outer
        with outer.child("inner") as inner:
            assert current_span() is inner
        assert inner.ended_ns >= inner.started_ns
        assert current_span() is outer
    assert current_span() is NOT_TRACED
    assert outer.error is None


def test_a_block_that_raises_fails_its_span_with_a_code() -> None:
    root = begin()
    with pytest.raises(KeyError), root.child("broken") as span:
        raise KeyError("secret text")
    assert span.error == "KeyError"
    assert span.attributes == {"error.type": "KeyError"}
    assert current_span() is NOT_TRACED


async def test_tasks_at_the_same_time_have_their_own_current_span() -> None:
    root = begin()
    entered = asyncio.Event()

    async def work(name: str) -> bool:
        with root.child(name) as span:
            if name == "first":
                await entered.wait()
            else:
                entered.set()
            await asyncio.sleep(0)
            return current_span() is span

    assert await asyncio.gather(work("first"), work("second")) == [True, True]


def test_what_is_not_recorded_takes_everything_and_keeps_nothing() -> None:
    span = Unrecorded(SAMPLED)
    with span as entered:
        assert current_span() is entered
        assert span.child("x", "client", {"a": 1}) is span
        span.set("a", 1)
        span.event("e", {})
        span.fail("error")
        span.end()
    assert current_span() is NOT_TRACED
    assert span.traceparent == SAMPLED
    assert NOT_TRACED.trace_id == "0" * 32


def test_ending_twice_changes_nothing() -> None:
    span = begin()
    span.end()
    ended = span.ended_ns
    span.end()
    assert span.ended_ns == ended


@given(st.text(max_size=80))
def test_whatever_a_client_sends_a_trace_begins(traceparent: str) -> None:
    assert len(begin({"traceparent": traceparent}).trace_id) == 32


def test_a_later_version_may_say_more() -> None:
    assert begin({"traceparent": f"01{SAMPLED[2:]}-more"}).trace_id == TRACE


class _Odd(Exception):
    def code(self) -> int:
        return 14


def test_a_span_names_failures_by_words_of_the_code() -> None:
    said_by_upstream = UpstreamStatus("No.", status=500, code="an agent's own word", type_="t")
    for exc, error in ((said_by_upstream, "upstream_error"), (_Odd(), "_Odd"), (SystemExit(2), "SystemExit")):
        span = begin({})
        with pytest.raises(type(exc)), span:
            raise exc
        assert (span.error, span.attributes["error.type"]) == (error, error)


def test_trace_state_goes_along_with_its_own_trace_only() -> None:
    own = {"traceparent": SAMPLED, "tracestate": "vendor=1"}
    span = begin(own)
    assert trace_headers(span, own) == {"traceparent": span.traceparent, "tracestate": "vendor=1"}
    foreign = {"traceparent": "nonsense", "tracestate": "vendor=1"}
    assert trace_headers(begin(foreign), foreign).keys() == {"traceparent"}
    assert trace_headers(begin(foreign, ratio=0.0), foreign) == {}
    assert trace_headers(begin(own, ratio=0.0), own) == own

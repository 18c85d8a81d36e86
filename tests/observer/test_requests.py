"""From one ``request`` message to spans that say what was answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from router.observer.answers import Answer
from router.observer.content import ContentCapture
from router.observer.requests import RequestPipeline
from router.observer.spans import FinishedSpan
from router.telemetry import frames, semconv
from router.telemetry.tracing import MAX_EVENTS
from tests.observer.telling import Taken, chat_answer, request_message, tool_call, traced

ASKED: list[dict[str, Any]] = [{"role": "user", "content": "Weather in Oslo? Write to jane.doe@example.com"}]


async def handled(message: Mapping[str, Any], answer: bytes = b"", **options: Any) -> Taken:
    taken = Taken()
    pipeline = RequestPipeline([taken], **{"static": {}, **options})
    await pipeline.handle(message, answer)
    return taken


async def test_spans_arrive_as_they_were_recorded() -> None:
    root = traced(failed_first=True)
    root.event("noticed", {"a": 1})
    taken = await handled(request_message(root))
    first, failed, answered = taken.spans
    assert (first.trace_id, first.span_id, first.parent_id) == (root.trace_id, root.span_id, "")
    assert (first.name, first.kind, first.error) == (root.name, "server", None)
    assert (first.started_ns, first.ended_ns) == (root.started_ns, root.ended_ns)
    assert first.attributes == {semconv.LISTENER: "web"}
    assert [(name, attributes) for _, name, attributes in first.events] == [("noticed", {"a": 1})]
    assert (failed.parent_id, failed.error) == (root.span_id, "timeout")
    assert answered.parent_id == root.span_id
    assert answered.kind == "client"


async def test_static_attributes_are_on_every_span_and_give_way_to_its_own() -> None:
    taken = await handled(
        request_message(traced()), static={"environment": "staging", semconv.LISTENER: "?"}, service="front-door"
    )
    assert [span.attributes["environment"] for span in taken.spans] == ["staging", "staging"]
    assert taken.spans[0].attributes[semconv.LISTENER] == "web"
    assert {span.service for span in taken.spans} == {"front-door"}


async def test_the_span_of_the_upstream_that_answered_says_what_it_answered() -> None:
    answer = chat_answer({"content": "Rain."})
    taken = await handled(request_message(traced(failed_first=True), ASKED), answer)
    said = taken.named("chat gpt").attributes
    assert said[semconv.RESPONSE_ID] == "chatcmpl-1"
    assert said[semconv.RESPONSE_MODEL] == "gpt-4o-2024-08-06"
    assert said[semconv.FINISH_REASONS] == ["stop"]
    assert semconv.RESPONSE_ID not in taken.named("chat slow").attributes
    assert semconv.RESPONSE_ID not in taken.spans[0].attributes


async def test_nothing_that_was_said_gets_into_spans_unless_asked_for() -> None:
    answer = chat_answer({"content": "It rains.", "tool_calls": [tool_call("mail", '{"to": "SECRET-ARGUMENT"}')]})
    asked = [*ASKED, {"role": "assistant", "tool_calls": [tool_call("look", "{}", "call_0")]}]
    asked.append({"role": "tool", "tool_call_id": "call_0", "content": "SECRET-RESULT"})
    taken = await handled(request_message(traced(), asked), answer)
    everything = repr(taken.spans)
    for text in ("Oslo", "jane.doe", "It rains", "SECRET"):
        assert text not in everything


async def test_tool_calls_and_results_are_events() -> None:
    calls = [tool_call("mail", '{"to": "x"}', "call_1"), tool_call("now", "{}", "call_2")]
    asked = [
        *ASKED,
        {"role": "tool", "tool_call_id": "call_old", "content": "of an earlier turn"},
        {"role": "assistant", "tool_calls": [tool_call("look", "{}", "call_0")]},
        {"role": "tool", "tool_call_id": "call_0", "content": "cloudy", "is_error": True},
    ]
    taken = await handled(request_message(traced(), asked), chat_answer({"tool_calls": calls}, "tool_calls"))
    span = taken.named("chat gpt")
    assert span.events == [
        (
            span.started_ns,
            "tool_result",
            {semconv.TOOL_CALL_ID: "call_0", semconv.TOOL_NAME: "look", semconv.ERROR_TYPE: "tool_error"},
        ),
        (span.ended_ns, "execute_tool mail", {semconv.TOOL_NAME: "mail", semconv.TOOL_CALL_ID: "call_1"}),
        (span.ended_ns, "execute_tool now", {semconv.TOOL_NAME: "now", semconv.TOOL_CALL_ID: "call_2"}),
    ]


async def test_with_content_spans_say_what_was_said_without_personal_data() -> None:
    answer = chat_answer(
        {
            "content": "Mailed to jane.doe@example.com.",
            "tool_calls": [tool_call("mail", '{"to": "jane.doe@example.com"}')],
        }
    )
    taken = await handled(request_message(traced(), ASKED, start=4), answer, content=ContentCapture())
    span = taken.named("chat gpt")
    assert span.attributes[semconv.INPUT_MESSAGES].startswith('[{"role":"user","parts":[{"type":"text"')
    assert "Oslo" in span.attributes[semconv.INPUT_MESSAGES]
    assert span.attributes[semconv.CONVERSATION_START] == 4
    assert "Mailed to" in span.attributes[semconv.OUTPUT_MESSAGES]
    assert semconv.TOOL_CALL_ARGUMENTS in span.events[-1][2]
    assert "jane.doe" not in repr(taken.spans)


async def test_a_conversations_id_is_on_the_span_of_its_upstream_too() -> None:
    root = traced()
    root.set(semconv.CONVERSATION_ID, "session-1")
    taken = await handled(request_message(root))
    assert taken.named("chat gpt").attributes[semconv.CONVERSATION_ID] == "session-1"


async def test_a_request_that_nobody_upstream_answered_is_passed_on_as_it_is() -> None:
    root = traced()
    root.trace.spans[1].fail("timeout")
    taken = await handled(request_message(root, ASKED), chat_answer({"content": "Rain."}))
    assert semconv.RESPONSE_ID not in taken.named("chat gpt").attributes


async def test_events_of_a_span_have_a_bound() -> None:
    calls = [tool_call(f"tool{number}", "{}") for number in range(2 * MAX_EVENTS)]
    taken = await handled(request_message(traced(), ASKED), chat_answer({"tool_calls": calls}))
    assert len(taken.named("chat gpt").events) == MAX_EVENTS


@pytest.mark.parametrize(
    "trace",
    [
        7,
        [],
        {},
        {"id": 5, "spans": []},
        {"id": "0" * 32, "spans": 5},
        {"id": "0" * 32, "spans": [5, [], ["name"] * 9, ["n", "server", "s", "", "then", 5, None, {}, []]]},
    ],
)
async def test_what_is_no_trace_is_passed_over(trace: object) -> None:
    taken = await handled({"type": "request", "trace": trace, "exchange": 5, "dialect": 5, "stream": "x"}, b"{}")
    assert taken.spans == []


async def test_events_without_a_shape_are_left_out() -> None:
    message = request_message(traced())
    message["trace"]["spans"][0][8] = [5, [1, "x"], ["late", "x", {}], [1, "kept", {}]]
    taken = await handled(message)
    assert taken.spans[0].events == [(1, "kept", {})]


class Observed:
    """Keeps what it is to look at."""

    def __init__(self) -> None:
        self.seen: list[tuple[Mapping[str, Any], Answer | None, FinishedSpan | None]] = []

    async def observe(self, exchange: Mapping[str, Any], answer: Answer | None, root: FinishedSpan | None) -> None:
        self.seen.append((exchange, answer, root))


async def test_exchanges_are_looked_at_for_signals_also_where_nothing_is_traced() -> None:
    observed = Observed()
    message = request_message(None, ASKED)
    assert frames.encode(message)
    taken = await handled(message, chat_answer({"content": "Rain."}), signals=observed)
    ((exchange, answer, root),) = observed.seen
    assert exchange["messages"] == ASKED
    assert answer is not None
    assert answer.message["content"] == "Rain."
    assert root is None
    assert taken.spans == []


async def test_signals_are_said_on_the_request_span_before_it_is_handed_on() -> None:
    observed = Observed()
    taken = await handled(request_message(traced(), ASKED), signals=observed)
    assert observed.seen[0][2] is taken.spans[0]

from __future__ import annotations

from typing import Any

import orjson
import pytest

from router.conversations.answers import AnswerStream, finished_response
from router.dialects import sse

ECHO = {"id": "resp_own", "previous_response_id": "resp_before", "conversation": None, "store": True}
ITEM = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}


def event(type_: str, **fields: Any) -> bytes:
    data = orjson.dumps({"type": type_, "sequence_number": 7, **fields})
    return b"event: " + type_.encode() + b"\ndata: " + data + b"\n\n"


def response(**fields: Any) -> dict[str, Any]:
    return {"id": "resp_theirs", "object": "response", "status": "in_progress", "output": [], "x": 1, **fields}


CREATED = event("response.created", response=response())
DELTA = event("response.output_text.delta", delta='"type":"response.completed"')
DONE = event("response.output_item.done", item=ITEM)
COMPLETED = event("response.completed", response=response(status="completed", output=[ITEM]))


def fed(stream: AnswerStream, *events: bytes) -> bytes:
    return b"".join([stream.feed(each) for each in events])


def data(events: bytes) -> list[Any]:
    return [orjson.loads(each) for each in sse.event_data(events)]


@pytest.mark.parametrize("together", [False, True])
def test_the_last_event_is_held_back(together: bool) -> None:
    stream = AnswerStream(ECHO, max_bytes=10_000)
    events = [CREATED, DELTA, DONE, COMPLETED, b": bye\n\n"]
    passed = fed(stream, b"".join(events)) if together else fed(stream, *events)
    assert passed.endswith(DELTA + DONE)
    (created, *_) = data(passed)
    assert created == {"type": "response.created", "sequence_number": 7, "response": {**response(), **ECHO}}
    ended = {**response(status="completed", output=[ITEM]), **ECHO}
    assert stream.ended == ended
    last = stream.last({**ended, "store": False})
    assert last.endswith(b"\n\n: bye\n\n")
    assert data(last) == [
        {"type": "response.completed", "sequence_number": 7, "response": {**ended, "store": False}},
    ]


def test_what_does_not_concern_us_is_passed_on_as_it_is() -> None:
    stream = AnswerStream(ECHO, max_bytes=10_000)
    events = [
        DELTA,
        b": comment\n\n",
        b"data: [DONE]\n\n",
        b'data: {"type": "response.created" broken\n\n',
        b'data: {"type": "response.created", "response": 7}\n\n',
        b'data: ["\\"type\\":\\"response.created\\""]\n\n',
    ]
    assert [stream.feed(each) for each in events] == events
    assert stream.ended is None


def test_an_incomplete_answer_has_ended_and_a_failed_one_has_not() -> None:
    for kind, ends in (("incomplete", True), ("failed", False)):
        stream = AnswerStream(ECHO, max_bytes=10_000)
        passed = stream.feed(event(f"response.{kind}", response=response(status=kind)))
        assert (stream.ended is not None) is ends
        assert bool(passed) is not ends
        assert b"resp_theirs" not in passed


def test_items_that_are_not_repeated_in_the_end_are_those_that_were_sent() -> None:
    bare = event("response.completed", response=response(status="completed"))
    stream = AnswerStream(ECHO, max_bytes=10_000)
    fed(stream, DONE, DONE.replace(b"msg_1", b"msg_2"), bare)
    assert stream.ended is not None
    assert [item["id"] for item in stream.ended["output"]] == ["msg_1", "msg_2"]


def test_more_items_than_can_be_kept_are_not_gathered() -> None:
    stream = AnswerStream(ECHO, max_bytes=2 * len(DONE))
    fed(stream, DONE, DONE, DONE, event("response.completed", response=response(status="completed")))
    assert stream.ended is not None
    assert stream.ended["output"] == []


@pytest.mark.parametrize(
    ("body", "finished"),
    [
        (response(status="completed", output=[ITEM]), True),
        (response(status="incomplete"), True),
        ({"output": []}, True),
        (response(status="queued"), False),
        (response(status="completed", output=None), False),
        (response(status="completed", output=["x"]), False),
        ([], False),
    ],
)
def test_a_whole_answer_is_a_response_once_it_is_over(body: Any, finished: bool) -> None:
    assert finished_response(orjson.dumps(body)) == (body if finished else None)
    assert finished_response(b"{") is None

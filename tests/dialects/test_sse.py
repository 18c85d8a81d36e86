from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects.sse import EventSplitter, encode_event, event_data
from router.errors import UpstreamProtocolError

STREAM = b'data: {"a":1}\n\n: keep-alive\n\nevent: x\ndata: one\ndata: two\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_events_come_out_whole_when_fed_one_byte_at_a_time(line_end: bytes) -> None:
    source = STREAM.replace(b"\n", line_end)
    splitter = EventSplitter(1024)
    pieces = [splitter.feed(source[i : i + 1]) for i in range(len(source))]
    pieces.append(splitter.finish())
    assert b"".join(pieces) == source
    assert [data for piece in pieces for data in event_data(piece)] == [b'{"a":1}', b"one\ntwo", b"[DONE]"]


@given(st.lists(st.binary(max_size=40)))
def test_no_byte_is_lost_or_changed(parts: list[bytes]) -> None:
    splitter = EventSplitter(10_000)
    assert b"".join([*(splitter.feed(part) for part in parts), splitter.finish()]) == b"".join(parts)


@given(st.data())
def test_a_torn_event_is_held_back_until_it_is_whole(data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(STREAM) - 1))
    splitter = EventSplitter(1024)
    first = splitter.feed(STREAM[:cut])
    assert first == b"" or first.endswith(b"\n\n")
    assert first + splitter.feed(STREAM[cut:]) == STREAM


def test_an_endless_event_is_refused() -> None:
    splitter = EventSplitter(100)
    with pytest.raises(UpstreamProtocolError, match="100 bytes"):
        splitter.feed(b"data: " + b"x" * 101)


def test_an_encoded_event_is_read_back() -> None:
    assert list(event_data(encode_event(b'{"x": 1}'))) == [b'{"x": 1}']

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from uuid import UUID

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from router.dialects.aws_eventstream import Decoder, HeaderValue, Message, Timestamp
from router.errors import UpstreamProtocolError
from tests.fakes.aws_eventstream import encode_message

LIMIT = 100_000

# From the definition of the format: a message without headers and payload.
EMPTY = bytes.fromhex("00000010 00000000 05c248eb 7d98c8ff")
ALL_TYPES: Mapping[str, HeaderValue] = {
    "yes": True,
    "no": False,
    "i8": -128,
    "i16": 32767,
    "i32": -(2**31),
    "i64": 2**63 - 1,
    "bytes": b"\0\xff",
    "text": "Grüße",
    "time": Timestamp(-1),
    "uuid": UUID(int=7),
}

_values = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=40),
    st.text(max_size=20),
    st.uuids(),
    st.integers(-(2**63), 2**63 - 1).map(Timestamp),
)
_messages = st.builds(
    Message,
    st.dictionaries(st.text(min_size=1, max_size=20), _values, max_size=5),
    st.binary(max_size=200),
)


def encoded(*messages: Message) -> bytes:
    return b"".join(encode_message(message.headers, message.payload) for message in messages)


def decoded(data: bytes, *, step: int | None = None) -> list[Message]:
    decoder = Decoder(LIMIT)
    found = []
    for begin in range(0, len(data), step or len(data) or 1):
        found += decoder.feed(data[begin : begin + (step or len(data))])
    assert decoder.empty
    return found


def damaged(data: bytes, position: int, by: int = 1) -> bytes:
    return data[:position] + bytes([(data[position] + by) % 256]) + data[position + 1 :]


def with_checksums(total: int, header_bytes: int, rest: bytes) -> bytes:
    """Anything at all behind a prelude, with checksums that fit."""
    prelude = struct.pack(">II", total, header_bytes)
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + rest
    return message + struct.pack(">I", zlib.crc32(message))


def test_the_smallest_message() -> None:
    assert decoded(EMPTY) == [Message({}, b"")]
    assert encode_message({}, b"") == EMPTY


def test_every_type_of_header() -> None:
    (message,) = decoded(encode_message(ALL_TYPES, b"{}"))
    assert message == Message(ALL_TYPES, b"{}")
    assert [type(value) for value in message.headers.values()] == [type(value) for value in ALL_TYPES.values()]


def test_botocore_reads_the_fake_the_same() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(encode_message({**ALL_TYPES, "uuid": "not a number here"}, b"{}"))
    (message,) = list(buffer)
    assert message.payload == b"{}"
    assert {name: value for name, value in message.headers.items() if name not in ("time", "uuid")} == {
        name: value for name, value in ALL_TYPES.items() if name not in ("time", "uuid")
    }


@given(st.lists(_messages, max_size=4), st.integers(1, 50))
def test_messages_survive_however_they_are_cut(messages: list[Message], step: int) -> None:
    data = encoded(*messages)
    assert decoded(data) == messages
    assert decoded(data, step=step) == messages
    assert decoded(data, step=1) == messages


def test_what_has_only_begun_is_kept() -> None:
    decoder = Decoder(LIMIT)
    assert decoder.feed(EMPTY + EMPTY[:3]) == [Message({}, b"")]
    assert not decoder.empty
    assert decoder.feed(EMPTY[3:]) == [Message({}, b"")]
    assert decoder.empty


def test_a_header_that_is_no_text_is_no_text() -> None:
    (message,) = decoded(encode_message({"a": 7, "b": "x"}, b""))
    assert (message.text("a"), message.text("b"), message.text("c")) == ("", "x", "")


@pytest.mark.parametrize("position", range(8))
def test_a_damaged_length_is_noticed_before_it_is_believed(position: int) -> None:
    with pytest.raises(UpstreamProtocolError, match="wrong checksum"):
        Decoder(LIMIT).feed(damaged(encoded(Message(ALL_TYPES, b"payload")), position)[:12])


@given(_messages, st.data())
def test_any_damaged_byte_is_noticed(message: Message, data: st.DataObject) -> None:
    whole = encoded(message)
    position = data.draw(st.integers(12, len(whole) - 1))
    with pytest.raises(UpstreamProtocolError, match="checksum"):
        Decoder(LIMIT).feed(damaged(whole, position, data.draw(st.integers(1, 255))))


def test_a_message_beyond_the_limit_is_refused_before_it_arrives() -> None:
    with pytest.raises(UpstreamProtocolError, match="more than 50 bytes"):
        Decoder(50).feed(encode_message({}, b"x" * 35)[:12])
    assert Decoder(50).feed(encode_message({}, b"x" * 34)) == [Message({}, b"x" * 34)]


@pytest.mark.parametrize(
    ("total", "header_bytes", "rest"),
    [
        (15, 0, b""),
        (0, 0, b""),
        (16, 1, b""),
        (16, 2**32 - 1, b""),
        (17, 1, b"\x05"),
        (18, 2, b"\x01a"),
        (19, 3, b"\x01a\x0a"),
        (19, 3, b"\x01a\x04"),
        (21, 5, b"\x01a\x07\x00\x05"),
        (22, 6, b"\x01a\x07\x00\x01\xff"),
        (20, 4, b"\x01\xff\x00\x00"),
        (24, 8, b"\x01a\x09abcde"),
    ],
)
def test_malformed_messages(total: int, header_bytes: int, rest: bytes) -> None:
    with pytest.raises(UpstreamProtocolError, match="malformed"):
        Decoder(LIMIT).feed(with_checksums(total, header_bytes, rest))


@given(st.binary(max_size=80))
def test_headers_of_any_bytes_are_read_or_refused(block: bytes) -> None:
    try:
        (message,) = Decoder(LIMIT).feed(with_checksums(16 + len(block), len(block), block))
    except UpstreamProtocolError:
        return
    assert message.payload == b""


@given(st.binary(max_size=200), st.binary(max_size=20))
def test_any_bytes_are_messages_or_refused(first: bytes, second: bytes) -> None:
    decoder = Decoder(LIMIT)
    try:
        decoder.feed(first)
        decoder.feed(second)
    except UpstreamProtocolError:
        return
    assert len(first + second) < 12 or not decoder.empty


def test_many_small_messages_in_one_piece() -> None:
    assert len(Decoder(LIMIT).feed(EMPTY * 5000)) == 5000

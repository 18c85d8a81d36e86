from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.upstream.answer import (
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    MAX_INTERIM_ANSWERS,
    MAX_LINE_BYTES,
    AnswerParser,
    BrokenOff,
    MalformedAnswer,
)

BODY = b'{"text": "two\r\n\r\nparts"}'
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BY_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%b\r\n%x\r\n%b\r\n0\r\nx-sum: 1\r\n\r\n" % (
    7,
    BODY[:7],
    len(BODY) - 7,
    BODY[7:],
)
BY_END = b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\n" + BODY
RECORDED = [BY_LENGTH, CHUNKED, BY_END, CONTINUE * 2 + CHUNKED]


def _parse(*pieces: bytes, ended: bool = False) -> AnswerParser:
    parser = AnswerParser()
    for piece in pieces:
        parser.feed(piece)
    if ended:
        parser.end()
    return parser


def _pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


@given(st.sampled_from(RECORDED), st.lists(st.integers(0, 400)))
@example(CHUNKED, list(range(400)))
@example(BY_LENGTH, list(range(400)))
def test_an_answer_is_the_same_however_it_is_cut(recorded: bytes, cuts: list[int]) -> None:
    parser = _parse(*_pieces(recorded, cuts), ended=recorded is BY_END)
    assert (parser.phase, parser.status, parser.take()) == ("complete", 200, BODY)
    assert parser.keep_alive == (recorded is not BY_END)


@given(st.sampled_from([b"", *RECORDED]), st.integers(0, 200), st.lists(st.binary(max_size=300), max_size=8))
def test_whatever_arrives_is_an_answer_or_has_its_error(start: bytes, cut: int, rest: list[bytes]) -> None:
    try:
        parser = _parse(start[:cut], *rest, ended=True)
    except (MalformedAnswer, BrokenOff):
        return
    assert parser.phase == "complete"


@given(st.integers(0, 600))
def test_an_answer_that_ends_too_soon_is_broken_off(length: int) -> None:
    for recorded in (BY_LENGTH, CHUNKED):
        parser = _parse(recorded[: min(length, len(recorded) - 1)])
        with pytest.raises(BrokenOff):
            parser.end()


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 0\r\n\r\n", True),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", False),
        (b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", False),
    ],
)
def test_an_answer_without_body_is_complete_and_says_whether_another_may_follow(head: bytes, kept: bool) -> None:
    parser = _parse(head)
    assert (parser.phase, parser.take(), parser.keep_alive) == ("complete", b"", kept)


def test_one_parser_reads_one_answer_after_the_other() -> None:
    parser = AnswerParser()
    for recorded in (BY_LENGTH, CHUNKED, CONTINUE + BY_LENGTH, b"HTTP/1.1 204 x\r\n\r\n", CHUNKED):
        assert parser.untouched
        parser.feed(recorded)
        assert not parser.untouched
        assert parser.keep_alive
        parser.reset()


@pytest.mark.parametrize("excess", [b"x", b"HTTP", BY_LENGTH, b"HTTP/1.1 999"])
@pytest.mark.parametrize("together", [False, True])
def test_bytes_behind_an_answer_spoil_the_connection_and_not_the_answer(excess: bytes, together: bool) -> None:
    parser = _parse(BY_LENGTH + excess) if together else _parse(BY_LENGTH, excess)
    assert (parser.phase, parser.take(), parser.keep_alive) == ("complete", BODY, False)


def test_headers_are_found_by_their_name_in_lower_case_and_repeated_ones_are_joined() -> None:
    parser = _parse(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n")
    assert parser.headers == {b"x-a": b"1, 2", b"content-length": b"0"}


def test_interim_answers_and_trailers_leave_no_headers() -> None:
    parser = _parse(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + CHUNKED)
    assert parser.headers == {b"transfer-encoding": b"chunked"}


def _fields(count: int, size: int = 1) -> bytes:
    return b"".join(b"x%d: %b\r\n" % (number, b"v" * size) for number in range(count))


HEAD = b"HTTP/1.1 200 OK\r\n"
TOO_MUCH = [
    HEAD + _fields(MAX_FIELDS + 1) + b"\r\n",
    HEAD + _fields(1, MAX_LINE_BYTES) + b"\r\n",
    HEAD + _fields(5, MAX_LINE_BYTES - 100),
    CONTINUE * (MAX_INTERIM_ANSWERS + 1),
    HEAD + b"x" * MAX_HEAD_BYTES,
    HEAD + b"x: " + b"x" * MAX_HEAD_BYTES,
    b"HTTP/1.1 200 " + b"x" * MAX_HEAD_BYTES,
    HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n" + _fields(MAX_FIELDS) + b"\r\n",
    HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\nx: " + b"x" * 2 * MAX_HEAD_BYTES,
    HEAD + b"transfer-encoding: chunked\r\n\r\n5;" + b"x" * 2 * MAX_HEAD_BYTES,
]


@pytest.mark.parametrize("data", TOO_MUCH)
@pytest.mark.parametrize("step", [1000, MAX_HEAD_BYTES])
def test_a_head_or_trailer_without_bound_is_refused(data: bytes, step: int) -> None:
    with pytest.raises(MalformedAnswer):
        _parse(*(data[start : start + step] for start in range(0, len(data), step)))


def test_a_large_head_is_refused_although_it_came_with_its_body_in_one_piece() -> None:
    with pytest.raises(MalformedAnswer):
        _parse(HEAD + _fields(5, MAX_LINE_BYTES - 100) + b"content-length: 1\r\n\r\nx")


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\xff this is not HTTP \r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\ncontent-length: 3\r\n\r\n",
        HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"content-length: 99999999999999999999999\r\n\r\n",
        HEAD + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"na me: x\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        _parse(data)


def test_a_large_body_in_one_piece_is_no_matter_of_the_head() -> None:
    body = b"x" * (MAX_HEAD_BYTES * 3)
    parser = _parse(HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body))
    assert (parser.phase, parser.buffered) == ("complete", len(body))

from __future__ import annotations

import pytest

from router.upstream.answer import BrokenOff, MalformedAnswer
from router.upstream.connection import MAX_UNREAD_BYTES
from tests.upstream.wire import Watcher, Wire, asked, connected, rest

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
LONG = b"HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n"
LARGE = bytes(range(256)) * 8192


@pytest.fixture
def wire() -> Wire:
    return Wire()


async def test_head_and_small_body_leave_in_one_write(wire: Wire) -> None:
    asked(wire, b"small")
    assert wire.writes == [b"HEAD small"]


async def test_a_large_body_waits_for_room(wire: Wire) -> None:
    wire.room = 300_000
    connection = asked(wire, LARGE)
    sent = sum(map(len, wire.writes))
    assert 300_000 < sent < 600_000
    wire.drained(400_000)
    assert sum(map(len, wire.writes)) > sent + 400_000
    wire.drained(10_000_000)
    assert b"".join(wire.writes) == b"HEAD " + LARGE
    connection.data_received(ANSWER)
    assert connection.release()


async def test_an_early_answer_ends_the_request_and_the_connection(wire: Wire) -> None:
    wire.room = 300_000
    connection = asked(wire, LARGE)
    connection.data_received(ANSWER)
    await connection.head()
    assert await connection.read() == b"hi"
    sent = len(wire.writes)
    wire.drained(10_000_000)
    assert len(wire.writes) == sent
    assert not connection.release()
    assert wire.aborted


async def test_a_request_goes_on_while_its_answer_has_only_begun(wire: Wire) -> None:
    wire.room = 300_000
    connection = asked(wire, LARGE)
    connection.data_received(ANSWER[:-1])
    await connection.head()
    wire.drained(10_000_000)
    connection.data_received(ANSWER[-1:])
    assert b"".join(wire.writes) == b"HEAD " + LARGE
    assert await rest(connection) == b"hi"
    assert connection.release()


async def test_reading_pauses_while_nobody_takes_the_body(wire: Wire) -> None:
    connection = asked(wire)
    connection.data_received(LONG)
    connection.data_received(bytes(MAX_UNREAD_BYTES))
    assert wire.reading
    connection.data_received(b"x")
    assert not wire.reading
    assert len(await connection.read()) == MAX_UNREAD_BYTES + 1
    assert wire.reading


async def test_a_connection_is_not_kept_with_reading_paused(wire: Wire) -> None:
    connection = asked(wire)
    body = bytes(MAX_UNREAD_BYTES + 1)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    assert not wire.reading
    assert connection.release()
    assert wire.reading


async def test_a_kept_connection_knows_nothing_of_the_answer_before(wire: Wire) -> None:
    connection = asked(wire)
    connection.data_received(ANSWER)
    assert connection.release()
    connection.send(b"HEAD ", b"{}", 5)
    assert connection.answer.untouched
    connection.data_received(b"HTTP/1.1 201 OK\r\ncontent-length: 0\r\n\r\n")
    await connection.head()
    assert (connection.answer.status, await connection.read()) == (201, b"")


@pytest.mark.parametrize("asked_before", [False, True])
async def test_an_idle_connection_that_says_something_is_closed(wire: Wire, asked_before: bool) -> None:
    connection = connected(wire)
    if asked_before:
        connection.send(b"HEAD ", b"{}", 5)
        connection.data_received(ANSWER)
        assert connection.release()
    connection.data_received(ANSWER)
    assert wire.aborted
    assert not connection.usable


async def test_an_idle_connection_that_ends_is_no_longer_usable(wire: Wire) -> None:
    owner = Watcher()
    connection = connected(wire, owner)
    assert owner.open == 1
    connection.eof_received()
    assert not connection.usable
    connection.connection_lost(None)
    assert owner.open == 0


async def test_a_request_on_a_connection_that_is_gone_writes_nothing_and_fails(wire: Wire) -> None:
    connection = connected(wire)
    connection.connection_lost(ConnectionResetError())
    connection.send(b"HEAD ", b"{}", 5)
    with pytest.raises(BrokenOff):
        await connection.head()
    assert wire.writes == []
    assert connection.answer.untouched


@pytest.mark.parametrize("excess", [b"x", ANSWER])
async def test_bytes_behind_the_answer_end_the_connection(wire: Wire, excess: bytes) -> None:
    connection = asked(wire)
    connection.data_received(ANSWER + excess)
    assert await rest(connection) == b"hi"
    assert not connection.release()
    assert wire.aborted


@pytest.mark.parametrize("arrived", [b"", ANSWER[:10], LONG])
async def test_leaving_early_closes_the_connection(wire: Wire, arrived: bytes) -> None:
    connection = asked(wire)
    connection.data_received(arrived)
    assert not connection.release()
    assert wire.aborted


async def test_what_arrived_before_the_connection_broke_is_read_first(wire: Wire) -> None:
    connection = asked(wire)
    connection.data_received(LONG + b"part")
    connection.connection_lost(ConnectionResetError())
    await connection.head()
    assert await connection.read() == b"part"
    with pytest.raises(BrokenOff) as caught:
        await connection.read()
    assert isinstance(caught.value.__cause__, ConnectionResetError)


async def test_an_answer_that_ends_with_its_connection_is_whole_only_after_a_clean_end(wire: Wire) -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    clean, reset = asked(wire), asked(Wire())
    for connection in (clean, reset):
        connection.data_received(head + b"some")
    clean.eof_received()
    clean.connection_lost(None)
    reset.connection_lost(ConnectionResetError())
    assert await rest(clean) == b"some"
    assert not clean.release()
    with pytest.raises(BrokenOff):
        await rest(reset)


async def test_closing_on_this_side_never_makes_an_answer_whole(wire: Wire) -> None:
    connection = asked(wire)
    connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nsome")
    connection.abort()
    connection.connection_lost(None)
    with pytest.raises(BrokenOff):
        await rest(connection)


async def test_garbage_closes_the_connection(wire: Wire) -> None:
    connection = asked(wire)
    connection.data_received(b"garbage\r\n\r\n")
    assert wire.aborted
    with pytest.raises(MalformedAnswer):
        await connection.head()

from __future__ import annotations

import asyncio

import pytest

from router.upstream.connection import TimedOut
from tests.upstream.wire import Wire, asked, connected

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
LONG = b"HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n"


@pytest.fixture
def wire() -> Wire:
    return Wire()


async def test_the_deadline_of_a_wait_closes_the_connection(wire: Wire) -> None:
    connection = asked(wire, timeout_s=0.05)
    with pytest.raises(TimedOut):
        await connection.head()
    assert wire.aborted


async def test_a_later_deadline_moves_the_timer_and_an_earlier_one_too(wire: Wire) -> None:
    connection = asked(wire, timeout_s=30)
    waiting = asyncio.ensure_future(connection.head())
    await asyncio.sleep(0)
    connection.data_received(ANSWER)
    await waiting
    assert connection.release()
    connection.send(b"HEAD ", b"{}", 0.05)
    with pytest.raises(TimedOut):
        await connection.head()


async def test_each_read_has_the_whole_timeout(wire: Wire) -> None:
    loop = asyncio.get_running_loop()
    connection = asked(wire, timeout_s=0.2)
    connection.data_received(LONG)
    started = loop.time()
    for number in range(3):
        loop.call_at(started + 0.12 * (number + 1), connection.data_received, b"x")
        assert await connection.read() == b"x"
    assert loop.time() - started > 0.3
    with pytest.raises(TimedOut):
        await connection.read()


async def test_an_upstream_that_still_takes_the_request_is_waited_for(wire: Wire) -> None:
    loop = asyncio.get_running_loop()
    wire.room = 0
    connection = asked(wire, bytes(2_000_000), timeout_s=0.2)
    for number in range(3):
        loop.call_later(0.12 * (number + 1), wire.drained, 0)
    loop.call_later(0.45, connection.data_received, ANSWER)
    await connection.head()
    assert connection.answer.status == 200


async def test_framing_alone_does_not_count_as_progress(wire: Wire) -> None:
    loop = asyncio.get_running_loop()
    connection = asked(wire, timeout_s=0.2)
    connection.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;")
    for number in range(40):
        loop.call_later(0.02 * number, connection.data_received, b"x")
    with pytest.raises(TimedOut):
        await connection.read()


async def test_nobody_waiting_means_no_deadline(wire: Wire) -> None:
    connection = asked(wire, timeout_s=0.05)
    waiting = asyncio.ensure_future(connection.head())
    await asyncio.sleep(0)
    connection.data_received(LONG)
    await waiting
    passed = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.15, passed.set_result, None)
    await passed
    assert not wire.aborted
    connection.data_received(b"x")
    assert await connection.read() == b"x"


async def test_an_idle_connection_is_closed_after_its_time(wire: Wire) -> None:
    lost = asyncio.Event()
    wire.abort = lost.set  # type: ignore[method-assign]
    connection = connected(wire, idle_s=0.05)
    connection.send(b"HEAD ", b"{}", 30)
    connection.data_received(ANSWER)
    assert connection.release()
    await asyncio.wait_for(lost.wait(), 5)
    assert not connection.usable

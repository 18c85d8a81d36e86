"""Whatever clients send, they get whole HTTP answers or a closed connection, and others are served."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.aio import timeout
from router.context import RequestContext
from router.handlers.reply import JSON, Reply
from router.listeners.http import HttpListener, ListenerOptions
from router.listeners.middleware import Resource
from router.telemetry.access_log import LoggedAccess
from tests.fakes.counters import RecordedMetrics

GOOD = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [A-Za-z -]+\r\n")

_starts = st.sampled_from(
    [
        b"POST /echo HTTP/1.1\r\n",
        b"GET /echo HTTP/1.1\r\n",
        b"POST /echo HTTP/1.0\r\n",
        b"POST http://x/echo?q=%zz HTTP/1.1\r\n",
        b"POST /\xff%00 HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"CONNECT x:1 HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"POST  /echo HTTP/1.1\r\n",
        b"POST /echo\r\n",
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ]
)
_fields = st.sampled_from(
    [
        b"host: x\r\n",
        b"content-length: 2\r\n",
        b"content-length: 5\r\n",
        b"content-length: -1\r\n",
        b"content-length: 2, 2\r\n",
        b"content-length: 99999999999999999999\r\n",
        b"transfer-encoding: chunked\r\n",
        b"transfer-encoding: gzip, chunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"expect: 100-continue\r\n",
        b"connection: close\r\n",
        b"connection: upgrade\r\nupgrade: websocket\r\n",
        b" folded: yes\r\n",
        b"x: \x00\r\n",
        b"x: " + b"a" * 500 + b"\r\n",
        b"no colon\r\n",
        b"content-encoding: gzip\r\n",
    ]
)
_bodies = st.sampled_from([b"", b"{}", b"2\r\n{}\r\n0\r\n\r\n", b"ffffffff\r\n", b"0\r\n\r\n", b"zz\r\n", GOOD])
_requests = st.builds(
    lambda start, fields, end, body: start + b"".join(fields) + end + body,
    _starts,
    st.lists(_fields, max_size=4),
    st.sampled_from([b"\r\n", b"\n", b""]),
    _bodies,
)
_sent = st.lists(_requests | st.binary(max_size=40), min_size=1, max_size=4).map(b"".join)


@dataclass
class Served:
    """A listener, and the loop that it runs in while something is asked."""

    loop: asyncio.AbstractEventLoop
    listener: HttpListener

    def send(self, *pieces: bytes) -> bytes:
        """Everything that comes back for the pieces, sent one after the other, until the connection is closed."""
        return self.loop.run_until_complete(self._send(pieces))

    async def _send(self, pieces: tuple[bytes, ...]) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        try:
            async with timeout(10):
                try:
                    for piece in pieces:
                        writer.write(piece)
                        await writer.drain()
                        await asyncio.sleep(0)
                    if writer.can_write_eof():
                        writer.write_eof()
                    return await reader.read()
                except (ConnectionError, OSError):
                    return await reader.read()
        finally:
            writer.close()


async def _echo(context: RequestContext, body: bytes) -> Reply:
    return Reply(200, JSON, body)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    loop = asyncio.new_event_loop()
    options = ListenerOptions("front", "127.0.0.1", 0, 5.0, 1000, 1.0, 0.2, keepalive_s=0.5)
    listener = HttpListener(options, {"/echo": Resource({"POST": _echo})}, RecordedMetrics().recorder, LoggedAccess())
    loop.run_until_complete(listener.start())
    yield Served(loop, listener)
    loop.run_until_complete(listener.drain())
    loop.close()


def _statuses(answers: bytes) -> list[int]:
    """The statuses of whole answers that follow each other; fails where what came is anything else."""
    statuses = []
    while answers:
        match = STATUS.match(answers)
        assert match, answers[:80]
        head, _, answers = answers.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", head.lower())
        size = int(length[1]) if length else 0
        assert len(answers) >= size
        answers = answers[size:]
        if match[1] != b"100":
            statuses.append(int(match[1]))
    return statuses


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=_sent)
def test_nonsense_gets_whole_answers_and_harms_nobody(served: Served, sent: bytes) -> None:
    statuses = _statuses(served.send(sent))
    assert all(status in (200, 400, 404, 405, 408, 413, 415, 431, 501, 505) for status in statuses), statuses
    assert _statuses(served.send(GOOD)) == [200]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=_sent, data=st.data())
def test_where_bytes_are_cut_makes_no_difference(served: Served, sent: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(sent)))
    assert _statuses(served.send(sent[:cut], sent[cut:])) == _statuses(served.send(sent))

"""The telemetry process's socket, with the workers' real end of it, and with peers that mean no good."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from router.errors import OperatorError
from router.observer.client import ask
from router.observer.connection import MAX_QUERIES
from router.observer.metrics import MergedMetrics
from router.observer.queries import Queries, QueryError
from router.observer.server import MAX_CONNECTIONS, PAUSE_BYTES, TelemetryServer
from router.telemetry import catalogue, frames
from router.telemetry.channel import SOCKET_NAME, Channel, socket_address
from router.telemetry.instruments import Registry
from tests.observer.waiting import until


class Handled:
    """Keeps what it is given; waits while ``open`` is not set, breaks on messages that are to break it."""

    def __init__(self) -> None:
        self.messages: list[tuple[Mapping[str, Any], bytes]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def handle(self, message: Mapping[str, Any], answer: bytes) -> None:
        await self.open.wait()
        if message.get("breaks"):
            raise RuntimeError("a defect")
        self.messages.append((message, answer))


class Served:
    """A server that listens, and what it hands on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.own = Registry()
        self.merged = MergedMetrics(self.own)
        self.queries = Queries()
        self.handled = Handled()
        self.server = TelemetryServer(self.merged, self.queries, self.handled, self.own)

    def channel(self, registry: Registry | None = None, worker: int = 0, **options: Any) -> Channel:
        return Channel(socket_address(self.folder), registry or Registry(), worker=worker, **options)

    def values(self, name: str) -> dict[tuple[str, ...], Any]:
        return next((dict(each.series) for each in self.merged.families() if each.definition.name == name), {})


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Served]:
    served = Served(folder)
    await served.server.open(folder)
    running = asyncio.create_task(served.server.run())
    try:
        yield served
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await served.server.close()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "instance") as served:
        yield served


async def test_the_socket_is_its_users_alone(served: Served) -> None:
    assert stat.S_IMODE(served.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((served.folder / SOCKET_NAME).stat().st_mode) == 0o600


async def test_workers_report_numbers_and_requests(served: Served) -> None:
    registry = Registry()
    registry.sum(catalogue.REQUESTS).add(3, "web", "2xx")
    channel = served.channel(registry)
    await channel.open()
    channel.request({"type": "request", "stream": True}, [b"an ", b"answer"])
    channel.flush()
    await until(lambda: served.handled.messages)
    assert served.handled.messages == [({"type": "request", "stream": True}, b"an answer")]
    assert served.merged.workers == 1
    registry.sum(catalogue.REQUESTS).add(1, "web", "2xx")
    await channel.close()
    await until(lambda: not served.merged.workers)
    assert served.values(catalogue.REQUESTS.name) == {("web", "2xx"): 4}


async def test_a_process_that_is_back_hears_from_the_workers_again(tmp_path: Path) -> None:
    registry = Registry()
    async with serving(tmp_path) as served:
        channel = served.channel(registry)
        await channel.open()
        await until(lambda: served.merged.workers)
    registry.sum(catalogue.REQUESTS).add(1, "web", "2xx")
    channel.request({"type": "request"}, [])
    async with serving(tmp_path) as served:
        await until(lambda: served.values(catalogue.REQUESTS.name))
        assert served.values(catalogue.REQUESTS.name) == {("web", "2xx"): 1}
        await channel.close()


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / SOCKET_NAME))
    async with serving(tmp_path) as served:
        channel = served.channel()
        await channel.open()
        await until(lambda: served.merged.workers)
        await channel.close()


async def test_a_socket_that_is_in_use_is_left_alone(served: Served) -> None:
    with pytest.raises(OSError, match="another process listens"):
        await Served(served.folder).server.open(served.folder)
    assert (served.folder / SOCKET_NAME).exists()


async def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / SOCKET_NAME).write_text("mine")
    with pytest.raises(OSError, match="no socket"):
        await Served(tmp_path).server.open(tmp_path)
    assert (tmp_path / SOCKET_NAME).read_text() == "mine"


async def test_a_path_that_is_too_long_for_a_socket_works(tmp_path: Path) -> None:
    async with serving(tmp_path / ("long" * 30)) as served:
        channel = served.channel()
        await channel.open()
        await until(lambda: served.merged.workers)
        await channel.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff" * 64,
        b"\x00\x00\x00\x02\x00\x00\x00\x00[]",
        b"\x00\x00\x00\x02\x00\x00\x00\x00{x",
    ],
)
async def test_what_is_no_frame_ends_the_connection_and_nothing_else(served: Served, garbage: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(socket_address(served.folder))
    writer.write(garbage)
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    channel = served.channel()
    await channel.open()
    await until(lambda: served.merged.workers)
    await channel.close()


async def test_frames_of_no_meaning_are_passed_over(served: Served) -> None:
    _, writer = await asyncio.open_unix_connection(socket_address(served.folder))
    for message in (
        {},
        {"type": "nonsense"},
        {"type": 5},
        {"type": "metrics", "series": {catalogue.REQUESTS.name: [[["web", "2xx"], 99]]}},
        {"type": "hello", "worker": "zero", "pid": None},
        {"type": "request", "trace": 7},
    ):
        writer.write(frames.encode(message))
    await until(lambda: served.handled.messages)
    assert served.merged.workers == 0
    assert served.values(catalogue.REQUESTS.name) == {}
    writer.close()


async def test_a_defect_costs_one_request_and_is_counted(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    _, writer = await asyncio.open_unix_connection(socket_address(served.folder))
    writer.write(frames.encode({"type": "request", "breaks": True}) + frames.encode({"type": "request"}))
    await until(lambda: served.handled.messages)
    assert served.values(catalogue.TELEMETRY_DROPPED.name) == {("requests",): 1}
    assert "request not recorded" in caplog.text
    writer.close()


async def test_reading_pauses_while_handling_is_behind_and_goes_on_then(served: Served) -> None:
    served.handled.open.clear()
    _, writer = await asyncio.open_unix_connection(socket_address(served.folder))
    frame = frames.encode({"type": "request"}, [bytes(1024 * 1024)])
    sending = asyncio.create_task(_send(writer, frame, 40))
    await until(lambda: served.server.pending_bytes > PAUSE_BYTES)
    await until(lambda: writer.transport.get_write_buffer_size() > len(frame) // 2)
    assert served.server.pending_bytes < 2 * PAUSE_BYTES
    assert not sending.done()
    served.handled.open.set()
    await sending
    await until(lambda: len(served.handled.messages) == 40)
    assert served.server.pending_bytes == 0
    writer.close()


async def _send(writer: asyncio.StreamWriter, frame: bytes, times: int) -> None:
    for _ in range(times):
        writer.write(frame)
        await writer.drain()


async def test_connections_are_bounded(served: Served) -> None:
    writers = []
    for _ in range(MAX_CONNECTIONS):
        _, writer = await asyncio.open_unix_connection(socket_address(served.folder))
        writers.append(writer)
    await until(lambda: len(served.server.connections) == MAX_CONNECTIONS)
    reader, writer = await asyncio.open_unix_connection(socket_address(served.folder))
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 10) == b""
    for each in (*writers, writer):
        each.close()


async def test_log_levels_reach_workers_that_are_there_and_those_that_come(served: Served) -> None:
    first: list[str] = []
    second: list[str] = []
    one = served.channel(on_log_level=first.append)
    await one.open()
    await until(lambda: served.merged.workers)
    assert served.server.set_log_level("debug") == 1
    await until(lambda: first)
    other = served.channel(worker=1, on_log_level=second.append)
    await other.open()
    await until(lambda: second)
    assert (first, second) == (["debug"], ["debug"])
    await one.close()
    await other.close()


async def counting(query: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    for number in range(query["upto"]):
        yield {"number": number}


async def test_queries_are_answered(served: Served) -> None:
    served.queries.register("numbers", counting)
    assert [each["number"] for each in await _all(ask(served.folder, "numbers", upto=3))] == [0, 1, 2]


async def test_queries_that_nobody_answers_say_so(served: Served) -> None:
    async def refusing(query: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        raise QueryError("Ask something else.")
        yield {}

    async def unsayable(query: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        yield {"text": "\ud800"}

    served.queries.register("numbers", counting)
    served.queries.register("refusing", refusing)
    served.queries.register("unsayable", unsayable)
    for what, message in (
        ("unknown", "Nobody here answers this"),
        ("numbers", "could not answer this"),  # its argument is missing
        ("refusing", "Ask something else"),
        ("unsayable", "cannot be encoded"),
    ):
        with pytest.raises(OperatorError, match=message):
            await _all(ask(served.folder, what))


async def _all(results: AsyncGenerator[dict[str, Any], None]) -> list[dict[str, Any]]:
    async with aclosing(results):
        return [each async for each in results]


async def test_an_endless_answer_ends_with_whoever_asked(served: Served) -> None:
    ended = asyncio.Event()

    async def endless(query: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        try:
            while True:
                yield {"more": "x" * 100_000}
                await asyncio.sleep(0)
        finally:
            ended.set()

    served.queries.register("endless", endless)
    async with aclosing(ask(served.folder, "endless")) as results:
        async for _ in results:
            break
    await asyncio.wait_for(ended.wait(), 10)


async def test_questions_of_one_peer_are_bounded(served: Served) -> None:
    async def silent(query: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        await asyncio.Event().wait()
        yield {}

    served.queries.register("silent", silent)
    reader, writer = await asyncio.open_unix_connection(socket_address(served.folder))
    for _ in range(MAX_QUERIES + 1):
        writer.write(frames.encode({"type": "query", "what": "silent"}))
    incoming = frames.FrameReader()
    (answer, _) = next(incoming.feed(await asyncio.wait_for(reader.read(4096), 10)))
    assert answer == {"type": "result", "end": True, "error": "Too many questions at once."}
    writer.close()


async def test_asking_where_nobody_listens_says_how_to_put_it_right(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="does not answer") as raised:
        await _all(ask(tmp_path, "numbers"))
    assert raised.value.fix is not None


def test_one_question_has_one_answer() -> None:
    queries = Queries()
    queries.register("numbers", counting)
    with pytest.raises(ValueError, match="answered already"):
        queries.register("numbers", counting)


async def test_what_was_sent_last_is_handled_before_the_end(served: Served) -> None:
    served.handled.open.clear()
    channel = served.channel()
    await channel.open()
    for number in range(5):
        channel.request({"type": "request", "number": number}, [])
    await channel.close()
    settling = asyncio.create_task(served.server.settled())
    served.handled.open.set()
    await asyncio.wait_for(settling, 10)
    assert len(served.handled.messages) == 5

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from router.aio import timeout
from router.telemetry import frames, semconv
from router.telemetry.catalogue import REQUESTS
from router.telemetry.channel import SOCKET_NAME, Channel, socket_address
from router.telemetry.instruments import Registry


class Peer:
    """A telemetry process that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[tuple[dict[str, Any], bytes]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self.serving = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.serving += 1
        taken = frames.FrameReader()
        while data := await reader.read(65536):
            self.messages += taken.feed(data)
        writer.close()
        self.serving -= 1

    def of_type(self, kind: str) -> list[tuple[dict[str, Any], bytes]]:
        return [each for each in self.messages if each[0]["type"] == kind]

    def say(self, message: dict[str, Any]) -> None:
        self.write(frames.encode(message))

    def write(self, data: bytes) -> None:
        self._writers[-1].write(data)

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def _listening(folder: Path) -> AsyncIterator[Peer]:
    peer = Peer()
    (folder / SOCKET_NAME).unlink(missing_ok=True)
    server = await asyncio.start_unix_server(peer.serve, folder / SOCKET_NAME)
    try:
        yield peer
    finally:
        server.close()
        peer.hang_up()
        await _until(lambda: peer.serving == 0)


@asynccontextmanager
async def _open(folder: Path, registry: Registry | None = None, **options: Any) -> AsyncIterator[Channel]:
    channel = Channel(socket_address(folder), registry or Registry(), worker=3, **options)
    await channel.open()
    try:
        yield channel
    finally:
        await channel.close()


async def _until(fact: Callable[[], object]) -> None:
    async with timeout(8):
        while not fact():
            await asyncio.sleep(0.01)


def _dropped(registry: Registry) -> float:
    return sum(value for _, value in registry.snapshot().get(semconv.TELEMETRY_DROPPED, ()))


async def test_a_worker_says_who_it_is_what_it_counted_and_what_was_asked(tmp_path: Path) -> None:
    registry = Registry()
    registry.sum(REQUESTS).add(2, "front", "2xx")
    async with _listening(tmp_path) as peer, _open(tmp_path, registry) as channel:
        channel.request({"type": "request", "n": 1}, [b"an", b"swer"])
        await _until(lambda: peer.of_type("request"))
        assert peer.of_type("hello")[0][0]["worker"] == 3
        assert peer.of_type("request") == [({"type": "request", "n": 1}, b"answer")]
        assert peer.of_type("metrics")[0][0]["series"][semconv.REQUESTS] == [[["front", "2xx"], 2]]


async def test_what_is_pending_and_the_last_numbers_are_sent_at_the_end(tmp_path: Path) -> None:
    registry = Registry()
    async with _listening(tmp_path) as peer:
        async with _open(tmp_path, registry) as channel:
            channel.request({"type": "request"}, ())
            registry.sum(REQUESTS).add(1, "front", "5xx")
        await _until(lambda: peer.of_type("request"))
        assert peer.of_type("metrics")[-1][0]["series"][semconv.REQUESTS] == [[["front", "5xx"], 1]]


async def test_without_a_telemetry_process_everything_is_dropped_and_counted(tmp_path: Path) -> None:
    registry = Registry()
    async with _open(tmp_path, registry) as channel:
        for _ in range(5):
            channel.request({"type": "request"}, ())
        assert _dropped(registry) == 5


async def test_a_telemetry_process_that_comes_back_is_told_again(tmp_path: Path) -> None:
    async with _open(tmp_path) as channel:
        async with _listening(tmp_path) as peer:
            await _until(lambda: peer.of_type("hello"))
        async with _listening(tmp_path) as peer:
            await _until(lambda: peer.of_type("hello"))
            channel.request({"type": "request"}, ())
            await _until(lambda: peer.of_type("request"))
            assert len(peer.of_type("hello")) == 1


async def test_memory_is_bounded_while_nobody_reads(tmp_path: Path) -> None:
    hung_up = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hung_up.wait()
        writer.close()

    registry = Registry()
    server = await asyncio.start_unix_server(deaf, tmp_path / SOCKET_NAME)
    try:
        async with _open(tmp_path, registry) as channel:
            payload = [b"x" * 250_000]
            for _ in range(100):
                channel.request({"type": "request"}, payload)
            assert 55 <= _dropped(registry) <= 80  # room for 8 MiB, what the kernel takes aside
    finally:
        server.close()
        hung_up.set()
        await asyncio.sleep(0.05)


async def test_what_json_has_no_room_for_is_dropped(tmp_path: Path) -> None:
    registry = Registry()
    async with _listening(tmp_path), _open(tmp_path, registry) as channel:
        channel.request({"type": "request", "text": "\ud800"}, ())
        assert _dropped(registry) == 1


async def test_holding_back_ends_by_itself_and_leaves_out_most_but_not_all(tmp_path: Path) -> None:
    registry = Registry()
    async with _listening(tmp_path) as peer, _open(tmp_path, registry) as channel:
        await _until(lambda: peer.of_type("hello"))
        assert channel.wants()
        peer.say({"type": "hold_back", "seconds": 0.5})
        await _until(lambda: not channel.wants())
        wanted = sum(channel.wants() for _ in range(100))
        assert wanted == 2
        assert _dropped(registry) >= 98
        await _until(channel.wants)
        await _until(lambda: all(channel.wants() for _ in range(60)))


async def test_the_log_level_is_passed_on(tmp_path: Path) -> None:
    levels: list[str] = []
    async with _listening(tmp_path) as peer, _open(tmp_path, on_log_level=levels.append):
        await _until(lambda: peer.of_type("hello"))
        peer.say({"type": "log_level", "level": "debug"})
        await _until(lambda: levels)
    assert levels == ["debug"]


@pytest.mark.parametrize("garbage", [b"\xff" * 20, frames.encode([1])])  # type: ignore[arg-type]
async def test_what_is_not_understood_closes_the_connection_and_another_is_made(tmp_path: Path, garbage: bytes) -> None:
    async with _listening(tmp_path) as peer, _open(tmp_path):
        await _until(lambda: peer.of_type("hello"))
        peer.write(garbage)
        await _until(lambda: len(peer.of_type("hello")) > 1)
        assert len(peer.of_type("hello")) == 2


async def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    server = await asyncio.start_unix_server(Peer().serve, socket_address(folder))
    peer = Peer()
    server.close()
    (folder / SOCKET_NAME).unlink(missing_ok=True)
    again = await asyncio.start_unix_server(peer.serve, socket_address(folder))
    try:
        async with _open(folder):
            await _until(lambda: peer.of_type("hello"))
            assert peer.of_type("hello")[0][0]["pid"] == os.getpid()
    finally:
        again.close()
        peer.hang_up()


def test_frames_cut_anywhere_are_read_whole() -> None:
    sent = frames.encode({"type": "a"}, [b"one"]) + frames.encode({"type": "b"}) + frames.encode({"type": "c"}, [b"3"])
    for cut in range(len(sent)):
        reader = frames.FrameReader()
        read = [*reader.feed(sent[:cut]), *reader.feed(sent[cut:])]
        assert [(message["type"], payload) for message, payload in read] == [("a", b"one"), ("b", b""), ("c", b"3")]


def test_a_frame_that_is_too_large_is_refused() -> None:
    with pytest.raises(frames.FrameError):
        list(frames.FrameReader(max_bytes=100).feed(frames.encode({"type": "a"}, [b"x" * 200])))

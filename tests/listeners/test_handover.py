"""A listener that goes on at the port of another one: with its connections, without a gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from router.context import RequestContext
from router.handlers.reply import Reply
from router.listeners.handover import SuccessiveListener
from router.listeners.http import ListenerOptions
from router.listeners.middleware import Resource
from router.telemetry.access_log import LoggedAccess
from tests.fakes.counters import RecordedMetrics


class Named:
    """Answers with its name, where that is asked for only once it may."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.began = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def answer(self, context: RequestContext, body: bytes) -> Reply:
        return Reply(200, "text/plain", self.name.encode())

    async def wait(self, context: RequestContext, body: bytes) -> Reply:
        self.began.set()
        await self.may_answer.wait()
        return Reply(200, "text/plain", self.name.encode())


def listener(handler: Named, *, port: int = 0, name: str = "front", timeout_s: float = 20) -> SuccessiveListener:
    options = ListenerOptions(
        name, "127.0.0.1", port, timeout_s=timeout_s, max_body_bytes=1024, drain_timeout_s=0.05, body_timeout_s=5
    )
    paths = {"/": Resource({"GET": handler.answer}), "/wait": Resource({"GET": handler.wait})}
    return SuccessiveListener(options, paths, RecordedMetrics().recorder, LoggedAccess())


@asynccontextmanager
async def started(handler: Named) -> AsyncIterator[SuccessiveListener]:
    first = listener(handler)
    await first.start()
    yield first
    await first.drain()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def text(session: aiohttp.ClientSession, port: int, path: str = "/") -> str:
    async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
        assert answer.status == 200
        return await answer.text()


async def test_connections_go_on_at_the_next_listener_and_requests_in_flight_at_theirs(
    session: aiohttp.ClientSession,
) -> None:
    old, new = Named("old"), Named("new")
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(started(old))
        port = first.port
        assert await text(session, port) == "old"
        waiting = asyncio.create_task(text(session, port, "/wait"))
        await old.began.wait()
        second = listener(new)
        second.predecessor = first
        second.take_over()
        assert second.port == port
        draining = asyncio.create_task(first.drain())
        assert {await text(session, port) for _ in range(3)} == {"new"}
        assert not draining.done()
        old.may_answer.set()
        assert await waiting == "old"
        await draining
        assert await text(session, port) == "new"
        await second.drain()
    with pytest.raises(aiohttp.ClientConnectorError):
        await text(session, port)


async def test_an_open_connection_is_kept() -> None:
    async with started(Named("old")) as first:
        reader, writer = await asyncio.open_connection("127.0.0.1", first.port)

        async def over_it() -> bytes:
            writer.write(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"connection: close" not in head.lower()
            return await reader.readexactly(3)

        assert await over_it() == b"old"
        second = listener(Named("new"))
        second.predecessor = first
        second.take_over()
        await first.drain()
        assert await over_it() == b"new"
        writer.close()
        await writer.wait_closed()
        await second.drain()


async def test_a_share_of_the_requests_goes_to_a_trial_until_it_ends(session: aiohttp.ClientSession) -> None:
    async with started(Named("old")) as first:
        trial = listener(Named("trial"))
        trial.predecessor = first
        trial.share(0.5)
        assert {await text(session, first.port) for _ in range(64)} == {"old", "trial"}
        trial.share(1)
        assert await text(session, first.port) == "trial"
        await trial.drain()
        assert await text(session, first.port) == "old"


async def test_what_outlasts_its_own_time_behind_a_handover_is_cut_off(session: aiohttp.ClientSession) -> None:
    old = Named("old")
    first = listener(old, timeout_s=0.05)
    await first.start()
    second = listener(Named("new"))
    second.predecessor = first
    waiting = asyncio.create_task(text(session, first.port, "/wait"))
    await old.began.wait()
    second.take_over()
    await first.drain()
    with pytest.raises((aiohttp.ClientError, AssertionError)):
        await waiting
    assert await text(session, second.port) == "new"
    await second.drain()


@pytest.mark.parametrize(
    ("port", "name", "succeeds"), [(8000, "other", True), (8001, "front", False), (0, "front", False)]
)
def test_a_listener_succeeds_the_one_at_its_address(port: int, name: str, succeeds: bool) -> None:
    first = listener(Named("old"), port=8000)
    assert listener(Named("new"), port=port, name=name).succeeds(first) is succeeds


@pytest.mark.parametrize(("name", "succeeds"), [("front", True), ("other", False)])
def test_at_any_free_port_a_listener_is_known_by_its_name(name: str, succeeds: bool) -> None:
    assert listener(Named("new"), name=name).succeeds(listener(Named("old"))) is succeeds

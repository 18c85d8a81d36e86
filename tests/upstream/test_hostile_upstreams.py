from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.errors import (
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from tests.fakes.agents import FakeAgent
from tests.fakes.http_exchange import Exchange as Served
from tests.upstream.calling import EMPTY, OK, calling, sends


@pytest.mark.parametrize("text", [b"x", b"x: y\r\n"])
async def test_a_head_that_never_ends_is_bounded_by_size_and_by_time(text: bytes) -> None:
    async def drip(exchange: Served) -> None:
        await exchange.send(OK)
        while True:
            await exchange.send(text)
            await asyncio.sleep(0.01)

    async def flood(exchange: Served) -> None:
        await exchange.send(OK)
        for _ in itertools.count():
            await exchange.send(text * 100)
            await asyncio.sleep(0)

    async with FakeAgent(behaviour=drip) as agent, calling(agent.url, timeout_s=0.2) as caller:
        with pytest.raises(UpstreamTimeout):
            await caller.body()
        agent.behaviour = flood
        with pytest.raises(UpstreamProtocolError, match="not an HTTP answer"):
            await caller.body()
        await agent.wait_connections(0)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([b"", OK, OK + b"transfer-encoding: chunked\r\n\r\n", EMPTY]), st.lists(st.binary(max_size=200)))
def test_hostile_bytes_are_an_answer_or_an_upstream_error(start: bytes, rest: list[bytes]) -> None:
    async def ask() -> None:
        behaviour = sends(start, *rest, then_end=True)
        async with FakeAgent(behaviour=behaviour) as agent, calling(agent.url, timeout_s=2) as caller:
            with suppress(UpstreamError):
                assert isinstance(await caller.body(), bytes)

    asyncio.run(asyncio.wait_for(ask(), 10))

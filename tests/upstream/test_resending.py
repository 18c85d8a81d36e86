from __future__ import annotations

import pytest

from router.errors import (
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tests.fakes import agents
from tests.fakes.agents import Behaviour, FakeAgent
from tests.upstream.calling import EMPTY, OK, calling, sends


@pytest.mark.parametrize("reset", [False, True])
async def test_a_kept_connection_that_turns_out_closed_is_replaced_once(reset: bool) -> None:
    behaviour = agents.in_turn(sends(EMPTY), agents.die(reset=reset), sends(OK + b"content-length: 2\r\n\r\nhi"))
    async with FakeAgent(behaviour=behaviour) as agent, calling(agent.url) as caller:
        assert await caller.body() == b""
        assert await caller.body() == b"hi"
        assert (len(agent.requests), agent.connections_made) == (3, 2)


@pytest.mark.parametrize(
    ("answers", "requests"),
    [
        ([agents.die()], 3),  # the new connection fails as well
        ([sends(b"H", then_end=True), sends(EMPTY)], 2),  # an answer had begun
        ([sends(b"HTTP/1.1 100 x\r\n\r\n", then_end=True), sends(EMPTY)], 2),
    ],
)
async def test_no_request_is_sent_again_beyond_that(answers: list[Behaviour], requests: int) -> None:
    async with FakeAgent(behaviour=agents.in_turn(sends(EMPTY), *answers)) as agent, calling(agent.url) as caller:
        await caller.body()
        with pytest.raises(UpstreamUnreachable, match="The connection to 'weather' broke"):
            await caller.body()
        assert len(agent.requests) == requests


async def test_a_request_on_a_new_connection_is_sent_once() -> None:
    async with FakeAgent(behaviour=agents.in_turn(agents.die(), sends(EMPTY))) as agent, calling(agent.url) as caller:
        with pytest.raises(UpstreamUnreachable):
            await caller.body()
        assert len(agent.requests) == 1


async def test_a_request_that_timed_out_is_not_sent_again() -> None:
    behaviour = agents.in_turn(sends(EMPTY), agents.hang())
    async with FakeAgent(behaviour=behaviour) as agent, calling(agent.url, timeout_s=0.1) as caller:
        await caller.body()
        with pytest.raises(UpstreamTimeout, match="'weather' did not answer in time"):
            await caller.body()
        assert len(agent.requests) == 2
        await agent.wait_connections(0)

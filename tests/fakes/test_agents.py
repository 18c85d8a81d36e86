from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest

from tests.fakes.agents import (
    DEFAULT_TEXT,
    FakeAgent,
    answer_json,
    die,
    die_midstream,
    echo,
    endless,
    fail,
    garbage,
    hang,
    hang_midstream,
    huge,
    in_turn,
    stream,
)

BODY = {"model": "any", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**BODY, "stream": True, "stream_options": {"include_usage": True}}


async def _post(agent: FakeAgent, body: Mapping[str, object] = BODY) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{agent.url}/v1/chat/completions", json=body, headers={"X-Test": "yes"}) as response,
    ):
        return response.status, await response.read()


def _said(body: bytes) -> str:
    events = [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line]
    assert events.pop() == "[DONE]"
    chunks = [json.loads(event) for event in events]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])


async def test_answers_json_or_sse_as_asked_and_records_requests() -> None:
    async with FakeAgent(reply="Sunny and dry.") as agent:
        status, body = await _post(agent)
        assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, "Sunny and dry.")
        assert _said((await _post(agent, STREAM))[1]) == "Sunny and dry."
        assert [request.wants_stream for request in agent.requests] == [False, True]
        assert agent.requests[0].headers["x-test"] == "yes"
        assert agent.requests[0].path == "/v1/chat/completions"


@pytest.mark.parametrize("behaviour", [stream(), stream(torn=True), stream(gap_s=0.001)])
async def test_sse_says_the_whole_text_however_it_is_cut(behaviour: object) -> None:
    async with FakeAgent(behaviour=behaviour) as agent:  # type: ignore[arg-type]
        assert _said((await _post(agent))[1]) == DEFAULT_TEXT


async def test_one_connection_serves_many_requests_with_a_behaviour_each() -> None:
    async with FakeAgent(behaviour=in_turn(fail(429, "Slow down."), echo(), answer_json("x"))) as agent:
        async with aiohttp.ClientSession() as session:
            statuses = []
            for body in (BODY, BODY, STREAM, STREAM):
                async with session.post(agent.url, json=body) as response:
                    statuses.append((response.status, response.content_type))
                    await response.read()
        assert statuses == [(429, "application/json"), *[(200, "application/json")] * 3]
        assert agent.connections_made == 1
        await agent.wait_connections(0)
        assert agent.abandoned == 0


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (die(), aiohttp.ClientOSError),
        (die(reset=False), aiohttp.ServerDisconnectedError),
        (die_midstream(), aiohttp.ClientPayloadError),
        (die_midstream(reset=False), aiohttp.ClientPayloadError),
        (garbage(), aiohttp.ClientResponseError),
    ],
)
async def test_breaks_the_connection_in_each_way(behaviour: object, error: type[Exception]) -> None:
    async with FakeAgent(behaviour=behaviour) as agent:  # type: ignore[arg-type]
        with pytest.raises((error, aiohttp.ServerDisconnectedError)):
            await _post(agent)
        assert agent.abandoned == 0


@pytest.mark.parametrize("behaviour", [hang(), hang_midstream(), endless(), endless(gap_s=0.01)])
async def test_notices_that_the_client_gave_up(behaviour: object) -> None:
    async with FakeAgent(behaviour=behaviour) as agent:  # type: ignore[arg-type]
        client = asyncio.create_task(_post(agent))
        await agent.wait_requests(1)
        assert agent.connections_open == 1
        client.cancel()
        await agent.wait_disconnect()
        assert agent.connections_open == 0


@pytest.mark.parametrize("body", [BODY, STREAM])
async def test_a_huge_answer_arrives_whole(body: Mapping[str, object]) -> None:
    async with FakeAgent(behaviour=huge(2_000_000)) as agent:
        assert len((await _post(agent, body))[1]) > 2_000_000


async def test_stopping_drops_open_connections() -> None:
    agent = FakeAgent(behaviour=hang())
    async with agent:
        client = asyncio.create_task(_post(agent))
        await agent.wait_requests(1)
    with pytest.raises(aiohttp.ClientError):
        await client


async def test_takes_a_large_request_body() -> None:
    async with FakeAgent() as agent:
        await _post(agent, {**BODY, "padding": "x" * 1_000_000})
        assert len(agent.requests[0].json["padding"]) == 1_000_000


async def test_takes_a_chunked_request_body() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"messages": ', b"[]", b"}"):
            yield piece

    async with FakeAgent() as agent, aiohttp.ClientSession() as session:
        async with session.post(agent.url, data=pieces()) as response:
            assert response.status == 200
        assert agent.requests[0].messages == []

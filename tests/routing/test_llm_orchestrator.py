from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable, UpstreamStatus
from router.routing.llm_orchestrator import LlmOrchestrator
from router.upstream.chat import ChatUpstream
from router.upstream.http import Endpoint, HttpClient
from router.upstream.service import FixedService
from tests.fakes import agents
from tests.fakes.agents import FakeAgent

ROUTES = [RouteDescription("code", "writes code"), RouteDescription("chat", "small talk"), RouteDescription("x", "x")]
HELLO = [Turn("user", "hello")]


@asynccontextmanager
async def _asking(url: str, *, context_tokens: int = 8192) -> AsyncIterator[LlmOrchestrator]:
    client = HttpClient(connect_timeout_s=2)
    service = FixedService(Endpoint("router-model", URL(url) / "v1/chat/completions", 5))
    upstream = ChatUpstream(service, client, max_response_bytes=1_000_000)
    try:
        yield LlmOrchestrator(upstream.ask, "orchestrator-4b", context_tokens=context_tokens)
    finally:
        await client.close()


async def test_chosen_routes_score_one_and_run_in_the_order_of_the_answer() -> None:
    async with FakeAgent(reply='{"route": ["x", "code"]}') as server, _asking(server.url) as orchestrator:
        scores = await orchestrator.score(HELLO, ROUTES, timeout_s=5)
    assert scores.scores == (1.0, 0.0, 1.0)
    assert scores.order == (1, 3, 0)
    assert (scores.model, scores.threshold) == ("orchestrator-4b", 0.5)


async def test_the_model_gets_one_user_message_with_routes_and_conversation() -> None:
    async with FakeAgent(reply='{"route": []}') as server, _asking(server.url) as orchestrator:
        assert (await orchestrator.score(HELLO, ROUTES, timeout_s=5)).scores == (0.0, 0.0, 0.0)
        body = server.requests[0].json
    assert body["model"] == "orchestrator-4b"
    assert body["temperature"] < 0.1
    assert "stream" not in body
    (message,) = body["messages"]
    assert message["role"] == "user"
    assert '"writes code"' in message["content"]
    assert '"hello"' in message["content"]


async def test_a_long_conversation_is_cut_to_the_context_of_the_model() -> None:
    conversation = [Turn("user", f"{number} " + "x" * 2000) for number in range(16)]
    async with FakeAgent(reply='{"route": []}') as server, _asking(server.url, context_tokens=4096) as orchestrator:
        await orchestrator.score(conversation, ROUTES, timeout_s=5)
        prompt = server.requests[0].messages[0]["content"]
    assert len(prompt) / 4 < 4096 - 1024
    assert '"15 x' in prompt


@pytest.mark.parametrize("reply", ["I would take code.", "", '{"routes": ["code"]}'])
async def test_an_answer_without_routes_is_no_decision(reply: str) -> None:
    async with FakeAgent(reply=reply) as server, _asking(server.url) as orchestrator:
        with pytest.raises(ModelUnavailable, match="names no routes"):
            await orchestrator.score(HELLO, ROUTES, timeout_s=5)


async def test_a_model_that_does_not_answer_is_given_up_in_time() -> None:
    async with FakeAgent(behaviour=agents.hang()) as server, _asking(server.url) as orchestrator:
        with pytest.raises(ModelUnavailable, match="in time"):
            await orchestrator.score(HELLO, ROUTES, timeout_s=0.1)
        await server.wait_disconnect()


async def test_the_error_of_the_model_is_passed_on() -> None:
    async with FakeAgent(behaviour=agents.fail(500)) as server, _asking(server.url) as orchestrator:
        with pytest.raises(UpstreamStatus):
            await orchestrator.score(HELLO, ROUTES, timeout_s=5)

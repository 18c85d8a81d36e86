"""Circuit breakers, the retry budget, larger context windows and hedging, through a whole gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from router.aio import timeout
from router.telemetry import semconv
from tests.fakes import agents
from tests.fakes.providers.answers import Failure, says
from tests.fakes.providers.server import FakeProvider
from tests.fakes.triton import FakeTriton
from tests.integration.model_gateway import CLIENTS, Gateway, gateway, providers

CONFIG = """
version: v0.4.0
model_providers:
  - {model: openai/gpt, access_key: $OPENAI_KEY, base_url: $OPENAI}
  - {model: groq/gpt, access_key: $BACKUP_KEY, base_url: $BACKUP}
listeners:
  - {type: model, name: models, port: $PORT0}
  - {type: model, name: impatient, port: $PORT1, max_retries: 0}
resilience:
  backoff: {base: 1ms}
"""


@dataclass
class World:
    models: Gateway
    fakes: dict[str, FakeProvider]

    @property
    def backup(self) -> FakeProvider:
        return self.fakes["backup"]


@asynccontextmanager
async def _world(folder: Path, config: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(providers("openai", "anthropic", "backup"))
        triton = await stack.enter_async_context(FakeTriton())
        triton.orchestrator(lambda conversation, routes: [0.9] * len(routes))
        yield World(await stack.enter_async_context(gateway(folder, config, fakes, triton=triton)), fakes)


BREAKER = CONFIG + "  circuit_breaker: {consecutive_failures: 2, open_for: 200ms}\n"


async def test_a_breaker_opens_and_closes_again(tmp_path: Path) -> None:
    async with _world(tmp_path, BREAKER) as world:
        openai = world.fakes["openai"]
        openai.play(Failure(500, "Broken."))
        assert [(await world.models.ask("openai/gpt")).attempts for _ in range(4)] == [2, 2, 1, 1]
        assert len(openai.requests) == 2
        await world.backup.stop()
        while (refused := await world.models.ask("openai/gpt", listener="impatient")).status != 503:
            assert refused.status in (500, 502)  # until both are open
        assert refused.json["error"]["code"] == "provider_unavailable"
        assert (int(refused.headers["retry-after"]), refused.attempts) == (1, 0)
        openai.play(says("Well again."))
        async with timeout(10):
            while (answer := await world.models.ask("openai/gpt", listener="impatient")).status != 200:
                await asyncio.sleep(0.02)
        assert answer.text == "Well again."
        assert {(await world.models.ask("openai/gpt", listener="impatient")).status for _ in range(5)} == {200}
        for state in ("open", "half_open", "closed"):
            assert world.models.recorded.count(semconv.BREAKER_CHANGES, "openai/gpt", state) >= 1


async def test_further_tries_are_a_small_part_of_the_load(tmp_path: Path) -> None:
    calm = CONFIG + "  circuit_breaker: {consecutive_failures: 1000000, min_requests: 1000000}\n"
    async with _world(tmp_path, calm) as world:
        requests, always = 150, 20  # two a second, over ten seconds
        for fake in world.fakes.values():
            fake.play(Failure(500, "Broken."))
        answers = [await world.models.ask("openai/gpt") for _ in range(requests)]
        assert {answer.status for answer in answers} == {500}
        tries = len(world.fakes["openai"].requests) + len(world.backup.requests)
        assert tries == sum(answer.attempts for answer in answers)
        assert requests + always <= tries <= requests * 1.2 + always + 2


LARGER = """
version: v0.4.0
model_providers:
  - {model: openai/small, access_key: $OPENAI_KEY, base_url: $OPENAI, context_window: 8000}
  - {model: groq/small, access_key: $BACKUP_KEY, base_url: $BACKUP, context_window: 8000}
  - {model: groq/tiny, access_key: $BACKUP_KEY, base_url: $BACKUP, context_window: 4000}
  - {model: anthropic/large, access_key: $ANTHROPIC_KEY, base_url: $ANTHROPIC, context_window: 200000}
routing_preferences:
  - {name: any, description: Whatever there is., models: [openai/small, groq/tiny, anthropic/large]}
listeners:
  - {type: model, name: models, port: $PORT0, max_retries: 1}
"""
OVERFLOWS = [
    Failure(400, "Too long.", param="messages", code="context_length_exceeded"),
    Failure(400, "This model's maximum context length is 8000 tokens."),
]


@pytest.mark.parametrize("overflow", OVERFLOWS, ids=["code", "wording"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_what_is_too_long_goes_to_a_model_that_reads_more(
    tmp_path: Path, client: str, stream: bool, overflow: Failure
) -> None:
    async with _world(tmp_path, LARGER) as world:
        world.fakes["openai"].play(overflow)
        answer = await world.models.ask("openai/small", client=client, stream=stream)
        assert (answer.status, answer.text, answer.attempts) == (200, "I am anthropic.", 2), answer.body
        assert world.backup.requests == []


async def test_what_is_too_long_for_everyone_is_400(tmp_path: Path) -> None:
    async with _world(tmp_path, LARGER) as world:
        world.fakes["openai"].play(OVERFLOWS[0])
        world.fakes["anthropic"].play(Failure(400, "prompt is too long: 300000 tokens > 200000 maximum"))
        answer = await world.models.ask("openai/small")
        assert (answer.status, answer.attempts) == (400, 2)


HEDGED = CONFIG + "  hedging: {enabled: true, min_delay: 50ms}\n"
ENOUGH = 20  # streams of each provider, before their 95th percentile is known


async def test_a_slow_stream_gets_company(tmp_path: Path) -> None:
    async with _world(tmp_path, HEDGED) as world:
        openai = world.fakes["openai"]
        for _ in range(2 * ENOUGH):
            assert (await world.models.ask("gpt", stream=True)).attempts == 1
        openai.behaviour = agents.hang()
        answers = [await world.models.ask("gpt", stream=True) for _ in range(4)]
        assert {answer.text for answer in answers} == {"I am backup."}
        assert sorted(answer.attempts for answer in answers) == [1, 1, 2, 2]
        assert {answer.upstream for answer in answers} == {"groq/gpt"}
        await openai.wait_disconnect(2)
        hedged = next(line for line in world.models.access.lines if "attempts" in line)
        assert hedged["attempts"] == ["openai/gpt: cancelled", "groq/gpt: ok"]

"""Which provider serves which name, through a whole gateway."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.fakes.http_exchange import Exchange
from tests.fakes.providers.answers import Failure, says
from tests.fakes.providers.server import FakeProvider
from tests.integration.model_gateway import CLIENTS, Gateway, gateway, providers

CONFIG = """
version: v0.4.0
model_providers:
  - {model: openai/gpt-4o, access_key: $OPENAI_KEY, base_url: $OPENAI, default: true}
  - {model: openai/gpt-4o-mini, access_key: $OPENAI_KEY, base_url: $OPENAI}
  - {model: groq/*, access_key: $GROQ_KEY, base_url: $GROQ}
  - {model: anthropic/claude-sonnet-4-5, name: claude, access_key: $ANTHROPIC_KEY, base_url: $ANTHROPIC}
  - {model: mistral/mistral-large, access_key: $UNSET_KEY, base_url: $OPENAI}
  - {model: openai/shared, name: large, access_key: $LARGE_KEY, base_url: $LARGE, weight: 3}
  - {model: openai/shared, name: small, access_key: $SMALL_KEY, base_url: $SMALL}
  - {model: xai/elsewhere, access_key: $LARGE_KEY, base_url: $LARGE}
  - {model: deepseek/elsewhere, access_key: $SMALL_KEY, base_url: $SMALL}
model_aliases:
  fast: {target: quick}
  quick: {target: groq/llama-3.1-8b}
  smart: {target: claude}
  house: {target: gpt-4o-mini}
listeners:
  - {type: model, name: models, port: $PORT0}
"""
HINT = "x-arch-llm-provider-hint"


@dataclass
class World:
    models: Gateway
    fakes: dict[str, FakeProvider]

    def asked(self) -> dict[str, list[str]]:
        """The models that each provider was asked for."""
        return {name: [each.json["model"] for each in fake.requests] for name, fake in self.fakes.items()}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(providers("openai", "groq", "anthropic", "large", "small"))
        yield World(await stack.enter_async_context(gateway(tmp_path, CONFIG, fakes)), fakes)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("requested", "provider", "model"),
    [
        ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("groq/anything/at-all", "groq", "anything/at-all"),
        ("unheard-of", "groq", "unheard-of"),  # the only wildcard
        ("claude", "anthropic", "claude-sonnet-4-5"),
        ("fast", "groq", "llama-3.1-8b"),
        ("smart", "anthropic", "claude-sonnet-4-5"),
        ("house", "openai", "gpt-4o-mini"),
        (None, "openai", "gpt-4o"),
        ("", "openai", "gpt-4o"),
    ],
)
async def test_a_name_leads_to_its_provider(
    world: World, client: str, requested: str | None, provider: str, model: str, stream: bool
) -> None:
    answer = await world.models.ask(requested, client=client, stream=stream)
    assert (answer.status, answer.text) == (200, f"I am {provider}."), answer.body
    assert {name: asked for name, asked in world.asked().items() if asked} == {provider: [model]}
    assert answer.attempts == 1
    assert world.models.access.lines[-1]["model"] == model


@pytest.mark.parametrize("client", CLIENTS)
async def test_an_unknown_name_is_404_with_those_that_are_known(world: World, client: str) -> None:
    answer = await world.models.ask("nobody/gpt-9", client=client)
    error = answer.json["error"]
    assert answer.status == 404
    assert "nobody/gpt-9" in error["message"]
    assert all(name in error["message"] for name in ("openai/gpt-4o", "groq/*", "fast", "smart"))
    assert error["type"] == ("not_found_error" if client == "messages" else "invalid_request_error")
    assert not any(world.asked().values())


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_provider_without_its_key_is_503(world: World, client: str) -> None:
    answer = await world.models.ask("mistral/mistral-large", client=client)
    assert answer.status == 503
    assert "UNSET_KEY is not set" in answer.json["error"]["message"]


@pytest.mark.parametrize("client", CLIENTS)
async def test_the_hint_wins_over_the_model(world: World, client: str) -> None:
    answer = await world.models.ask("openai/gpt-4o", client=client, headers={HINT: "smart"})
    assert answer.text == "I am anthropic."
    unknown = await world.models.ask("openai/gpt-4o", client=client, headers={HINT: "nobody/x"})
    assert (unknown.status, "nobody/x" in unknown.json["error"]["message"]) == (404, True)


async def test_entries_for_one_model_share_its_requests_by_weight(world: World) -> None:
    shared = Counter([(await world.models.ask("openai/shared")).upstream for _ in range(12)])
    assert shared == {"large": 9, "small": 3}
    spread = Counter([(await world.models.ask("elsewhere")).upstream for _ in range(6)])
    assert spread == {"xai/elsewhere": 3, "deepseek/elsewhere": 3}


async def test_whoever_has_least_to_do_is_asked(world: World) -> None:
    large = world.fakes["large"]
    go_on = asyncio.Event()

    async def wait(exchange: Exchange) -> None:
        await go_on.wait()
        await exchange.send_json(large.api.whole(says("At last."), exchange.request))

    large.behaviour = wait
    waiting = asyncio.create_task(world.models.ask("openai/shared"))
    await large.wait_requests()
    assert [(await world.models.ask("openai/shared")).upstream for _ in range(5)] == ["small"] * 5
    go_on.set()
    assert (await waiting).text == "At last."


async def test_entries_for_one_model_stand_in_for_each_other(world: World) -> None:
    world.fakes["large"].play(Failure(503, "Down."))
    answers = [await world.models.ask("openai/shared") for _ in range(4)]
    assert [answer.text for answer in answers] == ["I am small."] * 4
    assert max(answer.attempts for answer in answers) == 2
    other = await world.models.ask("xai/elsewhere")
    assert (other.text, other.upstream) == ("I am small.", "deepseek/elsewhere")


async def test_the_official_client_lists_the_models_and_finds_the_default(world: World) -> None:
    async with openai.AsyncOpenAI(base_url=f"{world.models.urls['models']}/v1", api_key="x", max_retries=0) as client:
        names = [model.id async for model in await client.models.list()]
        assert names[:2] == ["openai/gpt-4o", "openai/gpt-4o-mini"]
        assert {"fast", "quick", "smart", "house", "anthropic/claude-sonnet-4-5"} <= set(names)
        assert "groq/*" not in names
        messages: Any = [{"role": "user", "content": "Hello."}]
        answer = await client.chat.completions.create(model="fast", messages=messages)
        assert answer.choices[0].message.content == "I am groq."

"""Providers that fail, and who answers instead, through a whole gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes import agents
from tests.fakes.http_exchange import Exchange
from tests.fakes.providers.answers import BrokenOff, Failure, Script, says
from tests.fakes.providers.server import FakeProvider
from tests.integration.model_gateway import CLIENTS, Gateway, gateway, providers

CONFIG = """
version: v0.4.0
model_providers:
  - {model: openai/gpt, access_key: $OPENAI_KEY, base_url: $OPENAI, timeout: 200ms}
  - {model: anthropic/claude, access_key: $ANTHROPIC_KEY, base_url: $ANTHROPIC, timeout: 200ms}
  - model: responses/o9
    provider_interface: openai_responses
    access_key: $RESPONSES_KEY
    base_url: $RESPONSES
    timeout: 200ms
  - {model: groq/gpt, access_key: $BACKUP_KEY, base_url: $BACKUP}
  - {model: groq/claude, access_key: $BACKUP_KEY, base_url: $BACKUP}
  - {model: groq/o9, access_key: $BACKUP_KEY, base_url: $BACKUP}
listeners:
  - {type: model, name: models, port: $PORT0}
  - {type: model, name: impatient, port: $PORT1, max_retries: 0}
resilience:
  backoff: {base: 1ms}
"""
MODELS = {"openai": "openai/gpt", "anthropic": "anthropic/claude", "responses": "responses/o9"}
# Each client with a provider that is relayed, and with one that is translated.
PAIRS = [
    ("chat", "openai"),
    ("chat", "anthropic"),
    ("messages", "anthropic"),
    ("messages", "openai"),
    ("responses", "responses"),
    ("responses", "anthropic"),
]


@dataclass
class World:
    models: Gateway
    fakes: dict[str, FakeProvider]

    @property
    def backup(self) -> FakeProvider:
        return self.fakes["backup"]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(providers(*MODELS, "backup"))
        yield World(await stack.enter_async_context(gateway(tmp_path, CONFIG, fakes)), fakes)


def _script(*script: Script) -> Callable[[FakeProvider], Awaitable[None]]:
    async def break_(fake: FakeProvider) -> None:
        fake.play(*script)

    return break_


def _behave(behaviour: agents.Behaviour) -> Callable[[FakeProvider], Awaitable[None]]:
    async def break_(fake: FakeProvider) -> None:
        fake.behaviour = behaviour

    return break_


async def _errs_with_200(fake: FakeProvider) -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.send_json(fake.api.failure(Failure(529, "Out of breath."))[0])

    fake.behaviour = behave


FAULTS: dict[str, tuple[Callable[[FakeProvider], Awaitable[None]], str]] = {
    "refuses connections": (FakeProvider.stop, "upstream_unreachable"),
    "hangs up": (_behave(agents.die()), "upstream_unreachable"),
    "stalls": (_behave(agents.hang()), "upstream_timeout"),
    "times out": (_script(Failure(408, "Too slow.")), "upstream_error"),
    "is rate limited": (_script(Failure(429, "Slow down.", retry_after="7")), "upstream_error"),
    "is broken": (_script(Failure(500, "Broken.")), "upstream_error"),
    "is a bad gateway": (_script(Failure(502, "Bad gateway.")), "upstream_error"),
    "is down": (_script(Failure(503, "Down.")), "upstream_error"),
    "is overloaded": (_script(Failure(529, "Overloaded.")), "upstream_error"),
    "refuses our key": (_script(Failure(401, "Wrong key.")), "upstream_error"),
    "says an error with 200": (_errs_with_200, ""),
    "begins with an error": (_script(BrokenOff(says("Never."), 0, "Sorry.")), ""),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("client", "provider"), PAIRS)
async def test_another_provider_of_the_model_answers(
    world: World, client: str, provider: str, fault: str, stream: bool
) -> None:
    break_, code = FAULTS[fault]
    await break_(world.fakes[provider])
    answer = await world.models.ask(MODELS[provider], client=client, stream=stream)
    backup = f"groq/{MODELS[provider].partition('/')[2]}"
    assert (answer.status, answer.text) == (200, "I am backup."), answer.body
    assert (answer.upstream, answer.attempts) == (backup, 2)
    first, second = world.models.access.lines[-1]["attempts"]
    assert first.startswith(f"{MODELS[provider]}: {code}")
    assert second == f"{backup}: ok"


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_what_is_wrong_with_the_request_is_told_as_it_is(world: World, status: int) -> None:
    world.fakes["openai"].play(Failure(status, "Not like that.", param="messages"))
    answer = await world.models.ask("openai/gpt")
    assert (answer.status, answer.json["error"]["message"]) == (status, "Not like that.")
    assert (answer.attempts, answer.upstream, world.backup.requests) == (1, "openai/gpt", [])


@pytest.mark.parametrize(("client", "provider"), PAIRS)
async def test_nobody_stands_in_after_the_first_byte(world: World, client: str, provider: str) -> None:
    for message in ("Sorry.", None):
        world.fakes[provider].play(BrokenOff(says("one two three four five six"), 6, message))
        answer = await world.models.ask(MODELS[provider], client=client, stream=True)
        assert (answer.status, answer.attempts) == (200, 1)
        assert answer.text.startswith("one")
        last = answer.events[-1]
        assert "error" in (last, last.get("type")) or last.get("error"), last
        assert b"[DONE]" not in answer.body
    assert world.backup.requests == []


async def test_a_provider_is_left_alone_as_long_as_it_asks_for(world: World) -> None:
    openai = world.fakes["openai"]
    openai.play(Failure(429, "Slow down.", retry_after="60"))
    world.backup.play(Failure(429, "Slow down, too.", retry_after="30"))
    limited = await world.models.ask("openai/gpt")
    assert (limited.status, limited.attempts, limited.headers["retry-after"]) == (429, 2, "30")
    again = await world.models.ask("openai/gpt", client="messages")
    assert (again.status, again.attempts, again.json["error"]["type"]) == (429, 0, "rate_limit_error")
    assert len(openai.requests) + len(world.backup.requests) == 2
    assert (await world.models.ask("openai/gpt", listener="impatient")).status == 429


async def test_a_short_retry_after_is_waited_for(world: World) -> None:
    world.fakes["openai"].play(Failure(429, "Slow down.", retry_after="1"), says("Now."))
    world.backup.play(Failure(429, "Slow down, too.", retry_after="60"))
    answer = await world.models.ask("openai/gpt")
    assert (answer.status, answer.text, answer.attempts) == (200, "Now.", 3)


async def test_max_retries_of_the_listener_wins(world: World) -> None:
    world.fakes["openai"].play(Failure(500, "Broken."))
    for stream in (False, True):
        answer = await world.models.ask("openai/gpt", listener="impatient", stream=stream)
        assert (answer.status, answer.attempts, answer.upstream) == (500, 1, "openai/gpt")
    assert world.backup.requests == []


@pytest.mark.parametrize("client", CLIENTS)
async def test_when_all_have_failed_the_client_is_told_why(world: World, client: str) -> None:
    world.fakes["openai"].play(Failure(500, "Broken."))
    await world.backup.stop()
    answer = await world.models.ask("openai/gpt", client=client)
    assert (answer.status, answer.attempts) == (500, 3)
    assert "127.0.0.1" not in answer.json["error"]["message"]

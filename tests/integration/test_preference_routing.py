"""Routing by preferences through a whole gateway: who decides, what follows, and what is seen of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from router.telemetry import semconv
from tests.fakes.providers.answers import Failure
from tests.fakes.providers.server import FakeProvider
from tests.fakes.triton import FakeModel, FakeTriton
from tests.integration.model_gateway import CLIENTS, Gateway, gateway, providers

PROVIDERS = """
model_providers:
  - {model: openai/gpt-4o, access_key: $OPENAI_KEY, base_url: $OPENAI, default: true}
  - {model: groq/llama-3.1-8b, access_key: $GROQ_KEY, base_url: $GROQ}
  - {model: anthropic/claude-sonnet-4-5, access_key: $ANTHROPIC_KEY, base_url: $ANTHROPIC}
  - {model: mistral/codestral, access_key: $UNSET_KEY, base_url: $OPENAI}
model_aliases: {coder: {target: anthropic/claude-sonnet-4-5}}
listeners:
  - {type: model, name: models, port: $PORT0}
"""
PREFERENCES = """
routing_preferences:
  - name: code
    description: Writing and explaining source code.
    models: [mistral/codestral, coder, groq/llama-3.1-8b]
  - name: poems
    description: Writing poems.
    models: [groq/llama-3.1-8b]
"""
CONFIG = f"version: v0.4.0\n{PROVIDERS}{PREFERENCES}"
OLD_CONFIG = """
version: v0.3.0
llm_providers:
  - {model: openai/gpt-4o, access_key: $OPENAI_KEY, base_url: $OPENAI, default: true}
  - model: groq/llama-3.1-8b
    access_key: $GROQ_KEY
    base_url: $GROQ
    routing_preferences:
      - {name: poems, description: Writing poems.}
  - model: anthropic/claude-sonnet-4-5
    access_key: $ANTHROPIC_KEY
    base_url: $ANTHROPIC
    routing_preferences:
      - {name: code, description: Writing and explaining source code.}
listeners:
  - {type: model_listener, name: models, port: $PORT0}
"""
INLINE = [{"name": "maps", "description": "Questions about maps.", "models": ["groq/llama-3.1-8b", "openai/gpt-4o"]}]


@dataclass
class World:
    models: Gateway
    fakes: dict[str, FakeProvider]
    triton: FakeTriton
    orchestrator: FakeModel

    def asked(self) -> set[str]:
        return {name for name, fake in self.fakes.items() if fake.requests}


def _score(conversation: list[dict[str, str]], routes: list[dict[str, str]]) -> list[float]:
    return [0.9 if route["name"] in conversation[-1]["content"] else 0.1 for route in routes]


@asynccontextmanager
async def _world(folder: Path, config: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(providers("openai", "groq", "anthropic"))
        triton = await stack.enter_async_context(FakeTriton())
        orchestrator = triton.orchestrator(_score)
        models = await stack.enter_async_context(gateway(folder, config, fakes, triton=triton))
        yield World(models, fakes, triton, orchestrator)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with _world(tmp_path, CONFIG) as running:
        yield running


@pytest.mark.parametrize("config", [CONFIG, OLD_CONFIG], ids=["top level", "below the models"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_the_kind_of_request_decides(tmp_path: Path, client: str, stream: bool, config: str) -> None:
    async with _world(tmp_path, config) as world:
        answer = await world.models.ask("openai/gpt-4o", client=client, stream=stream, text="Some code, please.")
        assert (answer.status, answer.text) == (200, "I am anthropic."), answer.body
        assert (answer.headers["x-trident-route"], answer.attempts) == ("code", 1)
        poem = await world.models.ask(None, client=client, stream=stream, text="Two poems.")
        assert (poem.text, poem.headers["x-trident-route"]) == ("I am groq.", "poems")
        neither = await world.models.ask("openai/gpt-4o", client=client, stream=stream, text="What time is it?")
        assert neither.text == "I am openai."
        assert "x-trident-route" not in neither.headers


async def test_the_orchestrator_sees_the_conversation_and_the_preferences_in_order(world: World) -> None:
    conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Some code."},
    ]
    await world.models.ask("openai/gpt-4o", text=conversation)
    (asked,) = world.triton.requests
    assert asked.json("CONVERSATION") == conversation[1:]
    assert [route["name"] for route in asked.json("ROUTES")] == ["code", "poems"]
    assert world.fakes["anthropic"].last.json["system"] in ("Be brief.", [{"type": "text", "text": "Be brief."}])


async def test_the_next_model_of_the_preference_stands_in(world: World) -> None:
    world.fakes["anthropic"].play(Failure(529, "Overloaded."))
    answer = await world.models.ask("openai/gpt-4o", text="code")
    assert (answer.text, answer.attempts) == ("I am groq.", 2)
    assert world.models.access.lines[-1]["attempts"] == [
        "anthropic/claude-sonnet-4-5: upstream_error",
        "groq/llama-3.1-8b: ok",
    ]


async def test_a_key_that_is_for_none_of_the_preferred_models_gets_the_requested_one(tmp_path: Path) -> None:
    key = "tk-team-0123456789abcdef"
    auth = f"auth: {{keys: [{{name: team, key: {key}, models: ['openai/*', 'groq/*']}}]}}\n"
    config = CONFIG.replace("models: [mistral/codestral, coder, groq/llama-3.1-8b]", "models: [coder]")
    async with _world(tmp_path, config + auth) as world:
        world.models.headers["x-api-key"] = key
        assert (await world.models.ask("openai/gpt-4o", text="code")).text == "I am openai."
        assert (await world.models.ask("openai/gpt-4o", text="poems")).text == "I am groq."
        assert (await world.models.ask("coder", text="Hello.")).status == 403


@pytest.mark.parametrize("client", CLIENTS)
async def test_preferences_of_the_request_take_the_place_of_the_files(world: World, client: str) -> None:
    answer = await world.models.ask("openai/gpt-4o", client=client, text="code about maps", routing_preferences=INLINE)
    assert (answer.text, answer.headers["x-trident-route"]) == ("I am groq.", "maps")
    assert "routing_preferences" not in world.fakes["groq"].last.json
    assert [route["name"] for route in world.triton.requests[0].json("ROUTES")] == ["maps"]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("preferences", "param"),
    [
        ("code", "routing_preferences"),
        ([{"name": "a", "description": "b", "models": ["nobody/x"]}], "routing_preferences[0].models[0]"),
        ([{"name": "a", "models": ["coder"]}], "routing_preferences[0].description"),
        ([{**INLINE[0], "selection_policy": {"prefer": "best"}}], "routing_preferences[0].selection_policy.prefer"),
    ],
)
async def test_malformed_preferences_are_400(world: World, client: str, preferences: object, param: str) -> None:
    answer = await world.models.ask("gpt-4o", client=client, routing_preferences=preferences)
    assert (answer.status, f"'{param}'" in answer.json["error"]["message"]) == (400, True), answer.body
    assert not world.asked()


async def test_older_ways_to_bring_preferences_are_left_out(world: World) -> None:
    metadata = {"archgw_preference_config": "x", "plano_preference_config": "y", "kept": "z"}
    assert (await world.models.ask("gpt-4o", metadata=metadata)).status == 200
    assert world.fakes["openai"].last.json["metadata"] == {"kept": "z"}


@pytest.mark.parametrize("client", CLIENTS)
async def test_without_triton_the_requested_model_answers_and_it_shows(world: World, client: str) -> None:
    await world.triton.kill()
    answer = await world.models.ask("openai/gpt-4o", client=client, text="code")
    assert (answer.status, answer.text) == (200, "I am openai.")
    assert answer.headers["x-trident-degraded"] == "orchestrator"
    assert "x-trident-route" not in answer.headers
    assert world.models.access.lines[-1]["degraded"] == ["orchestrator"]
    assert world.models.recorded.count(semconv.DEGRADED, "orchestrator") == 1


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_decision_alone_has_its_fields_and_asks_nobody(world: World, client: str) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    decided = await world.models.ask("gpt-4o", client=client, text="code", prefix="/routing", headers=headers)
    assert decided.status == 200
    assert decided.json == {
        "models": ["anthropic/claude-sonnet-4-5", "groq/llama-3.1-8b"],
        "route": "code",
        "trace_id": trace,
        "pinned": False,
        "switched": False,
    }
    other = await world.models.ask("gpt-4o", client=client, prefix="/routing", headers={"x-model-affinity": "s"})
    assert other.json == {
        "models": ["openai/gpt-4o"],
        "route": None,
        "trace_id": (await world.models.told.newest(2)).message["trace"]["id"],
        "session_id": "s",
        "pinned": False,
        "switched": False,
    }
    again = await world.models.ask("gpt-4o", client=client, prefix="/routing", headers={"x-model-affinity": "s"})
    assert (again.json["models"], again.json["pinned"]) == (["openai/gpt-4o"], True)
    unknown = await world.models.ask("nobody/x", client=client, prefix="/routing")
    assert unknown.status == 404
    assert not world.asked()
    assert {"x-trident-upstream", "x-trident-attempts"}.isdisjoint(decided.headers)

"""Sessions that stay with their model, through a whole gateway, several workers and Redis included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from router.aio import timeout
from router.telemetry import semconv
from tests.fakes.providers.answers import Failure
from tests.fakes.providers.server import FakeProvider
from tests.fakes.redis_server import redis_server
from tests.fakes.triton import FakeTriton
from tests.integration.model_gateway import CLIENTS, Gateway, gateway, providers

CONFIG = """
version: v0.4.0
model_providers:
  - {model: openai/gpt-4o, access_key: $OPENAI_KEY, base_url: $OPENAI, default: true, price: {input: 1, output: 4}}
  - {model: groq/llama, access_key: $GROQ_KEY, base_url: $GROQ, price: {input: 1, output: 4}}
  - {model: anthropic/claude, access_key: $ANTHROPIC_KEY, base_url: $ANTHROPIC, price: {input: 1, output: 4}}
routing_preferences:
  - {name: code, description: Source code., models: [anthropic/claude, groq/llama]}
  - {name: poems, description: Poems., models: [groq/llama, openai/gpt-4o]}
listeners:
  - {type: model, name: models, port: $PORT0}
"""
CACHING = "prompt_caching: {enabled: true, min_prefix_tokens: 100}\n"
SYSTEM = {"role": "system", "content": "You are careful. " * 40}
AFFINITY = "x-model-affinity"


@dataclass
class World:
    models: Gateway
    fakes: dict[str, FakeProvider]
    triton: FakeTriton

    async def says(self, text: Any, session: str | None = None, **fields: Any) -> str:
        headers = {**({} if session is None else {AFFINITY: session}), **fields.pop("headers", {})}
        answer = await self.models.ask(fields.pop("model", "openai/gpt-4o"), text=text, headers=headers, **fields)
        assert answer.status == 200, answer.body
        return answer.text.removeprefix("I am ").removesuffix(".")


def _score(conversation: list[dict[str, str]], routes: list[dict[str, str]]) -> list[float]:
    newest = next(turn for turn in reversed(conversation) if turn["role"] == "user")
    return [0.9 if route["name"] in newest["content"] else 0.1 for route in routes]


@asynccontextmanager
async def _world(folder: Path, more: str = "", **environ: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(providers("openai", "groq", "anthropic"))
        triton = await stack.enter_async_context(FakeTriton())
        triton.orchestrator(_score)
        models = await stack.enter_async_context(gateway(folder, CONFIG + more, fakes, triton=triton, environ=environ))
        yield World(models, fakes, triton)


def _later(*texts: str) -> list[dict[str, str]]:
    """A conversation in which the user has said ``texts``."""
    turns: list[dict[str, str]] = [SYSTEM]
    for text in texts:
        turns += [{"role": "user", "content": text}, {"role": "assistant", "content": "Well."}]
    return turns[:-1]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_named_session_keeps_its_model(tmp_path: Path, client: str, stream: bool) -> None:
    async with _world(tmp_path) as world:
        how = {"client": client, "stream": stream}
        assert await world.says("code", "s1", **how) == "anthropic"
        assert await world.says("poems", "s1", **how) == "anthropic"
        assert await world.says("poems", "s1", model="groq/llama", **how) == "anthropic"
        assert await world.says("poems", "s2", **how) == "groq"
        assert await world.says("poems", **how) == "groq"
        assert len(world.triton.requests) == 3
        world.fakes["anthropic"].play(Failure(503, "Down."))
        assert await world.says("poems", "s1", **how) == "groq"  # the next of the preference that pinned it
        decided = await world.models.ask("gpt-4o", client=client, prefix="/routing", headers={AFFINITY: "s1"})
        assert decided.json["session_id"] == "s1"
        assert (decided.json["pinned"], decided.json["models"][0]) == (True, "anthropic/claude")


async def test_a_session_is_forgotten_when_its_time_is_over(tmp_path: Path) -> None:
    async with _world(tmp_path, "routing: {session_ttl_seconds: 1}\n") as world:
        sessions = [f"s{number}" for number in range(100)]
        for session in sessions:  # each use begins the time anew, so that every look needs a session of its own
            assert await world.says("Hello.", session, model="groq/llama") == "groq"
        assert await world.says("Hello.", sessions.pop()) == "groq"
        async with timeout(5):
            while await world.says("Hello.", sessions.pop()) == "groq":
                await asyncio.sleep(0.05)


async def test_tenants_have_sessions_of_their_own(tmp_path: Path) -> None:
    async with _world(tmp_path, "routing: {session_cache: {type: memory, tenant_header: X-Tenant}}\n") as world:
        for tenant, model in (("a", "groq/llama"), ("b", "anthropic/claude")):
            await world.says("Hello.", "shared", model=model, headers={"X-Tenant": tenant})
        assert await world.says("Hello.", "shared", headers={"x-tenant": "a"}) == "groq"
        assert await world.says("Hello.", "shared", headers={"x-tenant": "b"}) == "anthropic"
        assert await world.says("Hello.", "shared") == "openai"


@pytest.mark.parametrize("client", ["chat", "messages"])
async def test_with_prompt_caching_a_conversation_is_recognized(tmp_path: Path, client: str) -> None:
    async with _world(tmp_path, CACHING) as world:
        first, second = _later("code")[1:], _later("code", "Now poems.")[1:]
        assert await world.says(first, client=client) == "anthropic"
        assert await world.says(second, client=client) == "anthropic"
        assert await world.says(second, client=client, headers={"X-Plano-Cache": "off"}) == "groq"
        assert await world.says(second, client=client) == "anthropic"
        assert await world.says(_later("Some poems.")[1:], client=client) == "groq"


async def test_prompts_are_marked_for_anthropic_alone(tmp_path: Path) -> None:
    marker = {"type": "ephemeral"}
    async with _world(tmp_path, CACHING) as world:
        anthropic, groq = world.fakes["anthropic"], world.fakes["groq"]
        await world.says(_later("code", "And more code."))
        system, first = anthropic.last.json["system"], anthropic.last.messages
        assert system[-1]["cache_control"] == marker
        assert [part["cache_control"] for part in first[1]["content"]] == [marker]
        assert "cache_control" not in str(first[2])
        await world.says(
            [{"role": "user", "content": "More code."}], client="messages", system=SYSTEM["content"], model="groq/llama"
        )
        assert anthropic.last.json["system"] == [{"type": "text", "text": SYSTEM["content"], "cache_control": marker}]
        await world.says(_later("code", "And more code."), headers={"x-plano-cache": "off"})
        assert "cache_control" not in str(anthropic.last.json)
        await world.says(_later("poems"))
        assert "cache_control" not in str(groq.last.json)
        await world.says([{"role": "user", "content": "Short code."}])
        assert "cache_control" not in str(anthropic.last.json)


async def test_results_of_tools_go_back_to_whoever_asked_for_them(tmp_path: Path) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "run", "arguments": "{}"}}
    tools = [{"type": "function", "function": {"name": "run", "parameters": {"type": "object", "properties": {}}}}]
    asked = [{"role": "user", "content": "Write code."}]
    result = [
        *asked,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "poems"},
    ]
    async with _world(tmp_path, "routing: {route_on_user_only: true}\n") as world:
        assert await world.says(asked, tools=tools) == "anthropic"
        assert await world.says(result, tools=tools) == "anthropic"
        assert len(world.triton.requests) == 1
        said = {"role": "assistant", "content": "Done."}
        newest = [*result, said, {"role": "user", "content": "And poems."}]
        assert await world.says(newest, tools=tools) == "groq"


async def test_a_change_of_the_model_has_to_be_paid_for(tmp_path: Path) -> None:
    budget = "routing: {routing_budget: {max_switch_spend_pct: 100}}\n"
    async with _world(tmp_path, budget) as world:
        for session, spend in (("free", {}), ("tight", {"x-plano-max-switch-spend-pct": "0"})):
            assert await world.says(_later("code"), session, headers=spend) == "anthropic"
            changed = await world.says(_later("code", "Now poems."), session, headers=spend)
            assert changed == ("groq" if session == "free" else "anthropic")
        decided = await world.models.ask(
            "gpt-4o", text=_later("code", "Now poems."), prefix="/routing", headers={AFFINITY: "free"}
        )
        assert (decided.json["models"][0], decided.json["route"]) == ("groq/llama", "poems")
        wrong = await world.models.ask("gpt-4o", headers={"x-plano-max-switch-spend-pct": "lots"})
        assert wrong.status == 400


async def test_workers_share_their_sessions(tmp_path: Path) -> None:
    async with providers("openai", "groq", "anthropic") as fakes, FakeTriton() as triton:
        triton.orchestrator(_score)
        async with (
            gateway(tmp_path, CONFIG, fakes, triton=triton, workers=2) as one,
            gateway(tmp_path, CONFIG, fakes, triton=triton, workers=2) as two,
        ):
            assert (await one.ask("groq/llama", headers={AFFINITY: "s"})).text == "I am groq."
            assert (await two.ask("openai/gpt-4o", headers={AFFINITY: "s"})).text == "I am groq."
            assert (await two.ask("openai/gpt-4o", headers={AFFINITY: "t"})).text == "I am openai."
            assert (await one.ask("groq/llama", headers={AFFINITY: "t"})).text == "I am openai."


@pytest.mark.redis
async def test_gateways_share_their_sessions_in_redis(tmp_path: Path) -> None:
    more = "routing: {session_cache: {type: redis, url: $REDIS}}\n"
    with redis_server(tmp_path) as url:
        async with providers("openai", "groq", "anthropic") as fakes, FakeTriton() as triton:
            triton.orchestrator(_score)
            places = [tmp_path / "a", tmp_path / "b"]
            for place in places:
                place.mkdir()
            async with (
                gateway(places[0], CONFIG + more, fakes, triton=triton, environ={"REDIS": url}) as one,
                gateway(places[1], CONFIG + more, fakes, triton=triton, environ={"REDIS": url}) as two,
            ):
                assert (await one.ask("groq/llama", headers={AFFINITY: "s"})).text == "I am groq."
                assert (await two.ask("openai/gpt-4o", headers={AFFINITY: "s"})).text == "I am groq."


async def test_without_its_store_a_session_is_forgotten_and_it_shows(tmp_path: Path) -> None:
    more = "routing: {session_cache: {type: redis, url: $REDIS}}\n"
    async with _world(tmp_path, more, REDIS="redis://127.0.0.1:1/0") as world:
        answer = await world.models.ask("groq/llama", headers={AFFINITY: "s"})
        assert (answer.text, answer.headers["x-trident-degraded"]) == ("I am groq.", "sessions")
        assert world.models.recorded.count(semconv.DEGRADED, "state") == 1

"""Rate limits, token limits and budgets through a whole gateway, with what answers really used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.fakes.agents import FakeAgent
from tests.fakes.providers.answers import Failure, Tokens, says
from tests.fakes.providers.server import FakeProvider
from tests.fakes.redis_server import redis_server
from tests.fakes.triton import FakeTriton
from tests.integration.model_gateway import CLIENTS, Answered, Gateway, gateway, providers

KEY = "tk-team-0123456789abcdef"
OTHER_KEY = "tk-other-0123456789abcdef"
CONFIG = """
version: v0.4.0
model_providers:
  - {model: openai/gpt-4o, access_key: $OPENAI_KEY, base_url: $OPENAI, default: true, price: {input: 100, output: 1000}}
  - {model: anthropic/claude, access_key: $ANTHROPIC_KEY, base_url: $ANTHROPIC, price: {input: 1000, output: 10000}}
  - {model: responses/o9, provider_interface: openai_responses, access_key: $RESPONSES_KEY, base_url: $RESPONSES}
  - {model: groq/gpt-4o, access_key: $GROQ_KEY, base_url: $GROQ, price: {input: 1000, output: 10000}}
model_aliases: {fast: {target: openai/gpt-4o}}
agents:
  - {id: weather, url: $WEATHER}
listeners:
  - {type: model, name: models, port: $PORT0}
  - {type: agent, name: agents, port: $PORT1, agents: [{id: weather}]}
"""
LIMITS = """
ratelimits:
  - {model: openai/gpt-4o, selector: {key: x-user}, limit: {requests: 2, unit: day}}
  - {model: openai/gpt-4o, selector: {key: x-plan, value: free}, limit: {requests: 1, unit: hour}}
"""
USED = Tokens(input=700, output=50)
ANSWER = says("Some words.", tokens=USED)
MODELS = {"openai": "openai/gpt-4o", "anthropic": "anthropic/claude", "responses": "responses/o9"}


@asynccontextmanager
async def _world(folder: Path, more: str, workers: int = 1) -> AsyncIterator[tuple[Gateway, dict[str, FakeProvider]]]:
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(providers(*MODELS, "groq"))
        weather = await stack.enter_async_context(FakeAgent(reply="Sunny."))
        for fake in fakes.values():
            fake.play(ANSWER)
        environ = {"TEAM": KEY, "OTHER": OTHER_KEY, "WEATHER": weather.url}
        models = await stack.enter_async_context(
            gateway(folder, CONFIG + more, fakes, environ=environ, workers=workers)
        )
        yield models, fakes


def _keys(limit: str) -> str:
    return f"auth: {{keys: [{{name: team, key: $TEAM, {limit}}}, {{name: other, key: $OTHER}}]}}\n"


def _left(answer: Answered, resource: str) -> int:
    return int(answer.headers[f"x-ratelimit-remaining-{resource}"])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_each_value_of_a_header_has_its_own_requests(tmp_path: Path, client: str, stream: bool) -> None:
    async with _world(tmp_path, LIMITS) as (models, fakes):
        how: dict[str, Any] = {"client": client, "stream": stream}
        for left in (1, 0):
            answer = await models.ask("fast", headers={"x-user": "ada"}, **how)
            assert (answer.status, _left(answer, "requests")) == (200, left)
            assert answer.headers["x-ratelimit-limit-requests"] == "2"
            assert "h" in answer.headers["x-ratelimit-reset-requests"]
        refused = await models.ask("openai/gpt-4o", headers={"X-User": "ada"}, **how)
        assert (refused.status, _left(refused, "requests")) == (429, 0)
        assert 0 < int(refused.headers["retry-after"]) <= 2 * 86400
        assert client == "messages" or refused.json["error"]["code"] == "rate_limit_exceeded"
        assert client != "messages" or refused.json["error"]["type"] == "rate_limit_error"
        assert (await models.ask("openai/gpt-4o", headers={"x-user": "bob"}, **how)).status == 200
        assert (await models.ask("openai/gpt-4o", headers={"x-plan": "free"}, **how)).status == 200
        assert (await models.ask("openai/gpt-4o", headers={"x-plan": "free"}, **how)).status == 429
        unlimited = await models.ask("openai/gpt-4o", headers={"x-plan": "paid"}, **how)
        assert (unlimited.status, "x-ratelimit-limit-requests" in unlimited.headers) == (200, False)
        assert (await models.ask("anthropic/claude", headers={"x-user": "ada"}, **how)).status == 200
        assert len(fakes["openai"].requests) == 5


TOKENS = "rate_limit: {tokens: 10000, unit: day}"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("provider", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_what_an_answer_used_counts(tmp_path: Path, client: str, provider: str, stream: bool) -> None:
    async with _world(tmp_path, _keys(TOKENS)) as (models, fakes):
        models.headers["x-api-key"] = KEY
        first = await models.ask(MODELS[provider], client=client, stream=stream)
        assert first.text == "Some words."
        second = await models.ask(MODELS[provider], client=client, stream=stream)
        reserved = 10000 - _left(first, "tokens")
        assert 0 < reserved < 50
        assert _left(second, "tokens") == 10000 - reserved - USED.input - USED.output
        line = models.access.lines[-1]
        assert (line["tokens_in"], line["tokens_out"], line["key"]) == (USED.input, USED.output, "team")
        assert fakes[provider].refused == []


async def test_a_stream_is_counted_without_the_client_noticing(tmp_path: Path) -> None:
    async with _world(tmp_path, _keys(TOKENS)) as (models, fakes):
        models.headers["x-api-key"] = KEY
        for cut in (None, 1, 7):
            fakes["openai"].play(ANSWER, cut=cut)
            plain = await models.ask("openai/gpt-4o", stream=True, stream_options={"include_obfuscation": False})
            assert fakes["openai"].last.json["stream_options"] == {"include_obfuscation": False, "include_usage": True}
            assert all(event["choices"] for event in plain.events)
            assert plain.body.endswith(b"data: [DONE]\n\n")
            wanted = await models.ask("openai/gpt-4o", stream=True, stream_options={"include_usage": True})
            assert wanted.events[-1]["usage"]["total_tokens"] == USED.input + USED.output
            assert wanted.body == fakes["openai"].sent
        translated = await models.ask("anthropic/claude", stream=True)
        assert all(event["choices"] for event in translated.events)


async def test_streams_are_counted_for_the_numbers_and_clients_do_not_see_it(tmp_path: Path) -> None:
    async with _world(tmp_path, "") as (models, fakes):
        answer = await models.ask("openai/gpt-4o", stream=True)
        assert fakes["openai"].last.json["stream_options"] == {"include_usage": True}
        assert all(event["choices"] for event in answer.events)
        assert models.access.lines[-1]["tokens_out"] > 0


async def test_a_stream_that_nobody_counts_is_relayed_as_it_was_asked_for(tmp_path: Path) -> None:
    async with _world(tmp_path, "tracing: {stream_usage: false}") as (models, fakes):
        answer = await models.ask("openai/gpt-4o", stream=True)
        assert answer.body == fakes["openai"].sent
        assert "stream_options" not in fakes["openai"].last.json


async def test_a_limit_of_tokens_refuses_what_is_over_it(tmp_path: Path) -> None:
    async with _world(tmp_path, _keys("rate_limit: {tokens: 1000, unit: day}")) as (models, fakes):
        models.headers["x-api-key"] = KEY
        assert [(await models.ask("openai/gpt-4o")).status for _ in range(3)] == [200, 200, 429]
        url = f"{models.urls['models']}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key=OTHER_KEY, max_retries=0) as client:
            messages: Any = [{"role": "user", "content": "Hello."}]
            raw = await client.chat.completions.with_raw_response.create(model="openai/gpt-4o", messages=messages)
            assert raw.status_code == 200
        huge = await models.ask("openai/gpt-4o", text="word " * 1000)
        assert (huge.status, "retry-after" in huge.headers) == (429, False)
        assert len(fakes["openai"].requests) == 3


async def test_what_failed_costs_nothing(tmp_path: Path) -> None:
    async with _world(tmp_path, _keys("rate_limit: {tokens: 1000, unit: day}")) as (models, fakes):
        models.headers["x-api-key"] = KEY
        for name in ("openai", "groq"):
            fakes[name].play(Failure(500, "Broken."))
        first = await models.ask("openai/gpt-4o")
        fakes["openai"].play(ANSWER)
        second = await models.ask("openai/gpt-4o", headers={"x-api-key": KEY})
        assert (first.status, second.status) == (500, 200)
        assert _left(first, "tokens") == _left(second, "tokens")


async def test_a_budget_of_tokens_ends(tmp_path: Path) -> None:
    async with _world(tmp_path, _keys("budget: {tokens: 1000}")) as (models, _):
        models.headers["x-api-key"] = KEY
        assert [(await models.ask("openai/gpt-4o", stream=True)).status for _ in range(2)] == [200, 200]
        refused = await models.ask("openai/gpt-4o")
        assert (refused.status, refused.json["error"]["code"]) == (429, "insufficient_quota")
        assert int(refused.headers["retry-after"]) >= 1
        assert "x-ratelimit-limit-tokens" not in refused.headers


# An answer of gpt-4o costs 0.12 USD, one of claude and of Groq's gpt-4o 1.20 USD.
DOLLARS: list[tuple[str, Callable[[dict[str, FakeProvider]], object], int]] = [
    ("openai/gpt-4o", lambda fakes: None, 9),
    ("anthropic/claude", lambda fakes: None, 1),
    ("openai/gpt-4o", lambda fakes: fakes["openai"].play(Failure(500, "Broken.")), 1),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("model", "change", "affordable"), DOLLARS, ids=["cheap", "dear", "dear stand-in"])
async def test_a_budget_of_dollars_is_charged_for_who_answered(
    tmp_path: Path, model: str, change: Callable[[dict[str, FakeProvider]], object], affordable: int, stream: bool
) -> None:
    async with _world(tmp_path, _keys("budget: {usd: 1}")) as (models, fakes):
        models.headers["x-api-key"] = KEY
        change(fakes)
        answers = [await models.ask(model, stream=stream) for _ in range(affordable + 1)]
        assert [answer.status for answer in answers] == [200] * affordable + [429]
        assert answers[-1].json["error"]["type"] == "insufficient_quota"


async def test_a_model_without_a_price_needs_a_word_in_the_budget(tmp_path: Path) -> None:
    async with _world(tmp_path, _keys("budget: {usd: 1}")) as (models, _):
        refused = await models.ask("responses/o9", headers={"x-api-key": KEY})
        assert (refused.status, refused.json["error"]["code"]) == (403, "model_not_priced")
    async with _world(tmp_path, _keys("budget: {usd: 1, unpriced_usd_per_million: 800}")) as (models, _):
        answers = [await models.ask("responses/o9", headers={"x-api-key": KEY}) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]


@pytest.mark.parametrize("limit", ["rate_limit: {requests: 2, unit: day}", "budget: {tokens: 60}"])
async def test_a_key_is_limited_on_agent_listeners_too(tmp_path: Path, limit: str) -> None:
    async with _world(tmp_path, _keys(limit)) as (models, _):
        asked = [await models.ask("any", listener="agents", headers={"x-api-key": KEY}) for _ in range(10)]
        assert asked[0].status == 200
        assert asked[-1].status == 429
        assert (await models.ask("any", listener="agents", headers={"x-api-key": OTHER_KEY})).status == 200


async def test_workers_count_together(tmp_path: Path) -> None:
    limit = _keys("rate_limit: {requests: 10, unit: day}")
    async with _world(tmp_path, limit, workers=2) as (one, _), _world(tmp_path, limit, workers=2) as (two, _):
        asked = [await each.ask("openai/gpt-4o", headers={"x-api-key": KEY}) for _ in range(8) for each in (one, two)]
        assert [answer.status for answer in asked].count(200) == 10


@pytest.mark.redis
async def test_gateways_count_together_in_redis(tmp_path: Path) -> None:
    places = [tmp_path / "a", tmp_path / "b"]
    for place in places:
        place.mkdir()
    with redis_server(tmp_path) as url:
        shared = f"state_storage: {{type: redis, connection_string: '{url}'}}\n"
        limit = _keys("rate_limit: {requests: 10, unit: day}, budget: {tokens: 100000}") + shared
        async with _world(places[0], limit) as (one, _), _world(places[1], limit) as (two, _):
            asked = [
                await each.ask("openai/gpt-4o", headers={"x-api-key": KEY}) for _ in range(8) for each in (one, two)
            ]
            assert [answer.status for answer in asked].count(200) == 10


@pytest.mark.parametrize("prefix", ["", "/routing"])
@pytest.mark.parametrize("limit", ["rate_limit: {requests: 1, unit: day}", "budget: {usd: 0.001, period: day}"])
async def test_who_has_used_everything_up_costs_no_decision(tmp_path: Path, limit: str, prefix: str) -> None:
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(providers("openai"))
        triton = await stack.enter_async_context(FakeTriton())
        fakes["openai"].play(ANSWER)
        triton.orchestrator(lambda turns, routes: ([0.9] * len(routes), list(range(len(routes)))))
        config = f"""
version: v0.4.0
model_providers:
  - {{model: openai/gpt-4o, access_key: $OPENAI_KEY, base_url: $OPENAI, default: true, price: {{input: 9, output: 9}}}}
routing_preferences: [{{name: code, description: Writing code., models: [openai/gpt-4o]}}]
auth: {{keys: [{{name: team, key: $TEAM, {limit}}}]}}
listeners: [{{type: model, name: models, port: $PORT0}}]
"""
        models = await stack.enter_async_context(gateway(tmp_path, config, fakes, triton=triton, environ={"TEAM": KEY}))
        models.headers["x-api-key"] = KEY
        assert (await models.ask("gpt-4o")).status == 200
        decided = len(triton.requests)
        assert decided > 0
        refused = await models.ask("gpt-4o", prefix=prefix)
        assert (refused.status, int(refused.headers["retry-after"]) > 0) == (429, True)
        assert len(triton.requests) == decided


STAND_IN = """
ratelimits:
  - {model: groq/gpt-4o, selector: {key: x-user}, limit: {requests: 1, unit: day}}
  - {model: groq/gpt-4o, selector: {key: x-plan}, limit: {tokens: 5000, unit: day}}
  - {model: openai/gpt-4o, selector: {key: x-plan}, limit: {tokens: 4000, unit: day}}
resilience: {backoff: {base: 1ms}, max_retries: 1}
"""


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_model_that_stands_in_has_its_own_limits(tmp_path: Path, stream: bool) -> None:
    async with _world(tmp_path, STAND_IN) as (models, fakes):
        headers = {"x-user": "ada"}
        for status, asked in ((200, 1), (503, 1)):
            fakes["openai"].play(Failure(503, "Overloaded."))
            fakes["openai"].play(Failure(503, "Overloaded."))
            answer = await models.ask("openai/gpt-4o", stream=stream, headers=headers)
            assert (answer.status, len(fakes["groq"].requests)) == (status, asked)
        assert (await models.ask("groq/gpt-4o", stream=stream, headers=headers)).status == 429
        assert (await models.ask("groq/gpt-4o", stream=stream, headers={"x-user": "bob"})).status == 200


async def test_tokens_count_for_the_model_that_answered(tmp_path: Path) -> None:
    async with _world(tmp_path, STAND_IN) as (models, fakes):
        headers = {"x-plan": "free"}
        fakes["openai"].play(Failure(503, "Overloaded."))
        assert (await models.ask("openai/gpt-4o", headers=headers)).upstream == "groq/gpt-4o"
        other = await models.ask("groq/gpt-4o", headers=headers)
        assert 5000 - USED.input - USED.output - 50 < _left(other, "tokens") < 5000 - USED.input - USED.output
        fakes["openai"].play(ANSWER)
        own = await models.ask("openai/gpt-4o", headers=headers)
        assert 4000 - 50 < _left(own, "tokens") < 4000


async def test_a_stand_in_that_is_limited_leaves_its_place_to_the_next(tmp_path: Path) -> None:
    limits = "ratelimits: [{model: openai/gpt-4o, selector: {key: x-user}, limit: {requests: 1, unit: day}}]\n"
    preferences = """
routing_preferences:
  - {name: code, description: Writing code., models: [anthropic/claude, openai/gpt-4o]}
resilience: {backoff: {base: 1ms}, max_retries: 1}
"""
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(providers(*MODELS, "groq"))
        triton = await stack.enter_async_context(FakeTriton())
        triton.orchestrator(lambda turns, routes: ([0.9] * len(routes), list(range(len(routes)))))
        weather = await stack.enter_async_context(FakeAgent())
        config = CONFIG + limits + preferences
        models = await stack.enter_async_context(
            gateway(tmp_path, config, fakes, triton=triton, environ={"WEATHER": weather.url})
        )
        upstreams = []
        for _ in range(2):
            fakes["anthropic"].play(Failure(503, "Overloaded."))
            upstreams.append((await models.ask("anthropic/claude", headers={"x-user": "ada"})).upstream)
        assert upstreams == ["openai/gpt-4o", "groq/gpt-4o"]

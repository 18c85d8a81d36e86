"""Embeddings and moderations through a whole gateway, with the official client."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.fakes.agents import Behaviour, FakeAgent, fail
from tests.fakes.http_exchange import Exchange
from tests.fakes.providers.server import FakeProvider
from tests.fakes.triton import FakeTriton
from tests.integration.model_gateway import Gateway, gateway, providers

KEY = "tk-team-0123456789abcdef"
LIMITED_KEY = "tk-limited-0123456789abcdef"
CONFIG = """
version: v0.4.0
model_providers:
  - {model: openai/text-embedding-3-small, access_key: sk-one, base_url: $ONE}
  - {model: azure_openai/text-embedding-3-small, access_key: sk-two, base_url: $TWO, api_version: "2024-10-21"}
  - {model: openai/omni-moderation-latest, access_key: sk-one, base_url: $ONE}
  - {model: mistral/*, passthrough_auth: true, base_url: $ONE}
  - {model: anthropic/claude, access_key: $ANTHROPIC_KEY, base_url: $ANTHROPIC}
model_aliases: {embedder: {target: openai/text-embedding-3-small}}
auth:
  keys:
    - {name: team, key: $TEAM}
    - {name: limited, key: $LIMITED, models: ["openai/*"], rate_limit: {requests: 2, tokens: 10000, unit: day}}
listeners:
  - {type: model, name: models, port: $PORT0, moderations: true}
  - {type: model, name: plain, port: $PORT1}
"""
VECTOR = [0.25, -0.5]
THRESHOLDS = {
    "hate": 0.68,
    "harassment": 0.78,
    "sexual": 0.3,
    "sexual/minors": 0.3,
    "violence": 0.64,
    "self-harm": 0.6,
    "illicit": 0.49,
}


@dataclass
class World:
    models: Gateway
    one: FakeAgent
    two: FakeAgent
    anthropic: FakeProvider
    triton: FakeTriton

    def client(self, key: str = KEY, listener: str = "models") -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.models.urls[listener]}/v1", api_key=key, max_retries=0)


def _embeds(usage: int = 3) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        body = exchange.request.json
        packed = base64.b64encode(struct.pack("<2f", *VECTOR)).decode()
        vector: Any = packed if body.get("encoding_format") == "base64" else VECTOR
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(texts))]
        counted = {"prompt_tokens": usage, "total_tokens": usage}
        await exchange.send_json({"object": "list", "data": data, "model": body["model"], "usage": counted})

    return behave


def _judges(text: str) -> list[float]:
    likely = 0.5 if "a bit" in text else 0.9
    return [likely if label in text else 0.01 for label in THRESHOLDS]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(providers("anthropic"))
        one = await stack.enter_async_context(FakeAgent(behaviour=_embeds()))
        two = await stack.enter_async_context(FakeAgent(behaviour=_embeds()))
        triton = await stack.enter_async_context(FakeTriton())
        classifier = triton.classifier("moderation", list(THRESHOLDS), _judges)
        classifier.parameters["thresholds"] = ",".join(map(str, THRESHOLDS.values()))
        environ = {"ONE": one.url, "TWO": two.url, "TEAM": KEY, "LIMITED": LIMITED_KEY}
        models = await stack.enter_async_context(gateway(tmp_path, CONFIG, fakes, triton=triton, environ=environ))
        yield World(models, one, two, fakes["anthropic"], triton)


async def test_the_official_client_gets_embeddings(world: World) -> None:
    async with world.client() as client:
        for name in ("openai/text-embedding-3-small", "embedder"):
            answer = await client.embeddings.create(model=name, input=["a", "b"], dimensions=2)
            assert [each.embedding for each in answer.data] == [VECTOR, VECTOR]
    request = world.one.requests[0]
    assert (request.path, request.headers["authorization"]) == ("/v1/embeddings", "Bearer sk-one")
    assert {name: request.json[name] for name in ("model", "input", "dimensions")} == {
        "model": "text-embedding-3-small",
        "input": ["a", "b"],
        "dimensions": 2,
    }
    assert KEY not in str(world.one.requests)
    assert world.models.access.lines[-1]["tokens_in"] == 3


async def test_another_provider_of_the_embedding_model_stands_in(world: World) -> None:
    world.one.behaviour = fail(503)
    async with world.client() as client:
        raw = await client.embeddings.with_raw_response.create(model="embedder", input="a")
        assert raw.parse().data[0].embedding == VECTOR
        assert (raw.headers["x-trident-attempts"], raw.headers["x-trident-upstream"]) == (
            "2",
            "azure_openai/text-embedding-3-small",
        )
    request = world.two.requests[0]
    assert request.path == "/openai/deployments/text-embedding-3-small/embeddings?api-version=2024-10-21"
    assert (request.headers["api-key"], "authorization" in request.headers) == ("sk-two", False)


async def test_a_key_limits_embeddings(world: World) -> None:
    world.one.behaviour = _embeds(usage=4000)
    async with world.client(LIMITED_KEY) as client:
        raw = await client.embeddings.with_raw_response.create(model="embedder", input="a")
        assert raw.headers["x-ratelimit-remaining-requests"] == "1"
        again = await client.embeddings.with_raw_response.create(model="embedder", input="a")
        assert int(raw.headers["x-ratelimit-remaining-tokens"]) > 9900
        assert 5900 < int(again.headers["x-ratelimit-remaining-tokens"]) < 6000
        with pytest.raises(openai.RateLimitError):
            await client.embeddings.create(model="embedder", input="a")
        with pytest.raises(openai.PermissionDeniedError):
            await client.embeddings.create(model="mistral/embed", input="a")


async def test_the_clients_own_credentials_go_to_one_provider_only(world: World) -> None:
    world.one.behaviour = fail(401, "Whose key is that?")
    headers = {"x-api-key": KEY, "authorization": "Bearer the-clients-own"}
    answer = await world.models.post(
        "/v1/embeddings", {"model": "mistral/text-embedding-3-small", "input": "a"}, headers=headers
    )
    assert (answer.status, answer.attempts, answer.json["error"]["message"]) == (401, 1, "Whose key is that?")
    assert world.one.requests[0].headers["authorization"] == "Bearer the-clients-own"
    assert world.two.requests == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "anthropic/claude", "input": "a"}, 400),  # no such API there
        ({"model": "nobody/x", "input": "a"}, 404),
        ({"model": 5, "input": "a"}, 400),
        ([], 400),
    ],
)
async def test_what_cannot_be_embedded_is_told(world: World, body: object, status: int) -> None:
    answer = await world.models.post("/v1/embeddings", body, headers={"x-api-key": KEY})
    assert (answer.status, answer.json["error"]["type"]) == (status, "invalid_request_error")
    assert world.anthropic.requests == []


async def test_the_official_client_gets_verdicts_of_the_embedded_classifier(world: World) -> None:
    async with world.client() as client:
        answer = await client.moderations.create(input=["nice", "violence and hate"])
        nice, bad = answer.results
        assert (nice.flagged, bad.flagged) == (False, True)
        assert (bad.categories.violence, bad.categories.hate, bad.categories.sexual) == (True, True, False)
        assert bad.category_scores.violence == pytest.approx(0.9)
        assert bad.categories.self_harm_intent is False
        assert bad.category_applied_input_types.violence == ["text"]
        assert answer.model == "moderation"
        between = await client.moderations.create(input="a bit sexual, a bit of hate")
        assert (between.results[0].categories.sexual, between.results[0].categories.hate) == (True, False)
        parts: Any = [{"type": "text", "text": "nice"}, {"type": "text", "text": "self-harm"}]
        mixed = await client.moderations.create(input=parts, model="omni-moderation-latest")
        assert [result.categories.self_harm for result in mixed.results] == [True]
        image: Any = [{"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}]
        with pytest.raises(openai.BadRequestError, match="image"):
            await client.moderations.create(input=image)
    assert world.one.requests == []


async def test_a_moderation_may_name_a_provider(world: World) -> None:
    verdict: Mapping[str, Any] = {"id": "modr-1", "model": "omni-moderation-latest", "results": []}

    async def behave(exchange: Exchange) -> None:
        await exchange.send_json(verdict)

    world.one.behaviour = behave
    for listener in ("models", "plain"):
        async with world.client(listener=listener) as client:
            answer = await client.moderations.create(input="violence", model="openai/omni-moderation-latest")
            assert (answer.id, answer.results) == ("modr-1", [])
    assert world.one.requests[0].path == "/v1/moderations"
    assert world.one.requests[0].json == {"input": "violence", "model": "omni-moderation-latest"}
    assert world.triton.requests == []
    async with world.client(listener="plain") as client:
        with pytest.raises(openai.BadRequestError, match="embedded classifier is off"):
            await client.moderations.create(input="violence")


async def test_without_triton_nothing_is_judged(world: World) -> None:
    await world.triton.kill()
    async with world.client() as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.moderations.create(input="violence")
        assert caught.value.status_code == 503


async def test_a_key_limits_moderations(world: World) -> None:
    async with world.client(LIMITED_KEY) as client:
        for _ in range(2):
            await client.moderations.create(input="nice")
        with pytest.raises(openai.RateLimitError):
            await client.moderations.create(input="nice")

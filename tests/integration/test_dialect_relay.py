"""Where client and provider speak the same dialect, requests and answers pass as they are, byte for byte."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.fakes.providers.answers import Answer, Refusal, Text, Thinking, Tokens, ToolCall
from tests.integration.dialect_gateway import SIDES, Gateway, dialect_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
ANSWERS = {
    "everything": Answer(
        (Thinking("Hm."), Text("Grüße ☀️"), ToolCall("call_1", "weather", '{"city": "Zürich"}', cut=2)),
        tokens=Tokens(50, 20, cached=10, cache_write=5, reasoning=7),
    ),
    "refusal": Answer((Refusal("I won't."),)),
    "cut off": Answer((Text("1, 2"),), "length"),
}
# What only this dialect has, oddly spaced, in an order of its own, with the model's name first, last or in the middle.
BODIES: Mapping[str, str] = {
    "chat": (
        '{ "messages" : [{"role":"user","content":[{"text":"Gr\\u00fc\\u00dfe","type":"text"}]}],  "seed":123456789,'
        '"model":"MODEL", "logit_bias":{"50256":-100}, "n":1,"metadata":{"a":"b"}, "store":false, "stream":STREAM}'
    ),
    "messages": (
        '{"model":"MODEL","max_tokens":9999,"thinking":{"type":"adaptive","display":"omitted"},"stream":STREAM,\n'
        ' "system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral","ttl":"1h"}}], "container": "c1",'
        '"messages":[{"role":"user","content":"Gr\\u00fc\\u00dfe"}]}'
    ),
    "responses": (
        '{"input":"Gr\\u00fc\\u00dfe","truncation":"auto","max_tool_calls":3,"include":["reasoning.encrypted_content"],'
        '"stream":STREAM,"store":false,"text":{"verbosity":"low"},"model":"MODEL"}'
    ),
}
HEADERS: Mapping[str, Mapping[str, str]] = {
    "chat": {"authorization": "Bearer client-key"},
    "messages": {
        "x-api-key": "client-key",
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "context-1m-2025-08-07,interleaved-thinking-2025-05-14",
    },
    "responses": {"authorization": "Bearer client-key"},
}

same_dialect = pytest.mark.parametrize("dialect", PATHS)
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with dialect_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


async def _post(url: str, dialect: str, body: bytes) -> tuple[int, str, bytes]:
    headers = {"content-type": "application/json", **HEADERS[dialect]}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + PATHS[dialect], data=body, headers=headers) as response,
    ):
        return response.status, response.content_type, await response.read()


def _body(dialect: str, model: str, *, stream: bool) -> bytes:
    return BODIES[dialect].replace("MODEL", model).replace("STREAM", str(stream).lower()).encode()


@both
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@same_dialect
async def test_only_the_model_of_a_request_is_changed(
    gateway: Gateway, dialect: str, answer: Answer, stream: bool
) -> None:
    provider, model = gateway.providers[dialect], SIDES[dialect].model
    provider.play(answer, cut=5)
    body = _body(dialect, model, stream=stream)
    status, content_type, got = await _post(gateway.url, dialect, body)
    assert provider.refused == []
    assert (status, content_type) == (200, "text/event-stream" if stream else "application/json")
    assert got == provider.sent
    sent: dict[str, Any] = provider.last.json
    assert sent == {**json.loads(body), "model": model.partition("/")[2]}
    assert list(sent) == list(json.loads(body))


@both
@same_dialect
async def test_an_agent_gets_the_body_as_it_came(gateway: Gateway, dialect: str, stream: bool) -> None:
    provider = gateway.providers[dialect]
    provider.play(ANSWERS["everything"], cut=5)
    body = _body(dialect, "whatever", stream=stream)
    status, _, got = await _post(gateway.agent_urls[dialect], dialect, body)
    assert (status, provider.last.body, got) == (200, body, provider.sent)


async def test_azure_is_relayed_like_openai(gateway: Gateway) -> None:
    provider = gateway.providers["azure"]
    provider.play(ANSWERS["everything"])
    status, _, got = await _post(gateway.url, "chat", _body("chat", SIDES["azure"].model, stream=True))
    assert (status, got, provider.refused) == (200, provider.sent, [])


async def test_the_version_and_the_betas_of_an_anthropic_client_go_along(gateway: Gateway) -> None:
    provider = gateway.providers["messages"]
    provider.play(ANSWERS["refusal"])
    await _post(gateway.url, "messages", _body("messages", SIDES["messages"].model, stream=False))
    sent = provider.last.headers
    assert sent["anthropic-version"] == HEADERS["messages"]["anthropic-version"]
    assert sent["anthropic-beta"] == HEADERS["messages"]["anthropic-beta"]
    assert "client-key" not in str(sent)

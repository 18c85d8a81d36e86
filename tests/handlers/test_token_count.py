from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import orjson
import pytest

from router.access.control import AccessControl
from router.access.counters import Counters
from router.access.keys import Grant, KeyRing
from router.access.rate_limits import RateLimits
from router.config import ModelProvider
from router.config.access import ApiKey
from router.context import Identity, RequestContext
from router.errors import InvalidRequest
from router.handlers.admission import Admission
from router.handlers.relay import RelayHandler
from router.handlers.relay_admission import ConversationAdmission
from router.handlers.serving import ModelServing
from router.handlers.token_count import PATH, TokenCountHandler
from router.routing.models import ModelRouter, ProviderModel
from router.state.memory import MemoryStore
from router.upstream.fallback import Fallback, FallbackPolicy
from router.upstream.http import HttpClient
from router.upstream.json_api import JsonApi
from router.upstream.providers import ProviderService
from tests.fakes.agents import FakeAgent, garbage_body
from tests.fakes.counters import RecordedMetrics
from tests.fakes.prices import FakePrices

KEY = "tr-0123456789012345678901234567890123456789"
BODY = {"model": "m", "system": "Be brief.", "messages": [{"role": "user", "content": "x" * 391}]}


@asynccontextmanager
async def _handler(provider: str, url: str, *keys: ApiKey) -> AsyncIterator[TokenCountHandler]:
    """A handler in front of one provider entry, ``provider``/m."""
    client, metrics = HttpClient(connect_timeout_s=2), RecordedMetrics().metrics
    access = AccessControl(
        KeyRing(Grant.of(key) for key in keys),
        RateLimits.of((), {}),
        Counters(MemoryStore(), workers=1),
        FakePrices({}),
        metrics,
    )
    service = ProviderService(ModelProvider(model=f"{provider}/m", base_url=url, access_key="key"))
    call = partial(service.json_call, "/messages/count_tokens", dialect="anthropic_messages")
    fallback = Fallback(FallbackPolicy(), metrics)
    member = fallback.member("one", JsonApi("one", call, client, max_response_bytes=1000))
    serving = ModelServing({"one": member}, fallback, access, max_retries=None)
    try:
        router = ModelRouter([ProviderModel("one", provider, "m")], {})
        yield TokenCountHandler(RelayHandler(router, serving, ConversationAdmission(Admission()), uses_tokens=False))
    finally:
        await client.close()


def _context() -> RequestContext:
    return RequestContext("r", "models", PATH, {}, time.monotonic() + 5, dialect="anthropic_messages")


async def test_a_provider_of_the_dialect_counts() -> None:
    async with FakeAgent(behaviour=garbage_body(b'{"input_tokens": 7}')) as agent:
        async with _handler("anthropic", agent.url) as handler:
            reply = await handler.count(_context(), orjson.dumps(BODY))
        assert (reply.body, dict(reply.headers)) == (b'{"input_tokens": 7}', {})
        assert agent.requests[0].path == "/v1/messages/count_tokens"
        assert agent.requests[0].headers["x-api-key"] == "key"


async def test_counting_uses_no_tokens_of_a_limit() -> None:
    key = ApiKey.model_validate({"name": "team", "key": KEY, "rate_limit": {"tokens": 50, "unit": "hour"}})
    behaviour = garbage_body(b'{"input_tokens": 7}')
    async with FakeAgent(behaviour=behaviour) as agent, _handler("anthropic", agent.url, key) as handler:
        for _ in range(3):
            context = replace(_context(), identity=Identity("team"))
            await handler.count(context, orjson.dumps(BODY))
    assert int(context.response_headers["x-ratelimit-remaining-tokens"]) >= 47


async def test_for_any_other_provider_it_is_estimated_and_said_so() -> None:
    async with FakeAgent() as agent:
        async with _handler("openai", agent.url) as handler:
            reply = await handler.count(_context(), orjson.dumps(BODY))
        assert agent.requests == []
    assert (reply.body, dict(reply.headers)) == (b'{"input_tokens":101}', {"x-trident-estimated": "input_tokens"})


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"messages": 5}', b'{"model": 5, "messages": []}'])
async def test_a_body_without_messages_is_refused(body: bytes) -> None:
    async with _handler("openai", "http://127.0.0.1:9") as handler:
        with pytest.raises(InvalidRequest):
            await handler.count(_context(), body)

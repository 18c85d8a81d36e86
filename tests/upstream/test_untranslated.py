"""What clients are told about what their provider has no word for."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from router.context import RequestContext
from router.dialects.canonical import DialectName
from router.dialects.registry import CLIENT_DIALECTS, PROVIDER_DIALECTS
from router.errors import UpstreamError
from router.upstream.chat import ChatUpstream
from router.upstream.http import Endpoint, HttpClient
from router.upstream.service import FixedService, agent_url
from tests.fakes.agents import FakeAgent

HEADER = "x-trident-untranslated"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


async def _told(client: DialectName, body: dict[str, Any], provider: DialectName, earlier: str | None) -> str | None:
    request = CLIENT_DIALECTS[client].decode_request(orjson.dumps(body))
    context = RequestContext("req-1", "front", "/", {}, time.monotonic() + 5, client)
    if earlier is not None:
        context.response_headers[HEADER] = earlier
    http = HttpClient(connect_timeout_s=2)
    async with FakeAgent() as agent:
        service = FixedService(Endpoint("one", agent_url(agent.url), 5), (PROVIDER_DIALECTS[provider],))
        try:
            await ChatUpstream(service, http, max_response_bytes=9999).complete(request, context)
        except UpstreamError:  # the fake answers in the chat dialect, whatever it was asked in
            assert provider != "openai_chat"
        finally:
            await http.close()
    return context.response_headers.get(HEADER)


@pytest.mark.parametrize("provider", ["anthropic_messages", "bedrock_converse"])
@pytest.mark.parametrize("name", ["prediction", "prompt_cache_key"])
async def test_advice_that_a_provider_of_another_dialect_does_not_get_is_named(
    provider: DialectName, name: str
) -> None:
    assert await _told("openai_chat", {**CHAT, name: "x"}, provider, None) == name
    assert await _told("openai_chat", {**CHAT, name: "x"}, "openai_chat", None) is None


@pytest.mark.parametrize("provider", ["openai_chat", "anthropic_messages"])
async def test_nothing_is_told_about_an_earlier_try_at_somebody_else(provider: DialectName) -> None:
    assert await _told("openai_chat", CHAT, provider, "prediction") is None


async def test_what_is_left_out_of_many_items_is_named_once() -> None:
    said = {"role": "assistant", "content": "Hello.", "phase": "final_answer"}
    body = {"model": "m", "input": [said] * 5000 + [{"role": "user", "content": "Hi"}], "max_tool_calls": 3}
    assert await _told("openai_responses", body, "openai_chat", None) == "input[].phase, max_tool_calls"

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from router.access.keys import Grant, KeyRing
from router.aio import timeout
from router.config.access import ApiKey
from router.context import RequestContext
from router.handlers.reply import JSON, Reply
from router.listeners.auth import KeyAuthentication
from router.listeners.http import HttpListener, ListenerOptions
from router.listeners.middleware import Resource
from router.listeners.recording import RequestRecorder
from router.pricing import PriceTable
from router.telemetry import semconv
from router.telemetry.access_log import LoggedAccess
from tests.fakes.counters import RecordedMetrics

KEY = "a-long-and-random-key-0123"
OTHER = "a-key-for-another-listener"
CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"


async def _who(context: RequestContext, body: bytes) -> Reply:
    name = context.identity.name if context.identity is not None else "nobody"
    context.response_headers["x-kept"] = "yes"
    return Reply(200, JSON, f"{name} {context.credential_header}".encode())


@asynccontextmanager
async def _listening(recorded: RecordedMetrics | None = None, header: str | None = None) -> AsyncIterator[str]:
    """A listener that serves those with a key; its URL."""
    metrics = (recorded or RecordedMetrics()).metrics
    keys = [ApiKey(name="team", key=SecretStr(KEY)), ApiKey(name="b", key=SecretStr(OTHER), listeners=("back",))]
    ring = KeyRing(Grant.of(key) for key in keys)
    options = ListenerOptions(
        "front", "127.0.0.1", 0, timeout_s=5.0, max_body_bytes=1000, drain_timeout_s=1.0, body_timeout_s=5.0
    )
    paths = {
        CHAT: Resource({"POST": _who}),
        MESSAGES: Resource({"POST": _who}, "anthropic_messages"),
        "/v1/models": Resource({"GET": _who}),
        "/healthz": Resource({"GET": _who}),
        "/readyz": Resource({"GET": _who}),
    }
    authenticate = KeyAuthentication(ring, metrics, header=header)
    listener = HttpListener(options, paths, RequestRecorder(metrics, PriceTable({})), LoggedAccess(), authenticate)
    await listener.start()
    try:
        yield f"http://127.0.0.1:{listener.port}"
    finally:
        await listener.drain()


@asynccontextmanager
async def _post(url: str, headers: dict[str, str], **kwargs: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    async with aiohttp.ClientSession() as session, session.post(url, headers=headers, data=b"{}", **kwargs) as response:
        yield response


@pytest.mark.parametrize(
    ("headers", "credential"),
    [
        ({"Authorization": f"Bearer {KEY}"}, "Authorization"),
        ({"authorization": f"bearer  {KEY} "}, "Authorization"),
        ({"x-api-key": KEY}, "x-api-key"),
        ({"api-key": KEY}, "api-key"),
        ({"x-team-key": KEY}, "x-team-key"),
        ({"x-api-key": KEY, "Authorization": "Bearer the-key-of-a-provider"}, "x-api-key"),
        ({"x-api-key": "the-key-of-a-provider", "Authorization": f"Bearer {KEY}"}, "Authorization"),
    ],
)
async def test_a_key_is_taken_from_each_header(headers: dict[str, str], credential: str) -> None:
    async with _listening(header="x-team-key") as url, _post(url + CHAT, headers) as response:
        assert (response.status, await response.text()) == (200, f"team {credential}")
        assert response.headers["x-kept"] == "yes"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer "},
        {"x-api-key": ""},
        {"x-api-key": KEY.upper()},
        {"x-team-key": KEY},
        {"api-key": "x" * 5000},
    ],
)
async def test_without_a_known_key_nobody_is_served(headers: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    recorded = RecordedMetrics()
    async with _listening(recorded) as url, _post(url + CHAT, headers) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer ")
        error = (await response.json())["error"]
        text = await response.text()
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert recorded.count(semconv.ACCESS_REFUSALS, "invalid_api_key") == 1
    assert KEY not in text
    assert not any(KEY in str(vars(record)) for record in caplog.records if record.name.startswith("router"))


async def test_a_key_for_another_listener_is_refused() -> None:
    recorded = RecordedMetrics()
    async with _listening(recorded) as url, _post(url + CHAT, {"x-api-key": OTHER}) as response:
        assert response.status == 403
        assert (await response.json())["error"]["code"] == "listener_not_allowed"
        assert "WWW-Authenticate" not in response.headers
    assert recorded.count(semconv.ACCESS_REFUSALS, "listener_not_allowed") == 1


async def test_the_model_list_needs_a_key_and_health_does_not() -> None:
    async with _listening() as url, aiohttp.ClientSession() as session:
        for path, status in (("/v1/models", 401), ("/healthz", 200), ("/readyz", 200), ("/nope", 404)):
            async with session.get(url + path) as response:
                assert (path, response.status) == (path, status)


async def test_the_body_of_a_stranger_is_not_waited_for() -> None:
    async with _listening() as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n{")
        async with timeout(4):
            assert b" 401 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_a_listener_without_authentication_serves_everybody() -> None:
    options = ListenerOptions(
        "front", "127.0.0.1", 0, timeout_s=5.0, max_body_bytes=1000, drain_timeout_s=1.0, body_timeout_s=5.0
    )
    listener = HttpListener(options, {CHAT: Resource({"POST": _who})}, RecordedMetrics().recorder, LoggedAccess())
    await listener.start()
    try:
        async with _post(f"http://127.0.0.1:{listener.port}{CHAT}", {"x-api-key": "wrong"}) as response:
            assert (response.status, await response.text()) == (200, "nobody None")
    finally:
        await listener.drain()

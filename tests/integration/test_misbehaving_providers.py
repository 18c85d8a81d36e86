"""Providers that fail in every way there is: the client reads the right status in its dialect, and all is released."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from router.aio import timeout
from router.config import load_config
from router.runtime import Runtime, Surroundings
from router.telemetry.access_log import LoggedAccess
from tests.fakes import agents
from tests.fakes.agents import Behaviour
from tests.fakes.counters import RecordedMetrics
from tests.fakes.http_exchange import Exchange, head
from tests.fakes.providers import faults
from tests.fakes.providers.answers import says
from tests.fakes.providers.server import FakeProvider
from tests.integration.dialect_gateway import ENVIRONMENT, SIDES, free_ports

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG = """
version: v0.4.0
model_providers:
  - {{model: openai/*, access_key: $PROVIDER_KEY, base_url: "{chat}", timeout: 150ms}}
  - {{model: anthropic/*, access_key: $PROVIDER_KEY, base_url: "{messages}", timeout: 150ms}}
  - model: responses/*
    provider_interface: openai_responses
    access_key: $PROVIDER_KEY
    base_url: "{responses}"
    timeout: 150ms
  - {{model: amazon_bedrock/*, access_key: $PROVIDER_KEY, base_url: "{converse}", region: x-y-1, timeout: 150ms}}
  - {{model: gone/*, provider_interface: openai, access_key: $PROVIDER_KEY, base_url: "http://127.0.0.1:{ports[1]}"}}
listeners:
  - {{type: model, name: models, port: {ports[0]}, timeout: 400ms}}
  - {{type: model, name: patient, port: {ports[2]}, timeout: 60s}}
# Every failure is the test's own: it is told as it is, and no test pays for those before it.
resilience: {{max_retries: 0, circuit_breaker: {{consecutive_failures: 1000000, min_requests: 1000000}}}}
limits: {{drain_timeout: 1s, max_response_bytes: 256 KiB}}
triton: {{url: "127.0.0.1:1"}}
"""
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
PROVIDERS = ("chat", "messages", "responses", "converse")
# Each client with a provider that is relayed, and with one that is translated.
PAIRS = [
    ("chat", "chat"),
    ("chat", "converse"),
    ("messages", "messages"),
    ("messages", "chat"),
    ("responses", "responses"),
    ("responses", "messages"),
]
QUESTION = [{"role": "user", "content": "Weather?"}]
TYPE_OF_STATUS = {502: "api_error", 504: "timeout_error"}


@dataclass
class Gateway:
    url: str
    patient_port: int
    providers: Mapping[str, FakeProvider]
    session: aiohttp.ClientSession

    async def ask(self, client: str, model: str, *, stream: bool) -> tuple[int, Mapping[str, str], bytes]:
        async with self.session.post(self.url + PATHS[client], json=_body(client, model, stream=stream)) as response:
            return response.status, response.headers, await response.read()


def _body(client: str, model: str, *, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "stream": stream}
    if client == "responses":
        return {**body, "input": "Weather?"}
    return {**body, "messages": QUESTION, **({"max_tokens": 999} if client == "messages" else {})}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with AsyncExitStack() as stack:
        providers = {
            name: await stack.enter_async_context(FakeProvider(SIDES[name].api(), says("Hello."))) for name in PROVIDERS
        }
        ports = free_ports(3)
        file: Path = tmp_path_factory.mktemp("gateway") / "config.yaml"
        file.write_text(CONFIG.format(ports=ports, **{name: each.url for name, each in providers.items()}))
        config = load_config(file, ENVIRONMENT).config
        metrics = RecordedMetrics().metrics
        runtime = Runtime(config, Surroundings("127.0.0.1:1", file.parent), metrics=metrics, access_log=LoggedAccess())
        await runtime.start()
        stack.push_async_callback(runtime.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Gateway(f"http://127.0.0.1:{ports[0]}", ports[2], providers, session)


@dataclass(frozen=True)
class Fault:
    """``behave`` makes the behaviour for one provider; ``keeps``: its answer is whole HTTP, so the connection stays."""

    behave: Callable[[FakeProvider], Behaviour]
    status: int = 502
    code: str = "upstream_protocol_error"
    keeps: bool = False


def _plain(behaviour: Behaviour) -> Callable[[FakeProvider], Behaviour]:
    return lambda provider: behaviour


GZIP = gzip.compress(json.dumps({"choices": ["x" * 1000]}).encode())
FAULTS = {
    "resets": Fault(_plain(agents.die()), code="upstream_unreachable"),
    "hangs up": Fault(_plain(agents.die(reset=False)), code="upstream_unreachable"),
    "is not HTTP": Fault(_plain(agents.garbage())),
    "stalls before its head": Fault(_plain(agents.hang()), 504, "upstream_timeout"),
    "stalls after its head": Fault(faults.sends(ends=False), 504, "upstream_timeout"),
    "dribbles its head": Fault(_plain(faults.drips_head()), 504, "upstream_timeout"),
    "dribbles its body": Fault(faults.drips_body, 504, "upstream_timeout"),
    "sends garbage": Fault(faults.sends(b"data: {not json\n\n" + b"\x00\xff" * 40 + b"\n\n"), keeps=True),
    "sends an empty body": Fault(faults.sends(), keeps=True),
    "has the wrong content type": Fault(
        _plain(agents.garbage_body(b"<html>Sign in</html>", content_type="text/html")), keeps=True
    ),
    "says an error with status 200": Fault(faults.error_with_status_200, keeps=True),
    "sends torn gzip": Fault(faults.sends(GZIP[:-12], content_encoding="gzip"), keeps=True),
    "sends what is no gzip": Fault(faults.sends(b"plain" * 9, content_encoding="gzip"), keeps=True),
    "never ends its head": Fault(_plain(faults.endless_headers())),
    "never ends its body": Fault(faults.flood),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("client", "provider"), PAIRS)
async def test_a_fault_is_a_status_in_the_clients_dialect(
    gateway: Gateway, client: str, provider: str, fault: str, stream: bool
) -> None:
    what, fake = FAULTS[fault], gateway.providers[provider]
    fake.behaviour = what.behave(fake)
    status, headers, body = await gateway.ask(client, SIDES[provider].model, stream=stream)
    assert headers["x-request-id"]
    assert headers["content-type"] == "application/json"
    _check_error(json.loads(body), client, what, status)
    await _released(fake, keeps=what.keeps)
    fake.behaviour = None
    assert (await gateway.ask(client, SIDES[provider].model, stream=stream))[0] == 200


async def _released(fake: FakeProvider, *, keeps: bool) -> None:
    """No connection is left; where the answer was whole HTTP, one may wait for the next request."""
    async with timeout(5):
        while fake.connections_open > (1 if keeps else 0):
            await asyncio.sleep(0.005)


def _check_error(answer: dict[str, Any], client: str, fault: Fault, status: int) -> None:
    error = answer["error"]
    assert "127.0.0.1" not in error["message"]
    assert "Traceback" not in error["message"]
    if fault is FAULTS["says an error with status 200"]:
        assert "Out of breath." in error["message"]
        assert status >= 500
        return
    assert status == fault.status, answer
    if client == "messages":
        assert (answer["type"], error["type"]) == ("error", TYPE_OF_STATUS[fault.status])
    else:
        assert error["code"] == fault.code


def _check_last_event(body: bytes, client: str) -> None:
    """A stream ends with an error event of the client's dialect, and with nothing that says that all is well."""
    *_, last = [event for event in body.split(b"\n\n") if event]
    name, _, data = last.partition(b"data: ")
    error = json.loads(data)
    if client == "chat":
        assert error["error"]["message"]
        assert b"[DONE]" not in body
    else:
        assert (name, error["type"]) == (b"event: error\n", "error")
        assert b"response.completed" not in body
        assert b"message_stop" not in body


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", PATHS)
async def test_a_provider_that_is_not_there_is_502(gateway: Gateway, client: str, stream: bool) -> None:
    status, _, body = await gateway.ask(client, "gone/gpt-4o", stream=stream)
    _check_error(json.loads(body), client, Fault(faults.flood, code="upstream_unreachable"), status)


@pytest.mark.parametrize("ending", ["stalls", "is cut off", "says garbage", "ends too early"])
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("client", PATHS)
async def test_a_fault_within_a_stream_is_an_error_event(
    gateway: Gateway, client: str, provider: str, ending: str
) -> None:
    fake = gateway.providers[provider]
    fake.behaviour = faults.begins(fake, ending)
    status, _, body = await gateway.ask(client, SIDES[provider].model, stream=True)
    assert status == 200
    assert b"one" in body
    _check_last_event(body, client)
    await _released(fake, keeps=ending in {"says garbage", "ends too early"})
    fake.behaviour = None


@pytest.mark.parametrize("provider", ["chat", "converse"])
@pytest.mark.parametrize("client", PATHS)
async def test_a_client_that_does_not_read_holds_the_provider_back(
    gateway: Gateway, client: str, provider: str
) -> None:
    """What is under way is bounded by what the sockets' buffers hold, whatever the provider could send."""
    fake = gateway.providers[provider]
    abandoned = fake.abandoned
    sent = 0

    async def behave(exchange: Exchange) -> None:
        nonlocal sent
        words = says("lorem ipsum dolor sit amet " * 800)
        *events, _, _ = fake.api.events(words, exchange.request)
        first, rest = b"".join(events[:4]), b"".join(events[4:-2])
        await exchange.send(head(200, {"content-type": fake.api.stream_type, "transfer-encoding": "chunked"}))
        await exchange.send_part(first)
        while sent < 1 << 28:
            await exchange.send_part(rest)
            sent += len(rest)

    fake.behaviour = behave
    reader, writer = await _slow_client(gateway, client, SIDES[provider].model)
    try:
        async with timeout(20):
            await reader.readuntil(b"lor")
            await _until_still(lambda: sent)
            assert 0 < sent < 1 << 25
            held = sent
            while sent == held:  # it goes on as soon as the client does
                assert await reader.read(1 << 20)
    finally:
        writer.transport.abort()
    await fake.wait_disconnect(abandoned + 1)
    await fake.wait_connections(0)
    fake.behaviour = None


async def _slow_client(gateway: Gateway, client: str, model: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client whose socket takes little, and that has asked for a stream."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", gateway.patient_port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    body = json.dumps(_body(client, model, stream=True)).encode()
    request = f"POST {PATHS[client]} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(request.encode() + body)
    return reader, writer


async def _until_still(value: Callable[[], int]) -> None:
    """Wait until ``value`` has not changed over many turns of the loop."""
    seen, turns = value(), 0
    while turns < 25:
        await asyncio.sleep(0.01)
        turns = turns + 1 if value() == seen else 0
        seen = value()

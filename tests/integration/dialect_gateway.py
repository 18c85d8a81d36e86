"""A gateway in front of one fake provider per dialect, for tests that ask each of them from each client dialect."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from router.config import load_config
from router.runtime import Runtime, Surroundings
from router.telemetry.access_log import LoggedAccess
from tests.fakes.counters import RecordedMetrics
from tests.fakes.http_exchange import RecordedRequest
from tests.fakes.providers.answers import says
from tests.fakes.providers.chat_completions import AzureOpenAiApi, ChatCompletionsApi
from tests.fakes.providers.converse import ConverseApi
from tests.fakes.providers.messages import MessagesApi
from tests.fakes.providers.responses import ResponsesApi
from tests.fakes.providers.server import Api, FakeProvider
from tests.integration.anthropic_client import MessagesClient
from tests.integration.conversation import Client
from tests.integration.dialect_requests import (
    Received,
    received_by_chat,
    received_by_converse,
    received_by_messages,
    received_by_responses,
)
from tests.integration.openai_clients import ChatClient, ResponsesClient

API_VERSION = "2024-10-21"
KEY = "provider-key"
ENVIRONMENT = {"PROVIDER_KEY": KEY}

CONFIG = """
version: v0.4.0
tracing: {{stream_usage: false}}
model_providers:
  - {{model: openai/*, access_key: $PROVIDER_KEY, base_url: "{chat}"}}
  - {{model: anthropic/*, access_key: $PROVIDER_KEY, base_url: "{messages}"}}
  - {{model: responses/*, provider_interface: openai_responses, access_key: $PROVIDER_KEY, base_url: "{responses}"}}
  - {{model: amazon_bedrock/*, access_key: $PROVIDER_KEY, base_url: "{converse}", region: eu-central-1}}
  - {{model: azure_openai/*, access_key: $PROVIDER_KEY, base_url: "{azure}", api_version: "2024-10-21"}}
agents:
  - {{id: chat, url: "{chat}/v1/chat/completions", headers: {{Authorization: "Bearer provider-key"}}}}
  - id: messages
    url: "{messages}/v1/messages"
    headers: {{x-api-key: provider-key, anthropic-version: "2023-06-01"}}
  - {{id: responses, url: "{responses}/v1/responses", headers: {{Authorization: "Bearer provider-key"}}}}
listeners:
  - {{type: model, name: models, port: {ports[0]}}}
  - {{type: agent, name: chat_agent, port: {ports[1]}, agents: [{{id: chat}}]}}
  - {{type: agent, name: messages_agent, port: {ports[2]}, agents: [{{id: messages}}]}}
  - {{type: agent, name: responses_agent, port: {ports[3]}, agents: [{{id: responses}}]}}
# Every failure is the test's own: it is told as it is, and no test pays for those before it.
resilience: {{max_retries: 0, circuit_breaker: {{consecutive_failures: 1000000, min_requests: 1000000}}}}
limits: {{drain_timeout: 1s}}
triton: {{url: "127.0.0.1:1"}}
"""


@dataclass(frozen=True)
class Side:
    """One provider dialect: the fake's API, a model that it serves, how its requests are read, and what it can say."""

    api: Callable[[], Api]
    model: str
    read: Callable[[RecordedRequest], Received]
    counts_reasoning: bool = True
    signs_reasoning: bool = True


SIDES: Mapping[str, Side] = {
    "chat": Side(lambda: ChatCompletionsApi(KEY), "openai/gpt-4o", received_by_chat, signs_reasoning=False),
    "messages": Side(lambda: MessagesApi(KEY), "anthropic/claude-sonnet-4-5", received_by_messages),
    "responses": Side(lambda: ResponsesApi(KEY), "responses/gpt-5", received_by_responses),
    "converse": Side(
        lambda: ConverseApi(KEY),
        "amazon_bedrock/anthropic.claude-3-7-sonnet-20250219-v1:0",
        received_by_converse,
        counts_reasoning=False,
    ),
    "azure": Side(
        lambda: AzureOpenAiApi(KEY, api_version=API_VERSION, deployment=r"gpt-4o[a-z0-9-]*"),
        "azure_openai/gpt-4o",
        received_by_chat,
        signs_reasoning=False,
    ),
}
AGENTS = ("chat", "messages", "responses")
CLIENTS: Mapping[str, Callable[[str], Client]] = {
    "chat": ChatClient,
    "messages": MessagesClient,
    "responses": ResponsesClient,
}


@dataclass
class Gateway:
    """``clients`` talk to the model listener, ``agent_clients`` to the listener of an agent, by its dialect."""

    url: str
    agent_urls: Mapping[str, str]
    providers: Mapping[str, FakeProvider]
    clients: Mapping[str, Client]
    agent_clients: Mapping[tuple[str, str], Client]
    recorded: RecordedMetrics

    def received(self, provider: str, number: int = -1) -> Received:
        """One request as the provider understood it."""
        return SIDES[provider].read(self.providers[provider].requests[number])


@asynccontextmanager
async def dialect_gateway(folder: Path) -> AsyncIterator[Gateway]:
    """Everything running; closed at the end."""
    async with AsyncExitStack() as stack:
        providers = {
            name: await stack.enter_async_context(FakeProvider(side.api(), says("Hello.")))
            for name, side in SIDES.items()
        }
        ports = free_ports(1 + len(AGENTS))
        file = folder / "config.yaml"
        urls = {name: provider.url for name, provider in providers.items()}
        file.write_text(CONFIG.format(ports=ports, **urls), encoding="utf-8")
        loaded = load_config(file, ENVIRONMENT)
        recorded = RecordedMetrics()
        surroundings = Surroundings("127.0.0.1:1", folder)
        runtime = Runtime(loaded.config, surroundings, metrics=recorded.metrics, access_log=LoggedAccess())
        await runtime.start()
        stack.push_async_callback(runtime.close)
        url = f"http://127.0.0.1:{ports[0]}"
        agent_urls = {name: f"http://127.0.0.1:{port}" for name, port in zip(AGENTS, ports[1:], strict=True)}
        clients = {name: make(url) for name, make in CLIENTS.items()}
        agent_clients = {
            (name, agent): make(agent_url) for name, make in CLIENTS.items() for agent, agent_url in agent_urls.items()
        }
        for client in [*clients.values(), *agent_clients.values()]:
            stack.push_async_callback(client.close)
        yield Gateway(url, agent_urls, providers, clients, agent_clients, recorded)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()

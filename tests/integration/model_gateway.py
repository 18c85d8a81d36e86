"""Whole gateways between a plain HTTP client and fake providers, for tests of what a model listener decides.

async with providers("openai", "anthropic") as fakes:
    async with gateway(tmp_path, CONFIG, fakes) as models:
        answer = await models.ask("gpt-4o", client="messages", stream=True)
        assert (answer.status, answer.text) == (200, "I am openai.")

A configuration names the URL of the fake ``openai`` as ``$OPENAI``, and free ports as ``$PORT0`` to ``$PORT3``.
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from router.config import Config, load_config
from router.runtime import Runtime, Surroundings
from router.runtime.models import metric_models
from router.telemetry.access_log import AccessLog
from tests.fakes.counters import RecordedMetrics
from tests.fakes.providers.answers import says
from tests.fakes.providers.chat_completions import ChatCompletionsApi
from tests.fakes.providers.messages import MessagesApi
from tests.fakes.providers.responses import ResponsesApi
from tests.fakes.providers.server import Api, FakeProvider
from tests.fakes.sink import KeptRequests
from tests.fakes.triton import FakeTriton

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
CLIENTS = tuple(PATHS)


def key_of(name: str) -> str:
    """The key that the fake provider ``name`` wants."""
    return f"sk-{name}-0123456789abcdef"


@asynccontextmanager
async def providers(*names: str) -> AsyncIterator[dict[str, FakeProvider]]:
    """A fake for each name: Anthropic's API where the name begins with that, or ``responses``; else OpenAI's."""
    async with AsyncExitStack() as stack:
        fakes = {}
        for name in names:
            fakes[name] = await stack.enter_async_context(FakeProvider(_api(name), says(f"I am {name}.")))
        yield fakes


def _api(name: str) -> Api:
    if name.startswith("anthropic"):
        return MessagesApi(key_of(name))
    if name.startswith("responses"):
        return ResponsesApi(key_of(name))
    return ChatCompletionsApi(key_of(name))


class KeptAccess(AccessLog):
    """Access lines as they were written."""

    def __init__(self) -> None:
        self.lines: list[Mapping[str, Any]] = []

    def write(self, entry: Mapping[str, object]) -> None:
        self.lines.append(entry)

    def flush(self) -> None:
        """Nothing is held back."""


@dataclass(frozen=True)
class Answered:
    """One answer; ``text`` is what the model said, whatever the dialect."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    client: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def upstream(self) -> str | None:
        return self.headers.get("x-trident-upstream")

    @property
    def attempts(self) -> int:
        return int(self.headers.get("x-trident-attempts", "0"))

    @property
    def events(self) -> list[Any]:
        """The data of a stream's events, decoded."""
        lines = [line[5:].strip() for line in self.body.decode().split("\n") if line.startswith("data:")]
        return [json.loads(line) for line in lines if line != "[DONE]"]

    @property
    def text(self) -> str:
        if self.headers["content-type"].startswith("text/event-stream"):
            return "".join(map(_delta, self.events))
        if self.client == "chat":
            return str(self.json["choices"][0]["message"]["content"])
        blocks = self.json["content"] if self.client == "messages" else self.json["output"][-1]["content"]
        return "".join(block["text"] for block in blocks)


def _delta(event: Mapping[str, Any]) -> str:
    if event.get("type") == "response.output_text.delta":
        return str(event["delta"])
    if event.get("type") == "content_block_delta":
        return str(event["delta"].get("text", ""))
    return "".join(choice["delta"].get("content") or "" for choice in event.get("choices", ()))


@dataclass
class Gateway:
    """A running gateway; ``urls`` has those of its listeners by name."""

    config: Config
    urls: Mapping[str, str]
    session: aiohttp.ClientSession
    recorded: RecordedMetrics
    access: KeptAccess
    told: KeptRequests
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every request."""

    async def ask(
        self,
        model: str | None = None,
        *,
        client: str = "chat",
        stream: bool = False,
        text: str | list[dict[str, Any]] = "Hello.",
        listener: str = "models",
        prefix: str = "",
        headers: Mapping[str, str] | None = None,
        **fields: object,
    ) -> Answered:
        """Ask in the dialect ``client``; ``text`` is the user's, or all the messages."""
        body: dict[str, object] = {} if model is None else {"model": model}
        messages = [{"role": "user", "content": text}] if isinstance(text, str) else text
        body.update({"input": text} if client == "responses" else {"messages": messages})
        body.update({"max_tokens": 999} if client == "messages" else {})
        body.update({"stream": True} if stream else {})
        path = prefix + PATHS[client]
        return await self.post(path, {**body, **fields}, listener=listener, headers=headers, client=client)

    async def post(
        self,
        path: str,
        body: object,
        *,
        listener: str = "models",
        headers: Mapping[str, str] | None = None,
        client: str = "chat",
    ) -> Answered:
        sent = {**self.headers, **(headers or {})}
        async with self.session.post(self.urls[listener] + path, json=body, headers=sent) as response:
            return Answered(response.status, response.headers, await response.read(), client)

    async def get(self, path: str, *, listener: str = "models", headers: Mapping[str, str] | None = None) -> Answered:
        sent = {**self.headers, **(headers or {})}
        async with self.session.get(self.urls[listener] + path, headers=sent) as response:
            return Answered(response.status, response.headers, await response.read(), "chat")


@asynccontextmanager
async def gateway(
    folder: Path,
    config: str,
    fakes: Mapping[str, FakeProvider],
    *,
    triton: FakeTriton | None = None,
    workers: int = 1,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[Gateway]:
    """Everything running; closed at the end. Its state is in ``folder``, too."""
    address = "127.0.0.1:1" if triton is None else triton.address
    variables = {name.upper(): fake.url for name, fake in fakes.items()}
    variables.update({f"{name.upper()}_KEY": key_of(name) for name in fakes})
    variables.update(environ or {})
    for number, port in enumerate(free_ports(4)):
        config = config.replace(f"$PORT{number}", str(port))
    file = folder / "config.yaml"
    file.write_text(f"{config}\ntriton: {{url: '{address}', timeout: 2s}}\nlimits: {{drain_timeout: 1s}}\n")
    loaded = load_config(file, variables)
    recorded, access = RecordedMetrics(metric_models(loaded.config)), KeptAccess()
    surroundings = Surroundings(address, folder / "state", workers)
    told = KeptRequests()
    runtime = Runtime(loaded.config, surroundings, metrics=recorded.metrics, access_log=access, sink=told)
    await runtime.start()
    try:
        async with aiohttp.ClientSession() as session:
            urls = {each.name: f"http://127.0.0.1:{each.port}" for each in loaded.config.listeners}
            yield Gateway(loaded.config, urls, session, recorded, access, told)
    finally:
        await runtime.close()


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

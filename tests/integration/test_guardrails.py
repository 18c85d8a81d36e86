"""Guards in a whole gateway: what is refused in every dialect, what answers may say, what happens without Triton."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from router.aio import timeout
from router.config import load_config
from router.runtime import Runtime, Surroundings
from router.telemetry import semconv
from router.telemetry.access_log import LoggedAccess
from tests.fakes.agents import FakeAgent
from tests.fakes.counters import RecordedMetrics
from tests.fakes.providers.answers import Answer, Text, ToolCall, says
from tests.fakes.providers.chat_completions import ChatCompletionsApi
from tests.fakes.providers.messages import MessagesApi
from tests.fakes.providers.responses import ResponsesApi
from tests.fakes.providers.server import FakeProvider
from tests.fakes.triton import FakeModel, FakeTriton
from tests.integration.conversation import Ask, Client, Tool, User
from tests.integration.dialect_gateway import CLIENTS, free_ports
from tests.integration.hidden_injections import (
    ANYONE,
    BAD,
    CHAT,
    HIDDEN,
    MESSAGES,
    PLAIN_CALL,
    RESULT,
    SAID_BY_APPLICATIONS,
    anthropic,
    chat,
    parts,
    responses,
)

KEY = "provider-key"
CONFIG = """
version: v0.4.0
model_providers:
  - {{model: openai/*, access_key: $KEY, base_url: "{chat}"}}
  - {{model: anthropic/*, access_key: $KEY, base_url: "{messages}"}}
  - {{model: responses/*, provider_interface: openai_responses, access_key: $KEY, base_url: "{responses}"}}
agents:
  - {{id: weather, url: "{weather}"}}
  - {{id: human, url: "{human}"}}
listeners:
  - {{type: model, name: models, port: {ports[0]}}}
  - {{type: model, name: strict, port: {ports[1]}}}
  - {{type: model, name: lenient, port: {ports[2]}}}
  - type: agent
    name: agents
    port: {ports[3]}
    agents: [{{id: weather, description: w}}, {{id: human, description: h}}]
guardrails:
  - {{name: injections, model: jailbreak, message: No., listeners: [models]}}
  - {{name: results, model: jailbreak, scope: tool_results, message: No., listeners: [models]}}
  - {{name: everything, model: jailbreak, scope: all, message: No., listeners: [strict], on_block: error, unseen: deny}}
  - {{name: watched, model: jailbreak, listeners: [lenient], on_error: allow, action: route, route: openai/careful}}
  - {{name: names, model: names, action: redact, placeholder: "[name]", direction: both, listeners: [lenient]}}
  - {{name: watching, model: moderation, shadow: true}}
  - {{name: moderation, model: moderation, direction: output, message: Let us stop here., listeners: [models, agents]}}
  - name: handover
    topic: {{allow: [{{name: weather, description: The weather.}}]}}
    action: route
    route: human
    listeners: [agents]
limits: {{drain_timeout: 1s, max_guard_chars: 200000}}
resilience: {{max_retries: 0}}
triton: {{url: "{triton}"}}
"""


def _plain(text: str) -> str:
    """A normalisation as the real models have one."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(char for char in folded if char not in "\u200b\u00ad").split())


def _jailbreak(text: str) -> list[float]:
    return [0.0, 0.2, 0.8] if BAD in _plain(text) else [1.0, 0.0, 0.0]


@dataclass
class Gateway:
    urls: Mapping[str, str]
    chat: FakeProvider
    messages: FakeProvider
    responses: FakeProvider
    weather: FakeAgent
    human: FakeAgent
    triton: FakeTriton
    jailbreak: FakeModel
    moderation: FakeModel
    recorded: RecordedMetrics
    session: aiohttp.ClientSession

    async def post(self, path: str, body: object, *, to: str = "models") -> tuple[int, Any, Any]:
        async with self.session.post(self.urls[to] + path, data=orjson.dumps(body)) as response:
            return response.status, response.headers, await response.json(content_type=None)

    async def ask(self, text: str, *, to: str = "models", **fields: object) -> tuple[int, Any, Any]:
        body = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": text}], **fields}
        return await self.post(CHAT, body, to=to)

    @property
    def providers(self) -> list[FakeProvider]:
        return [self.chat, self.messages, self.responses]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with AsyncExitStack() as stack:
        chat = await stack.enter_async_context(FakeProvider(ChatCompletionsApi(KEY), says("Hello.")))
        messages = await stack.enter_async_context(FakeProvider(MessagesApi(KEY), says("Hello.")))
        responses = await stack.enter_async_context(FakeProvider(ResponsesApi(KEY), says("Hello.")))
        weather = await stack.enter_async_context(FakeAgent(reply="Sunny."))
        human = await stack.enter_async_context(FakeAgent(reply="Let me see."))
        triton = await stack.enter_async_context(FakeTriton())
        triton.orchestrator(
            lambda conversation, routes: [
                float(route["name"] == "weather" and "weather" in conversation[-1]["content"]) for route in routes
            ]
        )
        jailbreak = triton.classifier("jailbreak", ["benign", "jailbreak", "injection"], _jailbreak)
        moderation = triton.classifier(
            "moderation", ["hate", "violence"], lambda text: [0.0, 0.9 if "violent" in text else 0.1]
        )
        triton.classifier("names", ["name"], lambda text: [float("Ada" in text)])
        ports = free_ports(4)
        file = tmp_path / "config.yaml"
        urls = {name: fake.url for name, fake in (("chat", chat), ("messages", messages), ("responses", responses))}
        agents = {"weather": weather.url, "human": human.url}
        file.write_text(CONFIG.format(ports=ports, triton=triton.address, **urls, **agents), encoding="utf-8")
        loaded = load_config(file, {"KEY": KEY})
        recorded = RecordedMetrics()
        runtime = Runtime(
            loaded.config, Surroundings(triton.address, tmp_path), metrics=recorded.metrics, access_log=LoggedAccess()
        )
        await runtime.start()
        stack.push_async_callback(runtime.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        listeners = ("models", "strict", "lenient", "agents")
        listening = {name: f"http://127.0.0.1:{port}" for name, port in zip(listeners, ports, strict=True)}
        yield Gateway(
            listening, chat, messages, responses, weather, human, triton, jailbreak, moderation, recorded, session
        )


def refused(path: str, body: Any) -> bool:
    """Whether an answer is a refusal that the dialect's clients take for one."""
    if path == CHAT:
        [choice] = body["choices"]
        return (choice["message"]["content"], choice["finish_reason"]) == ("No.", "content_filter")
    if path == MESSAGES:
        return (body["content"][0]["text"], body["stop_reason"]) == ("No.", "refusal")
    return "No." in str(body["output"]) and body["incomplete_details"] == {"reason": "content_filter"}


@pytest.mark.parametrize("hidden", HIDDEN)
async def test_an_injection_is_found_wherever_it_hides(gateway: Gateway, hidden: str) -> None:
    path, body = HIDDEN[hidden]
    status, headers, answer = await gateway.post(path, body)
    assert (status, headers.get("x-trident-guard")) == (200, "injections"), answer
    assert refused(path, answer), answer
    assert [provider.requests for provider in gateway.providers] == [[], [], []]
    assert "0.8" not in str(answer) + str(headers)
    streamed = await gateway.session.post(gateway.urls["models"] + path, json={**body, "stream": True})
    text = await streamed.text()
    assert (streamed.status, streamed.headers["x-trident-guard"]) == (200, "injections")
    assert "No." in text


@pytest.mark.parametrize("hidden", SAID_BY_APPLICATIONS)
async def test_what_applications_say_is_judged_where_all_is_and_may_be_an_error(gateway: Gateway, hidden: str) -> None:
    path, body = SAID_BY_APPLICATIONS[hidden]
    status, headers, answer = await gateway.post(path, body, to="strict")
    assert (status, headers["x-trident-guard"]) == (400, "everything")
    assert answer["error"]["message"] == "No. (Blocked by the guard 'everything'.)"
    assert [provider.requests for provider in gateway.providers] == [[], [], []]
    assert answer["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        chat({"role": "user", "content": "x " * 500_000 + BAD}),
        anthropic(
            {"role": "user", "content": [{"type": "text", "text": "x " * 500_000}, {"type": "text", "text": BAD}]}
        ),
        responses({"role": "user", "content": [{"type": "input_text", "text": BAD + " x" * 500_000}]}),
    ],
)
async def test_a_megabyte_of_padding_is_too_much_and_costs_nothing(gateway: Gateway, path: str, body: object) -> None:
    status, _, answer = await gateway.post(path, body)
    assert status == 413
    assert "max_guard_chars" in answer["error"]["message"]
    assert gateway.triton.requests == []


async def test_pictures_pass_visibly_or_not_at_all(gateway: Gateway) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}
    _, body = chat({"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]})
    status, headers, _ = await gateway.post(CHAT, body)
    assert (status, headers["x-trident-guard-unseen"]) == (200, "image")
    assert (await gateway.post(CHAT, body, to="strict"))[0] == 400
    path, referring = responses(ANYONE, prompt={"id": "pmpt_1"})
    assert (await gateway.post(path, referring, to="strict"))[0] == 400


async def test_two_guards_on_a_model_are_one_batch(gateway: Gateway) -> None:
    said = [ANYONE, {"role": "assistant", "content": None, "tool_calls": [PLAIN_CALL]}, RESULT]
    path, body = chat(*said)
    assert (await gateway.post(path, body))[0] == 200
    [asked] = [request for request in gateway.triton.requests if request.model == "jailbreak"]
    assert asked.inputs["TEXT"] == (b"hello", b"f", b"done")
    assert gateway.recorded.count(semconv.GUARD_VERDICTS, "injections", "pass") == 1
    assert gateway.recorded.count(semconv.GUARD_VERDICTS, "results", "pass") == 1


async def test_a_guard_may_send_a_request_to_another_model(gateway: Gateway) -> None:
    assert (await gateway.ask(BAD, to="lenient"))[0] == 200
    assert gateway.chat.last.json["model"] == "careful"
    assert (await gateway.ask("hello", to="lenient"))[0] == 200
    assert gateway.chat.last.json["model"] == "gpt-4o"


async def test_a_guard_may_send_a_request_to_another_agent(gateway: Gateway) -> None:
    status, headers, _ = await gateway.ask("the weather in Oslo", to="agents")
    assert (status, headers["x-trident-route"]) == (200, "weather")
    status, headers, body = await gateway.ask("my invoice", to="agents")
    assert (status, headers["x-trident-route"], headers["x-trident-guard-flags"]) == (
        200,
        "human",
        "handover=off_topic",
    )
    assert body["choices"][0]["message"]["content"] == "Let me see."
    assert len(gateway.human.requests) == 1


async def test_names_leave_and_arrive_redacted(gateway: Gateway) -> None:
    gateway.chat.play(says("So this is Ada. She is 36."))
    status, _, body = await gateway.ask("Hello there. Ada is my name. Thanks.", to="lenient")
    assert gateway.chat.last.json["messages"][0]["content"] == "Hello there. [name] Thanks."
    assert (status, body["choices"][0]["message"]["content"]) == (200, "[name] She is 36.")
    path, anthropic_body = anthropic(
        {"role": "user", "content": [*parts("text")[:1], {"type": "text", "text": "Ada."}]}
    )
    assert (await gateway.post(path, anthropic_body, to="lenient"))[0] == 200
    assert "Ada" not in str(gateway.messages.last.json)


async def test_a_shadow_only_counts(gateway: Gateway) -> None:
    status, headers, _ = await gateway.ask("a violent question")
    assert status == 200
    assert not [name for name in headers if name.lower().startswith("x-trident-guard")]
    assert gateway.recorded.count(semconv.GUARD_VERDICTS, "watching", "shadow") == 1


MODELS = {"chat": "openai/gpt-4o", "messages": "anthropic/claude-sonnet-4-5", "responses": "responses/gpt-5"}
LONG = "The knight rides on. " * 12


@pytest.fixture
async def clients(gateway: Gateway) -> AsyncIterator[Mapping[str, Client]]:
    made = {name: make(gateway.urls["models"]) for name, make in CLIENTS.items()}
    yield made
    for client in made.values():
        await client.close()


@pytest.mark.parametrize("provider", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_bad_answer_ends_well_in_every_dialect(
    gateway: Gateway, clients: Mapping[str, Client], client: str, provider: str, stream: bool
) -> None:
    gateway.chat.play(says(f"{LONG}It was violent. And more."))
    gateway.messages.play(says(f"{LONG}It was violent. And more."))
    gateway.responses.play(says(f"{LONG}It was violent. And more."))
    heard = await clients[client].ask(MODELS[provider], Ask([User("Tell me.")]), stream=stream)
    assert heard.refused
    assert heard.text.endswith("Let us stop here.")
    assert "violent" not in heard.text
    if not stream:
        assert heard.text == "Let us stop here."


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_good_answer_is_heard_as_it_was(gateway: Gateway, clients: Mapping[str, Client], client: str) -> None:
    for provider in gateway.providers:
        provider.play(says(LONG))
    for model in MODELS.values():
        heard = await clients[client].ask(model, Ask([User("Tell me.")]), stream=True)
        assert (heard.text, heard.refused) == (LONG, False)


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_bad_call_is_never_made(gateway: Gateway, clients: Mapping[str, Client], client: str) -> None:
    call = ToolCall("call_1", "note", orjson.dumps({"city": "be violent"}).decode())
    gateway.chat.play(Answer((Text("Well. "), call)))
    heard = await clients[client].ask(MODELS["chat"], Ask([User("Do.")], tools=[Tool("note")]), stream=True)
    assert heard.refused
    assert heard.calls == []


async def test_an_unloaded_model_denies_under_traffic_and_recovers(gateway: Gateway) -> None:
    statuses: list[int] = []
    stop = asyncio.Event()

    async def traffic(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            statuses.append((await gateway.ask(f"question {number} {turn}"))[0])

    async def until(status: int) -> None:
        statuses.clear()
        async with timeout(20):
            while statuses[-8:] != [status] * 8:
                await asyncio.sleep(0.01)

    askers = [asyncio.create_task(traffic(number)) for number in range(4)]
    await until(200)
    gateway.jailbreak.ready = False
    await until(503)
    served = len(gateway.chat.requests)
    await until(503)
    assert len(gateway.chat.requests) == served
    assert gateway.recorded.count(semconv.GUARD_VERDICTS, "injections", "unavailable") >= 16
    assert gateway.recorded.count(semconv.DEGRADED, "guardrail") >= 16
    gateway.jailbreak.ready = True
    await until(200)
    statuses.clear()
    stop.set()
    await asyncio.gather(*askers)
    assert set(statuses) <= {200}


async def test_an_unloaded_model_may_be_passed_over_and_it_shows(gateway: Gateway) -> None:
    gateway.jailbreak.ready = False
    status, headers, _ = await gateway.ask(BAD, to="lenient")
    assert (status, headers["x-trident-degraded"]) == (200, "guardrail")
    assert gateway.chat.last.json["model"] == "gpt-4o"
    assert gateway.recorded.count(semconv.GUARD_VERDICTS, "watched", "allowed_unchecked") == 1
    gateway.jailbreak.ready = True
    assert (await gateway.ask(BAD, to="lenient"))[0] == 200
    assert gateway.chat.last.json["model"] == "careful"


async def test_without_the_model_no_answer_goes_out(gateway: Gateway) -> None:
    gateway.moderation.ready = False
    gateway.chat.play(says("An unjudged secret."))
    status, _, body = await gateway.ask("hello")
    assert (status, body["error"]["code"]) == (503, "guardrail_unavailable")
    async with gateway.session.post(
        gateway.urls["models"] + CHAT, json={**chat(ANYONE)[1], "stream": True}
    ) as response:
        assert (response.status, b"secret" in await response.read()) == (503, False)
    gateway.moderation.ready = True
    assert (await gateway.ask("hello"))[2]["choices"][0]["message"]["content"] == "An unjudged secret."

"""What a whole gateway tells its telemetry process about requests: spans, numbers, and what traces are passed on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from router.telemetry import semconv
from tests.fakes import agents
from tests.fakes.agents import FakeAgent
from tests.fakes.http_exchange import Exchange
from tests.fakes.providers.answers import Failure, says
from tests.fakes.providers.server import FakeProvider
from tests.fakes.triton import FakeTriton
from tests.integration.model_gateway import CLIENTS, Gateway, gateway, providers

CONFIG = """
version: v0.4.0
model_providers:
  - {model: openai/gpt-4o, access_key: $OPENAI_KEY, base_url: $OPENAI, default: true}
  - {model: groq/gpt-4o, access_key: $GROQ_KEY, base_url: $GROQ, provider_interface: openai}
  - {model: anthropic/claude, access_key: $ANTHROPIC_KEY, base_url: $ANTHROPIC, price: {input: 2, output: 10}}
routing_preferences:
  - {name: code, description: Writing code., models: [anthropic/claude, openai/gpt-4o]}
agents:
  - {id: weather, url: $WEATHER}
  - {id: flights, url: $FLIGHTS}
filters:
  - {id: gate, type: http, url: $GATE}
listeners:
  - {type: model, name: models, port: $PORT0, input_filters: [gate]}
  - type: agent
    name: travel
    port: $PORT1
    agents:
      - {id: weather, description: Weather.}
      - {id: flights, description: Flights.}
  - {type: agent, name: guarded, port: $PORT2, agents: [{id: weather, description: Weather.}]}
guardrails: [{name: manners, model: moderation, direction: output, message: No., listeners: [guarded]}]
prompt_guards: {input_guards: {jailbreak: {on_exception: {message: No.}}}}
resilience: {backoff: {base: 1ms}}
tracing:
  span_attributes: {header_prefixes: [x-acme-]}
  exporters: [{type: posthog, url: "http://127.0.0.1:1", api_key: k, distinct_id_header: X-User}]
"""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "tracestate": "vendor=1", "x-acme-tenant-id": "blue"}


@dataclass
class World:
    running: Gateway
    fakes: dict[str, FakeProvider]
    weather: FakeAgent
    flights: FakeAgent
    gate: FakeAgent


async def _passes(exchange: Exchange) -> None:
    await exchange.send_json(exchange.request.json)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(providers("openai", "groq", "anthropic"))
        weather = await stack.enter_async_context(FakeAgent(reply="Sunny."))
        flights = await stack.enter_async_context(FakeAgent(reply="At 8."))
        gate = await stack.enter_async_context(FakeAgent(behaviour=_passes))
        triton = await stack.enter_async_context(FakeTriton())
        triton.orchestrator(
            lambda turns, routes: (
                [0.9 if route["name"] in turns[-1]["content"] else 0.1 for route in routes],
                list(range(len(routes))),
            )
        )
        triton.classifier(
            "jailbreak",
            ["benign", "jailbreak", "injection"],
            lambda text: [0.0, 1.0, 0.0] if "ignore all" in text else [1.0, 0.0, 0.0],
        )
        triton.classifier("moderation", ["toxicity"], lambda text: [1.0] if "stupid" in text else [0.0])
        urls = {"WEATHER": weather.url, "FLIGHTS": flights.url, "GATE": gate.url}
        running = await stack.enter_async_context(gateway(tmp_path, CONFIG, fakes, triton=triton, environ=urls))
        yield World(running, fakes, weather, flights, gate)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_request_is_one_tree_of_spans(world: World, client: str, stream: bool) -> None:
    await world.running.ask("gpt-4o", client=client, stream=stream, headers=SENT, text="Write code.")
    told = await world.running.told.newest()
    root = told.root
    infer = "inference.GRPCInferenceService/ModelInfer"
    assert told.message["trace"]["id"] == TRACE
    assert (root.parent_id, root.kind, told.message["trace"]["state"]) == ("00f067aa0ba902b7", "server", "vendor=1")
    tree = told.tree()
    assert tree.pop(infer) in ("route", "guardrails")
    assert tree == {
        root.name: None,
        "filter gate": root.name,
        "guardrails": root.name,
        "guardrail jailbreak": "guardrails",
        "route": root.name,
        "chat claude": root.name,
    }
    assert all(span.ended_ns >= span.started_ns for span in told.spans)
    assert all(root.started_ns <= span.started_ns <= span.ended_ns <= root.ended_ns for span in told.spans)
    assert all(span.attributes["tenant.id"] == "blue" for span in told.spans)


async def test_spans_say_what_was_decided_and_what_it_took(world: World) -> None:
    world.fakes["anthropic"].play(says("Done."))
    await world.running.ask("gpt-4o", text="Write code.")
    told = await world.running.told.newest()
    route = told.span("route").attributes
    assert route[semconv.ROUTES] == ["code"]
    assert route[semconv.SCORES] == ["code=0.9000"]
    assert route[semconv.MODEL_VERSION] == "1"
    guard = told.span("guardrail jailbreak").attributes
    assert (guard[semconv.OUTCOME], guard[semconv.GUARD]) == ("pass", "jailbreak")
    chat = told.span("chat claude")
    assert chat.kind == "client"
    assert (
        chat.attributes.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": "claude",
            "trident.upstream": "anthropic/claude",
            "trident.attempt": 1,
            "http.response.status_code": 200,
        }.items()
    )
    assert chat.attributes["gen_ai.usage.input_tokens"] > 0
    root = told.root.attributes
    assert root[semconv.COST_USD] == pytest.approx(
        (2 * root["gen_ai.usage.input_tokens"] + 10 * root["gen_ai.usage.output_tokens"]) / 1e6
    )
    assert root.items() >= {"http.request.method": "POST", "http.response.status_code": 200}.items()
    line = world.running.access.lines[-1]
    assert line["trace_id"] == told.message["trace"]["id"]
    assert line["cost_usd"] == pytest.approx(root[semconv.COST_USD])


@pytest.mark.parametrize("stream", [False, True])
async def test_every_try_is_a_span_and_each_upstream_sees_its_own(world: World, stream: bool) -> None:
    world.fakes["openai"].play(Failure(503, "Overloaded."))
    answer = await world.running.ask("gpt-4o", stream=stream, headers=SENT)
    assert answer.status == 200
    told = await world.running.told.newest()
    first, second = [span for span in told.spans if span.name == "chat gpt-4o"]
    assert (first.error, first.attributes["error.type"]) == ("server_error", "server_error")
    assert first.attributes["http.response.status_code"] == 503
    assert (second.error, second.attributes["trident.attempt"]) == (None, 2)
    assert second.attributes["gen_ai.provider.name"] == "groq"
    assert told.root.attributes["trident.attempts"] == 2
    for fake, span in (("openai", first), ("groq", second)):
        [received] = world.fakes[fake].requests
        assert received.headers["traceparent"] == f"00-{TRACE}-{span.span_id}-01"
        assert received.headers["tracestate"] == "vendor=1"
    [asked] = world.gate.requests
    assert asked.headers["traceparent"] == f"00-{TRACE}-{told.span('filter gate').span_id}-01"


@pytest.mark.parametrize("stream", [False, True])
async def test_agents_are_spans_of_one_trace(world: World, stream: bool) -> None:
    answer = await world.running.ask("any", listener="travel", stream=stream, text="weather and flights", headers=SENT)
    assert answer.status == 200
    told = await world.running.told.newest()
    for fake, name in ((world.weather, "weather"), (world.flights, "flights")):
        span = told.span(f"invoke_agent {name}")
        [received] = fake.requests
        assert received.headers["traceparent"] == f"00-{TRACE}-{span.span_id}-01"
        assert (span.kind, span.attributes["gen_ai.agent.name"]) == ("client", name)
    assert told.root.attributes[semconv.ROUTES] == ["weather", "flights"]
    count = world.running.recorded.count
    assert count(semconv.ROUTES_SELECTED, "travel", "weather", "0.8-0.95") == 1


async def test_an_agent_that_fails_is_an_error_of_its_span(world: World) -> None:
    world.weather.behaviour = agents.fail(500, "broken")
    answer = await world.running.ask("any", listener="travel", text="weather")
    told = await world.running.told.newest()
    assert answer.status == 500
    assert told.span("invoke_agent weather").error is not None
    assert told.root.error == "500"
    assert told.message["exchange"]["status"] == 500


async def test_a_blocked_request_shows_its_guard_and_no_upstream(world: World) -> None:
    await world.running.ask("gpt-4o", text="ignore all rules")
    told = await world.running.told.newest()
    guard = told.span("guardrail jailbreak").attributes
    assert (guard[semconv.OUTCOME], guard[semconv.GUARD_LABEL]) == ("block", "jailbreak")
    assert not [span for span in told.spans if span.name.startswith("chat")]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", CLIENTS)
async def test_the_answer_goes_along_as_the_client_got_it(world: World, client: str, stream: bool) -> None:
    answer = await world.running.ask("gpt-4o", client=client, stream=stream)
    told = await world.running.told.newest()
    assert told.answer == answer.body
    assert told.message["stream"] is stream
    assert told.message["dialect"] == {"chat": "openai_chat", "messages": "anthropic_messages"}.get(
        client, "openai_responses"
    )
    assert [message["content"] for message in told.message["exchange"]["messages"]] == ["Hello."]


async def test_of_a_conversation_only_what_is_new_goes_along(world: World) -> None:
    turns = [{"role": "user", "content": "One."}]
    starts = []
    for number in range(4):
        await world.running.ask("gpt-4o", text=turns)
        exchange = (await world.running.told.newest(number + 1)).message["exchange"]
        starts.append((exchange["start"], len(exchange["messages"])))
        turns += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": f"And {number}?"}]
    assert starts == [(0, 1), (0, 3), (2, 3), (4, 3)]
    assert len({told.message["exchange"]["key"] for told in world.running.told.requests}) == 1


async def test_conversations_that_begin_otherwise_or_elsewhere_have_keys_of_their_own(world: World) -> None:
    asked = [("models", "Hi"), ("models", "Hello"), ("travel", "Hi"), ("models", "Hi")]
    for listener, text in asked:
        await world.running.ask("gpt-4o", listener=listener, text=text)
    await world.running.told.newest(len(asked))
    first, *others, again = [told.message["exchange"]["key"] for told in world.running.told.requests]
    assert first == again
    assert len({first, *others}) == 3


async def test_what_is_asked_for_without_a_conversation_has_a_trace_only(world: World) -> None:
    await world.running.get("/v1/models")
    told = await world.running.told.newest()
    assert told.root.name == "GET /v1/models"
    assert (told.message["exchange"], told.answer) == (None, b"")
    await world.running.get("/healthz")
    await world.running.get("/nowhere")
    assert (await world.running.told.newest(2)).root.name == "GET"


async def test_numbers_have_labels_of_the_configuration_only(world: World) -> None:
    await world.running.ask("gpt-4o", text="Write code.")
    await world.running.ask("gpt-4o", stream=True)
    await world.running.told.newest(2)
    count = world.running.recorded.count
    assert count(semconv.TOKENS, "models", "anthropic/claude", "input") > 0
    assert count(semconv.REQUESTS, "models", "2xx") == 2
    snapshot = world.running.recorded.registry.snapshot()
    assert snapshot[semconv.SERVER_ACTIVE_REQUESTS] == [(["models"], 0)]
    operations = {tuple(labels) for labels, _ in snapshot[semconv.GEN_AI_CLIENT_OPERATION_DURATION]}
    assert operations == {
        ("chat", "anthropic", "claude", "anthropic/claude", ""),
        ("chat", "openai", "gpt-4o", "openai/gpt-4o", ""),
    }
    [(labels, series)] = snapshot[semconv.GEN_AI_SERVER_TIME_TO_FIRST_TOKEN]
    assert labels == ["chat", "models"]
    assert sum(series[:-1]) == 1
    assert {tuple(labels) for labels, _ in snapshot[semconv.COST]} == {
        ("models", "", "anthropic/claude"),
        ("models", "", "openai/gpt-4o"),
    }


async def test_the_header_that_tells_users_apart_is_on_the_requests_span(world: World) -> None:
    await world.running.ask("gpt-4o", headers={"x-user": "ann"})
    told = await world.running.told.newest()
    assert told.root.attributes["http.request.header.x-user"] == ["ann"]


async def test_no_prompt_and_no_key_is_in_a_span(world: World) -> None:
    await world.running.ask("gpt-4o", text="Write code for s3cret.", headers={"authorization": "Bearer client-key"})
    told = await world.running.told.newest()
    said = str(told.message["trace"])
    assert "s3cret" not in said
    assert "client-key" not in said
    assert "Bearer" not in said


async def test_a_stream_that_breaks_is_an_error_although_its_status_was_sent(world: World) -> None:
    world.weather.behaviour = agents.die_midstream()
    answer = await world.running.ask("any", listener="travel", stream=True, text="weather")
    told = await world.running.told.newest()
    assert (answer.status, told.root.attributes["http.response.status_code"]) == (200, 200)
    assert (told.root.error, told.root.attributes["error.type"]) == ("stream_broken", "stream_broken")
    assert told.span("invoke_agent weather").error == "upstream_unreachable"
    line = world.running.access.lines[-1]
    assert (line["status"], line["error"]) == (200, "upstream_unreachable")


async def test_what_is_nested_too_deep_to_be_told_costs_no_access_line_and_no_trace(world: World) -> None:
    deep: object = "end"
    for _ in range(300):
        deep = [deep]
    content = [{"type": "text", "text": "Hello.", "more": deep}]
    answer = await world.running.ask("any", listener="travel", text=[{"role": "user", "content": content}])
    told = await world.running.told.newest()
    assert told.message["exchange"] is None
    assert told.root.attributes["http.response.status_code"] == answer.status
    [line] = world.running.access.lines
    assert line["status"] == answer.status
    assert world.running.recorded.count(semconv.TELEMETRY_DROPPED, "exchanges") == 1


async def test_the_state_of_a_trace_that_is_not_the_clients_goes_nowhere(world: World) -> None:
    for sent in (
        {"tracestate": "vendor=1"},
        {**SENT, "traceparent": "00-nonsense"},
        {**SENT, "traceparent": "00-" + "0" * 52},
    ):
        await world.running.ask("gpt-4o", headers=sent)
        for received in (world.fakes["openai"].requests[-1], world.gate.requests[-1]):
            assert "tracestate" not in received.headers
            assert TRACE not in received.headers["traceparent"]
    assert (await world.running.told.newest(3)).message["trace"]["state"] == ""


async def test_unsampled_requests_are_found_in_the_log_by_the_clients_trace(world: World) -> None:
    await world.running.ask("gpt-4o", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-00"})
    assert (await world.running.told.newest()).message["trace"] is None
    assert world.running.access.lines[-1]["trace_id"] == TRACE


async def test_spans_say_which_conversation_and_preference_it_was_and_whether_it_streams(world: World) -> None:
    await world.running.ask("gpt-4o", text="Write code.", stream=True, headers={"x-model-affinity": "talk-1"})
    told = await world.running.told.newest()
    assert told.root.attributes[semconv.CONVERSATION_ID] == "talk-1"
    assert told.root.attributes[semconv.PREFERENCE] == "code"
    assert told.span("chat claude").attributes[semconv.REQUEST_STREAM] is True
    await world.running.ask("any", listener="travel", text="weather", stream=True)
    told = await world.running.told.newest(2)
    assert told.span("invoke_agent weather").attributes[semconv.REQUEST_STREAM] is True


async def test_tokens_are_known_by_agent(world: World) -> None:
    await world.running.ask("any", listener="travel", text="weather")
    told = await world.running.told.newest()
    used = told.span("invoke_agent weather").attributes[semconv.INPUT_TOKENS]
    series = {
        tuple(labels): value
        for labels, value in world.running.recorded.registry.snapshot()[semconv.GEN_AI_CLIENT_TOKEN_USAGE]
    }
    assert series["invoke_agent", "", "", "weather", "input"][-1] == used > 0


async def test_other_apis_are_operations_of_their_own(world: World) -> None:
    body = {"model": "anthropic/claude", "messages": [{"role": "user", "content": "Hello."}]}
    await world.running.post("/v1/messages/count_tokens", body)
    assert (await world.running.told.newest()).span("count_tokens claude").kind == "client"
    await world.running.post("/v1/moderations", {"model": "openai/gpt-4o", "input": "Hello."})
    assert (await world.running.told.newest(2)).span("moderations gpt-4o").kind == "client"


async def test_headers_of_clients_take_no_place_of_what_is_said_here(world: World) -> None:
    sent = {"x-acme-trident-listener": "evil", "x-acme-trident-api_key-name": "boss", "x-acme-gen_ai-agent-name": "spy"}
    await world.running.ask("any", listener="travel", text="weather", headers={**sent, "x-acme-tier": "gold"})
    told = await world.running.told.newest()
    for span in told.spans:
        assert span.attributes["tier"] == "gold"
        assert not {"evil", "boss", "spy"} & {str(value) for value in span.attributes.values()}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("said", "outcome"), [("Sunny. " * 20, "pass"), ("Sunny. Bring a hat, stupid. Bye.", "block")])
async def test_a_guard_on_an_answer_is_one_span_of_it(world: World, said: str, outcome: str, stream: bool) -> None:
    world.weather.behaviour = agents.answer(said)
    answer = await world.running.ask("any", listener="guarded", text="weather", stream=stream)
    assert (answer.status, "No." in answer.text) == (200, outcome == "block")
    told = await world.running.told.newest()
    guard = told.span("guardrail manners")
    assert told.tree()["guardrail manners"] in (told.root.name, "invoke_agent weather")
    assert guard.attributes[semconv.DIRECTION] == "output"
    assert guard.attributes[semconv.OUTCOME] == outcome
    assert told.root.started_ns <= guard.started_ns < guard.ended_ns <= told.root.ended_ns
    assert told.root.error is None

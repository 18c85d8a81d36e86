"""Prompt targets through the whole gateway: their listeners, beside agents, as tools."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from mcp import Client

from tests.fakes.agents import FakeAgent, in_turn
from tests.fakes.providers.answers import Answer, Failure, Tokens, ToolCall, says
from tests.fakes.providers.server import FakeProvider
from tests.fakes.triton import FakeTriton
from tests.functions.apis import answers, host_of
from tests.functions.apis import says as reports
from tests.integration.model_gateway import CLIENTS, Gateway, gateway, providers

CONFIG = """
version: v0.4.0
listeners:
  - {type: prompt, name: functions, port: $PORT0}
  - type: agent
    name: front
    port: $PORT1
    agents:
      - {id: travel, description: Plans journeys.}
    prompt_targets: [get_weather]
agents:
  - {id: travel, url: $TRAVEL}
endpoints:
  weather_api: {endpoint: $API_HOST, http_host: weather.example}
prompt_targets:
  - name: get_weather
    description: Weather forecasts for a city.
    parameters:
      - {name: location, description: The city, type: str, required: true, format: 'City, State', in_path: true}
      - {name: days, description: How many days, type: int, default: 7}
    endpoint:
      name: weather_api
      path: /v1/{location}/forecast
      http_headers: {authorization: Bearer $WEATHER_TOKEN}
  - name: search_notes
    description: Searches the notes.
    parameters:
      - {name: text, description: What to search for, type: str, required: true}
    endpoint: {name: weather_api, path: /notes, http_method: POST}
"""
PROVIDER = """
model_providers:
  - {model: openai/gpt-4o, base_url: $OPENAI, access_key: $OPENAI_KEY, default: true}
"""
KEYWORDS = {"get_weather": "weather", "search_notes": "notes", "travel": "journey"}
ASKING = "To go on with 'get weather', one thing is missing: The city, as City, State. What should it be?"


def _scores(conversation: list[dict[str, str]], routes: list[dict[str, str]]) -> list[float]:
    newest = conversation[-1]["content"].lower()
    return [0.9 if KEYWORDS[route["name"]] in newest else 0.1 for route in routes]


@asynccontextmanager
async def _gateway(
    folder: Path,
    api: FakeAgent,
    fakes: Mapping[str, FakeProvider] | None = None,
    *,
    extra: str = "",
    provider: str = PROVIDER,
) -> AsyncIterator[tuple[Gateway, FakeAgent]]:
    """The gateway, and its agent ``travel``; ``fakes`` may have ``openai``."""
    config = CONFIG + (provider if fakes else "") + extra
    async with FakeTriton() as triton, FakeAgent(reply="By train.") as travel:
        triton.orchestrator(_scores)
        environ = {"TRAVEL": travel.url, "API_HOST": host_of(api), "WEATHER_TOKEN": "w-secret"}
        async with gateway(folder, config, fakes or {}, triton=triton, environ=environ) as running:
            yield running, travel


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_question_becomes_a_call_with_the_operators_headers(tmp_path: Path, client: str, stream: bool) -> None:
    async with FakeAgent(behaviour=answers({"sky": "clear"})) as api, _gateway(tmp_path, api) as (running, _):
        text = "How is the weather in Seattle, WA for the next 10 days?"
        answer = await running.ask("any", client=client, stream=stream, text=text, listener="functions")
        assert (answer.status, answer.text, answer.headers["x-trident-route"]) == (200, "Sky: clear", "get_weather")
        request = api.requests[0]
        assert request.path == "/v1/Seattle%2C%20WA/forecast?days=10"
        assert (request.headers["authorization"], request.headers["host"]) == ("Bearer w-secret", "weather.example")


async def test_a_model_words_the_answer_and_its_tokens_count(tmp_path: Path) -> None:
    async with (
        FakeAgent(behaviour=answers({"sky": "clear"})) as api,
        providers("openai") as fakes,
        _gateway(tmp_path, api, fakes) as (running, _),
    ):
        fakes["openai"].play(says("A clear sky."))
        answer = await running.ask("any", text="Weather in Oslo for 3 days", listener="functions")
        assert (answer.text, answer.upstream) == ("A clear sky.", "openai/gpt-4o")
        assert running.access.lines[-1]["tokens_out"] == 7
        assert '"sky":"clear"' in fakes["openai"].last.messages[-1]["content"]


@pytest.mark.parametrize("listener", ["functions", "front"])
async def test_a_question_of_ours_is_answered_on_either_listener(tmp_path: Path, listener: str) -> None:
    async with FakeAgent(behaviour=answers({"sky": "clear"})) as api, _gateway(tmp_path, api) as (running, travel):
        first = await running.ask("any", text="How's the weather for 3 days?", listener=listener)
        assert first.text == ASKING
        talk = [
            {"role": "user", "content": "How's the weather for 3 days?"},
            {"role": "assistant", "content": first.text},
            {"role": "user", "content": "Oslo"},
        ]
        second = await running.ask("any", text=talk, listener=listener)
        assert second.text == "Sky: clear"
        assert [request.path for request in api.requests] == ["/v1/Oslo/forecast?days=3"]
        assert travel.requests == []


async def test_targets_and_agents_work_on_one_request_together(tmp_path: Path) -> None:
    async with FakeAgent(behaviour=answers({"sky": "clear"})) as api, _gateway(tmp_path, api) as (running, travel):
        alone = await running.ask("any", text="Plan my journey", listener="front")
        assert (alone.text, alone.headers["x-trident-route"]) == ("By train.", "travel")
        text = "Plan a journey for me, and tell me the weather in Oslo"
        both = await running.ask("any", text=text, listener="front")
        assert sorted(both.headers["x-trident-route"].split(", ")) == ["get_weather", "travel"]
        assert (len(api.requests), len(travel.requests)) == (1, 2)


HOSTILE = [
    "x'; DROP TABLE notes; --",
    "$(cat /etc/passwd) `id` | sh && reboot",
    "../../etc/passwd?admin=1#top",
    "a\r\nx-admin: 1\r\n\r\nDELETE /notes HTTP/1.1",
    '", "admin": true, "x": "',
    "${WEATHER_TOKEN} $WEATHER_TOKEN {{location}} {days}",
    "<script>alert(1)</script>",
]


@pytest.mark.parametrize("value", HOSTILE)
async def test_hostile_values_are_data_wherever_they_stand(tmp_path: Path, value: str) -> None:
    async with (
        FakeAgent(behaviour=answers({"ok": True})) as api,
        _gateway(tmp_path, api) as (running, _),
        Client(f"{running.urls['functions']}/mcp") as client,
    ):
        await client.call_tool("search_notes", {"text": value, "admin": True})
        place = await client.call_tool("get_weather", {"location": value, "host": "evil.example"})
    posted = api.requests[0]
    assert (posted.method, posted.path, posted.json) == ("POST", "/notes", {"text": value.strip()})
    assert "x-admin" not in posted.headers
    if re.search(r"[/\\]", value):
        assert place.is_error
        assert len(api.requests) == 1
        return
    got = api.requests[1]
    parts = urlsplit(got.path).path.split("/")
    assert (len(api.requests), parts[:2], parts[3:]) == (2, ["", "v1"], ["forecast"])
    assert parse_qsl(urlsplit(got.path).query) == [("days", "7")]
    assert (got.headers["host"], got.headers["authorization"]) == ("weather.example", "Bearer w-secret")


async def test_a_language_model_may_find_the_parameters(tmp_path: Path) -> None:
    found = Answer((ToolCall("c1", "get_weather", '{"location": "Oslo", "days": "4"}'),))
    extra = "overrides: {function_model: openai/gpt-4o}\n"
    async with (
        FakeAgent(behaviour=answers({"sky": "clear"})) as api,
        providers("openai") as fakes,
        _gateway(tmp_path, api, fakes, extra=extra) as (running, _),
    ):
        fakes["openai"].play(found, says("Clear."))
        answer = await running.ask("any", text="What weather awaits the King of Norway?", listener="functions")
        assert answer.text == "Clear."
        assert [request.path for request in api.requests] == ["/v1/Oslo/forecast?days=4"]
        assert fakes["openai"].requests[0].json["tools"][0]["function"]["name"] == "get_weather"
        # Where it is down, the embedded extractor does what it can.
        fakes["openai"].play(Failure(500, "Down."), says("Still clear."))
        answer = await running.ask("any", text="Weather in Rome for 2 days", listener="functions")
        assert answer.text == "Still clear."
        assert api.requests[1].path == "/v1/Rome/forecast?days=2"


async def test_tools_are_listed_and_agents_can_be_asked_over_mcp(tmp_path: Path) -> None:
    async with (
        FakeAgent(behaviour=reports(lambda request: {"path": request.path})) as api,
        _gateway(tmp_path, api) as (running, travel),
    ):
        listed = await running.get("/v1/tools", listener="functions")
        names = [tool["function"]["name"] for tool in listed.json["data"]]
        assert (listed.status, names) == (200, ["get_weather", "search_notes"])
        async with Client(f"{running.urls['front']}/mcp") as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["get_weather", "travel"]
            weather: Any = await client.call_tool("get_weather", {"location": "Oslo"})
            assert weather.structured_content == {"path": "/v1/Oslo/forecast?days=7"}
            told: Any = await client.call_tool("travel", {"message": "To Rome?"})
            assert told.content[0].text == "By train."
        assert travel.requests[0].messages == [{"role": "user", "content": "To Rome?"}]
        assert (await running.get("/mcp", listener="front")).status == 405


async def test_keys_stand_before_tools_too(tmp_path: Path) -> None:
    key = "tr-0123456789012345678901234567890123456789"
    extra = f"auth: {{keys: [{{name: alice, key: {key}}}]}}\n"
    async with FakeAgent(behaviour=answers({})) as api, _gateway(tmp_path, api, extra=extra) as (running, _):
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        assert (await running.post("/mcp", body, listener="functions")).status == 401
        assert (await running.get("/v1/tools", listener="functions")).status == 401
        allowed = {"authorization": f"Bearer {key}"}
        assert (await running.post("/mcp", body, listener="functions", headers=allowed)).status == 200


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_failure_of_the_api_has_its_status_in_every_dialect(tmp_path: Path, client: str) -> None:
    async with (
        FakeAgent(behaviour=answers({"message": "No such place."}, 404)) as api,
        _gateway(tmp_path, api) as (running, _),
    ):
        answer = await running.ask("any", client=client, text="Weather in Oslo", listener="functions")
        assert answer.status == 404
        expected = "The API of 'get_weather' answered with status 404: No such place."
        assert answer.json["error"]["message"] == expected
        assert "w-secret" not in answer.body.decode()


async def test_hosts_from_parameters_may_not_be_private(tmp_path: Path) -> None:
    extra = ""
    config = CONFIG.replace("endpoint: $API_HOST,", "endpoint: '{location}', ").replace(", in_path: true", "")
    config = config.replace("path: /v1/{location}/forecast", "path: /forecast")
    async with FakeTriton() as triton, FakeAgent() as travel:
        triton.orchestrator(_scores)
        config = config.replace("{name: weather_api, path: /notes", "{name: notes_api, path: /notes")
        config = config.replace(
            "prompt_targets:\n  - name", "  notes_api: {endpoint: 'localhost:1'}\nprompt_targets:\n  - name"
        )
        environ = {"TRAVEL": travel.url, "WEATHER_TOKEN": "w-secret"}
        async with (
            gateway(tmp_path, config + extra, {}, triton=triton, environ=environ) as running,
            Client(f"{running.urls['functions']}/mcp") as client,
        ):
            for host in ("127.0.0.1", "localhost", "169.254.169.254", "0.0.0.0"):
                result: Any = await client.call_tool("get_weather", {"location": host})
                assert result.is_error
                assert "not a public address" in result.content[0].text


async def test_beside_agents_a_model_words_answers_only_within_the_budget(tmp_path: Path) -> None:
    key = "tr-0123456789012345678901234567890123456789"
    budget = "budget: {usd: 0.001}"
    extra = f"auth: {{keys: [{{name: alice, key: {key}, {budget}}}]}}\n"
    priced = PROVIDER.replace("default: true", "default: true, price: {input: 1000, output: 1000}")
    async with (
        FakeAgent(behaviour=answers({"sky": "clear"})) as api,
        providers("openai") as fakes,
        _gateway(tmp_path, api, fakes, extra=extra, provider=priced) as (running, _),
    ):
        fakes["openai"].play(says("Clear."))
        running.headers["authorization"] = f"Bearer {key}"
        answer = await running.ask("any", text="What is the weather in Oslo like?", listener="front")
        assert (answer.status, answer.text, answer.headers["x-trident-degraded"]) == (200, "Sky: clear", "model")
        assert fakes["openai"].requests == []


async def test_every_call_of_an_api_is_a_span_that_the_api_sees(tmp_path: Path) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    sent = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    behaviour = in_turn(answers({"sky": "clear"}), answers({"message": "No such place."}, 404))
    async with FakeAgent(behaviour=behaviour) as api, _gateway(tmp_path, api) as (running, _):
        for number, error in enumerate((None, "upstream_error")):
            await running.ask("any", text="Weather in Oslo", listener="functions", headers=sent)
            span = (await running.told.newest(number + 1)).span("execute_tool get_weather")
            assert api.requests[number].headers["traceparent"] == f"00-{trace}-{span.span_id}-01"
            assert (span.kind, span.error) == ("internal", error)
            expected = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "get_weather"}
            assert span.attributes.items() >= expected.items()
            assert span.attributes["http.response.status_code"] == (200 if error is None else 404)
            assert "secret" not in str(span.attributes)


async def test_a_model_that_words_an_answer_beside_agents_counts_as_the_same_request(tmp_path: Path) -> None:
    key = "tr-0123456789012345678901234567890123456789"
    limit = "{requests: 2, tokens: 100, unit: day}"
    extra = f"auth: {{keys: [{{name: alice, key: {key}, rate_limit: {limit}}}]}}\n"
    async with (
        FakeAgent(behaviour=answers({"sky": "clear"})) as api,
        providers("openai") as fakes,
        _gateway(tmp_path, api, fakes, extra=extra) as (running, _),
    ):
        fakes["openai"].play(says("A clear sky.", tokens=Tokens(input=30, output=10)))
        running.headers["authorization"] = f"Bearer {key}"
        for _ in range(2):
            answer = await running.ask("any", text="Weather in Oslo", listener="front")
            assert (answer.status, answer.text) == (200, "A clear sky.")
        last = await running.ask("any", text="Weather in Oslo", listener="front")
        assert (last.status, last.json["error"]["type"]) == (429, "requests")
        assert last.headers["x-ratelimit-remaining-tokens"] == "20"

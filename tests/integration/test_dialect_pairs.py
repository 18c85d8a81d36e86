"""Every client dialect to every provider dialect: the official SDKs, a whole gateway, strict providers.

What the SDKs hear, what the providers were asked, and, where both speak the same, that the bytes were relayed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.fakes.providers.answers import Answer, Refusal, Script, Text, Thinking, Tokens, ToolCall, says
from tests.fakes.providers.server import FakeProvider
from tests.integration.conversation import MAX_TOKENS, PNG, Ask, Client, Heard, Results, Tool, User
from tests.integration.dialect_gateway import AGENTS, CLIENTS, SIDES, Gateway, Side, dialect_gateway
from tests.integration.dialect_requests import Received

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNICODE = 'Grüße aus Zürich: 21 °C, ☀️ — 天気は良い。 "quoted" and\nlines'
TOKENS = Tokens(input=1234, output=567, cached=300, cache_write=200, reasoning=89)
WEATHER, TIME = Tool("weather"), Tool("local_time", "Tells the time.")
PARALLEL = Answer(
    (
        Text("Let me look."),
        ToolCall("call_A1", "weather", '{"city": "Zürich \\"HB\\""}', cut=1),
        ToolCall("call_B2", "local_time", '{"city": "東京"}', cut=4),
    )
)
SCHEMA = {
    "type": "object",
    "properties": {"celsius": {"type": "number"}},
    "required": ["celsius"],
    "additionalProperties": False,
}


@dataclass
class Pair:
    """One client and one provider, through the model listener or an agent's."""

    gateway: Gateway
    client: Client
    provider_name: str

    @property
    def provider(self) -> FakeProvider:
        return self.gateway.providers[self.provider_name]

    @property
    def side(self) -> Side:
        return SIDES[self.provider_name]

    @property
    def native(self) -> bool:
        """Whether both sides speak the same dialect."""
        spoken = {"azure": "chat"}.get(self.provider_name, self.provider_name)
        return spoken == self.client.name

    async def hear(self, ask: Ask, *answers: Script, stream: bool = False, cut: int | None = None) -> Heard:
        """The answer; the provider is made to play ``answers`` first, where there are any."""
        if answers:
            self.provider.play(*answers, cut=cut)
        heard = await self.client.ask(self.side.model, ask, stream=stream)
        assert self.provider.refused == []
        assert self.received.stream == stream
        return heard

    @property
    def received(self) -> Received:
        return self.gateway.received(self.provider_name)

    def counted(self, tokens: Tokens) -> Tokens:
        """``tokens`` as far as the provider's dialect can count them."""
        return tokens if self.side.counts_reasoning else replace(tokens, reasoning=0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("gateway")
    async with dialect_gateway(folder) as running:
        yield running


MODEL_PAIRS = [("model", client, provider) for client in CLIENTS for provider in SIDES]
AGENT_PAIRS = [("agent", client, agent) for client in CLIENTS for agent in AGENTS]


@pytest.fixture(params=[*MODEL_PAIRS, *AGENT_PAIRS], ids="-".join)
def pair(request: pytest.FixtureRequest, gateway: Gateway) -> Pair:
    """Every pair, through both kinds of listeners."""
    return _pair(request, gateway)


@pytest.fixture(params=MODEL_PAIRS, ids="-".join)
def model_pair(request: pytest.FixtureRequest, gateway: Gateway) -> Pair:
    """Every pair, through the model listener."""
    return _pair(request, gateway)


@pytest.fixture(params=[pair for pair in MODEL_PAIRS if pair[1] != "responses"], ids="-".join)
def stopping_pair(request: pytest.FixtureRequest, gateway: Gateway) -> Pair:
    """Every pair whose client has stop sequences, which the Responses API does not."""
    return _pair(request, gateway)


def _pair(request: pytest.FixtureRequest, gateway: Gateway) -> Pair:
    listener, client, provider = request.param
    clients = gateway.clients if listener == "model" else {client: gateway.agent_clients[client, provider]}
    return Pair(gateway, clients[client], provider)


both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@both
async def test_text_and_tokens(pair: Pair, stream: bool) -> None:
    heard = await pair.hear(Ask([User(UNICODE)]), says(UNICODE, tokens=TOKENS), stream=stream)
    assert heard.text == UNICODE
    assert heard.stop == pair.client.stops["stop"]
    assert heard.tokens == pair.counted(TOKENS)
    assert (heard.calls, heard.refused, heard.thinking) == ([], False, None)
    assert pair.received.texts == [("user", UNICODE)]
    assert pair.received.max_tokens == MAX_TOKENS
    assert "client-key" not in str(pair.provider.last.headers)


@pytest.mark.parametrize("cut", [1, 17])
async def test_streams_may_be_cut_anywhere(model_pair: Pair, cut: int) -> None:
    answer = Answer((Text(UNICODE), *PARALLEL.parts[1:]), tokens=TOKENS)
    ask = Ask([User("Weather?")], tools=[WEATHER, TIME])
    heard = await model_pair.hear(ask, answer, stream=True, cut=cut)
    assert heard.text == UNICODE
    assert [call.arguments for call in heard.calls] == [{"city": 'Zürich "HB"'}, {"city": "東京"}]
    assert heard.tokens == model_pair.counted(TOKENS)


@both
async def test_a_system_prompt_and_an_image(pair: Pair, stream: bool) -> None:
    ask = Ask([User("What is this?", image=PNG)], system="Be brief.\nBe kind.")
    await pair.hear(ask, says("A picture."), stream=stream)
    got = pair.received
    assert (got.system, got.texts, got.images) == ("Be brief.\nBe kind.", [("user", "What is this?")], [PNG])


@both
async def test_tools_are_called_in_parallel_and_their_results_go_back(pair: Pair, stream: bool) -> None:
    question = User("Weather and time?")
    ask = Ask([question], tools=[WEATHER, TIME])
    heard = await pair.hear(ask, PARALLEL, says("21 °C at noon."), stream=stream)
    assert heard.text == "Let me look."
    assert heard.stop == pair.client.stops["tool_calls"]
    assert [(call.id, call.name) for call in heard.calls] == [("call_A1", "weather"), ("call_B2", "local_time")]
    assert [call.arguments for call in heard.calls] == [{"city": 'Zürich "HB"'}, {"city": "東京"}]
    assert pair.received.tools == {tool.name: (tool.description, tool.parameters) for tool in (WEATHER, TIME)}
    results = Results({"call_A1": "21 °C", "call_B2": '{"time": "12:00"}'})
    last = await pair.hear(replace(ask, turns=[question, heard, results]), stream=stream)
    assert (last.text, last.stop) == ("21 °C at noon.", pair.client.stops["stop"])
    got = pair.received
    assert got.results == results.by_call
    assert got.calls == {call.id: (call.name, call.arguments) for call in heard.calls}
    assert got.texts == [("user", "Weather and time?"), ("assistant", "Let me look.")]


@both
async def test_a_tool_without_arguments_gets_none(model_pair: Pair, stream: bool) -> None:
    tool = Tool("now", "Tells the time.", {"type": "object", "properties": {}, "additionalProperties": False})
    answer = Answer((ToolCall("call_1", "now", "{}"),))
    ask = Ask([User("Time?")], tools=[tool])
    heard = await model_pair.hear(ask, answer, says("Noon."), stream=stream)
    assert [call.arguments for call in heard.calls] == [{}]
    await model_pair.hear(replace(ask, turns=[*ask.turns, heard, Results({"call_1": "12:00"})]), stream=stream)
    assert model_pair.received.calls == {"call_1": ("now", {})}


@pytest.mark.parametrize("choice", ["auto", "required", "weather"])
async def test_a_tool_choice_arrives(model_pair: Pair, choice: str) -> None:
    await model_pair.hear(Ask([User("Weather?")], tools=[WEATHER, TIME], choice=choice), PARALLEL)
    got = model_pair.received.choice
    assert got == choice or (choice == "auto" and got is None)


async def test_no_tool_may_be_chosen(model_pair: Pair) -> None:
    """Converse has no word for it: there the tools stay away, as no call is in the history."""
    await model_pair.hear(Ask([User("Weather?")], tools=[WEATHER], choice="none"), says("No idea."))
    assert model_pair.received.choice == "none" or not model_pair.received.tools


async def test_one_tool_at_a_time(model_pair: Pair) -> None:
    ask = Ask([User("Weather?")], tools=[WEATHER, TIME], choice="auto", parallel=False)
    await model_pair.hear(ask, PARALLEL)
    assert model_pair.received.parallel is False


@both
async def test_structured_output(model_pair: Pair, stream: bool) -> None:
    answer = '{"celsius": 21.5}'
    heard = await model_pair.hear(Ask([User("How warm?")], schema=SCHEMA), says(answer), stream=stream)
    assert json.loads(heard.text) == {"celsius": 21.5}
    assert model_pair.received.schema == SCHEMA


@pytest.mark.parametrize("stop", [["END"], ["END", "\n\nUser:"]])
async def test_stop_sequences(stopping_pair: Pair, stop: list[str]) -> None:
    ask = Ask([User("Count.")], stop=stop)
    if stopping_pair.provider_name == "responses":
        await _refused(stopping_pair, ask, "stop", "stop_sequences")
        return
    heard = await stopping_pair.hear(ask, says("1, 2", stop="stop_sequence", sequence="END"))
    assert stopping_pair.received.stop == stop
    knows_it = stopping_pair.provider_name in {"messages", "converse"}
    assert heard.stop == stopping_pair.client.stops["stop_sequence" if knows_it else "stop"]
    if knows_it and stopping_pair.client.name == "messages":
        assert heard.sequence == "END"


@both
async def test_the_limit_of_tokens_shows(pair: Pair, stream: bool) -> None:
    heard = await pair.hear(Ask([User("Count.")], max_tokens=64), says("1, 2, 3", stop="length"), stream=stream)
    assert (heard.text, heard.stop) == ("1, 2, 3", pair.client.stops["length"])
    assert pair.received.max_tokens == 64


@both
async def test_a_refusal_shows(pair: Pair, stream: bool) -> None:
    heard = await pair.hear(Ask([User("Do harm.")]), Answer((Refusal("I won't do that."),)), stream=stream)
    assert heard.refused
    assert "I won't do that." in (heard.text, heard.refusal)


@both
@pytest.mark.parametrize("redacted", [False, True], ids=["thinking", "redacted"])
async def test_thinking_goes_round_over_a_turn_of_tool_use(pair: Pair, stream: bool, redacted: bool) -> None:
    thoughts = [Thinking("They want weather,\nin Zürich.")]
    if redacted and pair.provider_name in {"messages", "converse"}:
        thoughts.append(Thinking("hidden", redacted=True))
    first = Answer((*thoughts, PARALLEL.parts[1]))
    question = User("Weather?")
    ask = Ask([question], tools=[WEATHER], effort="medium")
    heard = await pair.hear(ask, first, says("Sunny."), stream=stream)
    if pair.provider_name != "azure":  # which does not tell what its models think
        assert heard.thinking == "They want weather,\nin Zürich."
    assert pair.received.effort in {"medium", "enabled"}
    last = await pair.hear(replace(ask, turns=[question, heard, Results({"call_A1": "21 °C"})]), stream=stream)
    assert last.text == "Sunny."
    if pair.side.signs_reasoning:
        assert len(pair.received.proofs) == len(thoughts)


async def _refused(pair: Pair, ask: Ask, *names: str) -> None:
    """The gateway does not pass ``ask`` on, and names the field by one of ``names``."""
    pair.provider.play(says("This should not be heard."))
    with pytest.raises(pair.client.errors.BadRequestError) as caught:
        await pair.client.ask(pair.side.model, ask)
    assert any(f"'{name}'" in str(caught.value) or f"{name}'" in str(caught.value) for name in names)
    assert pair.provider.requests == []


_UNTRANSLATABLE: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("chat", {"n": 2}, ("messages", "responses", "converse")),
    ("chat", {"logit_bias": {"50256": -100}}, ("messages", "responses", "converse")),
    ("chat", {"modalities": ["text", "audio"]}, ("messages", "responses", "converse")),
    ("chat", {"web_search_options": {}}, ("messages", "converse")),
    ("messages", {"container": "container_1"}, ("chat", "azure", "responses", "converse")),
    ("messages", {"mcp_servers": [{"type": "url", "url": "x"}]}, ("chat", "azure", "responses", "converse")),
    ("responses", {"background": True}, ("chat", "azure", "messages", "converse")),
    ("responses", {"prompt": {"id": "pmpt_1"}}, ("chat", "azure", "messages", "converse")),
]


@pytest.mark.parametrize(
    ("client", "field", "provider"),
    [(client, field, provider) for client, field, providers in _UNTRANSLATABLE for provider in providers],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
async def test_what_cannot_be_translated_is_named(
    gateway: Gateway, client: str, field: dict[str, Any], provider: str
) -> None:
    pair = Pair(gateway, gateway.clients[client], provider)
    await _refused(pair, Ask([User("Hello.")], extra=field), *field)

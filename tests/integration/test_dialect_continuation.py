"""Conversations that go on elsewhere: what one provider said, with its reasoning and calls, goes to another one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
import pytest_asyncio

from tests.fakes.providers.answers import Answer, Refusal, Text, Thinking, ToolCall, says
from tests.integration.conversation import Ask, Results, Tool, Turn, User
from tests.integration.dialect_gateway import CLIENTS, SIDES, Gateway, dialect_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOOL = Tool("weather")
QUESTION = User("Weather?")
ANSWER = Answer(
    (Thinking("They want weather."), Text("Let me look."), ToolCall("call_1", "weather", '{"city": "Bern"}'))
)

MOVES = list(permutations(SIDES, 2))
# The history that the client sends is in the provider's own dialect and of its own making, so it is relayed as it is:
# reasoning of a compatible server to Azure, and a turn without reasoning to Anthropic, with thinking asked for.
RELAYED = {("chat", "chat", "azure"), ("messages", "azure", "messages")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with dialect_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.mark.parametrize(
    ("client", "first", "second"),
    [(client, *move) for client in CLIENTS for move in MOVES if (client, *move) not in RELAYED],
)
async def test_a_turn_of_tool_use_goes_on_at_another_provider(
    gateway: Gateway, client: str, first: str, second: str
) -> None:
    asking, ask = gateway.clients[client], Ask([QUESTION], tools=[TOOL], effort="medium")
    gateway.providers[first].play(ANSWER)
    heard = await asking.ask(SIDES[first].model, ask)
    gateway.providers[second].play(says("21 °C."))
    turns: list[Turn] = [QUESTION, heard, Results({"call_1": "21 °C"})]
    last = await asking.ask(SIDES[second].model, replace(ask, turns=turns))
    assert gateway.providers[second].refused == []
    assert last.text == "21 °C."
    got = gateway.received(second)
    assert got.calls == {"call_1": ("weather", {"city": "Bern"})}
    assert got.results == {"call_1": "21 °C"}
    assert ("assistant", "Let me look.") in got.texts


@pytest.mark.parametrize(("client", "first", "second"), sorted(RELAYED))
async def test_a_turn_that_only_the_client_can_put_right_is_refused_by_the_provider(
    gateway: Gateway, client: str, first: str, second: str
) -> None:
    asking, ask = gateway.clients[client], Ask([QUESTION], tools=[TOOL], effort="medium")
    gateway.providers[first].play(ANSWER)
    heard = await asking.ask(SIDES[first].model, ask)
    gateway.providers[second].play(says("21 °C."))
    with pytest.raises(asking.errors.BadRequestError, match=r"reasoning_content|expected `thinking`"):
        await asking.ask(SIDES[second].model, replace(ask, turns=[QUESTION, heard, Results({"call_1": "21 °C"})]))


@pytest.mark.parametrize(("first", "second"), MOVES)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_refusal_may_be_followed_by_a_better_question(
    gateway: Gateway, client: str, first: str, second: str
) -> None:
    asking = gateway.clients[client]
    gateway.providers[first].play(Answer((Refusal("I won't."),)))
    heard = await asking.ask(SIDES[first].model, Ask([QUESTION]))
    gateway.providers[second].play(says("Sunny."))
    await asking.ask(SIDES[second].model, Ask([QUESTION, heard, User("And tomorrow?")]))
    assert gateway.providers[second].refused == []
    assert [text for role, text in gateway.received(second).texts if role == "user"] == ["Weather?", "And tomorrow?"]


@pytest.mark.parametrize("provider", SIDES)
async def test_content_may_be_null_and_stop_a_string(gateway: Gateway, provider: str) -> None:
    sdk, fake = gateway.clients["chat"].sdk, gateway.providers[provider]
    fake.play(says("Sunny."))
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    messages: list[Any] = [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": ""},
    ]
    function = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
    fields: dict[str, Any] = {"stop": None if provider == "responses" else "END", "temperature": 0.5}
    answer = await sdk.chat.completions.create(
        model=SIDES[provider].model, messages=messages, tools=[{"type": "function", "function": function}], **fields
    )
    assert fake.refused == []
    assert answer.choices[0].message.content == "Sunny."
    if provider in {"messages", "responses", "converse"}:
        got = gateway.received(provider)
        assert got.system == "Be brief."
        assert got.results == {"call_1": ""}
        assert got.stop == ([] if provider == "responses" else ["END"])

"""Conversations over providers and agents that keep none, driven by the official SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio

from router.state.memory import MemoryStore
from tests.fakes.providers.answers import Answer, Text, Thinking, ToolCall, says
from tests.integration.conversation import PNG
from tests.integration.dialect_gateway import SIDES, Gateway, dialect_gateway
from tests.integration.model_gateway import gateway as model_gateway
from tests.integration.model_gateway import providers
from tests.integration.stateful_front import Front, stateful_front

TOOL: Any = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}
CALL = ToolCall("call_1", "weather", '{"city":"Oslo"}')
OUTPUT: Any = {"type": "function_call_output", "call_id": "call_1", "output": "4 degrees"}
IMAGE: Any = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with dialect_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def front(gateway: Gateway) -> AsyncIterator[Front]:
    async with stateful_front(gateway.url, MemoryStore()) as running:
        yield running


async def create(sdk: openai.AsyncOpenAI, *, stream: bool = False, **fields: Any) -> Any:
    """The response, read out of the last event where it is streamed."""
    if not stream:
        return await sdk.responses.create(**fields)
    async for event in await sdk.responses.create(**fields, stream=True):
        last: Any = event
    assert last.type in ("response.completed", "response.incomplete"), last
    return last.response


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("side", SIDES)
async def test_a_response_goes_on_from_an_earlier_one(gateway: Gateway, front: Front, side: str, stream: bool) -> None:
    provider, model = gateway.providers[side], SIDES[side].model
    provider.play(Answer((CALL,)), says("It is cold."), says("You are welcome."))
    async with front.sdk() as sdk:
        question = [{"role": "user", "content": [{"type": "input_text", "text": "Look! Is it cold?"}, IMAGE]}]
        first = await create(sdk, model=model, input=question, tools=[TOOL], stream=stream)
        fields: Any = {"model": model, "tools": [TOOL], "stream": stream}
        second = await create(sdk, input=[OUTPUT], previous_response_id=first.id, **fields)
        third = await create(sdk, input="Thanks.", previous_response_id=second.id, **fields)
        assert [second.output_text, third.output_text] == ["It is cold.", "You are welcome."]
        assert [r.previous_response_id for r in (first, second, third)] == [None, first.id, second.id]
        assert len({first.id, second.id, third.id}) == 3
        # Going on from the middle is another conversation.
        provider.play(says("Never mind."))
        await create(sdk, input="Oh.", previous_response_id=second.id, **fields)
    assert provider.refused == []
    got = gateway.received(side)
    assert got.texts == [("user", "Look! Is it cold?"), ("assistant", "It is cold."), ("user", "Oh.")]
    assert got.images == [PNG]
    assert got.calls == {"call_1": ("weather", {"city": "Oslo"})}
    assert got.results == {"call_1": "4 degrees"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("side", ["messages", "responses"])
async def test_reasoning_comes_back_to_the_provider_that_gave_it_out(
    gateway: Gateway, front: Front, side: str, stream: bool
) -> None:
    provider, model = gateway.providers[side], SIDES[side].model
    provider.play(Answer((Thinking("It is in the north."), CALL)), says("It is cold."))
    fields: Any = {"model": model, "tools": [TOOL], "reasoning": {"effort": "low"}, "stream": stream}
    async with front.sdk() as sdk:
        first = await create(sdk, input="Is it cold?", **fields)
        await create(sdk, input=[OUTPUT], previous_response_id=first.id, **fields)
    assert provider.refused == []
    assert gateway.received(side).proofs == [Thinking("It is in the north.").signature]


async def test_reasoning_that_nobody_could_read_again_is_left_out(gateway: Gateway, front: Front) -> None:
    provider, model = gateway.providers["responses"], SIDES["responses"].model
    provider.play(Answer((Thinking("Hm."), CALL)), says("It is cold."))
    async with front.sdk() as sdk:
        first = await sdk.responses.create(model=model, input="Is it cold?", tools=[TOOL])
        await sdk.responses.create(model=model, input=[OUTPUT], tools=[TOOL], previous_response_id=first.id)
        kept = await sdk.responses.retrieve(first.id)
    assert provider.refused == []
    assert [item.type for item in kept.output] == ["reasoning", "function_call"]
    sent = provider.requests[-1].json
    assert [item.get("type", "message") for item in sent["input"]] == [
        "message",
        "function_call",
        "function_call_output",
    ]
    assert "id" not in sent["input"][1]
    assert sent["store"] is False


@pytest.mark.parametrize("agent", ["chat", "messages", "responses"])
async def test_agents_get_the_conversation_too(gateway: Gateway, agent: str) -> None:
    gateway.providers[agent].play(says("Hello, Ada."), says("Ada."))
    async with stateful_front(gateway.agent_urls[agent], MemoryStore()) as front, front.sdk() as sdk:
        first = await sdk.responses.create(model="any", input="I am Ada.")
        second = await create(sdk, model="any", input="Who am I?", previous_response_id=first.id, stream=True)
    assert second.output_text == "Ada."
    assert gateway.received(agent).texts == [("user", "I am Ada."), ("assistant", "Hello, Ada."), ("user", "Who am I?")]


@pytest.mark.parametrize("side", ["chat", "responses"])
async def test_what_another_provider_serves_goes_on_all_the_same(gateway: Gateway, front: Front, side: str) -> None:
    other = "messages"
    gateway.providers[side].play(Answer((Thinking("Hm."), Text("Cold."))))
    gateway.providers[other].play(says("As I said."))
    async with front.sdk() as sdk:
        first = await sdk.responses.create(model=SIDES[side].model, input="Is it cold?", reasoning={"effort": "low"})
        await sdk.responses.create(model=SIDES[other].model, input="Sure?", previous_response_id=first.id)
    assert gateway.providers[other].refused == []
    assert gateway.received(other).texts == [("user", "Is it cold?"), ("assistant", "Cold."), ("user", "Sure?")]


async def test_a_response_can_be_asked_for_and_deleted(gateway: Gateway, front: Front) -> None:
    gateway.providers["chat"].play(says("Hello."))
    model = SIDES["chat"].model
    async with front.sdk() as sdk:
        items: Any = [
            {"role": "user", "content": "One."},
            {"role": "assistant", "content": "Two."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Three."}, IMAGE]},
        ]
        response = await sdk.responses.create(model=model, input=items, metadata={"topic": "numbers"})
        assert response.id.startswith("resp_")
        kept = await sdk.responses.retrieve(response.id)
        assert kept.to_dict() == response.to_dict()
        page = await sdk.responses.input_items.list(response.id, limit=2)
        assert [item.role for item in page.data] == ["user", "assistant"]  # type: ignore[union-attr]
        assert page.has_more
        every = [item async for item in sdk.responses.input_items.list(response.id, limit=1, order="asc")]
        assert [item.content[0].text for item in every] == ["One.", "Two.", "Three."]  # type: ignore[union-attr]
        assert every[2].content[1].image_url == IMAGE["image_url"]  # type: ignore[union-attr]
        await sdk.responses.delete(response.id)
        for missing in (
            sdk.responses.retrieve(response.id),
            sdk.responses.delete(response.id),
            sdk.responses.input_items.list(response.id),
        ):
            with pytest.raises(openai.NotFoundError, match="not found"):
                await missing
        with pytest.raises(openai.NotFoundError) as caught:
            await sdk.responses.create(model=model, input="And?", previous_response_id=response.id)
    assert (caught.value.param, caught.value.code) == ("previous_response_id", "previous_response_not_found")


async def test_a_response_that_is_kept_cannot_be_streamed(gateway: Gateway, front: Front) -> None:
    gateway.providers["chat"].play(says("Hello."))
    async with front.sdk() as sdk:
        response = await sdk.responses.create(model=SIDES["chat"].model, input="Hello.")
        with pytest.raises(openai.BadRequestError, match="cannot be streamed"):
            await sdk.responses.retrieve(response.id, stream=True)
        with pytest.raises(openai.BadRequestError, match="limit"):
            await sdk.responses.input_items.list(response.id, limit=101)
        with pytest.raises(openai.BadRequestError, match="no item"):
            await sdk.responses.input_items.list(response.id, after="msg_unknown")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_grows_with_its_responses(gateway: Gateway, front: Front, stream: bool) -> None:
    provider, model = gateway.providers["chat"], SIDES["chat"].model
    provider.play(says("Hello, Ada."), Answer((CALL,)), says("Ada, it is cold."))
    async with front.sdk() as sdk:
        conversation = await sdk.conversations.create(
            metadata={"topic": "weather"}, items=[{"role": "developer", "content": "Be brief."}]
        )
        assert conversation.id.startswith("conv_")
        fields: Any = {"model": model, "stream": stream, "tools": [TOOL]}
        first = await create(sdk, input="I am Ada.", conversation=conversation.id, **fields)
        assert first.conversation.id == conversation.id
        await create(sdk, input="Is it cold?", conversation={"id": conversation.id}, **fields)
        await create(sdk, input=[OUTPUT], conversation=conversation.id, store=False, **fields)
        items = [item async for item in sdk.conversations.items.list(conversation.id, order="asc", limit=3)]
    kinds = ["message", "message", "message", "message", "function_call", "function_call_output", "message"]
    assert [item.type for item in items] == kinds
    assert len({item.id for item in items}) == len(items)
    got = gateway.received("chat")
    assert got.system == "Be brief."
    assert got.texts == [("user", "I am Ada."), ("assistant", "Hello, Ada."), ("user", "Is it cold?")]
    assert got.results == {"call_1": "4 degrees"}


async def test_conversations_and_their_items_can_be_managed(gateway: Gateway, front: Front) -> None:
    async with front.sdk() as sdk:
        conversation = await sdk.conversations.create()
        assert conversation.metadata == {}
        added = await sdk.conversations.items.create(
            conversation.id,
            items=[{"role": "user", "content": "One."}, {"role": "user", "content": "Two."}, OUTPUT],
        )
        ids = [item.id for item in added.data]
        one: Any = await sdk.conversations.items.retrieve(ids[0] or "", conversation_id=conversation.id)
        assert one.content[0].text == "One."
        assert (
            await sdk.conversations.items.delete(ids[1] or "", conversation_id=conversation.id)
        ).id == conversation.id
        left = await sdk.conversations.items.list(conversation.id)
        assert [item.id for item in left.data] == [ids[2], ids[0]]
        with pytest.raises(openai.NotFoundError):
            await sdk.conversations.items.retrieve(ids[1] or "", conversation_id=conversation.id)
        await sdk.conversations.update(conversation.id, metadata={"a": "b"})
        assert (await sdk.conversations.retrieve(conversation.id)).metadata == {"a": "b"}
        deleted = await sdk.conversations.delete(conversation.id)
        assert (deleted.deleted, deleted.object) == (True, "conversation.deleted")
        with pytest.raises(openai.NotFoundError):
            await sdk.conversations.retrieve(conversation.id)
        with pytest.raises(openai.NotFoundError) as caught:
            await sdk.responses.create(model=SIDES["chat"].model, input="Hi.", conversation=conversation.id)
    assert caught.value.param == "conversation"


async def test_a_response_stays_when_its_conversation_is_deleted(gateway: Gateway, front: Front) -> None:
    gateway.providers["chat"].play(says("Hello."))
    async with front.sdk() as sdk:
        conversation = await sdk.conversations.create(items=[{"role": "user", "content": "Hello."}])
        fields: Any = {"model": SIDES["chat"].model, "input": "Hi."}
        response = await sdk.responses.create(conversation=conversation.id, **fields)
        again = await sdk.responses.create(previous_response_id=response.id, **fields)
        assert again.conversation is None
        await sdk.conversations.delete(conversation.id)
        assert (await sdk.responses.retrieve(response.id)).output_text == "Hello."
        with pytest.raises(openai.NotFoundError, match="deleted or has expired"):
            await sdk.responses.create(previous_response_id=response.id, **fields)


async def test_nobody_sees_what_is_anothers(gateway: Gateway, front: Front) -> None:
    gateway.providers["chat"].play(says("Hello."))
    model: Any = SIDES["chat"].model
    async with front.sdk(key="key-a", tenant="t1") as owner:
        response = await owner.responses.create(model=model, input="Secret.")
        conversation = await owner.conversations.create(items=[{"role": "user", "content": "Secret."}])
        items = await owner.conversations.items.list(conversation.id)
        item_id = items.data[0].id or ""
        asked = len(gateway.providers["chat"].requests)
        for key, tenant in (("key-b", "t1"), ("key-a", "t2"), ("key-a", None)):
            async with front.sdk(key=key, tenant=tenant) as other:
                for attempt in (
                    other.responses.retrieve(response.id),
                    other.responses.delete(response.id),
                    other.responses.input_items.list(response.id),
                    other.responses.create(model=model, input="What?", previous_response_id=response.id),
                    other.responses.create(model=model, input="What?", conversation=conversation.id),
                    other.conversations.retrieve(conversation.id),
                    other.conversations.update(conversation.id, metadata={}),
                    other.conversations.items.list(conversation.id),
                    other.conversations.items.create(conversation.id, items=[OUTPUT]),
                    other.conversations.items.retrieve(item_id, conversation_id=conversation.id),
                    other.conversations.items.delete(item_id, conversation_id=conversation.id),
                    other.conversations.delete(conversation.id),
                ):
                    with pytest.raises(openai.NotFoundError):
                        await attempt
        assert len(gateway.providers["chat"].requests) == asked
        assert (await owner.responses.retrieve(response.id)).id == response.id
        assert len((await owner.conversations.items.list(conversation.id)).data) == 1


async def test_a_request_without_state_is_relayed_as_it_is(gateway: Gateway, front: Front) -> None:
    provider = gateway.providers["responses"]
    provider.play(says("Hello."))
    async with front.sdk() as sdk:
        response = await sdk.responses.create(model=SIDES["responses"].model, input="Hi.", store=False)
        assert response.id == "resp_fake"
        with pytest.raises(openai.NotFoundError):
            await sdk.responses.retrieve(response.id)


async def test_only_what_asks_for_it_is_kept_where_the_operator_wants_it_so(gateway: Gateway) -> None:
    gateway.providers["chat"].play(says("Hello."))
    async with stateful_front(gateway.url, MemoryStore(), by_default=False) as front, front.sdk() as sdk:
        fields: Any = {"model": SIDES["chat"].model, "input": "Hi."}
        unkept = await sdk.responses.create(**fields)
        kept = await sdk.responses.create(**fields, store=True)
        assert (await sdk.responses.retrieve(kept.id)).to_dict()["store"] is True
        with pytest.raises(openai.NotFoundError):
            await sdk.responses.retrieve(unkept.id)


async def test_who_would_answer_is_decided_by_all_that_was_said(tmp_path: Path) -> None:
    config = """
version: v0.4.0
listeners: [{type: model, name: models, port: $PORT0}]
model_providers: [{model: openai/gpt-4o, base_url: $OPENAI, access_key: $OPENAI_KEY, default: true}]
"""
    async with providers("openai") as fakes, model_gateway(tmp_path, config, fakes) as running:
        first = (await running.ask("gpt-4o", client="responses", text="Hi.")).json["id"]
        fields: Any = {"client": "responses", "prefix": "/routing", "text": "Go on."}
        told = await running.ask("gpt-4o", previous_response_id=first, **fields)
        assert (told.status, told.json["models"]) == (200, ["openai/gpt-4o"])
        assert (await running.ask("gpt-4o", previous_response_id="resp_other", **fields)).status == 404
        assert len(fakes["openai"].requests) == 1

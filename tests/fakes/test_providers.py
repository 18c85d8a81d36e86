"""The official SDKs work against the fake providers, so what the fakes say is what the real APIs say."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import botocore.session  # type: ignore[import-untyped]
import openai
import pytest
from anthropic.types import RawMessageStreamEvent
from botocore.config import Config  # type: ignore[import-untyped]
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.fakes.providers.answers import (
    Answer,
    BrokenOff,
    Failure,
    Refusal,
    Text,
    Thinking,
    Tokens,
    ToolCall,
    says,
)
from tests.fakes.providers.chat_completions import AzureOpenAiApi, ChatCompletionsApi
from tests.fakes.providers.converse import ConverseApi
from tests.fakes.providers.messages import MessagesApi
from tests.fakes.providers.responses import ResponsesApi
from tests.fakes.providers.server import FakeProvider
from tests.fakes.providers.sigv4 import Credentials

UNICODE = "Grüße: 21 °C ☀️ 漢字"
TOKENS = Tokens(input=100, output=40, cached=30, cache_write=20, reasoning=12)
FULL = Answer(
    (
        Thinking("Both cities, then."),
        Text(UNICODE),
        ToolCall("call_1", "weather", '{"city": "Zürich"}', cut=1),
        ToolCall("call_2", "weather", '{"city": "Oslo", "days": [1, 2]}', cut=5),
    ),
    tokens=TOKENS,
)
QUESTION: list[Any] = [{"role": "user", "content": "Weather?"}]
CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", "eu-central-1", "session/token==")


def _openai(provider: FakeProvider) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=f"{provider.url}/v1", api_key="key", max_retries=0, _strict_response_validation=True
    )


def _anthropic(provider: FakeProvider) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(
        base_url=provider.url, api_key="key", max_retries=0, _strict_response_validation=True
    )


def _bedrock(provider: FakeProvider, credentials: Credentials = CREDENTIALS) -> Any:
    session = botocore.session.Session()
    session.set_credentials(credentials.access_key, credentials.secret_key, credentials.session_token)
    options = Config(retries={"total_max_attempts": 1}, ignore_configured_endpoint_urls=True)
    return session.create_client(
        "bedrock-runtime", region_name=credentials.region, endpoint_url=provider.url, config=options
    )


@pytest.mark.parametrize("cut", [None, 1, 7])
async def test_chat_completions_as_the_sdk_reads_them(cut: int | None) -> None:
    async with FakeProvider(ChatCompletionsApi("key"), FULL) as provider, _openai(provider) as client:
        provider.cut = cut
        whole = await client.chat.completions.create(model="m", messages=QUESTION)
        options: Any = {"include_usage": True}
        async with client.chat.completions.stream(model="m", messages=QUESTION, stream_options=options) as stream:
            streamed = await stream.get_final_completion()
    for answer in (whole, streamed):
        message, usage = answer.choices[0].message, answer.usage
        assert message.content == UNICODE
        assert message.model_extra is not None
        assert message.model_extra["reasoning_content"] == "Both cities, then."
        calls = [(call.id, call.function.arguments) for call in message.tool_calls or () if call.type == "function"]
        assert calls == [("call_1", '{"city": "Zürich"}'), ("call_2", '{"city": "Oslo", "days": [1, 2]}')]
        assert answer.choices[0].finish_reason == "tool_calls"
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (100, 40, 140)
        assert usage.prompt_tokens_details.cached_tokens == 30


async def test_azure_as_the_sdk_asks_it() -> None:
    api = AzureOpenAiApi("key", api_version="2024-10-21", deployment="gpt-4o")
    async with FakeProvider(api, says(UNICODE)) as provider:
        async with openai.AsyncAzureOpenAI(
            azure_endpoint=provider.url, api_key="key", api_version="2024-10-21", max_retries=0
        ) as client:
            answer = await client.chat.completions.create(model="gpt-4o", messages=QUESTION)
            assert answer.choices[0].message.content == UNICODE
            with pytest.raises(openai.NotFoundError, match="deployment"):
                await client.chat.completions.create(model="gpt-5", messages=QUESTION)
        async with openai.AsyncAzureOpenAI(
            azure_endpoint=provider.url, api_key="other", api_version="2024-10-21", max_retries=0
        ) as client:
            with pytest.raises(openai.AuthenticationError):
                await client.chat.completions.create(model="gpt-4o", messages=QUESTION)


@pytest.mark.parametrize("cut", [None, 1, 7])
async def test_responses_as_the_sdk_reads_them(cut: int | None) -> None:
    async with FakeProvider(ResponsesApi("key"), FULL) as provider, _openai(provider) as client:
        provider.cut = cut
        whole = await client.responses.create(model="m", input="Weather?", include=["reasoning.encrypted_content"])
        async with client.responses.stream(model="m", input="Weather?") as stream:
            streamed = await stream.get_final_response()
    assert whole.output[0].type == "reasoning"
    assert whole.output[0].encrypted_content == Thinking("Both cities, then.").signature
    for answer in (whole, streamed):
        reasoning, message, *calls = answer.output
        assert reasoning.type == "reasoning"
        assert reasoning.summary[0].text == "Both cities, then."
        assert message.type == "message"
        assert answer.output_text == UNICODE
        assert [(call.call_id, call.arguments) for call in calls if call.type == "function_call"] == [
            ("call_1", '{"city": "Zürich"}'),
            ("call_2", '{"city": "Oslo", "days": [1, 2]}'),
        ]
        assert answer.usage is not None
        assert answer.usage.input_tokens_details.cached_tokens == 30
        assert answer.usage.output_tokens_details.reasoning_tokens == 12


@pytest.mark.parametrize("cut", [None, 1, 7])
async def test_messages_as_the_sdk_reads_them(cut: int | None) -> None:
    async with FakeProvider(MessagesApi("key"), FULL) as provider, _anthropic(provider) as client:
        provider.cut = cut
        whole = await client.messages.create(model="m", max_tokens=99, messages=QUESTION)
        async with client.messages.stream(model="m", max_tokens=99, messages=QUESTION) as stream:
            streamed = await stream.get_final_message()
    for answer in (whole, streamed):
        thinking, text, first, second = answer.content
        assert thinking.type == "thinking"
        assert thinking.signature == Thinking("Both cities, then.").signature
        assert text.type == "text"
        assert text.text == UNICODE
        assert first.type == second.type == "tool_use"
        assert (first.input, second.input) == ({"city": "Zürich"}, {"city": "Oslo", "days": [1, 2]})
        assert answer.stop_reason == "tool_use"
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (50, 40)
        assert (answer.usage.cache_read_input_tokens, answer.usage.cache_creation_input_tokens) == (30, 20)


@pytest.mark.parametrize("cut", [None, 1, 7])
async def test_converse_as_the_sdk_reads_it(cut: int | None) -> None:
    def ask(client: Any) -> tuple[Any, list[Any]]:
        messages = [{"role": "user", "content": [{"text": "Weather?"}]}]
        whole = client.converse(modelId="anthropic.claude-v2:1", messages=messages)
        stream = client.converse_stream(modelId="anthropic.claude-v2:1", messages=messages)
        return whole, list(stream["stream"])

    async with FakeProvider(ConverseApi("key", credentials=CREDENTIALS), FULL) as provider:
        provider.cut = cut
        whole, events = await asyncio.to_thread(ask, _bedrock(provider))
        assert provider.refused == []
    thinking, text, first, second = whole["output"]["message"]["content"]
    assert thinking["reasoningContent"]["reasoningText"]["text"] == "Both cities, then."
    assert text == {"text": UNICODE}
    assert [block["toolUse"]["input"] for block in (first, second)] == [
        {"city": "Zürich"},
        {"city": "Oslo", "days": [1, 2]},
    ]
    assert whole["stopReason"] == "tool_use"
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    assert "".join(delta.get("text", "") for delta in deltas) == UNICODE
    assert "".join(delta["toolUse"]["input"] for delta in deltas if "toolUse" in delta) == (
        '{"city": "Zürich"}{"city": "Oslo", "days": [1, 2]}'
    )
    assert events[-1]["metadata"]["usage"] == whole["usage"]
    assert whole["usage"]["totalTokens"] == 140


async def test_converse_refuses_a_bad_signature() -> None:
    wrong = Credentials("AKIDEXAMPLE", "another secret", "eu-central-1", "session/token==")

    def ask(client: Any) -> None:
        client.converse(modelId="m", messages=[{"role": "user", "content": [{"text": "Weather?"}]}])

    async with FakeProvider(ConverseApi("key", credentials=CREDENTIALS), FULL) as provider:
        with pytest.raises(Exception, match="AccessDeniedException"):
            await asyncio.to_thread(ask, _bedrock(provider, wrong))


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_failures_are_the_sdks_error_classes(status: int) -> None:
    failure = Failure(status, "No.", retry_after="2")
    kinds = ["BadRequestError", "AuthenticationError", "NotFoundError", "RateLimitError"]
    kind = dict(zip([400, 401, 404, 429], kinds, strict=True)).get(status, "InternalServerError")
    async with FakeProvider(ChatCompletionsApi("key"), failure) as provider, _openai(provider) as client:
        with pytest.raises(getattr(openai, kind), match="No"):
            await client.chat.completions.create(model="m", messages=QUESTION)
    async with FakeProvider(ResponsesApi("key"), failure) as provider, _openai(provider) as client:
        with pytest.raises(getattr(openai, kind), match="No"):
            await client.responses.create(model="m", input="x")
    async with FakeProvider(MessagesApi("key"), failure) as provider, _anthropic(provider) as client:
        with pytest.raises(getattr(anthropic, kind), match="No"):
            await client.messages.create(model="m", max_tokens=9, messages=QUESTION)


async def test_a_stream_may_break_with_a_word_or_without() -> None:
    told = BrokenOff(says(UNICODE), 2, "Overloaded.")
    silent = BrokenOff(says(UNICODE), 2)
    async with FakeProvider(ChatCompletionsApi("key"), told, silent) as provider, _openai(provider) as client:
        with pytest.raises(openai.APIError, match="Overloaded"):
            [chunk async for chunk in await client.chat.completions.create(model="m", messages=QUESTION, stream=True)]
        with pytest.raises(openai.APIConnectionError):
            [chunk async for chunk in await client.chat.completions.create(model="m", messages=QUESTION, stream=True)]
    async with FakeProvider(MessagesApi("key"), told) as provider, _anthropic(provider) as client:
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            async with client.messages.stream(model="m", max_tokens=9, messages=QUESTION) as stream:
                await stream.get_final_message()


@pytest.mark.parametrize(
    "answer",
    [FULL, Answer((Refusal("I won't."),)), Answer((Text("cut"),), "length"), Answer((Thinking("", True), Text("x")))],
)
async def test_every_event_is_of_the_sdks_types(answer: Answer) -> None:
    chunk, message_event = TypeAdapter(ChatCompletionChunk), TypeAdapter[Any](RawMessageStreamEvent)
    response_event = TypeAdapter[Any](ResponseStreamEvent)
    async with FakeProvider(ChatCompletionsApi("key"), answer) as provider, _openai(provider) as client:
        [each async for each in await client.chat.completions.create(model="m", messages=QUESTION, stream=True)]
        for data in _data(provider.sent):
            chunk.validate_json(data)
    async with FakeProvider(ResponsesApi("key"), answer) as provider, _openai(provider) as client:
        [each async for each in await client.responses.create(model="m", input="x", stream=True)]
        for data in _data(provider.sent):
            response_event.validate_json(data)
    async with FakeProvider(MessagesApi("key"), answer) as provider, _anthropic(provider) as client:
        [each async for each in await client.messages.create(model="m", max_tokens=9, messages=QUESTION, stream=True)]
        for data in _data(provider.sent):
            if data != b'{"type": "ping"}':
                message_event.validate_json(data)


def _data(events: bytes) -> list[bytes]:
    lines = [line.removeprefix(b"data: ") for line in events.split(b"\n") if line.startswith(b"data: ")]
    return [line for line in lines if line != b"[DONE]"]

"""The fake providers refuse what the real APIs refuse, and name what is wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import pytest

from tests.fakes.providers.answers import says, signature_of
from tests.fakes.providers.chat_completions import AzureOpenAiApi, ChatCompletionsApi
from tests.fakes.providers.converse import ConverseApi
from tests.fakes.providers.messages import MessagesApi
from tests.fakes.providers.responses import ResponsesApi
from tests.fakes.providers.server import Api, FakeProvider

Payload = dict[str, Any]
SCHEMA = {"type": "object", "properties": {}}
IMAGE = "aW1hZ2U="

CHAT: Payload = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "Sunny."},
    ],
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}],
    "tool_choice": "auto",
}
RESPONSES: Payload = {
    "model": "m",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "Sunny."},
    ],
    "tools": [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}],
}
MESSAGES: Payload = {
    "model": "m",
    "max_tokens": 2000,
    "messages": [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": signature_of("Hm.")},
                {"type": "tool_use", "id": "a", "name": "weather", "input": {}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "Sunny."}]},
    ],
    "tools": [{"name": "weather", "input_schema": SCHEMA}],
    "thinking": {"type": "enabled", "budget_tokens": 1024},
}
CONVERSE: Payload = {
    "messages": [
        {"role": "user", "content": [{"text": "Weather?"}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "name": "weather", "input": {}}}]},
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "a", "content": [{"text": "Sunny."}], "status": "success"}}],
        },
    ],
    "inferenceConfig": {"maxTokens": 100},
    "toolConfig": {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": SCHEMA}}}]},
}
ANTHROPIC_HEADERS = {"x-api-key": "key", "anthropic-version": "2023-06-01"}


def put(path: str, value: object) -> Callable[[Payload], None]:
    """Sets one field: ``put("messages.0.role", "user")``."""

    def change(payload: Payload) -> None:
        *steps, last = path.split(".")
        here: Any = payload
        for step in steps:
            here = here[int(step) if step.isdigit() else step]
        if isinstance(here, list):
            here[int(last) :] = [value, *here[int(last) + 1 :]]
        else:
            here[last] = value

    return change


def drop(path: str) -> Callable[[Payload], None]:
    def change(payload: Payload) -> None:
        *steps, last = path.split(".")
        here: Any = payload
        for step in steps:
            here = here[int(step) if step.isdigit() else step]
        del here[int(last) if isinstance(here, list) else last]

    return change


async def _post(api: Api, path: str, payload: object, headers: Mapping[str, str]) -> tuple[int, str]:
    async with (
        FakeProvider(api, says("Sunny.")) as provider,
        aiohttp.ClientSession() as session,
        session.post(provider.url + path, json=payload, headers=headers) as response,
    ):
        return response.status, await response.text()


async def _refusal(api: Api, path: str, payload: Payload, headers: Mapping[str, str], change: Any) -> str:
    assert (await _post(api, path, payload, headers))[0] == 200
    changed = copy.deepcopy(payload)
    change(changed)
    status, text = await _post(api, path, changed, headers)
    assert status == 400, text
    return text


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (put("thinking", {"type": "enabled"}), "thinking: unknown field"),
        (put("messages.1.content.0.cache_control", {}), "messages[1].content[0].cache_control: unknown field"),
        (put("messages.2.thinking_blocks", []), "messages[2].thinking_blocks: unknown field"),
        (put("messages.1.reasoning_content", "Hm."), "messages[1].reasoning_content: unknown field"),
        (drop("model"), "model: required"),
        (drop("messages.3.tool_call_id"), "messages[3].tool_call_id: required"),
        (drop("messages.2.tool_calls.0.function.arguments"), "messages[2].tool_calls[0].function.arguments: required"),
        (put("messages.3.tool_call_id", "b"), "messages[3]: messages with role 'tool'"),
        (drop("messages.3"), "tool_call_ids without response messages: a"),
        (put("messages.3", {"role": "user", "content": "x"}), "messages[3]: tool_call_ids without response"),
        (put("messages", []), "messages: must not be empty"),
        (put("tools", []), "tools: must not be empty"),
        (drop("tools"), "tool_choice: only allowed"),
        (put("tool_choice", {"type": "function", "function": {"name": "x"}}), "tool_choice.function.name"),
        (put("tools.0.function.name", "two words"), "tools: 'two words' does not match"),
        (put("stop", ["1", "2", "3", "4", "5"]), "stop: must have one to four"),
        (put("stream_options", {"include_usage": True}), "stream_options: only when streaming"),
        (put("temperature", 2.5), "temperature: must be from 0 to 2"),
        (put("response_format", {"type": "json_object"}), "the word 'json'"),
        (put("messages.1.content.0", {"type": "image_url", "image_url": {"url": "data:x"}}), "not a URL"),
        (put("messages.2", {"role": "assistant", "content": None}), "messages[2]: an assistant message needs"),
    ],
)
async def test_chat_completions_refuse(change: Any, named: str) -> None:
    headers = {"authorization": "Bearer key"}
    assert named in await _refusal(ChatCompletionsApi("key"), "/v1/chat/completions", CHAT, headers, change)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (put("messages", []), "messages: unknown field"),
        (put("stop", ["x"]), "stop: unknown field"),
        (put("input.0.content.0.type", "text"), "input[0]"),
        (put("input.0.content.0.cache_control", {}), "input[0].content[0].cache_control: unknown field"),
        (put("input.0.role", "assistant"), "input[0].content[0].type: supported values"),
        (put("input.0.content.0", {"type": "input_image", "image_url": "https://x/y"}), "input[0].content[0].detail"),
        (put("input.1.id", "call_1"), "input[1].id: Expected an ID that begins with 'fc'"),
        (put("input.2.call_id", "b"), "No tool call found for function call output with call_id b."),
        (drop("input.2"), "No tool output found for function call a."),
        (drop("tools.0.strict"), "tools[0].strict: required"),
        (drop("model"), "model: required"),
        (put("max_output_tokens", 15), "max_output_tokens: must be from 16"),
        (put("tool_choice", {"type": "function", "name": "x"}), "tool_choice.name"),
        (put("previous_response_id", "resp_1"), "Previous response with id 'resp_1' not found"),
        (put("input.0", {"type": "reasoning", "id": "rs_9", "summary": []}), "input[0]: not found"),
    ],
)
async def test_responses_refuse(change: Any, named: str) -> None:
    headers = {"authorization": "Bearer key"}
    assert named in await _refusal(ResponsesApi("key"), "/v1/responses", RESPONSES, headers, change)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (put("stop", ["x"]), "stop: unknown field"),
        (drop("max_tokens"), "max_tokens: required"),
        (put("messages.0.role", "assistant"), "messages[0].role"),
        (put("messages.0.content", ""), "messages[0].content: must have non-empty content"),
        (put("messages.0.content", [{"type": "text", "text": " "}]), "text content blocks must be non-empty"),
        (put("system", [{"type": "text", "text": ""}]), "system[0].text"),
        (put("messages.1.content.0.signature", "forged"), "Invalid `signature` in `thinking` block"),
        (drop("messages.1.content.0"), "expected `thinking`, but found `tool_use`"),
        (drop("messages.2"), "without `tool_result` blocks immediately after: a"),
        (put("messages.2.content.0.tool_use_id", "b"), "immediately after: a"),
        (put("messages.2.content", [{"type": "text", "text": "x"}]), "immediately after: a"),
        (
            put("messages.2.content", [{"type": "text", "text": "x"}, MESSAGES["messages"][2]["content"][0]]),
            "tool results must come before all else",
        ),
        (put("messages.1.content.1.id", "call:1"), "must match"),
        (put("tools.0.input_schema", {}), "tools.weather.input_schema.type"),
        (put("thinking.budget_tokens", 1000), "thinking.budget_tokens: must be at least 1024"),
        (put("thinking.budget_tokens", 2000), "thinking.budget_tokens: must be less than max_tokens"),
        (put("temperature", 0.5), "temperature: may only be 1"),
        (put("tool_choice", {"type": "any"}), "thinking may not be enabled"),
    ],
)
async def test_messages_refuse(change: Any, named: str) -> None:
    assert named in await _refusal(MessagesApi("key"), "/v1/messages", MESSAGES, ANTHROPIC_HEADERS, change)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (put("modelId", "m"), "modelId: belongs into the path"),
        (put("stream", True), "stream"),
        (put("messages.0.role", "tool"), "messages[0].role"),
        (put("messages.0.role", "assistant"), "must start with a user message"),
        (put("messages.0.content", "Weather?"), "messages[0].content"),
        (put("messages.0.content.0", {"text": "x", "image": {}}), "messages[0].content[0]"),
        (put("messages.0.content.0.text", ""), "messages[0].content[0].text: is blank"),
        (put("messages.1", {"role": "user", "content": [{"text": "x"}]}), "roles must alternate"),
        (put("messages.2.content.0.toolResult.toolUseId", "b"), "expected toolResult blocks for the ids ['a']"),
        (drop("messages.2"), "expected toolResult blocks"),
        (drop("toolConfig"), "toolConfig: must be defined"),
        (put("toolConfig.tools.0.toolSpec.inputSchema", {}), "inputSchema"),
        (put("toolConfig.toolChoice", {"tool": {"name": "x"}}), "toolConfig.toolChoice.tool.name"),
        (put("inferenceConfig.maxTokens", 0), "maxTokens"),
        (put("inferenceConfig.maxTokens", "9"), "maxTokens"),
        (put("messages.0.content.0", {"image": {"format": "bmp", "source": {"bytes": IMAGE}}}), "'bmp' is not one of"),
        (
            put("messages.0.content.0", {"image": {"format": "png", "source": {"bytes": "not base64"}}}),
            "not Base64",
        ),
    ],
)
async def test_converse_refuses(change: Any, named: str) -> None:
    headers = {"authorization": "Bearer key"}
    assert named in await _refusal(ConverseApi("key"), "/model/m/converse", CONVERSE, headers, change)


AZURE = AzureOpenAiApi("key", api_version="2024-10-21", deployment="m")


@pytest.mark.parametrize(
    ("api", "path", "payload", "headers", "status"),
    [
        (ChatCompletionsApi("key"), "/v1/chat/completions", CHAT, {"authorization": "Bearer other"}, 401),
        (ChatCompletionsApi("key"), "/chat/completions", CHAT, {"authorization": "Bearer key"}, 404),
        (ResponsesApi("key"), "/v1/responses", RESPONSES, {}, 401),
        (MessagesApi("key"), "/v1/messages", MESSAGES, {"x-api-key": "key"}, 400),
        (MessagesApi("key"), "/v1/messages", MESSAGES, {**ANTHROPIC_HEADERS, "x-api-key": "other"}, 401),
        (ConverseApi("key"), "/model/m/converse", CONVERSE, {"x-api-key": "key"}, 403),
        (ConverseApi("key"), "/model/m/invoke", CONVERSE, {"authorization": "Bearer key"}, 404),
        (AZURE, "/openai/deployments/m/chat/completions?api-version=1", CHAT, {"api-key": "key"}, 404),
        (AZURE, "/openai/deployments/m/chat/completions?api-version=2024-10-21", CHAT, {}, 401),
    ],
)
async def test_path_key_and_version_have_to_be_right(
    api: Api, path: str, payload: Payload, headers: Mapping[str, str], status: int
) -> None:
    assert (await _post(api, path, payload, headers))[0] == status


async def test_the_newest_version_of_messages_has_no_sampling_parameters() -> None:
    plain = {"model": "m", "max_tokens": 9, "temperature": 0.5, "messages": [{"role": "user", "content": "x"}]}
    assert (await _post(MessagesApi("key"), "/v1/messages", plain, ANTHROPIC_HEADERS))[0] == 200
    newest = {**ANTHROPIC_HEADERS, "anthropic-version": "2026-10-21"}
    status, text = await _post(MessagesApi("key"), "/v1/messages", plain, newest)
    assert (status, "temperature: unknown field" in text) == (400, True)

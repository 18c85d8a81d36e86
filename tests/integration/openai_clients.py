"""The official ``openai`` client behind the face of `Client`: chat completions and responses.

Answers are checked by the SDK itself: against its types, and streams by its own accumulator.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

from tests.fakes.providers.answers import Tokens
from tests.integration.conversation import Ask, Call, Heard, Tool, User, count

# What the SDK's accumulator adds to a message, and what its type of an answer has and that of a request has not.
_ADDED = ("parsed", "parsed_arguments", "annotations")


class ChatClient:
    """``/v1/chat/completions``."""

    name = "chat"
    errors = openai
    stops: Mapping[str, str] = MappingProxyType(
        {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "stop_sequence": "stop"}
    )

    def __init__(self, url: str) -> None:
        self.sdk: Any = openai_sdk(url)

    async def ask(self, model: str, ask: Ask, *, stream: bool = False) -> Heard:
        body = self._body(model, ask)
        if stream:
            state = ChatCompletionStreamState()
            options = {"include_usage": True}
            async for chunk in await self.sdk.chat.completions.create(**body, stream=True, stream_options=options):
                state.handle_chunk(chunk)
            answer: Any = state.current_completion_snapshot
        else:
            answer = await self.sdk.chat.completions.create(**body)
        choice, usage = answer.choices[0], answer.usage
        message = choice.message
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        calls = [Call(c.id, c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls or ()]
        return Heard(
            text=message.content or "",
            stop=choice.finish_reason,
            tokens=Tokens(
                usage.prompt_tokens,
                usage.completion_tokens,
                count(usage.prompt_tokens_details, "cached_tokens"),
                count(usage.prompt_tokens_details, "cache_write_tokens"),
                count(usage.completion_tokens_details, "reasoning_tokens"),
            ),
            native=_given_back(message),
            calls=calls,
            refusal=message.refusal,
            thinking=(message.model_extra or {}).get("reasoning_content"),
        )

    def _messages(self, ask: Ask) -> list[Any]:
        messages: list[Any] = [{"role": "system", "content": ask.system}] if ask.system else []
        for turn in ask.turns:
            if isinstance(turn, User):
                messages.append({"role": "user", "content": _chat_content(turn)})
            elif isinstance(turn, Heard):
                messages.append(turn.native)
            else:
                messages += [
                    {"role": "tool", "tool_call_id": id_, "content": text} for id_, text in turn.by_call.items()
                ]
        return messages

    def _body(self, model: str, ask: Ask) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": model,
            "messages": self._messages(ask),
            "max_completion_tokens": ask.max_tokens,
        }
        if ask.tools:
            body["tools"] = [
                {"type": "function", "function": {**_function(tool), "strict": True}} for tool in ask.tools
            ]
        if ask.choice is not None:
            named = {"type": "function", "function": {"name": ask.choice}}
            body["tool_choice"] = ask.choice if ask.choice in {"auto", "none", "required"} else named
        if ask.parallel is not None:
            body["parallel_tool_calls"] = ask.parallel
        if ask.schema is not None:
            described = {"name": "answer", "schema": ask.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": described}
        if ask.stop:
            body["stop"] = ask.stop[0] if len(ask.stop) == 1 else list(ask.stop)
        if ask.effort:
            body["reasoning_effort"] = ask.effort
        if ask.extra:
            body["extra_body"] = ask.extra
        return body

    async def close(self) -> None:
        await self.sdk.close()


class ResponsesClient:
    """``/v1/responses``, without state: the whole history goes along."""

    name = "responses"
    errors = openai
    stops: Mapping[str, str] = MappingProxyType(
        {
            "stop": "completed",
            "length": "max_output_tokens",
            "tool_calls": "completed",
            "stop_sequence": "completed",
        }
    )

    def __init__(self, url: str) -> None:
        self.sdk: Any = openai_sdk(url)

    async def ask(self, model: str, ask: Ask, *, stream: bool = False) -> Heard:
        body = self._body(model, ask)
        if stream:
            answer = await self._last(await self.sdk.responses.create(**body, stream=True))
        else:
            answer = await self.sdk.responses.create(**body)
        usage = answer.usage
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens
        parts = [part for item in answer.output if item.type == "message" for part in item.content]
        summaries = [part.text for item in answer.output if item.type == "reasoning" for part in item.summary]
        return Heard(
            text=answer.output_text,
            stop=answer.incomplete_details.reason if answer.incomplete_details else answer.status,
            tokens=Tokens(
                usage.input_tokens,
                usage.output_tokens,
                usage.input_tokens_details.cached_tokens,
                usage.input_tokens_details.cache_write_tokens,
                usage.output_tokens_details.reasoning_tokens,
            ),
            native=[item.model_dump(exclude_unset=True, exclude_none=True) for item in answer.output],
            calls=[
                Call(item.call_id, item.name, json.loads(item.arguments))
                for item in answer.output
                if item.type == "function_call"
            ],
            refusal="".join(part.refusal for part in parts if part.type == "refusal") or None,
            thinking="".join(summaries) or None,
        )

    async def _last(self, events: Any) -> Any:
        """The response in the last event, once all events before it have told the same."""
        texts: dict[tuple[int, int], str] = {}
        arguments: dict[int, str] = {}
        numbers = []
        async for event in events:
            if event.type == "error":  # which the SDK hands on like all others
                raise openai.APIError(event.message, request=events.response.request, body=None)
            numbers.append(event.sequence_number)
            if event.type in {"response.output_text.delta", "response.refusal.delta"}:
                place = (event.output_index, event.content_index)
                texts[place] = texts.get(place, "") + event.delta
            elif event.type == "response.function_call_arguments.delta":
                arguments[event.output_index] = arguments.get(event.output_index, "") + event.delta
        assert numbers == list(range(len(numbers)))
        assert event.type in {"response.completed", "response.incomplete"}
        for (index, position), text in texts.items():
            part = event.response.output[index].content[position]
            assert text == (part.text if part.type == "output_text" else part.refusal)
        for index, said in arguments.items():
            assert event.response.output[index].arguments == said
        return event.response

    def _items(self, ask: Ask) -> list[Any]:
        items: list[Any] = []
        for turn in ask.turns:
            if isinstance(turn, User):
                items.append({"role": "user", "content": _responses_content(turn)})
            elif isinstance(turn, Heard):
                items += turn.native
            else:
                items += [
                    {"type": "function_call_output", "call_id": id_, "output": text}
                    for id_, text in turn.by_call.items()
                ]
        return items

    def _body(self, model: str, ask: Ask) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": model,
            "input": self._items(ask),
            "store": False,
            "max_output_tokens": ask.max_tokens,
        }
        if ask.system:
            body["instructions"] = ask.system
        if ask.tools:
            body["tools"] = [{"type": "function", **_function(tool), "strict": True} for tool in ask.tools]
        if ask.choice is not None:
            named = {"type": "function", "name": ask.choice}
            body["tool_choice"] = ask.choice if ask.choice in {"auto", "none", "required"} else named
        if ask.parallel is not None:
            body["parallel_tool_calls"] = ask.parallel
        if ask.schema is not None:
            described = {"type": "json_schema", "name": "answer", "schema": ask.schema, "strict": True}
            body["text"] = {"format": described}
        if ask.effort:
            body["reasoning"] = {"effort": ask.effort, "summary": "auto"}
            body["include"] = ["reasoning.encrypted_content"]
        extra = {**(ask.extra or {}), **({"stop": list(ask.stop)} if ask.stop else {})}
        if extra:
            body["extra_body"] = extra
        return body

    async def close(self) -> None:
        await self.sdk.close()


def openai_sdk(url: str) -> openai.AsyncOpenAI:
    """The official client, which checks what it gets against its own types."""
    return openai.AsyncOpenAI(
        base_url=f"{url}/v1", api_key="client-key", max_retries=0, _strict_response_validation=True
    )


def _function(tool: Tool) -> dict[str, object]:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}


def _chat_content(turn: User) -> Any:
    if turn.image is None:
        return turn.text
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{turn.image}"}}
    return [{"type": "text", "text": turn.text}, image]


def _responses_content(turn: User) -> Any:
    if turn.image is None:
        return turn.text
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{turn.image}", "detail": "auto"}
    return [{"type": "input_text", "text": turn.text}, image]


def _given_back(message: Any) -> dict[str, Any]:
    """A message of an answer as one of a request."""
    native: dict[str, Any] = _without(message.model_dump(exclude_unset=True, exclude_none=True), *_ADDED)
    if "tool_calls" in native:
        native["tool_calls"] = _without(native["tool_calls"], "index")
    return native


def _without(value: Any, *names: str) -> Any:
    """``value`` without the fields ``names``, at any depth."""
    if isinstance(value, dict):
        return {key: _without(member, *names) for key, member in value.items() if key not in names}
    return [_without(member, *names) for member in value] if isinstance(value, list) else value

"""The official ``anthropic`` client behind the face of `Client`.

Answers are checked by the SDK itself: against its types, and streams by its own accumulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import anthropic

from tests.fakes.providers.answers import Tokens
from tests.integration.conversation import Ask, Call, Heard, User, count

_BUDGETS = {"low": 2048, "medium": 8192, "high": 16_384}


class MessagesClient:
    """``/v1/messages``."""

    name = "messages"
    errors = anthropic
    stops: Mapping[str, str] = MappingProxyType(
        {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "stop_sequence": "stop_sequence"}
    )

    def __init__(self, url: str) -> None:
        self.sdk: Any = anthropic.AsyncAnthropic(
            base_url=url, api_key="client-key", max_retries=0, _strict_response_validation=True
        )

    async def ask(self, model: str, ask: Ask, *, stream: bool = False) -> Heard:
        body = self._body(model, ask)
        if stream:
            async with self.sdk.messages.stream(**body) as events:
                answer: Any = await events.get_final_message()
        else:
            answer = await self.sdk.messages.create(**body)
        usage = answer.usage
        blocks: dict[str, list[Any]] = {"text": [], "thinking": [], "tool_use": [], "redacted_thinking": []}
        for block in answer.content:
            blocks[block.type].append(block)
        cached, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
        return Heard(
            text="".join(block.text for block in blocks["text"]),
            stop=answer.stop_reason,
            tokens=Tokens(
                usage.input_tokens + cached + written,
                usage.output_tokens,
                cached,
                written,
                count(usage.output_tokens_details, "thinking_tokens"),
            ),
            native={
                "role": "assistant",
                "content": [block.model_dump(exclude_unset=True, exclude_none=True) for block in answer.content],
            },
            calls=[Call(block.id, block.name, block.input) for block in blocks["tool_use"]],
            thinking="".join(block.thinking for block in blocks["thinking"]) or None,
            sequence=answer.stop_sequence,
        )

    def _messages(self, ask: Ask) -> list[Any]:
        messages: list[Any] = []
        for turn in ask.turns:
            if isinstance(turn, User):
                messages.append({"role": "user", "content": _messages_content(turn)})
            elif isinstance(turn, Heard):
                messages.append(turn.native)
            else:
                results = [
                    {"type": "tool_result", "tool_use_id": id_, "content": text} for id_, text in turn.by_call.items()
                ]
                messages.append({"role": "user", "content": results})
        return messages

    def _body(self, model: str, ask: Ask) -> dict[str, Any]:
        body: dict[str, Any] = {"model": model, "messages": self._messages(ask), "max_tokens": ask.max_tokens}
        if ask.system:
            body["system"] = ask.system
        if ask.tools:
            body["tools"] = [
                {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
                for tool in ask.tools
            ]
        if ask.choice is not None or ask.parallel is not None:
            kind = {"required": "any", None: "auto"}.get(ask.choice, ask.choice)
            named = {"type": "tool", "name": kind}
            body["tool_choice"] = {"type": kind} if kind in {"auto", "any", "none"} else named
        if ask.parallel is False:
            body["tool_choice"]["disable_parallel_tool_use"] = True
        if ask.schema is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": ask.schema}}
        if ask.stop:
            body["stop_sequences"] = list(ask.stop)
        if ask.effort:
            body["thinking"] = {"type": "enabled", "budget_tokens": _BUDGETS[ask.effort]}
        if ask.extra:
            body["extra_body"] = ask.extra
        return body

    async def close(self) -> None:
        await self.sdk.close()


def _messages_content(turn: User) -> Any:
    if turn.image is None:
        return turn.text
    source = {"type": "base64", "media_type": "image/png", "data": turn.image}
    return [{"type": "text", "text": turn.text}, {"type": "image", "source": source}]

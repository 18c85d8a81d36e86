from __future__ import annotations

import json
from typing import Any

import pytest

from router.dialects import anthropic_messages

FOREIGN = {"type": "thinking", "thinking": "Hm.", "signature": ""}
SIGNED = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
CALL = {"type": "tool_use", "id": "a", "name": "weather", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "Sunny."}]}
ENABLED = {"type": "enabled", "budget_tokens": 2048}


def _sent(thinking: Any, *messages: Any) -> dict[str, Any]:
    body = {"model": "m", "max_tokens": 9999, "thinking": thinking, "messages": [{"role": "user", "content": "?"}]}
    body["messages"] += messages
    request = anthropic_messages.decode_request(json.dumps(body).encode())
    sent: dict[str, Any] = json.loads(anthropic_messages.encode_request(request))
    return sent


def _says(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def test_a_turn_whose_reasoning_was_anothers_goes_on_without_thinking() -> None:
    sent = _sent(ENABLED, _says(FOREIGN, CALL), RESULT)
    assert "thinking" not in sent
    assert sent["messages"][1]["content"] == [CALL]


@pytest.mark.parametrize(
    ("thinking", "messages"),
    [
        ({"type": "adaptive"}, [_says(FOREIGN, CALL), RESULT]),
        (ENABLED, [_says(SIGNED, FOREIGN, CALL), RESULT]),
        (ENABLED, [_says(FOREIGN, CALL), RESULT, _says(SIGNED, CALL), RESULT]),
        (ENABLED, [_says(FOREIGN, {"type": "text", "text": "Hi"}), {"role": "user", "content": "And now?"}]),
    ],
)
def test_thinking_stays_where_the_turn_allows_it(thinking: Any, messages: list[Any]) -> None:
    sent = _sent(thinking, *messages)
    assert sent["thinking"] == thinking
    assert FOREIGN not in [block for message in sent["messages"][1:] for block in message["content"]]

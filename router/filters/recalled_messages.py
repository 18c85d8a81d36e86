"""Where recalled memories stand in a request: behind the application's instructions, in the client's own dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from router.dialects.canonical import ChatRequest, JsonObject, encode_json
from router.dialects.registry import CLIENT_DIALECTS
from router.guardrails.recalled import recalled_block
from router.memories.base import Fact

_INSTRUCTING = frozenset({"system", "developer"})


def with_recalled(request: ChatRequest, facts: Sequence[Fact]) -> ChatRequest:
    """``request`` with the block that says ``facts``.

    It goes into the body as the client wrote it where that is still there, so that nothing else of it is lost. The
    conversation's beginning stays as it is: what a provider has cached of it can be used.
    """
    block = recalled_block((_date(fact.said_at), fact.text) for fact in facts)
    native = request.native
    if native is None or request.dialect == "openai_chat":
        return request.replace(messages=_behind_instructions(request.messages, block))
    changed = {**native, **_IN_DIALECT[request.dialect](native, block)}
    return CLIENT_DIALECTS[request.dialect].decode_request(encode_json(changed))


def _behind_instructions(messages: Sequence[Any], block: str) -> list[Any]:
    """The messages, or items, with the block behind the instructions that they begin with, in the role of these."""
    end, role = 0, "system"
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in _INSTRUCTING:
            break
        end, role = end + 1, message["role"]
    return [*messages[:end], {"role": role, "content": block}, *messages[end:]]


def _in_messages_api(native: Mapping[str, Any], block: str) -> JsonObject:
    system = native.get("system")
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) and system else system or []
    return {"system": [*blocks, {"type": "text", "text": block}]}


def _in_responses_api(native: Mapping[str, Any], block: str) -> JsonObject:
    said = native.get("input")
    items = [{"role": "user", "content": said}] if isinstance(said, str) else said or []
    return {"input": _behind_instructions(items, block)}


_IN_DIALECT = {"anthropic_messages": _in_messages_api, "openai_responses": _in_responses_api}


def _date(said_at: float) -> str:
    return datetime.fromtimestamp(said_at, tz=timezone.utc).date().isoformat()

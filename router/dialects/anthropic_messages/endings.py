"""How an answer of the Messages API ends and what it cost, for whole answers and streams.

stop_reason                          finish_reason
``end_turn``                         ``stop``
``stop_sequence``                    ``stop``; the sequence is ``stop_reason`` of the choice
``pause_turn``                       ``stop``, and ``native_finish_reason``
``max_tokens``                       ``length``
``model_context_window_exceeded``    ``length``, and ``native_finish_reason``
``tool_use``                         ``tool_calls``
``refusal``                          ``content_filter``; its explanation is ``refusal`` of the message

The other way, ``content_filter`` is ``refusal``; so is a message with a ``refusal`` of OpenAI's, which becomes text.
``input_tokens`` leaves out what was read from or written to the prompt cache, ``prompt_tokens`` includes it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from router.dialects.canonical import JsonObject, Usage

FINISH_REASONS: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
STOP_REASONS: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_SAYS_MORE = ("pause_turn", "model_context_window_exceeded")


def ending(holder: Mapping[str, Any]) -> JsonObject:
    """The canonical choice's fields for the ``stop_reason`` of a message or a ``message_delta``."""
    reason = holder.get("stop_reason")
    known = FINISH_REASONS.get(reason, "stop") if isinstance(reason, str) else "stop"
    fields: JsonObject = {"finish_reason": known}
    if reason in _SAYS_MORE:
        fields["native_finish_reason"] = reason
    if isinstance(holder.get("stop_sequence"), str):
        fields["stop_reason"] = holder["stop_sequence"]
    return fields


def stop_fields(choice: Mapping[str, Any], *, calls_tools: bool, refuses: bool) -> JsonObject:
    """``stop_reason`` and ``stop_sequence`` for a canonical choice.

    A message that calls tools stops for that reason, and one that refuses for that, although many servers say ``stop``.
    """
    finish = choice.get("finish_reason")
    native = choice.get("native_finish_reason")
    reason = STOP_REASONS.get(finish, "end_turn") if isinstance(finish, str) else "end_turn"
    if native in _SAYS_MORE and FINISH_REASONS[native] == finish:
        reason = native
    sequence = choice.get("stop_reason")
    if reason != "end_turn":
        return {"stop_reason": reason, "stop_sequence": None}
    if calls_tools:
        return {"stop_reason": "tool_use", "stop_sequence": None}
    if refuses:
        return {"stop_reason": "refusal", "stop_sequence": None}
    if isinstance(sequence, str) and sequence:
        return {"stop_reason": "stop_sequence", "stop_sequence": sequence}
    return {"stop_reason": reason, "stop_sequence": None}


def refusal_details(explanation: object) -> JsonObject | None:
    """``stop_details`` of a refusal that is explained."""
    if not isinstance(explanation, str):
        return None
    return {"type": "refusal", "category": None, "explanation": explanation}


def refusal_explanation(holder: Mapping[str, Any]) -> str | None:
    """What ``stop_details`` explains."""
    details = holder.get("stop_details")
    explanation = details.get("explanation") if isinstance(details, dict) else None
    return explanation if isinstance(explanation, str) else None


def usage_from(usage: Mapping[str, Any]) -> Usage:
    """The tokens that a ``usage`` object of this dialect counts."""
    cached = _count(usage.get("cache_read_input_tokens"))
    written = _count(usage.get("cache_creation_input_tokens"))
    details = usage.get("output_tokens_details")
    return Usage(
        input=_count(usage.get("input_tokens")) + cached + written,
        output=_count(usage.get("output_tokens")),
        cached=cached,
        cache_write=written,
        reasoning=_count(details.get("thinking_tokens")) if isinstance(details, dict) else 0,
    )


def usage_to(usage: Usage | None) -> JsonObject:
    """The ``usage`` object for ``usage``; zeros where nothing was counted."""
    counted = usage or Usage(0, 0)
    fields: JsonObject = {
        "input_tokens": max(0, counted.input - counted.cached - counted.cache_write),
        "cache_creation_input_tokens": counted.cache_write,
        "cache_read_input_tokens": counted.cached,
        "output_tokens": counted.output,
    }
    if counted.reasoning:
        fields["output_tokens_details"] = {"thinking_tokens": counted.reasoning}
    return fields


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def message_id() -> str:
    """An id for a message that the gateway makes itself."""
    return f"msg_{uuid.uuid4().hex}"


def tool_use_id() -> str:
    """An id for a tool call that came without one."""
    return f"toolu_{uuid.uuid4().hex}"

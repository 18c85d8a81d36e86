"""Anthropic requests in canonical form.

What means something and has no canonical counterpart is refused by providers of other dialects
(``ChatRequest.refused``); what only advises is left out (``untranslated``). Both stay in the native body, and in
``extras``, for a provider of this dialect. Reference: https://platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from router.dialects.anthropic_messages.fields import (
    Notes,
    json_list,
    json_object,
    number,
    text_field,
    wrong,
)
from router.dialects.anthropic_messages.messages_in import canonical_message, canonical_system
from router.dialects.anthropic_messages.thinking import effort_of_budget, is_foreign
from router.dialects.canonical import ChatRequest, DialectName, JsonObject
from router.errors import InvalidRequest

NAME: DialectName = "anthropic_messages"

# Fields of a tool that other providers do without, and what they may say besides nothing.
_ADVISORY_TOOL_FIELDS = ("eager_input_streaming", "input_examples")
_HARMLESS_TOOL_FIELDS: JsonObject = {"allowed_callers": ["direct"], "defer_loading": False}


def decode_request(body: bytes) -> ChatRequest:
    """Decode a request body. Raises ``InvalidRequest`` that names the field."""
    try:
        native = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(f"The body is not valid JSON: {exc}.") from exc
    if not isinstance(native, dict):
        raise InvalidRequest("The body must be a JSON object with 'messages' and 'max_tokens'.")
    draft = _Draft(native)
    for name, value in native.items():
        if name not in _STRUCTURE:
            _FIELDS.get(name, _only_native)(draft, name, value)
    raw: bytes | None = body
    if draft.notes.foreign_thinking:
        native, raw = _without_foreign_thinking(native), None
    return ChatRequest(
        draft.payload,
        raw,
        dialect=NAME,
        native=native,
        untranslated=draft.notes.untranslated,
        refused=draft.notes.refused,
        extras=draft.extras,
    )


class _Draft:
    """The canonical request while it is being made; it begins with what every request has."""

    __slots__ = ("extras", "notes", "payload")

    def __init__(self, native: JsonObject) -> None:
        self.notes = Notes()
        self.extras: JsonObject = {}
        self.payload: JsonObject = {}
        model, stream = native.get("model"), native.get("stream")
        if model is not None:
            self.payload["model"] = text_field(native, "model", "")
        self.payload["messages"] = self._messages(native)
        self._limit(native)
        if stream is not None and not isinstance(stream, bool):
            raise wrong("stream", "true or false")
        if stream:  # clients of this dialect always read how many tokens there were
            self.payload.update(stream=True, stream_options={"include_usage": True})

    def _messages(self, native: JsonObject) -> list[JsonObject]:
        listed = json_list(native.get("messages"), "messages")
        if not listed:
            raise InvalidRequest("'messages' is empty; send at least one message.", param="messages")
        messages = []
        if native.get("system") is not None:
            system = canonical_system(native["system"], self.notes)
            messages += [system] if system["content"] else []
        for position, message in enumerate(listed):
            messages += canonical_message(message, f"messages[{position}]", self.notes)
        return messages

    def _limit(self, native: JsonObject) -> None:
        limit = native.get("max_tokens")
        if limit is None:
            raise InvalidRequest("'max_tokens' is required.", param="max_tokens")
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
            raise wrong("max_tokens", "a whole number")
        self.payload["max_tokens"] = limit
        if limit == 0:  # fills the prompt cache and asks for no answer
            self.notes.refused.append("max_tokens")


def _only_native(draft: _Draft, name: str, value: object) -> None:
    if value is not None:
        draft.extras[name] = value
        draft.notes.refused.append(name)


def _advice(draft: _Draft, name: str, value: object) -> None:
    if value is not None:
        draft.extras[name] = value
        draft.notes.advise(name)


def _number(draft: _Draft, name: str, value: object) -> None:
    if value is not None:
        draft.payload[name] = number(value, name)


def _stop(draft: _Draft, name: str, value: object) -> None:
    if value is None:
        return
    sequences = json_list(value, name)
    if not all(isinstance(sequence, str) for sequence in sequences):
        raise wrong(name, "a list of strings")
    if sequences:
        draft.payload["stop"] = sequences


def _metadata(draft: _Draft, name: str, value: object) -> None:
    if value is None:
        return
    metadata = json_object(value, name)
    if metadata.get("user_id") is not None:
        draft.payload["user"] = text_field(metadata, "user_id", name)
    if rest := [f"{name}.{key}" for key in metadata if key != "user_id"]:
        draft.extras[name] = metadata
        draft.notes.refused += rest


def _thinking(draft: _Draft, name: str, value: object) -> None:
    if value is None:
        return
    thinking = json_object(value, name)
    draft.extras[name] = thinking
    kind = thinking.get("type")
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        if isinstance(budget, bool) or not isinstance(budget, int):
            raise wrong("thinking.budget_tokens", "a whole number")
        draft.payload.setdefault("reasoning_effort", effort_of_budget(budget))
    elif kind in ("adaptive", "disabled", "between_tools"):
        draft.notes.advise(name)
    else:
        draft.notes.refused.append(name)


def _output_config(draft: _Draft, name: str, value: object) -> None:
    if value is None:
        return
    config = json_object(value, name)
    draft.extras[name] = config
    for key, setting in config.items():
        if setting is None:
            continue
        if key == "effort":
            draft.payload["reasoning_effort"] = text_field(config, key, name)
        elif key == "format":
            _output_format(draft, f"{name}.{key}", setting)
        else:
            draft.notes.refused.append(f"{name}.{key}")


def _output_format(draft: _Draft, name: str, value: object) -> None:
    """``output_config.format``, or ``output_format`` as it was called at first."""
    if value is None:
        return
    if name == "output_format":
        draft.extras[name] = value
    described = json_object(value, name)
    if described.get("type") != "json_schema":
        draft.notes.refused.append(name)
        return
    schema = json_object(described.get("schema"), f"{name}.schema")
    draft.payload["response_format"] = {
        "type": "json_schema",
        "json_schema": {"name": "response", "schema": schema, "strict": True},
    }


def _tools(draft: _Draft, name: str, value: object) -> None:
    if value is None:
        return
    tools = [canonical_tool(tool, f"{name}[{i}]", draft.notes) for i, tool in enumerate(json_list(value, name))]
    if tools:
        draft.payload["tools"] = tools


def canonical_tool(tool: object, at: str, notes: Notes) -> JsonObject:
    """One tool. Those that run at Anthropic, or that only its models know, are carried, and refused elsewhere."""
    holder = json_object(tool, at)
    kind = holder.get("type")
    if kind not in (None, "custom"):
        notes.refused.append(at)
        return {"type": kind, "anthropic": holder}
    schema = json_object(holder.get("input_schema"), f"{at}.input_schema")
    function: JsonObject = {"name": text_field(holder, "name", at), "parameters": schema}
    translated: JsonObject = {"type": "function", "function": function}
    for key, value in holder.items():
        if value is None or key in {"type", "name", "input_schema"} or value == _HARMLESS_TOOL_FIELDS.get(key):
            continue
        if key == "description":
            function["description"] = text_field(holder, key, at)
        elif key == "strict":
            if value:
                function["strict"] = True
        elif key == "cache_control":
            translated["cache_control"] = value
            notes.advise(key)
        else:
            translated["anthropic"] = holder
            if key in _ADVISORY_TOOL_FIELDS:
                notes.advise(key)
            else:
                notes.refused.append(f"{at}.{key}")
    return translated


def _tool_choice(draft: _Draft, name: str, value: object) -> None:
    if value is None:
        return
    choice = json_object(value, name)
    kind = choice.get("type")
    if kind == "tool":
        chosen: object = {"type": "function", "function": {"name": text_field(choice, "name", name)}}
    elif isinstance(kind, str) and kind in _TOOL_CHOICES:
        chosen = _TOOL_CHOICES[kind]
    else:
        raise wrong(f"{name}.type", "'auto', 'any', 'tool' or 'none'")
    draft.payload["tool_choice"] = chosen
    if choice.get("disable_parallel_tool_use"):
        draft.payload["parallel_tool_calls"] = False


def _without_foreign_thinking(native: JsonObject) -> JsonObject:
    """The body without the reasoning of other providers, which Anthropic did not sign and would refuse.

    A turn of tool use that then no longer begins with reasoning goes on without thinking: with a budget for it, the API
    refuses such a turn too.
    """
    messages = []
    for message in native["messages"]:
        content = message["content"]
        if isinstance(content, list):
            kept = [block for block in content if not is_foreign(block)]
            if not kept and content:
                continue
            messages.append({**message, "content": kept})
        else:
            messages.append(message)
    body = {**native, "messages": messages}
    thinking = native.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") == "enabled" and _goes_on_unsigned(messages):
        del body["thinking"]
    return body


def _goes_on_unsigned(messages: list[JsonObject]) -> bool:
    """Whether the newest messages are results of tools that were called without reasoning before them."""
    for message in reversed(messages):
        content = message["content"]
        kinds = [block.get("type") for block in content] if isinstance(content, list) else []
        if message.get("role") == "assistant":
            return "tool_use" in kinds and kinds[0] not in {"thinking", "redacted_thinking"}
        if "tool_result" not in kinds:
            return False
    return False


_TOOL_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_STRUCTURE = frozenset({"model", "messages", "max_tokens", "stream", "system"})
_FIELDS: dict[str, Callable[[_Draft, str, object], None]] = {
    "temperature": _number,
    "top_p": _number,
    "stop_sequences": _stop,
    "metadata": _metadata,
    "thinking": _thinking,
    "output_config": _output_config,
    "output_format": _output_format,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "cache_control": _advice,
    "context_management": _advice,
    "diagnostics": _advice,
    "service_tier": _advice,
    "speed": _advice,
}

"""Canonical requests as Anthropic requests.

A field that means something and has no counterpart is refused by name. Left out is what only advises (``ADVISORY``) or
says what holds anyway (``n`` of 1, penalties of 0, ``null``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from router.dialects.anthropic_messages.fields import (
    Notes,
    json_list,
    json_object,
    number,
    object_field,
    text_field,
    wrong,
)
from router.dialects.anthropic_messages.messages_out import NAME, Conversation, shortest_system, signed_thinking
from router.dialects.anthropic_messages.requests_in import canonical_tool
from router.dialects.anthropic_messages.thinking import claude_version, thinking_fields
from router.dialects.canonical import ChatRequest, JsonObject, encode_json, untranslatable
from router.errors import InvalidRequest

# The API requires ``max_tokens``, OpenAI's does not. All models since Claude 4 can write 32,000 tokens; models before
# that, and those of others, are sure to write 4,096. It is a limit, and costs nothing by itself.
DEFAULT_MAX_TOKENS = 4096
DEFAULT_MAX_TOKENS_SINCE_CLAUDE_4 = 32_000

ADVISORY = frozenset(
    {
        "metadata",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "service_tier",
    }
)
"""Canonical fields that say how to serve a request, not what to answer; this dialect has no word for them."""

# What a field may say that asks for nothing.
_HARMLESS: Mapping[str, Sequence[object]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("auto", "none"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "presence_penalty": (0,),
    "store": (False,),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
}
# Handled together with other fields.
_STRUCTURE = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "parallel_tool_calls",
        "reasoning_effort",
        "safety_identifier",
        "stream",
        "stream_options",
        "tool_choice",
        "tools",
        "user",
    }
)


def encode_request(request: ChatRequest) -> bytes:
    """The request's bytes: the client's own where it speaks this dialect and nothing was changed.

    Raises ``InvalidRequest`` that names the field which has no counterpart.
    """
    own = request.dialect == NAME
    if own:
        native = request.native_body()
        if native is not None:
            return native
    else:
        request.require_translatable(NAME)
    payload = request.payload
    body = _conversation(request, own=own)
    for name, value in payload.items():
        if name in _STRUCTURE or name in ADVISORY or value is None:
            continue
        translate = _FIELDS.get(name)
        if translate is not None:
            translate(body, value)
        elif value not in _HARMLESS.get(name, ()):
            raise untranslatable(name, NAME)
    model = request.model or ""
    if own:  # says all that the canonical form says about reasoning and the format, and more
        if "output_format" in request.extras:
            body.pop("output_config", None)
        body.update(request.extras)
    elif payload.get("reasoning_effort") is not None and "thinking" not in body:
        _reason(body, payload, model)
    body.setdefault("max_tokens", _default_limit(body, model))
    return encode_json(body)


def _conversation(request: ChatRequest, *, own: bool) -> JsonObject:
    payload = request.payload
    conversation = Conversation(own=own)
    for position, message in enumerate(request.messages):
        conversation.add(message, f"messages[{position}]")
    messages = conversation.messages()
    last = len(request.messages) - 1
    if not messages or (request.messages[last]["role"] == "user" and messages[-1]["role"] != "user"):
        raise InvalidRequest(f"'messages[{last}].content' is empty.", param=f"messages[{last}].content")
    body: JsonObject = {"model": request.model, "messages": messages}
    if conversation.system:
        body["system"] = shortest_system(conversation.system)
    if request.stream:
        body["stream"] = True
    _frame(body, payload, own=own)
    return body


def _frame(body: JsonObject, payload: Mapping[str, Any], *, own: bool) -> None:
    """What is said in several fields, here or there."""
    for name in ("max_completion_tokens", "max_tokens"):
        limit = payload.get(name)
        if limit is not None:
            body.setdefault("max_tokens", _limit(limit, name))
    for name in ("user", "safety_identifier"):
        if payload.get(name) is not None:
            body.setdefault("metadata", {"user_id": text_field(payload, name, "")})
    if payload.get("tools") is not None:
        _tools(body, payload["tools"], own=own)
    if choice := _tool_choice(payload):
        body["tool_choice"] = choice


def _limit(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise wrong(name, "a whole number")
    return value


def _tool_choice(payload: Mapping[str, Any]) -> JsonObject | None:
    chosen = payload.get("tool_choice")
    serial = payload.get("parallel_tool_calls") is False and bool(payload.get("tools"))
    if chosen is None:
        return {"type": "auto", "disable_parallel_tool_use": True} if serial else None
    if isinstance(chosen, dict) and chosen.get("type") == "function":
        function = object_field(chosen, "function", "tool_choice")
        choice = {"type": "tool", "name": text_field(function, "name", "tool_choice.function")}
    elif isinstance(chosen, str) and chosen in _TOOL_CHOICES:
        choice = {"type": _TOOL_CHOICES[chosen]}
    else:
        raise untranslatable("tool_choice", NAME)
    return {**choice, "disable_parallel_tool_use": True} if serial and choice["type"] != "none" else choice


def _temperature(body: JsonObject, value: object) -> None:
    temperature = number(value, "temperature")
    if not 0 <= temperature <= 1:
        raise wrong("temperature", f"between 0 and 1 for this provider ({NAME})")
    body["temperature"] = temperature


def _top_p(body: JsonObject, value: object) -> None:
    body["top_p"] = number(value, "top_p")


def _stop(body: JsonObject, value: object) -> None:
    sequences = [value] if isinstance(value, str) else json_list(value, "stop")
    if sequences:
        body["stop_sequences"] = sequences


def _response_format(body: JsonObject, value: object) -> None:
    wanted = json_object(value, "response_format")
    kind = wanted.get("type")
    if kind == "text":
        return
    if kind != "json_schema":
        raise untranslatable("response_format.type", NAME)
    described = object_field(wanted, "json_schema", "response_format")
    schema = object_field(described, "schema", "response_format.json_schema")
    if isinstance(described.get("description"), str):
        schema = {"description": described["description"], **schema}
    body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}


def _tools(body: JsonObject, value: object, *, own: bool) -> None:
    tools = []
    for position, tool in enumerate(json_list(value, "tools")):
        at = f"tools[{position}]"
        holder = json_object(tool, at)
        native = holder.get("anthropic") if own else None
        same = isinstance(native, dict) and canonical_tool(native, at, Notes()) == holder
        tools.append(native if same else _tool(holder, at))
    if tools:
        body["tools"] = tools


def _tool(tool: JsonObject, at: str) -> JsonObject:
    if tool.get("type") != "function":
        raise untranslatable(f"{at}.type", NAME)
    function = object_field(tool, "function", at)
    schema = function.get("parameters")
    schema = {} if schema is None else json_object(schema, f"{at}.function.parameters")
    translated: JsonObject = {"name": text_field(function, "name", f"{at}.function")}
    if function.get("description") is not None:
        translated["description"] = text_field(function, "description", f"{at}.function")
    translated["input_schema"] = schema if "type" in schema else {"type": "object", "properties": {}, **schema}
    if function.get("strict"):
        translated["strict"] = True
    if tool.get("cache_control") is not None:
        translated["cache_control"] = tool["cache_control"]
    return translated


def _same(name: str) -> Callable[[JsonObject, object], None]:
    """This dialect's own ``name``, written by a client of another one that knows whom it talks to."""

    def translate(body: JsonObject, value: object) -> None:
        body[name] = value

    return translate


def _reason(body: JsonObject, payload: Mapping[str, Any], model: str) -> None:
    fields = thinking_fields(
        text_field(payload, "reasoning_effort", ""),
        model,
        body.get("max_tokens"),
        tool_is_forced=body.get("tool_choice", {}).get("type") in {"any", "tool"},
        turn_is_unsigned=not _began_with_thinking(payload["messages"]),
    )
    config = {**body.get("output_config", {}), **fields.pop("output_config", {})}
    body.update(fields)
    if config:
        body["output_config"] = config


def _began_with_thinking(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a turn that goes on with the results of tools began with reasoning, as a thinking model's turn has to."""
    for message in reversed(messages):
        if message.get("role") == "assistant":
            return not message.get("tool_calls") or bool(signed_thinking(message))
        if message.get("role") == "user":
            return True
    return True


def _default_limit(body: JsonObject, model: str) -> int:
    version = claude_version(model)
    limit = DEFAULT_MAX_TOKENS if version is None or version < (4, 0) else DEFAULT_MAX_TOKENS_SINCE_CLAUDE_4
    thinking = body.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    return limit + budget if isinstance(budget, int) else limit


_TOOL_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_FIELDS: dict[str, Callable[[JsonObject, object], None]] = {
    "temperature": _temperature,
    "top_p": _top_p,
    "stop": _stop,
    "response_format": _response_format,
    "thinking": _same("thinking"),
    "top_k": _same("top_k"),
}

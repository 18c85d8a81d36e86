"""Requests of clients: a Responses body as a canonical request.

Reference: https://platform.openai.com/docs/api-reference/responses/create. Nothing is refused here for being
untranslatable: a provider of this dialect gets what the client wrote. Fields that are not known keep their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from router.dialects.canonical import ChatRequest, DialectName, JsonObject
from router.dialects.openai_responses.content import plain_text
from router.dialects.openai_responses.fields import Losses, invalid, read_list, read_object, read_text
from router.dialects.openai_responses.input_items import History
from router.dialects.openai_responses.tools import decode_text, decode_tool_choice, decode_tools
from router.errors import InvalidRequest

NAME: DialectName = "openai_responses"

ENCRYPTED_REASONING = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"

# The same name and meaning in both APIs.
SAME_FIELDS = frozenset(
    {
        "metadata",
        "model",
        "moderation",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "stream",
        "temperature",
        "top_p",
        "user",
    }
)
# State that lies with the provider, and ways of working that only it has.
_REFUSED = frozenset(
    {"access_programs", "background", "background_options", "conversation", "previous_response_id", "prompt"}
)
# What is kept, cut or counted at the provider; ``max_tool_calls`` counts calls of the provider's own tools.
_ADVISORY = frozenset({"context_management", "image", "max_tool_calls", "store", "truncation"})
_DEFAULTS: Mapping[str, object] = {"truncation": "disabled"}


def decode_request(body: bytes) -> ChatRequest:
    """Raises ``InvalidRequest`` that names the field as the client wrote it."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(f"The body is not valid JSON: {exc}.") from exc
    if not isinstance(payload, dict):
        raise InvalidRequest("The body must be a JSON object with 'input'.")
    losses = Losses()
    canonical: JsonObject = {}
    history = _decode_conversation(payload, losses)
    for name, value in payload.items():
        if value is not None and name in _FIELDS:
            _FIELDS[name](value, canonical, losses)
    for name, value in payload.items():
        if name not in _FIELDS and name not in {"input", "instructions"}:
            _decode_field(name, value, canonical, losses)
    if canonical.get("stream"):
        # Answers in this dialect always count their tokens.
        canonical["stream_options"] = {**canonical.get("stream_options", {}), "include_usage": True}
    else:
        canonical.pop("stream_options", None)
    if not ("tools" in canonical or "tools" in losses.extras):
        _drop_idle_choices(canonical)
    canonical["messages"] = history.finish()
    native = payload
    if history.own_reasoning:
        own = set(history.own_reasoning)
        native = {**payload, "input": [item for index, item in enumerate(payload["input"]) if index not in own]}
    return ChatRequest(
        canonical,
        body if native is payload else None,
        dialect=NAME,
        native=native,
        untranslated=losses.untranslated,
        refused=losses.refused,
        extras=losses.extras,
    )


def _drop_idle_choices(canonical: JsonObject) -> None:
    """Without tools, how to call them means nothing here, and is refused by the chat completions."""
    canonical.pop("parallel_tool_calls", None)
    if canonical.get("tool_choice") in ("auto", "none"):
        del canonical["tool_choice"]


def _decode_conversation(payload: JsonObject, losses: Losses) -> History:
    history = History(losses)
    instructions = payload.get("instructions")
    if instructions is not None:
        history.messages.append({"role": "system", "content": read_text(instructions, "instructions")})
    prompt = payload.get("prompt")
    if prompt and (text := plain_text(prompt)):
        history.messages.append({"role": "user", "content": text})
    said = payload.get("input")
    if isinstance(said, str):
        history.messages.append({"role": "user", "content": said})
    elif isinstance(said, list):
        for index, item in enumerate(said):
            history.add(index, item)
    elif said is not None:
        raise invalid("input", "a string or a list of items")
    if not said and not any(payload.get(name) for name in ("conversation", "previous_response_id", "prompt")):
        raise InvalidRequest("'input' is required, and must not be empty.", param="input")
    return history


def _decode_field(name: str, value: object, canonical: JsonObject, losses: Losses) -> None:
    if name == "messages" or name in canonical:
        if value is not None:  # a field of the chat completions that another one has been translated to
            losses.refuse(name)
    elif name in _REFUSED or name in _ADVISORY:
        if value and value != _DEFAULTS.get(name):
            losses.extras[name] = value
            (losses.refused if name in _REFUSED else losses.untranslated).append(name)
    elif value is not None or name not in SAME_FIELDS:
        canonical[name] = value


def _decode_model(value: object, canonical: JsonObject, losses: Losses) -> None:
    canonical["model"] = read_text(value, "model")


def _decode_stream(value: object, canonical: JsonObject, losses: Losses) -> None:
    if not isinstance(value, bool):
        raise invalid("stream", "true, false or null")
    canonical["stream"] = value


def _decode_max_output_tokens(value: object, canonical: JsonObject, losses: Losses) -> None:
    canonical["max_completion_tokens"] = value


def _decode_stream_options(value: object, canonical: JsonObject, losses: Losses) -> None:
    canonical["stream_options"] = read_object(value, "stream_options")


def _decode_reasoning(value: object, canonical: JsonObject, losses: Losses) -> None:
    reasoning = read_object(value, "reasoning")
    losses.refuse_unread(reasoning, _REASONING_FIELDS, "reasoning")
    if reasoning.get("effort") is not None:
        canonical["reasoning_effort"] = reasoning["effort"]
    if reasoning.get("mode") not in (None, "standard"):
        losses.refuse("reasoning.mode")
    losses.untranslated += [f"reasoning.{name}" for name in _REASONING_ADVICE if reasoning.get(name)]
    if more := {name: said for name, said in reasoning.items() if said is not None and name != "effort"}:
        losses.extras["reasoning"] = more


_REASONING_ADVICE = ("context", "generate_summary", "summary")
_REASONING_FIELDS = frozenset({"effort", "mode", *_REASONING_ADVICE})


def _decode_include(value: object, canonical: JsonObject, losses: Losses) -> None:
    """Encrypted reasoning is always included; the rest is about tools that the provider runs."""
    more = []
    for index, name in enumerate(read_list(value, "include")):
        if read_text(name, f"include[{index}]") == LOGPROBS:
            canonical["logprobs"] = True
        elif name != ENCRYPTED_REASONING:
            losses.untranslated.append(f"include[{index}]")
            more.append(name)
    if more:
        losses.extras["include"] = more


def _decode_top_logprobs(value: object, canonical: JsonObject, losses: Losses) -> None:
    if value:
        canonical["top_logprobs"] = value
        canonical["logprobs"] = True


_FIELDS: Mapping[str, Callable[[Any, JsonObject, Losses], None]] = {
    "include": _decode_include,
    "max_output_tokens": _decode_max_output_tokens,
    "model": _decode_model,
    "reasoning": _decode_reasoning,
    "stream": _decode_stream,
    "stream_options": _decode_stream_options,
    "text": decode_text,
    "tool_choice": decode_tool_choice,
    "tools": decode_tools,
    "top_logprobs": _decode_top_logprobs,
}

"""Canonical requests as requests of Converse.

A field that means something and has no counterpart is refused by name. Left out is what only advises (``ADVISORY``) or
says what holds anyway (``n`` of 1, penalties of 0, ``null``). The fields that Converse itself has may be written as
they are (``guardrailConfig``). Whatever else there is goes into ``additionalModelRequestFields``, where Bedrock looks
for the parameters of single models; a model that does not know one says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from router.dialects.bedrock_converse.fields import (
    NAME,
    fraction,
    json_list,
    json_object,
    object_field,
    text_field,
    whole_number,
    wrong,
)
from router.dialects.bedrock_converse.messages import Conversation
from router.dialects.bedrock_converse.models import Family, family_of
from router.dialects.bedrock_converse.reasoning import effort_as_written, reasoning_fields
from router.dialects.bedrock_converse.tools import tool_fields
from router.dialects.canonical import ChatRequest, JsonObject, encode_json, untranslatable
from router.errors import InvalidRequest

ADVISORY = frozenset(
    {
        *("prediction", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier"),
        "user",
    }
)
"""Canonical fields that say how to serve a request, not what to answer; this dialect has no word for them."""

# What a field without a counterpart may say, because it asks for nothing.
_HARMLESS: Mapping[str, Sequence[object]] = {
    "additionalModelResponseFieldPaths": ([],),  # nothing could carry what they ask for
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("auto", "none"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": ([], ["text"]),
    "n": (1,),
    "presence_penalty": (0,),
    "seed": (),
    "store": (False,),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
    "web_search_options": (),
}
# Handled together with other fields, or said by the URL.
_STRUCTURE = frozenset(
    {
        *("max_completion_tokens", "max_tokens", "messages", "model", "parallel_tool_calls", "reasoning_effort"),
        *("stream", "stream_options", "tool_choice", "tools"),
    }
)
# Fields of Converse that mean nothing anywhere else.
_OWN = frozenset({"guardrailConfig", "performanceConfig", "promptVariables", "requestMetadata", "serviceTier"})
# What an Anthropic client may say and Claude understands here too.
_CLAUDE_EXTRAS = frozenset({"thinking", "top_k"})

_METADATA = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")
_MAX_METADATA = 16
_SERVICE_TIERS = ("flex", "priority")
# Where a budget of thinking is given and no limit: a model has to have room for its answer too.
_ANSWER_TOKENS = 4096


def encode_request(request: ChatRequest) -> bytes:
    """The request's bytes. Raises ``InvalidRequest`` that names the field which has no counterpart."""
    draft = _Draft(family_of(request.model or ""))
    extras: JsonObject = {}
    if draft.family == "claude" and request.dialect == "anthropic_messages":
        extras = {name: value for name, value in request.extras.items() if name in _CLAUDE_EXTRAS}
    for name in request.refused:
        if name not in extras:
            raise untranslatable(name, NAME)
    draft.converse(request)
    for name, value in {**request.payload, **extras}.items():
        if value is not None and name not in _STRUCTURE and name not in ADVISORY:
            draft.add(name, value)
    draft.reason(request)
    return encode_json(draft.body())


@dataclass(slots=True)
class _Draft:
    """A request while it is being made."""

    family: Family | None
    top: JsonObject = field(default_factory=dict)
    inference: JsonObject = field(default_factory=dict)
    model_fields: JsonObject = field(default_factory=dict)

    def converse(self, request: ChatRequest) -> None:
        """The conversation, its tools and its limit."""
        conversation = Conversation(self.family)
        for position, message in enumerate(request.messages):
            conversation.add(message, f"messages[{position}]")
        self.top["messages"] = conversation.messages()
        if not self.top["messages"]:
            raise InvalidRequest("'messages' has nothing for the model to answer.", param="messages")
        if conversation.system:
            self.top["system"] = conversation.system
        config, self.model_fields = tool_fields(request.payload, conversation, self.family)
        if config is not None:
            self.top["toolConfig"] = config
        for name in ("max_completion_tokens", "max_tokens"):
            limit = request.payload.get(name)
            if limit is not None:
                self.inference.setdefault("maxTokens", whole_number(limit, name))

    def add(self, name: str, value: object) -> None:
        """One field of the top level. Raises ``InvalidRequest``."""
        translate = _FIELDS.get(name)
        if translate is not None:
            translate(self, value)
        elif name in _OWN:
            self.top[name] = json_object(value, name)
        elif name not in _HARMLESS:
            self.model_fields[name] = value
        elif value not in _HARMLESS[name]:
            raise untranslatable(name, NAME)

    def reason(self, request: ChatRequest) -> None:
        """How much the model reasons, once the rest is known."""
        if self.family == "claude" and request.dialect == "anthropic_messages":
            fields = effort_as_written(request.extras)
        elif "thinking" in self.model_fields:
            fields = {}
        else:
            limit = self.inference.get("maxTokens")
            fields = reasoning_fields(request.payload, self.family, self.top["messages"], limit)
        self.model_fields = {**fields, **self.model_fields}
        thinking = self.model_fields.get("thinking")
        budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
        if isinstance(budget, int):
            self.inference.setdefault("maxTokens", budget + _ANSWER_TOKENS)

    def body(self) -> JsonObject:
        """The whole request."""
        if self.inference:
            self.top["inferenceConfig"] = self.inference
        if self.model_fields:
            self.top["additionalModelRequestFields"] = self.model_fields
        if self.family == "claude" and "stopSequences" in self.inference:
            self.top["additionalModelResponseFieldPaths"] = ["/stop_sequence"]
        return self.top


def _temperature(draft: _Draft, value: object) -> None:
    draft.inference["temperature"] = fraction(value, "temperature")


def _top_p(draft: _Draft, value: object) -> None:
    draft.inference["topP"] = fraction(value, "top_p")


def _top_k(draft: _Draft, value: object) -> None:
    """Converse has no word for it, and every family another one."""
    if draft.family == "nova":
        draft.model_fields["inferenceConfig"] = {"topK": value}
    else:
        draft.model_fields["k" if draft.family == "cohere" else "top_k"] = value


def _stop(draft: _Draft, value: object) -> None:
    sequences = [value] if isinstance(value, str) else json_list(value, "stop")
    if not all(isinstance(sequence, str) for sequence in sequences):
        raise wrong("stop", "a string or a list of strings")
    if sequences:
        draft.inference["stopSequences"] = sequences


def _response_format(draft: _Draft, value: object) -> None:
    wanted = json_object(value, "response_format")
    kind = wanted.get("type")
    if kind == "text":
        return
    if kind != "json_schema":
        raise untranslatable("response_format.type", NAME)
    at = "response_format.json_schema"
    described = object_field(wanted, "json_schema", "response_format")
    schema: JsonObject = {"schema": encode_json(object_field(described, "schema", at)).decode()}
    for name in ("name", "description"):
        if described.get(name) is not None:
            schema[name] = text_field(described, name, at)
    text_format = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    draft.top["outputConfig"] = {**draft.top.get("outputConfig", {}), "textFormat": text_format}


def _output_config(draft: _Draft, value: object) -> None:
    draft.top["outputConfig"] = {**json_object(value, "outputConfig"), **draft.top.get("outputConfig", {})}


def _metadata(draft: _Draft, value: object) -> None:
    """``requestMetadata`` is for the same purpose, and takes fewer letters."""
    metadata = json_object(value, "metadata")
    if len(metadata) > _MAX_METADATA:
        raise wrong("metadata", f"at most {_MAX_METADATA} pairs for this provider ({NAME})")
    for name, text in metadata.items():
        if not (name and isinstance(text, str) and _METADATA.fullmatch(name) and _METADATA.fullmatch(text)):
            raise wrong(f"metadata.{name}", f"at most 256 letters, digits and signs of ':_@$#=/+,-.' ({NAME})")
    if metadata:
        draft.top["requestMetadata"] = metadata


def _service_tier(draft: _Draft, value: object) -> None:
    if value in ("auto", "default"):
        return
    if value not in _SERVICE_TIERS:
        raise untranslatable("service_tier", NAME)
    draft.top["serviceTier"] = {"type": value}


def _more_fields(draft: _Draft, value: object) -> None:
    draft.model_fields.update(json_object(value, "additionalModelRequestFields"))


def _thinking(draft: _Draft, value: object) -> None:
    """Claude's own field; no other model has it."""
    if draft.family not in ("claude", None):
        raise untranslatable("thinking", NAME)
    draft.model_fields["thinking"] = value


_FIELDS: Mapping[str, Callable[[_Draft, object], None]] = {
    "additionalModelRequestFields": _more_fields,
    "metadata": _metadata,
    "outputConfig": _output_config,
    "response_format": _response_format,
    "service_tier": _service_tier,
    "stop": _stop,
    "temperature": _temperature,
    "thinking": _thinking,
    "top_k": _top_k,
    "top_p": _top_p,
}

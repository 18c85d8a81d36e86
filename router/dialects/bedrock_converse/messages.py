"""Canonical messages as messages of Converse.

System and developer messages become ``system``, wherever they stand. Turns alternate between user and assistant:
messages of one role that follow each other are one turn, in which the results of tools come first. Text without a
visible character is left out, because Bedrock refuses it; so are ``name`` and the ``detail`` of images. A marker for
the prompt cache is a block of its own, behind what it marks.

Reasoning goes back to the models that want it, in the shape that each of them knows: Claude its signed text, models of
OpenAI and xAI only what is encrypted. Reasoning that is not signed was never meant to come back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import orjson

from router.dialects.anthropic_messages.thinking import is_foreign
from router.dialects.bedrock_converse.fields import NAME, json_list, json_object, object_field, text_field, wrong
from router.dialects.bedrock_converse.media import Documents, audio_block, image_block
from router.dialects.bedrock_converse.models import Family
from router.dialects.canonical import JsonObject, untranslatable

_TOOL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

# Models that have no prompt cache refuse its markers, which only advise.
_CACHING: frozenset[Family | None] = frozenset({"claude", "nova", None})
_ENCRYPTED_REASONING: frozenset[Family | None] = frozenset({"claude", "openai", "xai", None})
_READABLE_REASONING: frozenset[Family | None] = frozenset({"claude", None})


class Conversation:
    """Collects the turns and the system prompt of a request to a model of ``family``."""

    __slots__ = ("_documents", "_family", "_results", "_turns", "has_tools", "system")

    def __init__(self, family: Family | None) -> None:
        self._family = family
        self._documents = Documents()
        self._turns: list[tuple[str, list[JsonObject]]] = []
        self._results = 0
        """How many blocks of tool results the last turn begins with."""
        self.system: list[JsonObject] = []
        self.has_tools = False
        """Whether a tool was called."""

    def add(self, message: Mapping[str, Any], at: str) -> None:
        """Take the next message. Raises ``InvalidRequest`` that names what cannot be translated."""
        role = message.get("role")
        if role in {"system", "developer"}:
            self.system += self._system(message.get("content"), f"{at}.content")
        elif role == "assistant":
            self._append("assistant", self._assistant(message, at))
        elif role == "tool":
            self._append_result(self._tool_result(message, at))
        elif role == "user":
            self._append("user", self._content(message.get("content"), f"{at}.content"))
        else:
            raise untranslatable(f"{at}.role", NAME)

    def messages(self) -> list[JsonObject]:
        """The turns."""
        if self._turns and self._turns[-1][0] == "assistant":
            _trim_end(self._turns[-1][1])
        return [{"role": role, "content": blocks} for role, blocks in self._turns]

    def cache_point(self, holder: Mapping[str, Any]) -> list[JsonObject]:
        """The block that follows what ``holder`` became; none where it is not marked, or the model has no cache."""
        marker = holder.get("cache_control")
        if not isinstance(marker, dict) or self._family not in _CACHING:
            return []
        point: JsonObject = {"type": "default"}
        if marker.get("ttl") == "1h":
            point["ttl"] = "1h"
        return [{"cachePoint": point}]

    def _append(self, role: str, blocks: list[JsonObject]) -> None:
        if not blocks:
            return
        if self._turns and self._turns[-1][0] == role:
            self._turns[-1][1].extend(blocks)
        else:
            self._turns.append((role, blocks))
            self._results = 0

    def _append_result(self, blocks: list[JsonObject]) -> None:
        if not (self._turns and self._turns[-1][0] == "user"):
            self._turns.append(("user", []))
            self._results = 0
        self._turns[-1][1][self._results : self._results] = blocks
        self._results += len(blocks)
        self.has_tools = True

    def _system(self, content: object, at: str) -> list[JsonObject]:
        blocks = self._content(content, at)
        for position, part in enumerate(content if isinstance(content, list) else ()):
            if part.get("type") != "text":
                raise untranslatable(f"{at}[{position}].type", NAME)
        return blocks

    def _content(self, content: object, at: str) -> list[JsonObject]:
        if content is None:
            return []
        if isinstance(content, str):
            return _text(content)
        blocks: list[JsonObject] = []
        for position, part in enumerate(json_list(content, at)):
            translated = self._part(json_object(part, f"{at}[{position}]"), f"{at}[{position}]")
            blocks += translated
            if blocks and "cachePoint" not in blocks[-1]:  # the text before an empty part is what is marked
                blocks += self.cache_point(part)
        return blocks

    def _part(self, part: JsonObject, at: str) -> list[JsonObject]:
        kind = part.get("type")
        if kind == "text":
            return _text(text_field(part, "text", at))
        if kind == "refusal":
            return _text(text_field(part, "refusal", at))
        if kind == "image_url":
            return [image_block(part, at)]
        if kind == "file":
            return [self._documents.block(part, at)]
        if kind == "input_audio":
            return [audio_block(part, at)]
        raise untranslatable(f"{at}.type", NAME)

    def _assistant(self, message: Mapping[str, Any], at: str) -> list[JsonObject]:
        for name in ("audio", "function_call"):
            if message.get(name):
                raise untranslatable(f"{at}.{name}", NAME)
        blocks = self._reasoning(message)
        blocks += self._content(message.get("content"), f"{at}.content")
        if message.get("refusal"):
            blocks += _text(text_field(message, "refusal", at))
        for position, call in enumerate(json_list(message.get("tool_calls") or [], f"{at}.tool_calls")):
            where = f"{at}.tool_calls[{position}]"
            blocks.append(_tool_use(json_object(call, where), where))
            blocks += self.cache_point(call)
            self.has_tools = True
        return blocks

    def _reasoning(self, message: Mapping[str, Any]) -> list[JsonObject]:
        kept = message.get("thinking_blocks")
        blocks: list[JsonObject] = []
        for block in kept if isinstance(kept, list) else ():
            if not isinstance(block, dict) or is_foreign(block):
                continue
            if block.get("type") == "thinking" and self._family in _READABLE_REASONING:
                text, signature = block.get("thinking"), block["signature"]
                reasoning = {"text": text if isinstance(text, str) else "", "signature": signature}
                blocks.append({"reasoningContent": {"reasoningText": reasoning}})
            elif block.get("type") == "redacted_thinking" and self._family in _ENCRYPTED_REASONING:
                blocks.append({"reasoningContent": {"redactedContent": text_field(block, "data", "thinking_blocks[]")}})
        return blocks

    def _tool_result(self, message: Mapping[str, Any], at: str) -> list[JsonObject]:
        parts = message.get("content")
        content = self._content(parts, f"{at}.content")
        for position, part in enumerate(parts if isinstance(parts, list) else ()):
            if part["type"] == "input_audio":
                raise untranslatable(f"{at}.content[{position}].type", NAME)
        points = [block for block in content if "cachePoint" in block]
        result: JsonObject = {
            "toolUseId": _tool_id(text_field(message, "tool_call_id", at)),
            "content": [block for block in content if "cachePoint" not in block],
        }
        if message.get("is_error"):
            result["status"] = "error"
        return [{"toolResult": result}, *(self.cache_point(message) or points[-1:])]


def tool_name(name: str, field: str) -> str:
    """``name`` when Bedrock takes it as that of a tool."""
    if not _TOOL_NAME.fullmatch(name):
        raise wrong(field, f"at most 64 letters, digits, '_' and '-' for this provider ({NAME})")
    return name


def _text(text: str) -> list[JsonObject]:
    return [{"text": text}] if text.strip() else []


def _trim_end(blocks: list[JsonObject]) -> None:
    """Models refuse an answer to be continued that ends in white space."""
    text = blocks[-1].get("text")
    if isinstance(text, str):
        blocks[-1] = {"text": text.rstrip()}


def _tool_use(call: JsonObject, at: str) -> JsonObject:
    if call.get("type", "function") != "function":
        raise untranslatable(f"{at}.type", NAME)
    function = object_field(call, "function", at)
    name = tool_name(text_field(function, "name", f"{at}.function"), f"{at}.function.name")
    arguments = _arguments(function.get("arguments"), f"{at}.function.arguments")
    return {"toolUse": {"toolUseId": _tool_id(text_field(call, "id", at)), "name": name, "input": arguments}}


def _arguments(arguments: object, field: str) -> JsonObject:
    if arguments is None or arguments == "":
        return {}
    try:
        value = orjson.loads(arguments) if isinstance(arguments, str) else arguments
    except orjson.JSONDecodeError as exc:
        raise wrong(field, "a JSON object") from exc
    return json_object(value, field)


def _tool_id(id_: str) -> str:
    """An id that Bedrock takes; the same one for a call and its result."""
    if _TOOL_ID.fullmatch(id_):
        return id_
    return f"call_{hashlib.sha256(id_.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"

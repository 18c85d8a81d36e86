"""``toolConfig``: the tools and the choice among them.

There is no way to forbid tools and still say which there are: ``none`` leaves them out, which Bedrock accepts only as
long as none has been called. Claude's way to ask for one call at a time stands in its own ``tool_choice``, and that
must not stand beside Converse's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.dialects.bedrock_converse.fields import NAME, json_list, json_object, object_field, text_field, wrong
from router.dialects.bedrock_converse.messages import Conversation, tool_name
from router.dialects.bedrock_converse.models import Family
from router.dialects.canonical import JsonObject, untranslatable
from router.errors import InvalidRequest

_CHOICES = {"auto": "auto", "required": "any"}


def tool_fields(
    payload: Mapping[str, Any], conversation: Conversation, family: Family | None
) -> tuple[JsonObject | None, JsonObject]:
    """``toolConfig``, ``None`` for no tools, and what belongs into ``additionalModelRequestFields``.

    Raises ``InvalidRequest`` for what Converse has no word for.
    """
    chosen = payload.get("tool_choice")
    listed = json_list(payload.get("tools") or [], "tools")
    if chosen == "none" and conversation.has_tools:
        raise untranslatable("tool_choice", NAME)
    if not listed and conversation.has_tools:
        message = (
            "'tools' is missing: this provider (bedrock_converse) wants the tools of a conversation that uses some."
        )
        raise InvalidRequest(message, param="tools")
    choice = _choice(chosen)
    if not listed or chosen == "none":
        return None, {}
    tools: list[JsonObject] = []
    for position, tool in enumerate(listed):
        at = f"tools[{position}]"
        tools.append(_tool(json_object(tool, at), at))
        if family != "nova":  # whose cache has no place for tools
            tools += conversation.cache_point(tool)
    if payload.get("parallel_tool_calls") is False:
        if family != "claude":
            raise untranslatable("parallel_tool_calls", NAME)
        return {"tools": tools}, {"tool_choice": {**_claude_choice(choice), "disable_parallel_tool_use": True}}
    return {"tools": tools, **({"toolChoice": choice} if choice else {})}, {}


def _choice(chosen: object) -> JsonObject | None:
    if chosen is None or chosen == "none":
        return None
    if isinstance(chosen, str) and chosen in _CHOICES:
        return {_CHOICES[chosen]: {}}
    if isinstance(chosen, dict) and chosen.get("type") == "function":
        field = "tool_choice.function"
        name = text_field(object_field(chosen, "function", "tool_choice"), "name", field)
        return {"tool": {"name": tool_name(name, f"{field}.name")}}
    raise untranslatable("tool_choice", NAME)


def _claude_choice(choice: JsonObject | None) -> JsonObject:
    kind, named = next(iter((choice or {"auto": {}}).items()))
    return {"type": kind, **named}


def _tool(tool: JsonObject, at: str) -> JsonObject:
    if tool.get("type") != "function":
        raise untranslatable(f"{at}.type", NAME)
    function = object_field(tool, "function", at)
    schema = function.get("parameters")
    schema = {} if schema is None else json_object(schema, f"{at}.function.parameters")
    spec: JsonObject = {
        "name": tool_name(text_field(function, "name", f"{at}.function"), f"{at}.function.name"),
        "inputSchema": {"json": schema if "type" in schema else {"type": "object", "properties": {}, **schema}},
    }
    if function.get("description"):
        spec["description"] = text_field(function, "description", f"{at}.function")
    if (strict := function.get("strict")) is not None:
        if not isinstance(strict, bool):
            raise wrong(f"{at}.function.strict", "true or false")
        if strict:
            spec["strict"] = True
    return {"toolSpec": spec}

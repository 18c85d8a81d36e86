"""Tools, the choice among them and the format of the text, both ways.

This API writes a function's fields into the tool itself; the chat completions nest them in ``function``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.dialects.canonical import JsonObject
from router.dialects.openai_responses.content import no_counterpart
from router.dialects.openai_responses.fields import Losses, invalid, read_list, read_object, read_text

_CHOICES = frozenset({"auto", "none", "required"})
_FUNCTION_FIELDS = ("name", "description", "parameters", "strict")
_FUNCTION_TOOL = frozenset({"type", *_FUNCTION_FIELDS})
_SCHEMA_FIELDS = ("name", "description", "schema", "strict")


def decode_tools(value: object, canonical: JsonObject, losses: Losses) -> None:
    """Functions become canonical; every other kind of tool runs at the provider, so only one of this dialect has it."""
    tools = []
    foreign = []
    for index, entry in enumerate(read_list(value, "tools")):
        path = f"tools[{index}]"
        tool = read_object(entry, path)
        if read_text(tool.get("type"), f"{path}.type") != "function":
            losses.refuse(f"{path}.type")
            foreign.append(tool)
            continue
        losses.refuse_unread(tool, _FUNCTION_TOOL, path)
        read_text(tool.get("name"), f"{path}.name")
        function = {name: tool[name] for name in _FUNCTION_FIELDS if tool.get(name) is not None}
        tools.append({"type": "function", "function": function})
    if tools:
        canonical["tools"] = tools
    if foreign:
        losses.extras["tools"] = foreign


def decode_tool_choice(value: object, canonical: JsonObject, losses: Losses) -> None:
    """``tool_choice`` as a word, one function, or some of the functions."""
    if isinstance(value, str):
        if value not in _CHOICES:
            raise invalid("tool_choice", "'auto', 'none', 'required' or an object")
        canonical["tool_choice"] = value
        return
    choice = read_object(value, "tool_choice")
    kind = read_text(choice.get("type"), "tool_choice.type")
    if kind == "function":
        canonical["tool_choice"] = _named(choice, "tool_choice")
        return
    if kind == "allowed_tools":
        allowed = read_list(choice.get("tools"), "tool_choice.tools")
        tools = [read_object(tool, f"tool_choice.tools[{index}]") for index, tool in enumerate(allowed)]
        if all(tool.get("type") == "function" for tool in tools):
            named = [_named(tool, f"tool_choice.tools[{index}]") for index, tool in enumerate(tools)]
            choices = {"mode": choice.get("mode") or "auto", "tools": named}
            canonical["tool_choice"] = {"type": "allowed_tools", "allowed_tools": choices}
            return
    losses.refuse("tool_choice")
    losses.extras["tool_choice"] = choice


def _named(choice: JsonObject, path: str) -> JsonObject:
    return {"type": "function", "function": {"name": read_text(choice.get("name"), f"{path}.name")}}


def decode_text(value: object, canonical: JsonObject, losses: Losses) -> None:
    """``text``: what the answer has to look like (``response_format``) and how long it may be (``verbosity``)."""
    text = read_object(value, "text")
    losses.refuse_unread(text, frozenset({"format", "verbosity"}), "text")
    if text.get("verbosity") is not None:
        canonical["verbosity"] = text["verbosity"]
    if text.get("format") is None:
        return
    wanted = read_object(text["format"], "text.format")
    kind = read_text(wanted.get("type"), "text.format.type")
    if kind in {"text", "json_object"}:
        canonical["response_format"] = {"type": kind}
    elif kind == "json_schema":
        schema = {name: wanted[name] for name in _SCHEMA_FIELDS if wanted.get(name) is not None}
        canonical["response_format"] = {"type": "json_schema", "json_schema": schema}
    else:
        losses.refuse("text.format.type")
        losses.extras["text"] = {"format": wanted}


def encode_tools(value: object) -> list[JsonObject]:
    """Canonical tools. Raises ``InvalidRequest`` that names what is no function."""
    return [_encode_tool(entry, f"tools[{index}]") for index, entry in enumerate(read_list(value, "tools"))]


def _encode_tool(entry: object, path: str) -> JsonObject:
    tool = read_object(entry, path)
    if tool.get("type") != "function":
        raise no_counterpart(f"{path}.type")
    function = read_object(tool.get("function"), f"{path}.function")
    flat: JsonObject = {
        "type": "function",
        "name": read_text(function.get("name"), f"{path}.function.name"),
        "parameters": function.get("parameters"),
        # This API takes a missing ``strict`` for true and then refuses most schemas; the chat completions for false.
        "strict": bool(function.get("strict")),
    }
    if function.get("description") is not None:
        flat["description"] = function["description"]
    return flat


def encode_tool_choice(value: object) -> object:
    """A canonical ``tool_choice``. Raises ``InvalidRequest`` where it means something else than functions."""
    if isinstance(value, str):
        return value
    choice = read_object(value, "tool_choice")
    if choice.get("type") == "function":
        return _flat_choice(choice, "tool_choice")
    if choice.get("type") == "allowed_tools":
        allowed = read_object(choice.get("allowed_tools"), "tool_choice.allowed_tools")
        tools = read_list(allowed.get("tools"), "tool_choice.allowed_tools.tools")
        return {
            "type": "allowed_tools",
            "mode": allowed.get("mode") or "auto",
            "tools": [
                _flat_choice(tool, f"tool_choice.allowed_tools.tools[{index}]") for index, tool in enumerate(tools)
            ],
        }
    raise no_counterpart("tool_choice.type")


def _flat_choice(choice: object, path: str) -> JsonObject:
    named = read_object(choice, path)
    if named.get("type") != "function":
        raise no_counterpart(f"{path}.type")
    function = read_object(named.get("function"), f"{path}.function")
    return {"type": "function", "name": read_text(function.get("name"), f"{path}.function.name")}


def encode_format(value: object) -> JsonObject:
    """A canonical ``response_format`` as ``text.format``. Raises ``InvalidRequest`` where there is no such format."""
    wanted = read_object(value, "response_format")
    kind = wanted.get("type")
    if kind in ("text", "json_object"):
        return {"type": kind}
    if kind != "json_schema":
        raise no_counterpart("response_format.type")
    schema: Mapping[str, Any] = read_object(wanted.get("json_schema"), "response_format.json_schema")
    return {"type": "json_schema", **{name: schema[name] for name in _SCHEMA_FIELDS if schema.get(name) is not None}}

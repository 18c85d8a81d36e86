"""The choices of an answer in the chat completion dialect: whether they are what all translations rely on.

Servers of this dialect are many, and not all of them keep to it. Unknown fields are kept as they came.
"""

from __future__ import annotations

from typing import Any, Literal

from router.dialects.canonical import JsonObject, encode_answer
from router.errors import UpstreamProtocolError


def check_choices(choices: object, holder: Literal["message", "delta"], source: str) -> list[JsonObject]:
    """``choices`` when they have the shape of this dialect; ``holder`` is where each says something.

    Arguments of tool calls that came as an object become the JSON that they have to be. Raises
    ``UpstreamProtocolError``.
    """
    checked: list[JsonObject] = _list(choices, "choices", source)
    for choice in checked:
        if not isinstance(choice, dict):
            raise _wrong("choices", source)
        if not isinstance(choice.get("index", 0), int):
            raise _wrong("index", source)
        said = choice.get(holder)
        if said:
            _check_message(said, holder, source)
    return checked


def _check_message(said: object, holder: str, source: str) -> None:
    if not isinstance(said, dict):
        raise _wrong(holder, source)
    if isinstance(content := said.get("content"), list) and not all(isinstance(part, dict) for part in content):
        raise _wrong("content", source)
    if "tool_calls" in said:
        for call in _list(said["tool_calls"], "tool_calls", source):
            _check_call(call, source)


def _check_call(call: object, source: str) -> None:
    function = call.get("function") if isinstance(call, dict) else call
    if function is None and call is not None:
        return
    if not (isinstance(call, dict) and isinstance(function, dict) and isinstance(call.get("index", 0), int)):
        raise _wrong("tool_calls", source)
    if not isinstance(function.get("name"), str | None):
        raise _wrong("name", source)
    arguments = function.get("arguments")
    if isinstance(arguments, dict):
        function["arguments"] = encode_answer(arguments).decode()
    elif not isinstance(arguments, str | None):
        raise _wrong("arguments", source)


def _list(value: object, name: str, source: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong(name, source)
    return value


def _wrong(name: str, source: str) -> UpstreamProtocolError:
    return UpstreamProtocolError(f"'{source}' sent an answer whose '{name}' is not what it has to be.")
